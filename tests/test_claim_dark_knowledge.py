"""What is special to `dark-knowledge`: rows that can fail, students and their targets, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from cases import toy_result
from cases.dark_knowledge import TOY
from made_up import failing, made_up
from ntk_theory import kernels
from ntk_theory.checking.functionals import peak
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims import _dark_knowledge_students as students
from ntk_theory.claims.dark_knowledge import CLAIM, TREE
from progress import Silent
from strategies import EPS, seeds

HARD, STOPPED = students.HARD, students.STOPPED


def widest(change):
    return lambda u, width, training, on: change(u) if width == TOY.widths[-1] else u


def test_nets_that_do_as_predicted_satisfy_every_row():
    assert failing(made_up(CLAIM, TOY)) == set()


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (lambda u: u / 2, "height of the peak"),
        (lambda u: np.repeat(u, 2, axis=0)[: len(u)], "time of the peak"),
        (lambda u: u[np.minimum(np.arange(len(u)), 9)], "dark knowledge after 107 steps"),
        (lambda u: u - 0.1 * (u < 0.3) * (u > 0.05), "mean output on siblings after 5 steps"),
    ],
)
def test_nets_that_do_something_else_fail_the_row_about_it(change, row):
    assert f"{TREE}: {row}" in failing(made_up(CLAIM, TOY, widest(change)))


def test_the_parabola_finds_the_peak_of_a_parabola():
    steps = np.arange(12.0)
    curves = np.stack([2 - (steps - 4.3) ** 2, 1 - 0.1 * (steps - 7.75) ** 2])
    for spacing in (1, 2):
        time, height = peak(curves, spacing)
        np.testing.assert_allclose(time, [4.3, 7.75], rtol=1e3 * EPS)
        np.testing.assert_allclose(height, [2, 1], rtol=1e3 * EPS)


def taught(gains, noise=0.005, shift=0.0, **changes):
    """Made-up students of 12 worlds with these measured gains, and as predicted else.

    So are shrunk ones, but for a shift of all accuracies.
    """
    rng, right = np.random.default_rng(0), (0.0, 0.12, 0.02, 0.01, 0.0, -0.1)
    of = {}
    hard = 0.5 + 0.02 * rng.standard_normal(12)
    for name, gain in zip(students.STUDENTS, right, strict=True):
        of[f"predicted {name}"] = hard + gain
        of[name] = hard + gains.get(name, gain) + noise * rng.standard_normal(12)
        of[f"shrunk {name}"] = hard + gain + shift + noise * rng.standard_normal(12)
    for who in ("teachers", "students"):
        more = {"crossing": 0 * hard, "first step": 1 + 0.01 * rng.standard_normal(12),
                "narrow, off": 0.4 + 0 * hard, "off": 0.1 + 0 * hard}  # fmt: skip
        of |= {f"{who}: {name}": value for name, value in more.items()}
    of |= changes
    return of


def measured(found):
    """Rows by name."""
    return {row.name: row for row in students.rows(made_up(CLAIM, TOY), found)}


def wrong(found):
    return [name for name, row in measured(found).items() if row.holds is not True]


def test_students_as_predicted_hold_every_row_and_other_ones_do_not():
    assert wrong(taught({})) == []
    for gain in (0.0, 0.06, -0.12, 0.24):
        name = "accuracy gained from the stopped teacher over hard labels"
        assert name in wrong(taught({STOPPED: gain}))
    signs = np.where(np.arange(12) % 3 == 0, -0.15, 0.15)
    assert name in wrong(taught({STOPPED: signs}))
    assert wrong(taught({}, noise=0.1))


@pytest.mark.parametrize("shift", [0.0, -0.01])
def test_the_room_of_an_accuracy_is_that_of_narrower_nets_and_not_of_these(shift):
    name, run = "student of stopped teacher: accuracy on fresh points", made_up(CLAIM, TOY)
    found = taught({}, shift=shift)
    row, off = measured(found)[name], found[f"shrunk {STOPPED}"] - found[f"predicted {STOPPED}"]
    for room, risk in ((row.tolerance, 1e-3), (row.decisive, 1e-6)):
        # Six rows of worlds; the difference of two means of 12, whose deviation has 11 degrees.
        quantile = t.isf((1 - run.confidence(6, risk)) / 2, 11)
        expected = abs(off.mean()) + quantile * off.std(ddof=1) * math.sqrt(2 / 12)
        assert room == pytest.approx(expected + 1 / (16 * 24 * 12))
    assert measured(taught({STOPPED: 0.08}, shift=shift))[name].tolerance == row.tolerance


def test_a_limit_whose_outputs_are_wrong_is_seen():
    """Shrunk deviations keep three quarters of the error, and the shift has the last one."""
    name, found, error = "student of stopped teacher: accuracy on fresh points", taught({}), 0.05
    found[f"predicted {STOPPED}"] = found[f"predicted {STOPPED}"] + error
    found[f"shrunk {STOPPED}"] = found[f"shrunk {STOPPED}"] + 3 / 4 * error
    assert measured(found)[name].holds is False


def test_narrow_nets_are_as_far_off_as_wide_ones_when_their_deviations_are_shrunk():
    names = students.HARD, STOPPED, "tree averages"
    worlds = [row for row in toy_result("dark-knowledge").metrics if "world" in row]

    def off(kind):
        return [row[kind + name] - row[f"predicted {name}"] for row in worlds for name in names]

    # By m^{-1/2}; shrunk like 1/m, or not at all, they are four times as far off.
    assert 0.5 < np.linalg.norm(off("shrunk ")) / np.linalg.norm(off("")) < 2


@pytest.mark.parametrize("who", ["teachers", "students"])
def test_outputs_that_do_not_come_closer_or_are_of_another_rate_fail(who):
    (stuck,) = wrong(taught({}, **{f"{who}: off": np.full(12, 0.4)}))
    assert "deviation at width" in stuck
    for factor in (0.9, 1.2):
        off = {f"{who}: first step": factor + 0.01 * np.random.default_rng(1).standard_normal(12)}
        assert wrong(taught({}, **off)) == [f"{who}: outputs after one step over their prediction"]


def test_a_control_student_that_gains_as_much_as_claimed_does_not_fail_as_it_must():
    for control, name in zip(students.controls(), list(students.STUDENTS)[3:], strict=True):
        for gain, far in (({}, True), ({name: 0.12}, False)):
            run = made_up(CLAIM, TOY)
            run.notes["students"] = taught(gain)
            assert run.control(control).holds is far


@given(st.integers(2, 4), seeds)
def test_targets_keep_what_they_are_said_to_keep(superclasses, seed):
    count = superclasses * students.SIBLINGS
    targets = np.random.default_rng(seed).standard_normal((count, count))
    averaged, shuffled = students.averaged(targets), students.shuffled(targets)
    blocks = np.kron(np.eye(superclasses), np.ones((students.SIBLINGS, students.SIBLINGS)))
    for pairs in (np.eye(count) == 1, (blocks - np.eye(count)) == 1, blocks == 0):
        atol = count**2 * EPS * np.abs(targets).max()
        np.testing.assert_allclose(averaged[pairs], targets[pairs].mean(), atol=atol)
    np.testing.assert_array_equal(np.diag(shuffled), np.diag(targets))
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(targets, axis=1))
    kept = students.confidence(targets)
    np.testing.assert_array_equal(kept.argmax(axis=1), targets.argmax(axis=1))
    np.testing.assert_allclose(kept.sum(axis=1), targets.sum(axis=1), atol=1e-12)
    assert all(len(np.unique(row)) == 2 for row in kept)


def test_the_predictor_is_the_recursion_on_the_student_s_points():
    world = students.World(np.random.default_rng(3))
    few, rate = world.student.inputs, world.student.learning_rate
    kernel, cross = kernels.ntk_limit(few), kernels.ntk_limit(world.tested, few)
    u, fresh = np.zeros_like(kernel), np.zeros(cross.shape)
    for _ in range(students.STUDENT_STEPS):
        fresh, u = fresh + rate * (cross @ (np.eye(16) - u)), u - rate * (kernel @ (u - np.eye(16)))
    np.testing.assert_allclose(world.predictor, fresh, rtol=0, atol=1e-10)


def test_a_run_that_ends_near_the_peak_is_outside_the_theory():
    result = CLAIM.run(replace(TOY, steps=14), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert {p.name for p in result.premises if not p.holds} == {"long enough run"}


@pytest.mark.parametrize(
    ("knob", "value", "complaint"),
    [
        ("clusters", 1, "superclasses must be at least 2"),
        ("points", 3, "points must be even"),
        ("ratio", 1.0, "ratio must be above 1"),
        ("ratio", float("nan"), "ratio must be above 1"),
        ("learning_rate", 9.0, "learning_rate must lie in"),
        ("learning_rate", 0.0, "learning_rate must lie in"),
        ("steps", 6, "steps must be at least"),
    ],
)
def test_options_without_sense_are_refused(knob, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        CLAIM.predict(replace(TOY, **{knob: value}))

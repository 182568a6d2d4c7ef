"""Rows, premises and controls of `dark-knowledge` fail on doctored runs; refused options."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.dark_knowledge import TOY
from ntk_theory import kernels, predictions
from ntk_theory.claims.dark_knowledge import CLAIM, controls, measurements, nets, tree, worlds
from ntk_theory.claims.dark_knowledge import plan as plans
from ntk_theory.claims.dark_knowledge.students import Students
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Verdict
from progress import Silent
from strategies import EPS, seeds


@pytest.fixture(scope="module")
def plan():
    return plans.make_plan(TOY)


@pytest.fixture(scope="module")
def climbed(plan):
    """Toy nets on the tree, trained once."""
    return nets.climb(plan, Evidence(), Silent())


def failing(rows):
    return {row.name for row in rows if row.holds is not True}


# ---------------------------------------------------------------- the tree


def test_every_row_of_the_tree_holds_on_the_trained_nets(plan, climbed):
    assert not failing(measurements._tree_rows(plan, climbed))


def widest(values, change):
    """Values (widths, S, ...) with those of the widest nets changed."""
    changed = values.copy()
    changed[-1] = change(values[-1])
    return changed


def test_half_the_dark_knowledge_fails_the_height(plan, climbed):
    half = replace(climbed, knowledge=widest(climbed.knowledge, lambda values: values / 2))
    assert "height of the peak" in failing(measurements._tree_rows(plan, half))


def test_a_peak_at_twice_the_time_fails(plan, climbed):
    def late(values):
        return np.repeat(values, 2, axis=1)[:, : values.shape[1]]

    slow = replace(climbed, knowledge=widest(climbed.knowledge, late))
    failed = failing(measurements._tree_rows(plan, slow))
    assert "time of the peak" in failed
    assert "height of the peak" not in failed


def test_dark_knowledge_that_stays_fails_at_the_end(plan, climbed):
    stays = replace(
        climbed,
        knowledge=widest(climbed.knowledge, lambda v: np.maximum.accumulate(v, axis=1)),
    )
    assert f"dark knowledge after {plan.steps} steps" in failing(
        measurements._tree_rows(plan, stays)
    )


def test_siblings_treated_like_others_fail_the_outputs(plan, climbed):
    flat = replace(
        climbed, means=widest(climbed.means, lambda v: np.stack([v[:, 0], v[:, 2], v[:, 2]], 1))
    )
    name = f"mean output on siblings after {plan.peak_step} steps"
    assert failing(measurements._tree_rows(plan, flat)) == {name}


def test_rows_of_the_ladder_hold_and_fail_without_a_fall(plan, climbed):
    assert not failing(measurements._ladder_rows(plan, climbed))
    rungs = climbed.ladder.rungs[nets.TRAINING]
    stuck = [replace(rung, deviation=rungs[0].deviation) for rung in rungs]
    bad = replace(climbed, ladder=replace(climbed.ladder, rungs={nets.TRAINING: stuck}))
    assert [row.holds for row in measurements._ladder_rows(plan, bad)] == [False, False, True]


@pytest.mark.parametrize("factor", [1.2, 0.9])
def test_outputs_of_another_rate_fail_the_first_step(plan, climbed, factor):
    bad = replace(climbed, first_step=factor * climbed.first_step)
    assert [row.holds for row in measurements._ladder_rows(plan, bad)] == [True, True, False]


def test_first_steps_that_scatter_too_much_leave_the_rate_open(plan, climbed):
    loose = replace(climbed, first_step=1 + 3 * (climbed.first_step - 1))
    *_, row = measurements._ladder_rows(plan, loose)
    assert row.holds is None


@pytest.mark.parametrize("name", ["dark_knowledge", "dark_knowledge_peak"])
def test_the_kernel_limit_tells_slightly_wrong_formulas(plan, name, monkeypatch):
    assert not failing(measurements._kernel_rows(plan))
    right = getattr(predictions, name)
    monkeypatch.setattr(predictions, name, lambda *args: 1.05 * np.asarray(right(*args)))
    # A copy: the plan keeps what it has computed.
    assert failing(measurements._kernel_rows(replace(plan)))


def test_the_measured_contrast_is_that_of_pairs_of_classes(plan):
    outputs = plan.outputs
    found = tree.knowledge(outputs, plan.groups, plans.CLASSES)
    # Sums of n C numbers up to 1.
    tolerance = 4 * outputs[0].size * EPS
    np.testing.assert_allclose(found, plan.knowledge, rtol=0, atol=tolerance)


def test_the_parabola_finds_the_peak_of_a_parabola():
    steps = np.arange(12.0)
    curves = np.stack([2 - (steps - 4.3) ** 2, 1 - 0.1 * (steps - 7.75) ** 2])
    for spacing in (1, 2):
        time, height = nets.peak(curves, spacing)
        np.testing.assert_allclose(time, [4.3, 7.75], rtol=1e3 * EPS)
        np.testing.assert_allclose(height, [2, 1], rtol=1e3 * EPS)


# ---------------------------------------------------------------- students


def students(gains, noise=0.005, hard=0.5):
    """Made-up accuracies in 12 worlds with these predicted and measured mean gains.

    Args:
        gains: (predicted, measured) gain of each student but the first.
        noise: spread of the measured accuracies over worlds.
        hard: accuracy of the student of hard labels.
    """
    rng = np.random.default_rng(0)
    predicted = np.full((12, len(worlds.STUDENTS)), hard)
    predicted += 0.02 * rng.standard_normal((12, 1))
    measured = predicted + noise * rng.standard_normal(predicted.shape)
    for column, (expected, found) in enumerate(gains, start=1):
        predicted[:, column] += expected
        measured[:, column] += found
    deviations = np.outer([0.4, 0.1], 1 + 0.1 * rng.random(12))
    first_step = 1 + 0.01 * rng.standard_normal((2, 12))
    none = np.zeros((2, 12))
    return Students(
        predicted, measured, np.full(12, 0.01), deviations, deviations, first_step, none
    )


RIGHT = [(0.12, 0.12), (0.02, 0.02), (0.01, 0.01), (0.0, 0.0), (-0.1, -0.1)]


def test_students_as_predicted_hold_every_row_and_control():
    made_up = students(RIGHT)
    assert not failing(measurements._student_rows(made_up))
    assert all(control.holds for control in student_controls(made_up))


def student_controls(made_up):
    setting = controls.ControlSetting(None, None, made_up, Silent())
    return [control(setting) for control in controls.CONTROLS[3:]]


@pytest.mark.parametrize("stuck", ["teacher_deviation", "student_deviation"])
def test_outputs_that_do_not_come_closer_with_the_width_fail(plan, stuck):
    made_up = students(RIGHT)
    assert not failing(measurements._outputs_in_worlds(plan, made_up))
    narrow = getattr(made_up, stuck)[[0, 0]]
    bad = replace(made_up, **{stuck: narrow})
    assert len(failing(measurements._outputs_in_worlds(plan, bad))) == 1


@pytest.mark.parametrize("factor", [1.2, 0.9])
@pytest.mark.parametrize("who", [0, 1])
def test_teachers_or_students_of_another_rate_fail_their_first_step(plan, who, factor):
    made_up = students(RIGHT)
    made_up.first_step[who] *= factor
    name = ("teachers", "students")[who]
    expected = {f"{name}: outputs after one step over their prediction"}
    assert failing(measurements._outputs_in_worlds(plan, made_up)) == expected


@pytest.mark.parametrize("measured", [0.0, 0.06, -0.12, 0.24])
def test_another_gain_than_predicted_fails(measured):
    made_up = students([(0.12, measured), *RIGHT[1:]])
    name = "accuracy gained from the stopped teacher over hard labels"
    assert name in failing(measurements._student_rows(made_up))


def test_a_gain_that_some_worlds_lack_fails_its_lower_end():
    made_up = students(RIGHT)
    signs = np.where(np.arange(12) % 3 == 0, -1, 1)
    made_up.measured[:, 1] = made_up.measured[:, 0] + 0.15 * signs
    name = "accuracy gained from the stopped teacher over hard labels, lower end of its interval"
    assert any(failed.startswith(name) for failed in failing(measurements._student_rows(made_up)))


def test_a_scatter_that_hides_the_gain_leaves_it_open():
    rows = {row.name: row for row in measurements._student_rows(students(RIGHT, noise=0.1))}
    row = rows["accuracy gained from the stopped teacher over hard labels"]
    assert row.holds is not True
    assert row.tolerance > row.resolution


@pytest.mark.parametrize("column", [2, 3, 4])
def test_a_control_student_that_gains_as_much_does_not_hold(column):
    gains = list(RIGHT)
    gains[column] = (gains[column][0], 0.12)
    tame = student_controls(students(gains))[column - 2]
    assert tame.verdict is Verdict.SUPPORTED
    assert not tame.holds


@given(st.integers(2, 4), seeds)
def test_averages_keep_the_means_over_the_tree_and_nothing_else(superclasses, seed):
    count = superclasses * worlds.SIBLINGS
    targets = np.random.default_rng(seed).standard_normal((count, count))
    averaged = tree.averaged(targets, worlds.SIBLINGS)
    groups = np.arange(count)
    np.testing.assert_allclose(
        tree.knowledge(averaged, groups, worlds.SIBLINGS),
        tree.knowledge(targets, groups, worlds.SIBLINGS),
        atol=count**2 * EPS * np.abs(targets).max(),
    )
    assert len(np.unique(averaged)) == 3
    np.testing.assert_array_equal(averaged == averaged[0, 0], np.eye(count) == 1)


@given(st.integers(2, 4), seeds)
def test_shuffled_targets_keep_the_right_output_and_the_set_of_the_others(superclasses, seed):
    count = superclasses * worlds.SIBLINGS
    targets = np.random.default_rng(seed).standard_normal((count, count))
    shuffled = worlds.shuffled(targets)
    np.testing.assert_array_equal(np.diag(shuffled), np.diag(targets))
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(targets, axis=1))
    assert (shuffled != targets).any()


@given(st.integers(2, 20), seeds)
def test_confidence_keeps_the_largest_output_and_evens_the_others_out(count, seed):
    targets = np.random.default_rng(seed).standard_normal((count, count))
    kept = worlds.confidence(targets)
    np.testing.assert_array_equal(kept.max(axis=1), targets.max(axis=1))
    np.testing.assert_array_equal(kept.argmax(axis=1), targets.argmax(axis=1))
    # Sums of n numbers up to the largest.
    tolerance = 4 * count**2 * EPS * np.abs(targets).max()
    np.testing.assert_allclose(kept.sum(axis=1), targets.sum(axis=1), atol=tolerance)
    assert all(len(np.unique(row)) == 2 for row in kept)


def test_equal_confidence_would_change_no_choice_of_the_kernel_predictor():
    """Targets αI + γ11ᵀ add the same to all outputs: the control is no identity by its α alone."""
    world = worlds.draw_world(np.random.default_rng(5))
    count = worlds.GROUPS * worlds.SIBLINGS
    soft = world.predictor @ (0.4 * np.eye(count) + 0.03)
    np.testing.assert_array_equal(soft.argmax(axis=1), world.predictor.argmax(axis=1))
    targets = worlds.confidence(world.teacher[world.stop, world.seen])
    assert (np.argmax(world.predictor @ targets, axis=1) != soft.argmax(axis=1)).any()


def test_the_predictor_is_the_recursion_on_the_student_s_points():
    world = worlds.draw_world(np.random.default_rng(3))
    few = world.inputs[world.seen]
    kernel, cross = kernels.ntk_limit(few), kernels.ntk_limit(world.tested, few)
    labels = np.eye(len(few))
    u, fresh = np.zeros_like(labels), np.zeros(cross.shape)
    for _ in range(worlds.STUDENT_STEPS):
        fresh = fresh + world.student_rate * (cross @ (labels - u))
        u = u - world.student_rate * (kernel @ (u - labels))
    # n eps a step in both, and the solve by the condition of the kernel.
    tolerance = 64 * len(few) * worlds.STUDENT_STEPS * EPS * np.linalg.cond(kernel)
    np.testing.assert_allclose(world.predictor, fresh, rtol=0, atol=tolerance)


# ---------------------------------------------------------------- controls of the tree


def test_a_control_tree_that_keeps_its_knowledge_does_not_hold(plan, climbed, monkeypatch):
    def unbroken(setting, recipe):
        return np.tile(plan.knowledge, (4, 1))

    monkeypatch.setattr(controls.ControlSetting, "trained", unbroken)
    setting = controls.ControlSetting(plan, climbed, None, Silent())
    found = {one.id: one for one in (control(setting) for control in controls.CONTROLS[:3])}
    assert found["trained-out"].holds
    for id_ in ("no-superclasses", "labels-of-siblings"):
        assert found[id_].verdict is Verdict.SUPPORTED
        assert not found[id_].holds


# ---------------------------------------------------------------- premises and options


def test_a_run_that_ends_near_the_peak_is_outside_the_theory():
    time, _ = predictions.dark_knowledge_peak(
        plans.make_plan(TOY).spectrum, plans.make_plan(TOY).learning_rate
    )
    result = CLAIM.run(replace(TOY, steps=int(2 * time) + 3), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert {p.name for p in result.premises if not p.holds} == {"long enough run"}
    assert not result.metrics


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
        ("seeds", 1, "seeds must be at least 2"),
    ],
)
def test_options_without_sense_are_refused(knob, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        CLAIM.predict(replace(TOY, **{knob: value}))

"""What is special to the claim `generalisation`: its rows on made-up data, premises, refusals."""

from dataclasses import replace

import numpy as np
import pytest

import stored
from cases.generalisation import TOY
from how_much import again
from made_up import made_up
from ntk_theory import predictions
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims import _generalisation_families as families
from ntk_theory.claims.generalisation import CLAIM, distance, norms, other_rates
from ntk_theory.tasks import draw_task, errors_of, lead_over_validated, wrong_points
from progress import Silent

EPS = np.finfo(float).eps
SMALL = replace(TOY, widths=(128, 256, 512, 1024))


def tasks_of(family, count=2, fresh=20):
    root = np.random.SeedSequence(7)
    drawn = replace(family, fresh=fresh)
    return [draw_task(drawn, child) for child in root.spawn(count)]


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_tasks_train_on_as_many_points_as_the_family_says_with_its_share_of_noise(family):
    for task in tasks_of(family):
        assert len(task.dataset.inputs) == family.groups * family.points
        assert task.dataset.noise_rate == pytest.approx(
            family.noise_rate, abs=2 * family.groups / len(task.dataset.inputs)
        )
        assert set(task.fresh_classes) == set(range(family.classes))
        both = np.vstack([task.dataset.inputs, task.fresh_inputs])
        assert len(np.unique(both, axis=0)) == len(both)
        stops = task.jobs()[1].stops
        assert (len(stops), stops[0], stops[-1]) == (16, 1, task.steps)


def test_tasks_at_another_noise_rate_have_the_same_points():
    nets, first = declare(CLAIM, TOY).nets, families.FAMILIES[0]
    others = families.tasks_of(nets, first, 2, noise_rate=0.2)
    for own, other in zip(families.tasks_of(nets, first, 2), others, strict=True):
        assert other.dataset.noise_rate == pytest.approx(0.2, abs=1e-12)
        np.testing.assert_array_equal(other.dataset.inputs, own.dataset.inputs)
        np.testing.assert_array_equal(other.fresh_inputs, own.fresh_inputs)


def test_the_information_ratio_is_the_squared_ratio_of_two_measures():
    (task,) = tasks_of(families.FAMILIES[2], 1)
    values, vectors = task.spectrum.eigenvalues, task.spectrum.eigenvectors
    inverse, y = (vectors / values) @ vectors.T, task.dataset.clean - task.dataset.clean.mean()
    slow = (np.trace(inverse) / len(y)) / ((y @ inverse @ y) / (y @ y))
    assert task.information_ratio == pytest.approx(slow, rel=len(y) * EPS * values[-1] / values[0])


def test_the_stopping_time_is_chosen_on_other_points_than_it_is_read_on():
    (task,) = tasks_of(families.FAMILIES[2], 1)
    right = np.where(task.fresh_classes == 0, 1.0, -1.0)
    place = np.arange(right.size)
    # Three stopping times: right on the even points alone, on the odd ones alone, on two in three.
    plain = np.stack([np.where(place % k == r, -right, right) for k, r in ((2, 1), (2, 0), (3, 0))])
    wrong = wrong_points([task], np.stack([right, *plain])[None])
    # Even points choose the first, which is wrong on every odd one, and the other way round.
    assert lead_over_validated(wrong) == 1.0
    # In hindsight the best is the third.
    (errors,) = errors_of(wrong)
    assert errors == pytest.approx([0, 1 / 3, 1 / 3], abs=1 / right.size)


def compared(lead=0.02, ratio=8.0, nets=(0.05, 0.07, 0.3), scatter=0.003, family=0):
    """A comparison with made-up leads, r_eff, and test errors of the widest nets."""
    rng = np.random.default_rng(0)
    limits = np.array([0.05, 0.07, 0.3]) + rng.normal(0, 0.003, (48, 3))
    narrow = limits[:3] + rng.normal(0, scatter, (3, 3, 3))
    leads = lead + rng.normal(0, 0.01, 48)
    return families.Comparison(families.FAMILIES[family], ratio, leads, leads, limits,
                               np.concatenate([narrow, np.full((1, 3, 3), nets)]),
                               np.full((4, 3), 0.02))  # fmt: skip


@pytest.mark.parametrize(
    ("lead", "ratio", "holds"),
    [(0.02, 8.0, True), (-0.02, 8.0, False), (-0.02, 2.0, True), (0.02, 2.0, False),
     (0.001, 8.0, None)],
)  # fmt: skip
def test_the_lead_has_to_be_on_the_side_that_the_spectrum_says(lead, ratio, holds):
    *rows, side = families.rows(compared(lead, ratio))
    assert side.holds is holds
    assert ("ahead" in side.name) == (ratio > 3.14)
    assert all(row.holds for row in rows)


@pytest.mark.parametrize(("lead", "holds"), [(-0.02, True), (0.02, False)])
def test_a_family_that_is_ahead_is_no_counterexample(lead, holds):
    (row,) = families.rows(compared(lead, family=3))
    assert row.name.startswith("power law of exponent 2: behind")
    assert row.holds is holds


def test_nets_that_lose_what_the_kernel_limit_gains_fail():
    rows = list(families.rows(compared(nets=(0.3, 0.1, 0.3))))
    assert [row.holds for row in rows] == [False, True, True]


@again
def test_nets_that_do_not_come_to_decide_as_the_kernel_limit_does_fail(monkeypatch):
    right = families._trained
    monkeypatch.setattr(families, "_trained", lambda run, jobs, _, stream:
                        right(run, jobs, families._widths(run.nets)[0], stream))  # fmt: skip
    run = made_up(CLAIM, TOY)
    with stored.trainings(CLAIM.id):
        (row,) = (one for one in families.measured(run) if "decided otherwise" in one.name)
    assert row.holds is False


def test_scattered_narrower_nets_leave_an_accuracy_open():
    assert next(families.rows(compared(scatter=0.3))).holds is None


def moved(share):
    """A run whose nets have moved a share of the predicted way, but for m^{-1/2}."""
    run, rng = made_up(CLAIM, TOY, scatter=0.001), np.random.default_rng(1)
    rates = {one.noise_rate: one for one in other_rates(run.problem)}
    for name, found in run.results.items():
        way, _, rate = name.partition(" at ρ = ")
        norm = distance(rates[float(rate)] if rate else run.problem, way)
        run.results[name] = [
            replace(one, trajectory=replace(one.trajectory, distance=norm * (
                share(name) + rng.normal(0, 0.3 / np.sqrt(one.width), 8)
            ))) for one in found
        ]  # fmt: skip
    return {row.name: row.holds for way in ("self-distillation", "plain training")
            for row in norms(run, way) if "‖W_T − W_0‖" in row.name}  # fmt: skip


def test_distances_that_are_off_fail_and_a_constant_error_does_not_fall():
    assert set(moved(lambda name: 1.0).values()) == {True}
    off = moved(lambda name: 1.1)
    assert len(off) == 8
    assert set(off.values()) == {False}
    off = moved(lambda name: 1.0 + 0.2 * (" at ρ" in name))
    assert [name for name, holds in off.items() if holds is False] == [
        f"{way} at ρ = {rate}: ‖W_T − W_0‖"
        for way in ("self-distillation", "plain training")
        for rate in (0.1, 0.3)
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, (0.1, 0.3)), ({"points": 5}, ()), ({"ratio": 3.0}, (0.1,)),
     ({"points": 2, "noise_rate": 0.5}, ())],
)  # fmt: skip
def test_other_noise_rates_are_shares_that_a_cluster_can_have_and_the_premises_allow(
    change, expected
):
    problem = CLAIM.build(replace(TOY, **change))
    others = list(other_rates(problem))
    assert [one.noise_rate for one in others] == pytest.approx(expected, abs=1e-15)
    for other in others:
        np.testing.assert_array_equal(other.dataset.inputs, problem.dataset.inputs)
        assert other.distillation == problem.distillation


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"noise_rate": 0.4, "ratio": 3.0}, "recoverable noise rate"),
        ({"schedule": "constant:level=0.25"}, "observed labels fade out"),
        ({"ratio": 300.0, "widths": (32, 64, 128, 256)}, "narrowest net moves little"),
    ],
)
def test_broken_premises_are_named_and_nothing_is_trained(change, premise):
    result = CLAIM.run(replace(TOY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.measurements


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 7}, "seeds must be at least 8"),
        ({"widths": (64, 128)}, "widths must be at least 4"),
        ({"noise_rate": 0.0}, "noise_rate must lie in"),
        ({"points": 1}, "points must be at least 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_nets_alone_distinguish_a_wrong_learning_rate(factor):
    """Without the rows of the kernel limit, which see any: from the outputs on their way."""
    for way in ("self-distillation", "plain training"):

        def at_rate(outputs, width, training, on, way=way):
            if training.name != way:
                return outputs
            rate = factor * training.recipe.rate
            return replace(training.recipe, learning_rate=rate).kernel_limit()

        shown = {row.name: row.holds for row in made_up(CLAIM, TOY, at_rate).parameters()}
        assert not shown[f"{way}: learning rate that outputs show, over that of theory"]


def test_a_run_whose_norms_are_off_looks_at_no_family(monkeypatch):
    right = predictions.generalisation_measure
    target = "ntk_theory.claims.generalisation.distance"
    monkeypatch.setattr(target, lambda *given: 2 * distance(*given))
    monkeypatch.setattr(predictions, "generalisation_measure", lambda d, n: right(d, n) / 2)
    result = CLAIM.run(SMALL, Silent())
    assert result.verdict is Verdict.VIOLATED
    assert not any("fresh" in row.name or "clusters" in row.name for row in result.measurements)
    off = [row for row in result.measurements if "‖W_T − W_0‖" in row.name]
    assert len(off) == 8
    assert not any(row.holds for row in off)

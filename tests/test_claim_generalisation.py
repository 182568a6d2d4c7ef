"""What is special to the claim `generalisation`: its rows on made-up data, premises, refusals."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cases.generalisation import TOY
from ntk_theory import predictions
from ntk_theory.claims.generalisation import CLAIM, families, measurements
from ntk_theory.claims.generalisation.closed_forms import (
    DISTILLED,
    PLAIN_TRAINING,
    measure_of,
    predicted_distance,
    predicted_measure,
    ways_of,
)
from ntk_theory.claims.generalisation.comparison import (
    Comparison,
    both_ways,
    separation_premise,
    untrained,
)
from ntk_theory.claims.generalisation.families import (
    COUNTEREXAMPLE,
    FAMILIES,
    Fresh,
    Task,
    draw_task,
)
from ntk_theory.claims.generalisation.nets import Norms, climb
from ntk_theory.claims.generalisation.plan import SWEEP_RATES, SWEEP_TRAINED, make_plan
from ntk_theory.claims.generalisation.together import distilled_limits, trained
from ntk_theory.runs import Evidence
from ntk_theory.targets import PLAIN
from ntk_theory.training import train, train_kernel_limit
from ntk_theory.verdicts import Verdict
from progress import Silent

EPS = np.finfo(float).eps
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def tasks_of(family, count=2, seed=7):
    root = np.random.SeedSequence(seed)
    return [draw_task(family, 20, child) for child in root.spawn(count)]


def made_up(leads, ratio=8.0, shifts=None, measured=None, family=FAMILIES[0]):
    """A comparison with given leads over the best stopping time, and r_eff."""
    tasks = tasks_of(family, 3)
    for task in tasks:
        # A cached property would be as good; the class is frozen.
        object.__setattr__(task, "__class__", _WithRatio)
        task.__dict__["ratio"] = ratio
    gains = np.array([[0.95, 0.25, 0.02]] * 3)
    noise = np.random.default_rng(0).normal(0, 0.003, (9, 3)) if shifts is None else shifts
    return Comparison(
        tasks,
        np.asarray(leads),
        np.asarray(leads),
        gains,
        gains if measured is None else np.asarray(measured),
        noise,
        np.zeros((3, 16)),
        np.zeros((3, 16)),
    )


class _WithRatio(Task):
    @property
    def information_ratio(self):
        return self.__dict__["ratio"]


@every_family
def test_tasks_train_on_as_many_points_as_the_family_says_with_its_share_of_noise(family):
    for task in tasks_of(family):
        assert len(task.dataset.inputs) == family.groups * family.points
        assert task.dataset.noise_rate == pytest.approx(
            family.noise_rate, abs=2 * family.groups / len(task.gram)
        )
        assert set(task.fresh_classes) == set(range(family.classes))
        both = np.vstack([task.dataset.inputs, task.fresh_inputs])
        assert len(np.unique(both, axis=0)) == len(both)


@every_family
def test_all_tasks_together_follow_the_recursion_of_one(family):
    tasks = tasks_of(family)
    ends = distilled_limits(tasks, [task.job for task in tasks])
    for task, end in zip(tasks, ends, strict=True):
        outputs = train_kernel_limit(
            task.gram,
            task.dataset.observed,
            task.distillation,
            learning_rate=task.learning_rate,
            steps=task.steps,
        )[-1]
        fresh = task.fresh_gram @ np.linalg.solve(task.gram, outputs)
        # The solve loses the condition number; outputs of order one, kernel rows up to n/2.
        condition = np.linalg.cond(task.gram)
        assert np.abs(end - fresh).max() <= len(task.gram) * EPS * condition * len(task.gram)


@every_family
def test_plain_training_at_the_stopping_times_is_the_recursion(family):
    (task,) = tasks_of(family, 1)
    outputs = train_kernel_limit(
        task.gram,
        task.dataset.observed,
        PLAIN,
        learning_rate=task.learning_rate,
        steps=task.steps,
    )[task.grid]
    condition = np.linalg.cond(task.gram)
    tolerance = len(task.gram) ** 2 * EPS * condition
    for reached, read in zip(outputs, task.plain_limit(), strict=True):
        fresh = task.fresh_gram @ np.linalg.solve(task.gram, reached)
        assert np.abs(read - fresh).max() <= tolerance
    assert task.grid[0] == 1
    assert task.grid[-1] == task.steps
    assert len(task.grid[:: families.EVERY]) == 16
    assert task.grid[:: families.EVERY][-1] == task.steps


@every_family
def test_nets_trained_together_are_those_of_train(family):
    """In parts of several lengths, each from its own start and with its own targets."""
    plan, tasks = make_plan(TOY), tasks_of(family, 9)
    together = both_ways(plan, tasks, 256, range(9))
    networks = untrained(plan, tasks, 256, range(9))
    for task, network, fresh in zip(tasks, networks, together, strict=True):
        run = partial(train, network, task.dataset.inputs, learning_rate=task.learning_rate)
        alone = run(task.dataset.observed, task.distillation, steps=task.steps)
        np.testing.assert_allclose(
            fresh.distilled, alone.network(task.fresh_inputs)[0], rtol=0, atol=1e-11
        )
        assert len(fresh.plain) == len(task.grid[:: families.EVERY])
        for stop, read in list(zip(task.plain_job.stops, fresh.plain, strict=True))[::5]:
            stopped = run(task.dataset.observed, PLAIN, steps=stop)
            np.testing.assert_allclose(
                read, stopped.network(task.fresh_inputs)[0], rtol=0, atol=1e-11
            )


def test_a_net_that_diverges_is_no_result(monkeypatch):
    plan, (task,) = make_plan(TOY), tasks_of(FAMILIES[2], 1)
    job = task.plain_job
    monkeypatch.setattr(Task, "learning_rate", 1e12)
    with pytest.raises(RuntimeError, match="training diverged"):
        trained([task], untrained(plan, [task], 32, [0]), [job])


def test_the_information_ratio_is_the_squared_ratio_of_two_measures():
    (task,) = tasks_of(FAMILIES[2], 1)
    inverse, y = np.linalg.inv(task.gram), task.dataset.clean - task.dataset.clean.mean()
    slow = (np.trace(inverse) / len(y)) / ((y @ inverse @ y) / (y @ y))
    condition = np.linalg.cond(task.gram)
    assert task.information_ratio == pytest.approx(slow, rel=len(y) * EPS * condition)


@pytest.mark.parametrize(
    ("mean", "ratio", "holds"),
    [(0.02, 8.0, True), (-0.02, 8.0, False), (-0.02, 2.0, True), (0.02, 2.0, False)],
)
def test_the_lead_has_to_be_on_the_side_that_the_spectrum_says(mean, ratio, holds):
    leads = mean + np.random.default_rng(1).normal(0, 0.01, 48)
    side = measurements._sides(made_up(leads, ratio))[1]
    assert side.holds is holds
    assert ("ahead" in side.name) == (ratio > 3.14)


def test_the_stopping_time_is_chosen_on_other_points_than_it_is_read_on():
    (task,) = tasks_of(FAMILIES[2], 1)
    right = np.where(task.fresh_classes == 0, 1.0, -1.0)
    ordinal = np.arange(right.size)
    # Three stopping times: right on the even points alone, on the odd ones alone, on two in three.
    plain = np.stack(
        [np.where(ordinal % k == r, -right, right) for k, r in ((2, 1), (2, 0), (3, 0))]
    )
    fresh = Fresh(right, plain)
    # Even points choose the first, which is wrong on every odd one, and the other way round.
    assert task.lead_over_validated(fresh) == 1.0
    # In hindsight the best is the third.
    assert task.gains(fresh)[2] == pytest.approx(1 / 3, abs=1 / right.size)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_family_that_is_ahead_is_no_counterexample(ahead, monkeypatch):
    tasks = tasks_of(COUNTEREXAMPLE, 24)
    assert measurements.counterexample_row(tasks).name.startswith("power law of exponent 2: behind")
    monkeypatch.setattr(
        Task,
        "lead_over_validated",
        lambda task, fresh: (0.02 if ahead else -0.02) + fresh.plain.std() / 1e3,
    )
    assert measurements.counterexample_row(tasks).holds is not ahead


def test_a_lead_that_could_have_either_sign_is_left_open():
    leads = 0.001 + np.random.default_rng(1).normal(0, 0.02, 48)
    centred = 0.001 + leads - leads.mean()
    assert measurements._sides(made_up(centred))[1].holds is None


def test_nets_that_are_not_ahead_of_the_best_stopping_time_fail_or_are_left_open():
    compared = made_up(np.zeros(48))
    errors = np.random.default_rng(5).normal(0.1, 0.02, (48, 3))

    def signed(lead):
        moved = errors - (errors[:, 1] - errors[:, 0]).mean() * np.array([0, 1, 0])
        return measurements.signed_row(compared, moved + lead * np.array([0, 1, 0]), 256).holds

    assert signed(0.03) is True
    assert signed(0.001) is None
    assert signed(-0.03) is False


def test_nets_that_lose_what_the_kernel_limit_gains_fail():
    measured = np.array([[0.7, 0.0, -0.2]] * 3)
    rows = measurements.family_rows(made_up(np.full(48, 0.02), measured=measured))
    failed = [row.name for row in rows if row.holds is False]
    assert len(failed) == 3


def test_a_mean_lead_over_the_memorised_net_that_is_not_ahead_fails_on_either_kind_of_data():
    for ratio in (8.0, 2.0):
        compared = made_up(np.full(48, 0.02), ratio)
        compared.limits = np.random.default_rng(2).normal(-0.05, 0.01, (48, 3))
        assert measurements._sides(compared)[0].holds is False
        compared.limits = -compared.limits
        assert measurements._sides(compared)[0].holds is True


def test_scattered_narrower_nets_leave_an_accuracy_open():
    shifts = np.random.default_rng(0).normal(0, 0.3, (9, 3))
    rows = measurements.family_rows(made_up(np.full(48, 0.02), shifts=shifts))
    assert rows[0].holds is None


def test_overlapping_clusters_in_the_first_place_leave_the_premise_unmet():
    assert not separation_premise(made_up(np.zeros(48), ratio=2.0)).holds
    assert separation_premise(made_up(np.zeros(48), ratio=8.0)).holds


def norms(values):
    """Norms of made-up nets at four widths."""
    plan = make_plan(replace(TOY, widths=(256, 512, 1024, 2048)))
    found = Norms(plan, plan.nets.ladder(plan.problem.dataset.clean))
    return found, found.allowance(values, 1.0)


def test_the_allowance_follows_the_deviations_of_the_narrower_nets():
    rng = np.random.default_rng(3)
    widths = np.array([256, 512, 1024, 2048])
    values = [1 + rng.normal(0, 1 / math.sqrt(width), 3) for width in widths]
    found, allowed = norms(values)
    assert abs(values[-1].mean() - 1) < allowed < 12 / math.sqrt(2048)
    _, doubled = norms([1 + 2 * (one - 1) for one in values])
    rounding = found.ladder.rounding_allowance(2048)
    assert doubled - rounding == pytest.approx(2 * (allowed - rounding), rel=1e-12)


def test_the_allowance_is_exceeded_as_often_as_it_says():
    """Mean squares of 3 over 9 normal deviations: Fisher's 1e-4 quantile, in 2000 trials."""
    rng = np.random.default_rng(4)
    widths = np.array([256, 512, 1024, 2048])
    exceeded = 0
    found, _ = norms([np.full(3, 1.1)] * 4)
    for _ in range(2000):
        values = [1 + rng.normal(0, 1 / math.sqrt(width), 3) for width in widths]
        exceeded += abs(values[-1].mean() - 1) > found.allowance(values, 1.0)
    # At most 0.2 expected: more than 3 have a probability below 1e-4.
    assert exceeded <= 3


# ---------------------------------------------------------------- falling deviations, noise rates


@pytest.fixture(scope="module")
def found():
    """The toy's nets on the clusters."""
    return climbed()


def climbed():
    plan = make_plan(TOY)
    trained = Norms(plan, plan.nets.ladder(plan.problem.dataset.clean))
    climb(trained, Evidence(), Silent())
    return trained


def test_deviations_of_right_formulas_fall(found):
    assert [row.holds for row in measurements._falling(found)] == [True] * 4


@pytest.mark.parametrize("factor", [0.9, 1.2])
@pytest.mark.parametrize("way", [DISTILLED, PLAIN_TRAINING])
def test_nets_alone_tell_a_wrong_learning_rate(factor, way, monkeypatch):
    """Without the rows of the kernel limit, which see any: from the outputs on their way."""
    name = {DISTILLED: "self_distillation", PLAIN_TRAINING: "plain_training"}[way]
    right = getattr(predictions, name)
    monkeypatch.setattr(
        predictions, name, lambda s, rho, rate, *rest: right(s, rho, factor * rate, *rest)
    )
    rows = {row.name: row for row in measurements._falling(climbed())}
    assert rows[f"{way}: exponent of the outputs' deviation in the width"].holds is not True


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_distance_that_is_off_by_a_constant_does_not_fall(found, factor):
    rungs = {
        way: [replace(rung, distance=factor * rung.distance) for rung in of_way]
        for way, of_way in found.ladder.rungs.items()
    }
    bad = replace(found, ladder=replace(found.ladder, rungs=rungs))
    rows = [row for row in measurements._falling(bad) if "‖W_T − W_0‖" in row.name]
    assert [row.holds for row in rows] == [False, False]


def test_nets_at_another_noise_rate_move_as_far_as_it_says(found):
    rows = list(measurements._rate_rows(found))
    assert [row.holds for row in rows] == [True] * 4
    unmoved = [
        nets._replace(distances={way: found.distances(way)[-1] for way in nets.distances})
        for nets in found.over_rates
    ]
    rows = list(measurements._rate_rows(replace(found, over_rates=unmoved)))
    failed = {row.name for row in rows if row.holds is False}
    assert {f"plain training: ‖W_T − W_0‖ at ρ = {rate}" for rate in (0.1, 0.3)} <= failed


def test_another_noise_rate_changes_nothing_else():
    plan = make_plan(TOY)
    assert plan.cluster_rates == (0.1, 0.2, 0.3)
    other = plan.at_rate(0.3)
    np.testing.assert_array_equal(other.dataset.inputs, plan.problem.dataset.inputs)
    assert other.noise_rate == pytest.approx(0.3, abs=1e-15)
    assert (other.learning_rate, other.steps, other.distillation) == (
        plan.problem.learning_rate,
        plan.problem.steps,
        plan.problem.distillation,
    )


@pytest.mark.parametrize(
    ("points", "noise_rate", "expected"),
    [(20, 0.2, (0.1, 0.2, 0.3)), (5, 0.2, (0.2, 0.4)), (2, 0.5, (0.5,))],
)
def test_other_noise_rates_are_shares_that_a_cluster_can_have(points, noise_rate, expected):
    plan = make_plan(replace(TOY, points=points, noise_rate=noise_rate))
    assert plan.cluster_rates == pytest.approx(expected, abs=1e-15)


def test_rates_at_which_the_premises_fail_are_left_out(found):
    """ρ* = 0.27 at r = 3: no sign can be right at 0.3."""
    plan = make_plan(replace(TOY, ratio=3.0, widths=(32, 64, 128, 256)))
    assert not all(premise.holds for premise in plan.at_rate(0.3).premises())
    trained = Norms(plan, plan.nets.ladder(plan.problem.dataset.clean))
    climb(trained, Evidence(), Silent())
    rates = [nets.problem.noise_rate for nets in trained.over_rates]
    assert rates == pytest.approx([0.1, 0.2], abs=1e-15)


def test_measures_over_the_noise_rate_are_those_of_the_runs(found):
    plan = found.plan
    for nets in found.over_rates:
        for way, (_, curve) in ways_of(nets.problem).items():
            distance = predicted_distance(nets.problem, curve)
            assert predicted_measure(plan.problem, way, nets.problem.noise_rate) == pytest.approx(
                float(measure_of(plan.problem, distance)), rel=1e-13
            )


def test_tasks_at_another_noise_rate_have_the_same_points():
    plan = make_plan(TOY)
    own = plan.tasks(0, count=2)
    for rate in SWEEP_RATES:
        tasks = plan.tasks(0, replace(FAMILIES[0], noise_rate=rate), 2)
        for task, one in zip(tasks, own, strict=True):
            assert task.dataset.noise_rate == pytest.approx(rate, abs=1e-12)
            np.testing.assert_array_equal(task.dataset.inputs, one.dataset.inputs)
            np.testing.assert_array_equal(task.fresh_inputs, one.fresh_inputs)
    assert set(SWEEP_TRAINED) < set(SWEEP_RATES)
    assert FAMILIES[0].noise_rate in SWEEP_RATES


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
        ({"widths": (16, 32, 64, 128)}, "widths must end at 256"),
        ({"noise_rate": 0.0}, "noise_rate must lie in"),
        ({"points": 1}, "points must be at least 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


def test_the_bound_says_something_at_the_default_size_and_nothing_of_the_memorised_net():
    plan = make_plan(replace(TOY, clusters=None, points=None, ratio=None))
    measures = [
        float(measure_of(plan.problem, predicted_distance(plan.problem, curve)))
        for _, curve in plan.ways.values()
    ]
    assert measures[0] < 0.7
    assert measures[1] > 2


def test_a_run_whose_norms_are_off_looks_at_no_family(monkeypatch):
    right = predictions.linearised_distance
    monkeypatch.setattr(predictions, "linearised_distance", lambda *given: 2 * right(*given))
    result = CLAIM.run(replace(TOY, widths=(128, 256, 512, 1024)), Silent())
    assert result.verdict is Verdict.VIOLATED
    assert not any("fresh" in row.name for row in result.measurements)
    of_outputs = ("outputs − closed form", "exponent of the outputs")
    of_norms = [
        row for row in result.measurements if not any(words in row.name for words in of_outputs)
    ]
    assert len(of_norms) == len(result.measurements) - 4
    assert not any(row.holds for row in of_norms)

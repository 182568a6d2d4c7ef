"""Every row, premise and control of `convergence` fails where it should: made-up nets, no training.

The nets follow theory up to a deviation C m^{-1/2} with a known scatter; then one thing is wrong.
"""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from cases import times_rate
from ntk_theory import experiments, kernels, predictions
from ntk_theory.claims.convergence import controls, measurements
from ntk_theory.claims.convergence.nets import DISTILLED, PLAIN_TRAINING, trained_premises
from ntk_theory.claims.convergence.plan import make_plan
from ntk_theory.experiments import Rung
from ntk_theory.network import DrawnNets
from ntk_theory.targets import Constant
from ntk_theory.verdicts import Options, Verdict
from progress import Silent

OPTIONS = Options(
    seeds=4, widths=(128, 256, 512, 1024, 2048), clusters=4, points=5, ratio=12.0, noise_rate=0.2
)


def made_up_rung(curve, steps, width, exponent, scatter, rng):
    """Four nets whose deviation is width^exponent, an equal share at every step."""
    size = np.exp(scatter * rng.standard_normal((4, 1))) * width**exponent
    # A deviation decays with the error; the error of the net is off by a tenth of it.
    shape = np.maximum(curve.rms_error()[: steps + 1], 1e-3)
    deviation = size * shape
    signs = rng.choice([-1.0, 1.0], (4, 1))
    zero = np.zeros(4)
    return Rung(
        width=width,
        error=curve.rms_error()[: steps + 1] + 0.1 * signs * deviation,
        rescaled_error=curve.rms_error()[: steps + 1],
        deviation=deviation,
        worst_deviation=2 * deviation,
        scatter=2 * deviation,
        margin=curve.margin()[steps] + 0.1 * deviation[:, -1],
        zero_one=zero,
        movement=zero,
        distance=zero,
        flipped_activations=zero,
        stopped=None,
    )


@pytest.fixture
def plan():
    return make_plan(OPTIONS)


def climb(plan, exponent=-0.5, scatter=0.1):
    rng = np.random.default_rng(0)
    ladder = plan.nets.ladder(plan.problem.dataset.clean)
    for name, curve, steps in (
        (DISTILLED, plan.problem.distilled, plan.problem.steps),
        (PLAIN_TRAINING, plan.problem.plain, plan.plain_steps),
    ):
        ladder.rungs[name] = [
            made_up_rung(curve, steps, width, exponent, scatter, rng) for width in plan.nets.widths
        ]
    return ladder


def change(ladder, name, index, **fields):
    rungs = ladder.rungs[name]
    rungs[index] = replace(rungs[index], **fields)


def row(ladder, plan, start):
    (found,) = (m for m in measurements.measurements(ladder, plan) if m.name.startswith(start))
    return found


def test_nets_that_follow_theory_satisfy_every_row_and_premise(plan):
    ladder = climb(plan)
    assert all(measurement.holds for measurement in measurements.measurements(ladder, plan))
    assert all(premise.holds for premise in trained_premises(ladder, plan.problem, 0.0))


@pytest.mark.parametrize("exponent", [0.0, -0.25, -0.75, -1.0])
def test_another_exponent_fails(plan, exponent):
    assert row(climb(plan, exponent), plan, "exponent").holds is False


def test_a_scattered_exponent_is_left_open(plan):
    found = row(climb(plan, scatter=1.0), plan, "exponent")
    low, high = found.interval
    assert low < -0.65 or high > -0.35
    assert found.holds is not True


@pytest.mark.parametrize("way", [DISTILLED, PLAIN_TRAINING])
def test_a_prediction_that_is_off_by_a_constant_does_not_let_the_deviation_fall(plan, way):
    ladder = climb(plan)
    for index, rung in enumerate(ladder.rungs[way]):
        # Off by as much as the nets of a middle width deviate, independently of them.
        off = ladder.rungs[way][2].deviation
        change(ladder, way, index, deviation=np.hypot(rung.deviation, off))
    for other in (DISTILLED, PLAIN_TRAINING):
        for end in ("sup over t", "at the end"):
            assert row(ladder, plan, f"{other}, {end}").holds is (other != way)


@pytest.mark.parametrize("quarter", [1, 2, 4])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_error_beyond_the_deviation_of_narrower_nets_fails(plan, quarter, sign):
    ladder = climb(plan)
    t = plan.problem.steps * quarter // 4
    start = f"RMS error after {t} steps"
    shift = np.zeros_like(ladder.rungs[DISTILLED][-1].error)
    shift[:, t] = sign * 1.2 * row(ladder, plan, start).tolerance
    change(ladder, DISTILLED, -1, error=ladder.rungs[DISTILLED][-1].error + shift)
    assert row(ladder, plan, start).holds is False


def test_the_tolerance_comes_from_the_narrower_nets_alone(plan):
    ladder = climb(plan)

    def last(rung):
        return rung.deviation[:, -1]

    before = ladder.allowance(DISTILLED, last)
    assert before == ladder.fit(DISTILLED, last, 4).upper(2048) + np.finfo(float).eps * 2048**0.5
    # With a scatter of 10 % the bound lies within some 40 % of what is true.
    true = 2048**-0.5 * ladder.rungs[DISTILLED][0].deviation[:, -1].mean() * 128**0.5
    assert true < before < 1.6 * true
    change(ladder, DISTILLED, -1, deviation=100 * ladder.rungs[DISTILLED][-1].deviation)
    assert ladder.allowance(DISTILLED, last) == before


def test_a_tolerance_that_cannot_tell_leaves_the_row_open(plan):
    ladder = climb(plan)
    for index, rung in enumerate(ladder.rungs[DISTILLED]):
        change(ladder, DISTILLED, index, deviation=200 * rung.deviation)
    assert row(ladder, plan, f"RMS error after {plan.problem.steps}").holds is None


def test_an_error_that_stops_falling_has_the_wrong_order(plan):
    ladder = climb(plan)
    error = ladder.rungs[DISTILLED][-1].error.copy()
    error[:, -1] = error[:, plan.problem.steps // 2]
    change(ladder, DISTILLED, -1, error=error)
    assert row(ladder, plan, "order").holds is False


@pytest.mark.parametrize("index", range(5))
def test_one_wrong_sign_of_one_net_fails_at_any_width(plan, index):
    ladder = climb(plan)
    change(ladder, DISTILLED, index, zero_one=np.array([0, 0, 0.05, 0]))
    assert row(ladder, plan, "0-1 error").holds is False


def test_another_margin_fails(plan):
    ladder = climb(plan)
    tolerance = row(ladder, plan, "margin").tolerance
    change(ladder, DISTILLED, -1, margin=ladder.rungs[DISTILLED][-1].margin - 1.2 * tolerance)
    assert row(ladder, plan, "margin").holds is False


@pytest.mark.parametrize("index", range(5))
def test_a_stopping_time_that_beats_the_bound_fails_at_any_width(plan, index):
    ladder = climb(plan)
    rung = ladder.rungs[PLAIN_TRAINING][index]
    allowed = ladder.fit(PLAIN_TRAINING, lambda each: each.largest_deviation, -1).upper(rung.width)
    error = rung.error.copy()
    error[2, 7] = 2 * plan.problem.noise_rate - 1.05 * allowed
    change(ladder, PLAIN_TRAINING, index, error=error)
    found = row(ladder, plan, "plain training: best")
    assert f"width {rung.width}" in found.name
    assert found.holds is False


def test_plain_training_that_does_not_memorise_fails(plan):
    ladder = climb(plan)
    change(ladder, PLAIN_TRAINING, -1, error=0.9 * ladder.rungs[PLAIN_TRAINING][-1].error)
    assert row(ladder, plan, "plain training: RMS").holds is False


def test_a_net_that_ends_above_the_bound_of_stopping_fails(plan):
    ladder = climb(plan)
    error = ladder.rungs[DISTILLED][-1].error.copy()
    error[1, -1] = 2.01 * plan.problem.noise_rate
    change(ladder, DISTILLED, -1, error=error)
    assert row(ladder, plan, "self-distillation: worst").holds is False


def test_the_closed_form_is_the_kernel_recursion_to_rounding(plan):
    found = row(climb(plan), plan, "kernel recursion")
    assert found.tolerance <= 1e-12
    assert found.holds


@pytest.mark.parametrize("formula", ["soft_self_distillation", "block_recursion"])
def test_formulas_of_the_controls_are_the_kernel_recursion_to_rounding(plan, formula, monkeypatch):
    name = "kernel limit of the controls"
    found = row(climb(plan), plan, name)
    assert found.tolerance <= 1e-12
    assert found.holds
    slightly_faster = times_rate(1 + 1e-9, 2)(getattr(predictions, formula))
    monkeypatch.setattr(predictions, formula, slightly_faster)
    assert row(climb(plan), plan, name).holds is False


def test_a_scatter_above_the_margin_at_one_step_is_an_unmet_premise(plan):
    ladder = climb(plan)
    problem = plan.problem
    t = problem.burn_in + 3
    scatter = ladder.rungs[DISTILLED][0].scatter.copy()
    scatter[3, t] = 1.001 * problem.distilled.margin()[t]
    change(ladder, DISTILLED, 0, scatter=scatter)
    assert not trained_premises(ladder, plan.problem, 0.0)[0].holds


def test_nets_that_are_all_wrong_alike_violate_the_claim_and_no_premise(plan):
    ladder = climb(plan)
    for index, rung in enumerate(ladder.rungs[DISTILLED]):
        wrong = {"deviation": 1 + rung.deviation, "worst_deviation": 2 + rung.worst_deviation}
        change(ladder, DISTILLED, index, **wrong)
    assert all(premise.holds for premise in trained_premises(ladder, plan.problem, 0.0))
    assert False in [row.holds for row in measurements.measurements(ladder, plan)]


def test_rounding_near_the_deviation_is_an_unmet_premise(plan):
    ladder = climb(plan)
    ladder.dtype = "float32"
    tenth = ladder.rungs[DISTILLED][0].largest_deviation.mean() / 10
    assert trained_premises(ladder, plan.problem, 0.99 * tenth)[1].holds
    assert not trained_premises(ladder, plan.problem, 1.01 * tenth)[1].holds


@pytest.mark.parametrize("broken", ["singular", "indefinite"])
def test_a_kernel_that_is_not_positive_definite_is_an_unmet_premise(plan, broken, monkeypatch):
    gram = kernels.ntk_limit(plan.problem.dataset.inputs)
    if broken == "singular":
        gram[1], gram[:, 1] = gram[0], gram[:, 0]
        gram[1, 1] = gram[0, 0]
    else:
        gram -= 0.3 * np.eye(len(gram))
    monkeypatch.setattr(kernels, "ntk_limit", lambda *_, **__: gram)
    problem = make_plan(OPTIONS).problem
    unmet = {premise.name for premise in problem.premises() if not premise.holds}
    assert "kernel positive definite" in unmet


def test_the_first_prediction_needs_no_sign_without_a_burn_in():
    options = replace(OPTIONS, schedule="power:burn_in=0")
    problem = make_plan(options).problem
    margin = problem.distilled.margin()
    assert margin[0] == 0
    assert problem.worst_margin == margin[1:].min() > 0


# ---------------------------------------------------------------- controls


def setting_of(plan):
    return controls.ControlSetting(plan, 0.05, Silent())


def control_of(make, plan, monkeypatch, errors):
    monkeypatch.setattr(
        controls.ControlSetting, "train_error", lambda *_, nets=3, **__: errors * np.ones(nets)
    )
    return make(setting_of(plan))


@pytest.mark.parametrize(
    "make",
    [
        controls._soft_targets,
        controls._constant_weight,
        controls._above_threshold,
        controls._late_burn_in,
        controls._plain_initialisation,
    ],
)
def test_a_control_holds_only_if_it_fails_as_predicted(make, plan, monkeypatch):
    probe = control_of(make, plan, monkeypatch, 0.5)
    predicted, tolerance = probe.failure.predicted, probe.failure.tolerance
    assert control_of(make, plan, monkeypatch, predicted).holds
    assert not control_of(make, plan, monkeypatch, predicted + 1.01 * tolerance).holds
    assert not control_of(make, plan, monkeypatch, predicted - 1.01 * tolerance).holds
    success = control_of(make, plan, monkeypatch, probe.claimed)
    assert not success.holds
    # The two outcomes are told apart by more than both tolerances.
    assert abs(predicted - probe.claimed) > tolerance + probe.claimed_tolerance


def test_a_random_failure_is_predicted_to_four_standard_errors(plan, monkeypatch):
    probe = control_of(controls._plain_initialisation, plan, monkeypatch, 0.5)
    spread = probe.failure.tolerance - setting_of(plan).tolerance
    # The error is at most 2 sqrt(1) = 2 (all signs wrong), so its deviation is below 1.
    assert 0 < spread < 4 / math.sqrt(16)


def test_the_late_burn_in_lasts_twice_the_memorisation_time(plan, monkeypatch):
    probe = control_of(controls._late_burn_in, plan, monkeypatch, 0.5)
    (steps,) = map(int, re.findall(r"takes (\d+) steps", probe.broken_premise))
    assert steps == math.ceil(2 * plan.problem.memorisation_time)


def test_a_control_whose_premise_is_met_all_the_same_does_not_hold(plan, monkeypatch):
    # A level of 0 fades out: the premise is no longer broken.
    monkeypatch.setattr(controls, "Constant", lambda level: Constant(0.0))
    control = control_of(controls._constant_weight, plan, monkeypatch, 0.3)
    assert control.verdict is not Verdict.PREMISE_UNMET
    assert not control.holds


@pytest.mark.parametrize(
    ("points", "ratio", "tolerance"), [(10, 3.0, 0.02), (10, 20.0, 0.13), (20, 120.0, 0.3)]
)
def test_nets_of_one_pair_fail_clearly_at_any_ratio(points, ratio, tolerance, monkeypatch):
    plan = make_plan(replace(OPTIONS, points=points, ratio=ratio, noise_rate=0.1))
    setting = replace(setting_of(plan), tolerance=tolerance)

    def judged(error):
        monkeypatch.setattr(controls.ControlSetting, "train_error", lambda *_: np.full(3, error))
        return controls._narrow(setting)

    predicted, spread = judged(0.5).failure.predicted, judged(0.5).failure.tolerance
    assert predicted - spread > setting.claimed + tolerance
    assert judged(predicted).holds
    assert judged(predicted + 2 * spread).holds
    assert not judged(predicted - 1.01 * spread).holds
    assert not judged(setting.claimed).holds


def test_a_pair_that_is_inactive_on_a_cluster_never_learns_it(plan):
    problem, seeds = plan.problem, range(64)
    trained = experiments.train_nets(problem.recipe, 2, seeds)
    weights = [DrawnNets(2, len(problem.dataset.inputs[0]), (seed,)).keep() for seed in seeds]
    first = np.stack([np.asarray(one.hidden[0, 0]) for one in weights])
    inactive = (first @ problem.dataset.inputs.T <= 0).reshape(64, 4, 5).all(axis=2)
    lost = np.repeat(inactive, 5, axis=1)
    assert 20 < inactive.sum() < 130
    assert not trained.outputs.transpose(0, 2, 1)[lost].any()
    error = trained.rms_error(problem.dataset.clean)[:, -1]
    assert (error >= np.sqrt(inactive.mean(axis=1)) - 1e-12).all()
    predicted, scatter = controls._silent(setting_of(plan))
    assert np.sqrt(inactive.mean(axis=1)).mean() == pytest.approx(predicted, abs=scatter / 2)


def test_nets_of_claim_and_controls_differ():
    assert not set(experiments.net_seeds(0, 512, 5, 0)) & set(experiments.net_seeds(0, 512, 5, 1))

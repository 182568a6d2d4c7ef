"""The claim `separation`: rows fail where they should, and nonsense is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cases import nets_at_rate
from cases.separation import TOY
from ntk_theory import experiments, predictions
from ntk_theory.claims.separation import CLAIM, measurements
from ntk_theory.claims.separation.plan import make_plan
from ntk_theory.experiments import compare
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Options, Verdict
from progress import Silent


def unmet(options):
    result = CLAIM.run(options, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert result.metrics == ()
    return {premise.name for premise in result.premises if not premise.holds}


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"noise_rate": 0.4, "ratio": 4.0}, "recoverable noise rate"),
        ({"learning_rate": 2.0}, "no overshoot (for the 2ρ bound)"),
        ({"learning_rate": 9.0}, "stable learning rate"),
        ({"schedule": "constant:level=0.25"}, "observed labels fade out"),
        ({"schedule": "agreement"}, "observed labels fade out"),
        ({"schedule": "power:burn_in=20", "steps": 200}, "burn-in before memorisation"),
        ({"widths": (16, 32, 64, 128)}, "narrowest nets move little"),
        ({"schedule": "power:exponent=0.05"}, "long enough run"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    assert premise in unmet(replace(TOY, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 4}, "points must be at least 5"),
        ({"seeds": 5}, "seeds must be at least 6"),
        ({"noise_rate": 0.0}, "noise_rate must lie in"),
        ({"ratio": 0.5}, "ratio must be above 1"),
        ({"schedule": "cosine"}, "schedule must be one of"),
        ({"steps": 3}, "steps must be at least"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


def test_no_predicted_oracle_beats_the_bound_at_any_rate_of_any_preset():
    for preset in ("quick", "standard", "wide", "paper"):
        plan = make_plan(Options(preset=preset))
        for index, problem in enumerate(plan.problems):
            distilled, *oracles = plan.ways(index)
            assert all(way.error.min() > 2 * problem.noise_rate for way in oracles)
            assert distilled.error[-1] < 2 * problem.noise_rate / 5


def test_the_finite_sums_of_weights_stop_soft_targets_and_the_infinite_one_does_not():
    plan = make_plan(TOY)
    ends = {way.name: way.error[-1] for way in plan.ways(0)}
    memorised = ends["plain training"]
    assert ends["soft, Σα < ∞, geometric"] < ends["soft, Σα < ∞, power"]
    assert ends["soft, Σα < ∞, power"] < ends["soft, Σα = ∞"] < memorised


# ---------------------------------------------------------------- rows on made-up nets


@pytest.fixture
def plan():
    return make_plan(TOY)


def made_up(plan, change=None, scatter=0.01):
    """A ladder whose outputs are those that theory predicts, with a deviation ∝ m^{-1/2}."""
    problem = plan.problems[0]
    clean = problem.dataset.clean
    rng = np.random.default_rng(0)
    ladder, nets = plan.nets.ladder(clean), plan.nets.count
    zeros = np.zeros(nets)
    for width in plan.nets.widths:
        for way in plan.ways(0):
            size = scatter * math.sqrt(plan.nets.widths[-1] / width)
            noise = rng.standard_normal((nets, *way.outputs.shape))
            # In proportion to the error, as self-distilled nets' deviation is.
            outputs = way.outputs + size * way.error[:, None] * noise
            if change is not None:
                outputs = change(way, width, outputs)
            trajectory = Trajectory(
                np.arange(way.recipe.steps + 1),
                outputs,
                np.ones((nets, 1)),
                None,
                zeros,
                zeros,
                zeros,
            )
            rung = compare(trajectory, width, way.outputs, clean)
            ladder.rungs.setdefault(way.name, []).append(rung)
    return {row.name: row for row in measurements.measurements(plan, [ladder])}


def failed(rows):
    return {name for name, row in rows.items() if row.holds is not True}


def falling(name):
    return f"{name}, ρ = 0.2: deviation at width 4096 over that at 512"


def test_nets_that_follow_theory_satisfy_every_row(plan):
    assert failed(made_up(plan)) == set()


def shrunk(name, share, plan, every_width=False):
    """The error of one way of training times a share."""
    clean = plan.problems[0].dataset.clean

    def change(way, width, outputs):
        if way.name == name and (every_width or width == plan.nets.widths[-1]):
            return clean + share * (outputs - clean)
        return outputs

    return change


def test_another_law_of_rescaled_outputs_is_seen(plan, monkeypatch):
    exact = predictions.overshoot_error
    monkeypatch.setattr(predictions, "overshoot_error", lambda *a: (1 + 1e-6) * exact(*a))
    assert failed(made_up(plan)) == {
        "kernel limit: best error of rescaled outputs / closed form − 1, largest"
    }


def test_first_steps_with_more_noise_are_seen_when_they_are_rescaled(plan):
    clean = plan.problems[0].dataset.clean

    def change(way, width, outputs):
        signal = (outputs * clean).mean(axis=-1, keepdims=True) * clean
        return signal + (3 if way.name == "plain training" else 1) * (outputs - signal)

    row = "RMS error after one step, rescaled to mean size 1, every width, ρ = 0.2"
    assert row in failed(made_up(plan, change))


@pytest.mark.parametrize("every_width", [True, False])
def test_a_stopping_time_that_beats_the_bound_is_seen(plan, every_width):
    rows = made_up(plan, shrunk("plain training", 0.5, plan, every_width))
    assert "best RMS error, every width, ρ = 0.2 (bound 2ρ)" in failed(rows)


@pytest.mark.parametrize("name", ["plain training, ηλ_0 = 1", "soft, Σα < ∞, geometric"])
def test_another_oracle_that_beats_the_bound_is_seen(plan, name):
    rows = made_up(plan, shrunk(name, 0.5, plan))
    assert f"best RMS error, {name}" in failed(rows)
    assert falling(name) in failed(rows)
    assert len(failed(rows)) == 3  # and the bound of its group


@pytest.mark.parametrize("share", [0.3, 2.0])
def test_another_gain_of_self_distillation_is_seen(plan, share):
    rows = made_up(plan, shrunk("self-distillation", share, plan))
    assert failed(rows) == {
        "self-distilled RMS error, ρ = 0.2",
        "self-distilled / best stopped, ρ = 0.2",
        falling("self-distillation"),
    }


@pytest.mark.parametrize("name", ["self-distillation", "plain training", "soft, Σα = ∞"])
def test_a_prediction_that_is_a_little_off_is_seen_by_the_deviation_that_does_not_fall(plan, name):
    """By a sixth of the predicted error at every width; all tolerances are widened by it."""

    def change(way, width, outputs):
        shift = way.error[:, None] / 6
        shift[:2] = 0.0  # the first outputs are small themselves
        return outputs + shift if way.name == name else outputs

    assert failed(made_up(plan, change)) == {falling(name)}


def test_nets_that_gain_nothing_are_counted(plan):
    rows = made_up(plan, shrunk("self-distillation", 50.0, plan))
    assert (
        rows["nets of any width that stopping serves better, ρ = 0.2"].measured == plan.nets.count
    )


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_nets_at_another_rate_than_the_predicted_one_violate_the_claim(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    result = CLAIM.run(TOY, Silent())
    assert result.verdict is Verdict.VIOLATED
    wrong = {row.name for row in result.measurements if row.holds is False}
    assert {row.name for row in result.measurements if "over that at" in row.name} <= wrong


# ---------------------------------------------------------------- controls


@pytest.mark.parametrize(
    ("unmet_", "measured", "verdict", "holds"),
    [
        (None, 0.45, Verdict.VIOLATED, True),
        (None, 0.1, Verdict.SUPPORTED, False),
        (True, 0.45, Verdict.PREMISE_UNMET, True),
        (False, 0.45, Verdict.VIOLATED, False),
        (True, 0.6, Verdict.PREMISE_UNMET, False),
    ],
)
def test_a_control_holds_if_it_fails_as_predicted(unmet_, measured, verdict, holds):
    failure = over_nets("error", 0.45, np.full(3, measured), 0.1)
    control = judged_control("made up", "", failure, 0.05, 0.1, unmet_)
    assert control.verdict is verdict
    assert control.holds is holds

"""What is special to the claim `convergence`: premises, rows that can fail, variants, controls."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cases.convergence import TOY
from made_up import failing, made_up
from ntk_theory.checking import nets as experiments
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims._convergence_problems import variants
from ntk_theory.claims.convergence import CLAIM, DISTILLED, PLAIN
from ntk_theory.distilled import least_taught
from progress import Silent

ALL = {one.name: one for one in variants(11)}


@pytest.fixture(scope="module")
def declared():
    return declare(CLAIM, TOY)


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"noise_rate": 0.4, "ratio": 4.0}, "recoverable noise rate"),
        ({"learning_rate": 10.0}, "stable learning rate"),
        ({"learning_rate": 0.9}, "no overshoot (for the 2ρ bound)"),
        ({"schedule": "constant:level=0.25"}, "observed labels fade out"),
        ({"schedule": "agreement"}, "observed labels fade out"),
        ({"schedule": "power:burn_in=60", "steps": 400}, "burn-in before memorisation"),
        ({"schedule": "power:burn_in=2,decay=200"}, "signs right at every step"),
        ({"init_scale": 1.0}, "zero initial output"),
        ({"ratio": 100.0, "widths": (16, 32, 64, 128, 256)}, "narrowest net moves little"),
        ({"schedule": "power:exponent=0.25", "steps": 28}, "long enough run"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(TOY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in {one.name for one in result.premises if not one.holds}
    assert result.metrics == ()


def measured(run):
    """Rows that are no functional of outputs, by name."""
    return {one.name: one for one in CLAIM.made("measure", run)}


def test_nets_that_do_as_predicted_satisfy_every_row():
    run = made_up(CLAIM, TOY)
    assert failing(run) == set()
    assert all(one.holds is not False for one in measured(run).values())


def test_an_error_that_stops_falling_fails_at_the_end_and_in_its_order(declared):
    half = declared.problem.steps // 2

    def stops(outputs, width, training, on):
        if training.name != DISTILLED or width != TOY.widths[-1]:
            return outputs
        return np.where(np.arange(len(outputs))[:, None] > half, outputs[half], outputs)

    run = made_up(CLAIM, TOY, stops)
    assert "self-distillation: RMS error after 256 steps" in failing(run)
    assert "self-distillation: order of the error in α_t from 128 to 256 steps" in failing(run)


@pytest.mark.parametrize("name", [DISTILLED, "power law", "5 classes, 58 % symmetric noise"])
def test_one_wrong_output_of_nets_of_one_width_fails(declared, name):
    def wrong(outputs, width, training, on):
        off = outputs.copy()
        if training.name == name and width == 512:
            off[-1, 0] = -off[-1, 0]
        return off

    rows = measured(made_up(CLAIM, TOY, wrong))
    assert rows["0-1 error at the end, worst net of all"].holds is False


def test_a_variant_that_is_taught_a_wrong_prediction_is_counted():
    def wrong(outputs, width, training, on):
        off = outputs.copy()
        if training.name == "lag of an epoch" and width == 256:
            off[training.curves["taught"][3], 0] *= -1
        return off

    rows = measured(made_up(CLAIM, TOY, wrong))
    assert rows["variants in which a net is taught a wrong prediction"].measured == 1


def test_a_stopping_time_that_beats_the_bound_fails(declared):
    clean = declared.problem.dataset.clean

    def perfect(outputs, width, training, on):
        if training.name != PLAIN or width != TOY.widths[-1]:
            return outputs
        return np.where(np.arange(len(outputs))[:, None] == 7, 0.9 * clean, outputs)

    name = "best RMS error of any net of any width at any step (bound 2ρ)"
    assert f"{PLAIN}: {name}" in failing(made_up(CLAIM, TOY, perfect))


@pytest.mark.parametrize("name", ALL)
def test_every_taught_prediction_of_a_variant_is_right_and_the_run_is_long_enough(name):
    one = ALL[name]
    assert least_taught(one, one.predicted[None])[0] > 0.05
    assert 0 < one.curves["taught"][0] <= one.curves["taught"][-1] < one.recipe.steps
    error = np.square(one.predicted - one.labels).reshape(len(one.predicted), -1).sum(axis=1)
    assert math.sqrt(error[-1] / len(one.labels)) < 0.4
    assert one.widths_in((512, 1024, 2048)) == (512, 1024, 2048, 4096)


def test_a_pair_that_is_inactive_on_a_cluster_never_learns_it(declared):
    problem = declared.problem
    (narrow,) = (one for one in declared.controls if one.id == "width-2")
    trained = experiments.train_nets(problem.recipe, 2, range(64))
    silent = (trained.outputs[:, -1].reshape(64, 4, 5) == 0).all(axis=2)
    assert 20 < silent.sum() < 130
    error = trained.rms_error(problem.dataset.clean)[:, -1]
    assert (error >= np.sqrt(silent.mean(axis=1)) - 1e-12).all()
    run = made_up(CLAIM, TOY)
    failure, claimed, _ = narrow.measure(run)
    assert failure.predicted - failure.tolerance > claimed + failure.tolerance
    assert np.sqrt(silent.mean(axis=1)).mean() == pytest.approx(failure.predicted, abs=0.15)

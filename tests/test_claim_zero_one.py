"""What is special to the claim `zero-one`: rows that can fail, premises, what is promised."""

from dataclasses import replace

import numpy as np
import pytest

from cases.zero_one import TOY
from made_up import failing, made_up
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims.zero_one import CLAIM
from progress import Silent


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 5}, "balanced labels"),
        ({"ratio": 3.0}, "clusterable"),
        ({"ratio": 4.0}, "promised error"),
        ({"wide_ratio": 3.0}, "ρ* of wide clusters"),
        ({"wide_ratio": 8.0}, "ρ* of wide clusters"),
        ({"widths": (64, 128, 256, 512)}, "narrowest net moves little"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(TOY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert result.metrics == ()
    assert premise in {one.name for one in result.premises if not one.holds}


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="points must be at least 10"):
        CLAIM.predict(replace(TOY, points=9))


def test_nets_that_do_as_predicted_satisfy_every_row():
    assert failing(made_up(CLAIM, TOY)) == set()


@pytest.mark.parametrize("name", ["r = 12, ρ = 0.3", "r = 12, ρ = 0.4", "r = 4.5, ρ = 0.3"])
def test_one_wrong_sign_beyond_what_is_promised_is_seen(name):
    def wrong(outputs, width, training, on):
        made = outputs
        if training.name == name:
            made = made.copy()
            made[-1, 0] = -0.5 * training.labels[0]
        return made

    assert f"{name}: 0-1 error" in failing(made_up(CLAIM, TOY, wrong))


def test_nets_that_recover_beyond_the_threshold_are_seen():
    name = "r = 4.5, ρ = 0.4"

    def right(outputs, width, training, on):
        made = outputs
        return np.abs(made) * training.labels if training.name == name else made

    assert f"{name}: 0-1 error" in failing(made_up(CLAIM, TOY, right))


def test_nets_that_come_nearer_than_2_rho_are_seen():
    def clean(outputs, width, training, on):
        return np.where(np.arange(len(outputs))[:, None] > 0, training.labels, outputs)

    found = failing(made_up(CLAIM, TOY, clean))
    for rho in (0.1, 0.2, 0.3, 0.4):
        assert f"r = 12, ρ = {rho:g}: RMS error" in found
        assert f"r = 12, ρ = {rho:g}: RMS error of any net of any width (bound 2ρ)" in found


def test_nets_that_are_not_as_near_as_promised_are_seen():
    def far(outputs, width, training, on):
        return -0.5 * outputs if width == TOY.widths[0] else outputs

    found = failing(made_up(CLAIM, TOY, far))
    for rho in (0.1, 0.2):
        row = "largest |u − y| of any net of any width (promised: below δ/2)"
        assert f"r = 12, ρ = {rho:g}: {row}" in found


def test_the_config_says_who_promises_what():
    config, _ = CLAIM.predict(replace(TOY, ratio=15.0))
    assert config["tolerated_noise"] == 0.25
    assert config["threshold"] == pytest.approx([13 / 28, 5 / 14])
    assert config["stopping_time"] == [6, 4, 2, 1, 2, 1]
    assert config["first_wrong_step"] > 5 * config["stopping_time"][config["reference"]]

"""What the pictures of `generalisation` show, against arrays, rows, and closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from figures import generalisation as figure
from ntk_theory import predictions
from ntk_theory.claims.generalisation import CLAIM
from panels import drawn


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


@pytest.fixture(scope="module")
def rows(result):
    return {row.name: row for row in result.measurements}


def test_the_measure_is_drawn_at_every_noise_rate_over_its_closed_form(result, rows):
    shown, config = drawn(CLAIM, result, "measure"), result.config
    assert all(name in CLAIM.panels for _, name in figure.PICTURE.panels)
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    levels = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    assert shown["clean labels"][0]["y"] == pytest.approx(math.sqrt(2 / levels.information))
    (memorised,) = shown["prediction of memorised"]
    rates, steps, rate = memorised["x"], config["steps"], config["learning_rate"]
    kept, learnt = (1 - (1 - rate * own) ** steps for own in (levels.noise, levels.information))
    square = ((1 - 2 * rates) * learnt) ** 2 / levels.information
    square += 4 * rates * (1 - rates) * kept**2 / levels.noise
    np.testing.assert_allclose(memorised["y"], np.sqrt(2 * square), rtol=1e-12)
    scale = math.sqrt(2 / (config["clusters"] * config["points"]))
    for series, way in (("memorised", "plain training"), ("self-distilled", "self-distillation")):
        for at in (0.1, 0.3):
            nets = [net["y"][np.argmin(np.abs(net["x"] - at))] for net in shown[series]]
            assert len(nets) == 2
            row = rows[f"{way} at ρ = {at}: ‖W_T − W_0‖"]
            assert np.mean(nets) == pytest.approx(scale * row.measured, rel=1e-12)


def test_test_errors_over_the_noise_are_those_of_nets_and_of_the_limit_on_their_data(result, rows):
    shown, errors = drawn(CLAIM, result, "test-error"), result.arrays["sweep_error"]
    for series, column in (("self-distilled", 0), ("best stopping", 1), ("memorised", 2)):
        np.testing.assert_allclose(shown[series][0]["x"], [0.2, 0.4, 8 / 15])
        np.testing.assert_allclose(shown[series][0]["y"], errors[..., column].mean(axis=1))
    (limit,) = shown["prediction of self-distilled"]
    at = int(np.argmin(np.abs(limit["x"] - 0.4)))
    # Data sets of the nets on the families come first in both.
    few = 1 - result.arrays["sweep_limit"][at, :3, 0].mean()
    predicted = rows["Gaussian clusters: nets' accuracy, as in the limit"].predicted
    assert few == pytest.approx(predicted, rel=1e-12)


def test_the_end_of_self_distillation_lies_below_every_stopping_time_as_in_the_table(result, rows):
    shown = drawn(CLAIM, result, "stopping-time")
    (own,), (plain,) = shown["self-distillation, at its end"], shown["plain training, stopped"]
    accuracy = rows["Gaussian clusters: nets' accuracy, as in the limit"]
    leads = [one["lead_over_memorised"] for one in result.metrics
             if one["training"] == "Gaussian clusters"]  # fmt: skip
    np.testing.assert_allclose(1 - own["y"], accuracy.measured, rtol=1e-12)
    assert plain["y"][-1] - own["y"][-1] == pytest.approx(np.mean(leads), rel=1e-9)
    (level,) = shown["prediction of self-distillation, at its end"]
    np.testing.assert_allclose(1 - level["y"], accuracy.predicted, rtol=1e-12)


@pytest.mark.parametrize("panel", list(CLAIM.panels))
def test_a_run_that_ended_early_draws_nothing(result, panel):
    assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

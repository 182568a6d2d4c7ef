"""The pictures of `memorisation`: what is drawn is what was found, and what theory says."""

import numpy as np
import pytest

from cases import toy_result
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["memorisation"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_the_error_curve_is_the_u_of_the_closed_form(result):
    series = drawn(CLAIM, result, "error-curve")
    config, cell = result.config, result.config["reference"]
    rho, ratio = config["noise_rate"][cell], config["ratio"][cell]
    angle = predictions.cluster_angle(config["points"], ratio)
    spectrum = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    (dashed,) = series[f"prediction of ρ = {rho:g}, r = {ratio:g}"]
    curve = predictions.plain_training(
        spectrum, rho, config["learning_rate"][cell], dashed["x"].size - 1
    )
    np.testing.assert_allclose(dashed["y"], curve.rms_error(), rtol=1e-10)
    (nets,) = series[f"ρ = {rho:g}, r = {ratio:g}"]
    row = next(m for m in result.measurements if "limit 2√ρ" in m.name)
    assert nets["y"][-1] == pytest.approx(row.measured, rel=1e-12)
    assert series["2ρ"][0]["y"][0] == 2 * rho
    assert series["2√ρ"][0]["y"][0] == pytest.approx(2 * np.sqrt(rho))


def test_first_wrong_steps_are_those_of_every_net(result):
    series = drawn(CLAIM, result, "first-wrong-step")
    nets = np.concatenate([one["y"] for one in series["trained nets"]])
    assert sorted(nets) == sorted(np.asarray(result.arrays["trained nets"]).ravel())
    predicted = np.concatenate(
        [one["y"] for name, of in series.items() if name.startswith("prediction") for one in of]
    )
    rows = [m.predicted for m in result.measurements if "first wrong step" in m.name]
    assert sorted(predicted) == sorted(rows)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    from dataclasses import replace

    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

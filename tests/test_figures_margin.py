"""The pictures of `margin`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["margin"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_least_margins_are_drawn_over_their_closed_forms_and_the_bound(result):
    series, config = drawn(CLAIM, result, "least-margin"), result.config
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    spectrum = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    plain = predictions.plain_training(
        spectrum, config["noise_rate"], config["learning_rate"], config["steps"]
    )
    np.testing.assert_allclose(
        series["prediction of plain training"][0]["y"], plain.margin(), atol=1e-10
    )
    rows = {m.name: m for m in result.measurements}
    row = rows["self-distillation: least training margin"]
    (dashed,) = series["prediction of self-distillation"]
    assert dashed["y"][-1] == pytest.approx(row.predicted)
    assert series["self-distillation"][0]["y"][-1] == pytest.approx(row.measured)
    (bound,) = series["1 − 2ρ: bound of stopping"]
    assert bound["y"][0] == pytest.approx(1 - 2 * config["noise_rate"])


def test_all_margins_are_drawn_and_lie_near_two_atoms_each(result):
    series = drawn(CLAIM, result, "distribution")
    rho, names = result.config["noise_rate"], ("best stopping", "plain training")
    for name in (*names, "self-distillation"):
        nets = np.stack([one["x"][::2] for one in series[name]])
        margins = result.arrays[f"margins of {name}"]
        np.testing.assert_array_equal(nets, np.sort(margins, axis=1))
        assert all(one["y"][0] == 0 and one["y"][-1] == 1 for one in series[name])
    stopped, memorised, distilled = (
        series[f"prediction of {name}"][0]["x"] for name in (*names, "self-distillation")
    )
    for atoms in (stopped, memorised, distilled):
        assert len(np.unique(np.round(atoms, 9))) == 2
    assert memorised.min() < -0.9
    assert (memorised < 0).mean() == pytest.approx(rho)
    assert stopped.min() < 1 - 2 * rho
    assert distilled.min() > 1 - 2 * rho


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

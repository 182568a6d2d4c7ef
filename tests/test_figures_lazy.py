"""The pictures of `lazy`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["lazy"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


SERIES = [(panel, *one) for panel in CLAIM.panels for one in CLAIM.panels[panel].of.items()]


@pytest.mark.parametrize(("panel", "key", "label"), SERIES)
def test_nets_are_drawn_as_the_metrics_have_them(result, panel, key, label):
    series, nets = drawn(CLAIM, result, panel), result.arrays[key]
    (mean,), (spread,) = series[label], series[f"{label}: range over nets"]
    np.testing.assert_array_equal(mean["x"], result.config["widths"])
    np.testing.assert_allclose(mean["y"], nets.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(spread["low"], nets.min(axis=1))
    np.testing.assert_array_equal(spread["high"], nets.max(axis=1))
    if key != "at_start":
        listed = [one[key] for one in result.metrics if one["training"] == "plain training"]
        np.testing.assert_array_equal(nets.ravel(), listed)


def test_predictions_are_those_of_the_table(result):
    rows, widest = {m.name: m.predicted for m in result.measurements}, result.config["widths"][-1]
    for panel, key, of in (
        ("movement", "movement", f"max_r ‖w_r(T) − w_r(0)‖ at width {widest}"),
        ("movement", "flipped_activations", "√m × share of flipped activations"),
        ("movement", "deviation_from_linearisation", f"sup_t ‖u_m − u_lin‖/√n at width {widest}"),
        ("kernel", "kernel_change", f"‖H_m(T) − H_m(0)‖_F at width {widest}"),
    ):
        (dashed,) = drawn(CLAIM, result, panel)[f"prediction of {key}"]
        factor = np.sqrt(widest) if of.startswith("√m") else 1
        assert factor * dashed["y"][-1] == pytest.approx(rows[f"{of}, plain training"], rel=1e-12)
    (dashed,) = drawn(CLAIM, result, "kernel")["prediction of at_start"]
    squares = dashed["y"] ** 2 * result.config["widths"]
    np.testing.assert_allclose(squares, rows["mean of m ‖H_m(0) − H‖_F²"], rtol=1e-12)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}, measurements=()), panel) == {}

"""The pictures of `lazy`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn
from progress import Silent

CLAIM = all_claims()["lazy"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("lazy"), Silent())


def row(result, start):
    (found,) = (m for m in result.measurements if m.name.startswith(start))
    return found


SERIES = {
    "plain_movement": ("movement", r"max$_r$ $\|w_r(T)-w_r(0)\|$"),
    "plain_flipped": ("movement", "share of flipped activations"),
    "plain_deviation": ("movement", r"sup$_t$ $\|u_m-u_\mathrm{lin}\|/\sqrt{n}$"),
    "initial_distance": ("kernel", r"at the start, $\|H_m(0)-H\|_F$"),
    "plain_kernel_change": ("kernel", r"by training, $\|H_m(T)-H_m(0)\|_F$"),
}


@pytest.mark.parametrize("quantity", SERIES)
def test_the_nets_are_drawn(result, quantity):
    panel, label = SERIES[quantity]
    series, nets = drawn(CLAIM, result, panel), result.arrays[quantity]
    (mean,), (spread,) = series[label], series[f"{label}: range over nets"]
    np.testing.assert_array_equal(mean["x"], result.config["widths"])
    np.testing.assert_allclose(mean["y"], nets.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(spread["low"], nets.min(axis=1))
    np.testing.assert_array_equal(spread["high"], nets.max(axis=1))


def predicted(result, panel):
    """Predictions of a panel, in the order of its nets."""
    series = drawn(CLAIM, result, panel)
    return [of[0]["y"] for name, of in series.items() if name.startswith("prediction of ")]


def test_the_predictions_are_those_of_the_table(result):
    movement, flipped, deviation = predicted(result, "movement")
    _, change = predicted(result, "kernel")
    widths = np.array(result.config["widths"])
    for drawn_at_the_end, name in (
        (movement[-1], f"max_r ‖w_r(T) − w_r(0)‖ at width {widths[-1]}, plain"),
        (deviation[-1], f"sup_t ‖u_m − u_lin‖/√n at width {widths[-1]}, plain"),
        (change[-1], f"‖H_m(T) − H_m(0)‖_F at width {widths[-1]}, plain"),
    ):
        assert drawn_at_the_end == pytest.approx(row(result, name).predicted, rel=1e-12)
    constant = row(result, "√m × share of flipped activations, plain").predicted
    np.testing.assert_allclose(np.sqrt(widths) * flipped, constant, rtol=1e-12)


def test_the_kernel_at_the_start_is_drawn_beside_its_closed_form(result):
    start, _ = predicted(result, "kernel")
    config = result.config
    clusters, points = config["clusters"], config["points"]
    inside = np.cos(predictions.cluster_angle(points, config["ratio"]))
    same = np.kron(np.eye(clusters), np.full((points, points), inside))
    cosines = same + (1 - inside) * np.eye(clusters * points)
    fluctuation = predictions.kernel_fluctuation(cosines)
    np.testing.assert_allclose(start**2 * config["widths"], fluctuation, rtol=1e-10)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}, measurements=()), panel) == {}

"""The pictures of `lazy`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy
from ntk_theory import drawing
from ntk_theory.claims import all_claims
from progress import Silent

CLAIM = all_claims()["lazy"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("lazy"), Silent())


def drawn(result, panel):
    """Series of a panel by name; several of one name in a list."""
    axes = Figure().subplots()
    CLAIM.panels[panel](axes, result)
    series = {}
    for one in drawing.plotted(axes):
        series.setdefault(one.name, []).append(one.columns)
    return series


@pytest.mark.parametrize(
    ("panel", "label", "quantity"),
    [
        ("movement-and-flips", "largest movement of a neuron", "movement"),
        ("movement-and-flips", "share of flipped activations", "flipped"),
        ("kernel-and-deviation", r"$\|H_m(T)-H_m(0)\|_F$", "kernel_change"),
        (
            "kernel-and-deviation",
            r"$\mathrm{sup}_t\,\|u_m-u_\mathrm{lin}\|/\sqrt{n}$",
            "deviation",
        ),
    ],
)
def test_nets_are_drawn_near_their_prediction(result, panel, label, quantity):
    series = drawn(result, panel)
    (mean,) = series[label]
    nets = result.arrays[f"plain_{quantity}"]
    np.testing.assert_allclose(mean["y"], nets.mean(axis=1), rtol=1e-12)
    (spread,) = series[f"{label}: range over nets"]
    np.testing.assert_array_equal(spread["low"], nets.min(axis=1))
    np.testing.assert_array_equal(spread["high"], nets.max(axis=1))
    dashed = [one for name, of in series.items() if name.startswith("prediction") for one in of]
    nearest = min(np.abs(np.log(one["y"] / mean["y"])).max() for one in dashed)
    assert nearest < 0.5


def test_the_flipped_share_is_predicted_to_fall_like_the_root_of_the_width(result):
    flipped = drawn(result, "movement-and-flips")["prediction"][0]
    assert np.diff(np.log(flipped["y"])) == pytest.approx(-0.5 * np.diff(np.log(flipped["x"])))


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(replace(result, arrays={}, measurements=()), panel) == {}

"""The pictures of `soft-identity`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy
from ntk_theory import drawing
from ntk_theory.claims import all_claims
from progress import Silent

CLAIM = all_claims()["soft-identity"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("soft-identity"), Silent())


def drawn(result, panel):
    """Series of a panel by name; several of one name in a list."""
    axes = Figure().subplots()
    CLAIM.panels[panel](axes, result)
    series = {}
    for one in drawing.plotted(axes):
        series.setdefault(one.name, []).append(one.columns)
    return series


def test_every_difference_is_drawn_below_its_bound(result):
    series = drawn(result, "identity")
    measured, bound = series["measured"][0], series["prediction smallest rounding bound"][0]
    assert measured["y"].size == result.arrays["identity_difference"].size
    least = dict(zip(bound["x"], bound["y"], strict=True))
    assert all(y <= least[x] for x, y in zip(measured["x"], measured["y"], strict=True))


def test_soft_targets_are_drawn_over_their_closed_forms(result):
    series = drawn(result, "soft-targets")
    for label, key in (
        (r"soft, $\sum\alpha_t=\infty$", "memorising"),
        (r"soft, $\sum\alpha_t<\infty$", "stopping"),
    ):
        np.testing.assert_allclose(
            series[label][0]["y"], result.arrays[f"{key}_error"].mean(axis=0), rtol=1e-12
        )
    dashed = [series["prediction closed forms"][0]["y"], series["prediction"][0]["y"]]
    for curve in dashed:
        assert curve.min() >= 2 * result.config["noise_rate"]
    assert dashed[0][-1] > dashed[1][-1]


def test_hard_targets_alone_pass_the_bound_of_every_stopping_time(result):
    series = drawn(result, "policies")
    bound = series["2ρ"][0]["y"][0]
    assert bound == 2 * result.config["noise_rate"]
    assert series["soft"][0]["y"].min() > bound
    assert series[r"hard, $\mathrm{sign}(u)$"][0]["y"][-1] < bound / 2
    np.testing.assert_allclose(
        series["soft"][0]["y"], series["prediction kernel limit"][0]["y"], atol=0.1
    )


def test_controls_see_the_curves_that_are_drawn(result):
    """Hard targets end where their own recursion does."""
    curve = drawn(result, "policies")[r"hard, $\mathrm{sign}(u)$"][0]["y"]
    predicted = result.arrays["predicted_hard"]
    assert curve[-1] == pytest.approx(predicted[-1], abs=0.1)
    assert predicted[0] == 1.0


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(replace(result, arrays={}, measurements=()), panel) == {}

"""The pictures of `chains`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["chains"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_thresholds_are_drawn_where_they_are(result):
    series = drawn(CLAIM, result, "phase-diagram")
    for k in (1, 2, 3):
        (curve,) = series[f"prediction of ρ*_{k}"]
        r = curve["x"] ** k
        np.testing.assert_allclose(curve["y"], (r - 2) / (2 * (r - 1)), rtol=1e-12)


def test_every_cell_is_drawn_once_on_its_side_of_the_thresholds(result):
    series = drawn(CLAIM, result, "phase-diagram")
    names = ["right after 1 net", "right after 2 nets", "right after 3 nets", "wrong after 3 nets"]
    places = [
        (name, ratio, rate)
        for name in names
        for one in series.get(name, [])
        for ratio, rate in zip(one["x"], one["y"], strict=True)
    ]
    cells = zip(result.arrays["ratio"], result.arrays["noise_rate"], strict=True)
    assert sorted(place[1:] for place in places) == sorted(cells)
    for name, ratio, rate in places:
        below = [rate < (ratio**k - 2) / (2 * (ratio**k - 1)) for k in (1, 2, 3)]
        assert name == names[3 - sum(below)]


def test_errors_are_drawn_net_by_net_over_their_closed_forms_and_the_bound(result):
    series, rho = drawn(CLAIM, result, "net-by-net"), result.config["noise_rate"][0]
    (predicted,) = series["prediction of RMS error"]
    nets = np.stack([one["y"] for one in series["RMS error"]])
    np.testing.assert_allclose(nets.mean(axis=0), predicted["y"], atol=0.02)
    assert (nets[:, :-1] > 2 * rho).all()
    assert (nets[:, -1] < 0.01).all()
    (bound,) = series["2ρ"]
    assert bound["y"][0] == 2 * rho
    rows = {m.name: m.measured for m in result.measurements}
    assert nets[:, -1].mean() == pytest.approx(rows["net taught the signs: RMS error"], rel=1e-9)
    for one in series["share of wrong signs"]:
        np.testing.assert_allclose(one["y"], [rho, 0, 0, 0], atol=1e-12)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

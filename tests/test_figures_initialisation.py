"""What the pictures of `initialisation` show: closed forms, and the nets of its rows."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from cases.initialisation import TOY
from ntk_theory.claims.initialisation import CLAIM, PAIRS
from panels import drawn

SCALES = [scale * 1.6 for scale in (0.125, 0.25, 0.5, 1, 2)]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def row(result, name):
    (found,) = (one for one in result.measurements if one.name == name)
    return found


def test_floors_over_the_scale_are_those_of_nets_and_rows(result):
    series = drawn(CLAIM, result, "floor")
    (nets,), (means,) = series["single nets"], series["mean ± standard error"]
    (law,), (band,) = (series[f"prediction predicted{of}"] for of in (" mean", ", 98 % of nets"))
    np.testing.assert_allclose(means["x"], SCALES)
    for index, scale in enumerate(SCALES):
        here, at = np.isclose(nets["x"], scale), np.isclose(law["x"], scale)
        listed = [m["final_rms_error"] for m in result.metrics
                  if m["training"] == f"scale {scale:g}"]  # fmt: skip
        np.testing.assert_allclose(sorted(nets["y"][here]), sorted(listed))
        assert (band["low"] <= band["high"]).all()
        if index >= 2:
            expected = row(result, f"scale {scale:g}: final RMS error")
            assert means["y"][index] == pytest.approx(expected.measured)
            assert law["y"][at] == pytest.approx(expected.predicted)
            inside = (nets["y"][here] > band["low"][at]) & (nets["y"][here] < band["high"][at])
            assert inside.mean() > 0.9
    assert series[PAIRS][0]["y"][0] == row(result, f"{PAIRS}: final RMS error").predicted


def test_shares_are_those_of_the_rows(result):
    series = drawn(CLAIM, result, "wrong-signs")
    signs, nets = "signs wrong after the burn-in", "nets with a wrong label at the end"
    (share,), (unrecovered,) = series[signs], series[nets]
    (law,), (lost,) = (series[f"prediction of {name}"] for name in (signs, nets))
    for index, scale in enumerate(SCALES[1:], start=1):
        expected = row(result, f"scale {scale:g}: share of wrong signs after 5 steps")
        at = np.isclose(law["x"], scale)
        assert share["y"][index] == pytest.approx(expected.measured)
        assert law["y"][at] == pytest.approx(expected.predicted)
        if index in (2, 3):
            right = f"scale {scale:g}: share of nets with every sign right at the end"
            assert unrecovered["y"][index] == pytest.approx(1 - row(result, right).measured)
            assert lost["y"][at] == pytest.approx(1 - row(result, right).predicted)


def test_over_the_width_the_large_scale_keeps_its_floor_and_pairs_have_none(result):
    series = drawn(CLAIM, result, "width")
    large = "nets of the second largest scale"
    (means,), (pairs,) = series[large], series[PAIRS]
    np.testing.assert_array_equal(means["x"], TOY.widths)
    slope = np.polyfit(np.log2(TOY.widths), means["y"], 1)[0]
    name = "scale 1.6: change of the mean final error per octave of width"
    assert slope == pytest.approx(row(result, name).measured)
    assert pairs["y"][-1] == pytest.approx(row(result, f"{PAIRS}: final RMS error").measured)
    for of, title in (("large_errors", "scale 1.6"), ("pair_errors", PAIRS)):
        expected = row(result, f"{title}: final RMS error").predicted
        np.testing.assert_allclose(series[f"prediction of {of}"][0]["y"], expected)


@pytest.mark.parametrize("panel", CLAIM.panels)
def test_a_run_that_was_interrupted_before_its_end_leaves_a_panel_empty(result, panel):
    assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

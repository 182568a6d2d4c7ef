"""The pictures of `threshold`: what is drawn is what was found, and what theory says."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy_result
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["threshold"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_the_threshold_is_drawn_where_it_is(result):
    (curve,) = drawn(CLAIM, result, "recovery-over-ratio")[r"prediction $\rho^*$"]
    r = curve["x"]
    np.testing.assert_allclose(curve["y"], (r - 2) / (2 * (r - 1)), rtol=1e-12)


def test_every_cell_is_drawn_once_as_what_its_nets_did(result):
    series = drawn(CLAIM, result, "recovery-over-ratio")
    places = {}
    for name in ("all nets recover", "some do", "none does"):
        for label in (name, f"{name}, undecided"):
            for one in series.get(label, []):
                for place in zip(one["x"], one["y"], strict=True):
                    assert place not in places
                    places[place] = label
    arrays = result.arrays
    for ratio, rate, share, decided in zip(
        *(arrays[name] for name in ("ratio", "noise_rate", "recovered", "decided")), strict=True
    ):
        expected = "all nets recover" if share == 1 else "none does" if share == 0 else "some do"
        assert places[ratio, rate] == expected + ("" if decided else ", undecided")


def test_the_cells_too_near_the_threshold_are_those_that_the_finding_names(result):
    undecided = [
        f"ρ = {rate:g}, r = {ratio:g}"
        for ratio, rate, decided in zip(
            *(result.arrays[name] for name in ("ratio", "noise_rate", "decided")), strict=True
        )
        if not decided
    ]
    assert result.finding.endswith("; ".join(undecided) or "no cell")


@pytest.mark.parametrize("every", [False, True])
def test_undecided_cells_are_hollow_and_the_legend_says_so_if_there_are_some(result, every):
    from dataclasses import replace

    decided = result.arrays["decided"] | every
    decided[0] = every
    axes = Figure().subplots()
    arrays = result.arrays | {"decided": decided}
    CLAIM.panels["recovery-over-ratio"](axes, replace(result, arrays=arrays))
    for one in axes.lines:
        if one.get_gid().endswith(", undecided"):
            assert one.get_markerfacecolor() == "none"
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert ("hollow: undecided at this width" in shown) is not every
    assert "all nets recover" in shown


def first_margin(ratio, rate):
    """Relative margin of the first step (docs/theory.md, section 6.4)."""
    signal, noise = (1 - 2 * rate) * ratio, 2 * (1 - rate)
    return (signal - noise) / np.sqrt(signal**2 + 4 * rate * (1 - rate))


def edges(series):
    """The drawn noise rates up to which all nets, and from which on none, are to recover."""
    return [
        series[f"prediction of the rate {name}"][0]["y"]
        for name in ("up to which all nets recover", "from which on none does")
    ]


def test_the_map_over_the_width_is_that_of_the_nets_and_their_threshold(result):
    series = drawn(CLAIM, result, "recovery-over-width")
    (share,) = series["share of nets that recover"]
    np.testing.assert_array_equal(share["value"], result.arrays["narrow_share"].ravel())
    ratio = float(result.arrays["narrow_ratio"])
    (bound,) = series[rf"$\rho^*$ ($r$ = {ratio:g})"]
    assert bound["y"][0] == pytest.approx((ratio - 2) / (2 * (ratio - 1)))
    surely, never = edges(series)
    assert (surely <= bound["y"][0]).all()
    assert (never >= bound["y"][0]).all()
    assert (np.diff(surely) >= 0).all()
    assert (np.diff(never) <= 0).all()


def test_the_edges_are_where_the_margin_is_what_nets_of_that_width_deviate(result):
    """On both sides of the threshold the margin is the same power of the width."""
    ratio, widths = float(result.arrays["narrow_ratio"]), result.arrays["narrow_width"]
    surely, never = edges(drawn(CLAIM, result, "recovery-over-width"))
    inside = (surely > 0) & (never < 0.5)
    assert inside.sum() >= 3
    level = first_margin(ratio, surely[inside])
    np.testing.assert_allclose(level, -first_margin(ratio, never[inside]), rtol=1e-6)
    slopes = np.diff(np.log(level)) / np.diff(np.log(widths[inside]))
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-4)
    assert -0.65 < slopes[0] < -0.35


def test_nets_recover_where_they_surely_do_and_not_where_they_cannot(result):
    """Of the widest narrow nets; the power law goes on down to them."""
    arrays = result.arrays
    share, rates = arrays["narrow_share"][:, -1], arrays["narrow_rate"]
    assert (share[rates < arrays["narrow_surely"][-1]] == 1).all()
    assert (share[rates > arrays["narrow_never"][-1]] == 0).all()
    assert share[0] == 1
    assert share[-1] == 0


def test_the_margins_of_the_first_step_are_those_of_every_net(result):
    series = drawn(CLAIM, result, "first-margins")
    nets = np.concatenate([one["y"] for one in series["trained nets"]])
    np.testing.assert_array_equal(np.sort(nets), np.sort(result.arrays["relative_margin"].ravel()))
    ratio = result.arrays["ratio"][0]
    (dashed,) = series[f"prediction of trained nets, r = {ratio:g}"]
    np.testing.assert_allclose(dashed["y"], first_margin(ratio, dashed["x"]), rtol=1e-9)
    row = next(m for m in result.measurements if m.name.startswith("relative margin of the first"))
    cell = np.flatnonzero(np.isclose(result.arrays["predicted_margin"], row.predicted, rtol=1e-9))
    assert np.isclose(result.arrays["relative_margin"][cell], row.measured, rtol=1e-9).any()


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    from dataclasses import replace

    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

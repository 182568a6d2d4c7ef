"""Pictures of `threshold`: who recovers over ratio and width, and the margins that decide it."""

from __future__ import annotations

__all__ = ["first_margins", "recovery_over_ratio", "recovery_over_width"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def recovery_over_ratio(axes: Axes, result: ClaimResult) -> None:
    """At which noise rates and ratios do nets have every label right at some step?"""
    arrays = result.arrays
    if "recovered" not in arrays:
        return
    x, y, share = (np.asarray(arrays[name]) for name in ("ratio", "noise_rate", "recovered"))
    decided = np.asarray(arrays["decided"], dtype=bool)
    for cells, colour, marker, label in (
        (share == 1, drawing.BLUE, "o", "all nets recover"),
        ((share > 0) & (share < 1), drawing.GREEN, "^", "some do"),
        (share == 0, drawing.ORANGE, "X", "none does"),
    ):
        if not cells.any():
            continue
        sure, near = cells & decided, cells & ~decided
        drawing.dots(axes, x[sure], y[sure], colour, label, marker, size=6)
        name = f"{label}, undecided"
        drawing.dots(axes, x[near], y[near], colour, name, marker, size=6, hollow=True, show=False)
    if not decided.all():
        name = "hollow: undecided at this width"
        drawing.dots(axes, [], [], drawing.GREY, name, size=6, hollow=True)
    drawing.prediction(axes, arrays["curve_ratio"], arrays["curve_threshold"], r"$\rho^*$")
    ratios = np.unique(x)
    axes.set(xscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)


def first_margins(axes: Axes, result: ClaimResult) -> None:
    """How does the margin that decides it cross zero at the threshold?"""
    arrays = result.arrays
    if "relative_margin" not in arrays:
        return
    for index, ratio in enumerate(np.unique(arrays["ratio"])):
        cells = arrays["ratio"] == ratio
        x, nets = arrays["noise_rate"][cells], arrays["relative_margin"][cells]
        drawing.dots(axes, x, nets, drawing.BLUE, "trained nets", show=index == 0)
        predicted = arrays["predicted_margin"][cells]
        dashed = None if index else "closed form"
        drawing.prediction(axes, x, predicted, dashed, of=f"trained nets, r = {ratio:g}")
        axes.annotate(
            f"r = {ratio:g}",
            (x[0], predicted[0]),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7,
        )
    drawing.bound(axes, 0.0, "0: a wrong label", show=False)
    rates = arrays["noise_rate"]
    axes.set(xlim=(rates.min() - 0.3 * np.ptp(rates), rates.max() + 0.02), xlabel="noise rate ρ")
    axes.set(ylabel="relative margin of the first step")
    axes.legend(loc="lower left")


def recovery_over_width(axes: Axes, result: ClaimResult) -> None:
    """From which width on do nets recover the noise rates below the threshold?"""
    arrays = result.arrays
    if "narrow_share" not in arrays:
        return
    widths, rates = arrays["narrow_width"], arrays["narrow_rate"]
    places = np.log2(widths)
    drawing.heatmap(axes, places, rates, arrays["narrow_share"], "share of nets that recover")
    ends = axes.get_ylim()
    for key, label, name in (
        ("surely", "all below, none above", "the rate up to which all nets recover"),
        ("never", None, "the rate from which on none does"),
    ):
        drawing.prediction(axes, places, arrays[f"narrow_{key}"], label, of=name, over_map=True)
    threshold, ratio = float(arrays["narrow_threshold"]), float(arrays["narrow_ratio"])
    drawing.bound(axes, threshold, rf"$\rho^*$ ($r$ = {ratio:g})")
    axes.set(xlabel="width $m$", ylabel="noise rate ρ", ylim=ends)
    axes.set_xticks(places[::2], [f"{width:g}" for width in widths[::2]])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

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
    for cells, colour, marker, label in (
        (share == 1, drawing.BLUE, "o", "all nets recover"),
        ((share > 0) & (share < 1), drawing.GREEN, "^", "some do"),
        (share == 0, drawing.ORANGE, "X", "none does"),
    ):
        if cells.any():
            drawing.dots(axes, x[cells], y[cells], colour, label, marker, size=6)
    drawing.prediction(axes, arrays["curve_ratio"], arrays["curve_threshold"], r"$\rho^*$")
    ratios = np.unique(x)
    axes.set(xscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(loc="lower right")


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
        drawing.prediction(axes, x, predicted, None if index else "closed form")
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
    surely, never = arrays["narrow_surely"], arrays["narrow_never"]
    drawing.prediction(axes, places, surely, "all below, none above", over_map=True)
    drawing.prediction(axes, places, never, over_map=True)
    threshold, ratio = float(arrays["narrow_threshold"]), float(arrays["narrow_ratio"])
    drawing.bound(axes, threshold, rf"$\rho^*$ ($r$ = {ratio:g})")
    axes.set(xlabel="width $m$", ylabel="noise rate ρ", ylim=ends)
    axes.set_xticks(places[::2], [f"{width:g}" for width in widths[::2]])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

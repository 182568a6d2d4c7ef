"""Picture of `threshold`: the grid with the threshold, and the margins of the first step."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_grid(axes: Axes, result: ClaimResult) -> None:
    arrays = result.arrays
    x, y = np.asarray(arrays["ratio"]), np.asarray(arrays["noise_rate"])
    recovered = np.asarray(arrays["recovered"])
    for cells, colour, marker, label in (
        (recovered == 1, drawing.BLUE, "o", "all nets recover"),
        (recovered == 0, drawing.ORANGE, "s", "no net does"),
        ((recovered > 0) & (recovered < 1), drawing.GREY, "^", "some do"),
    ):
        axes.scatter(x[cells], y[cells], color=colour, marker=marker, label=label)
    undecided = np.abs(np.asarray(arrays["predicted_margin"])) <= arrays["deviation"]
    axes.scatter(
        x[undecided],
        y[undecided],
        s=120,
        facecolors="none",
        edgecolors=drawing.GREY,
        label="undecided",
    )
    drawing.prediction(axes, arrays["curve_ratio"], arrays["curve_threshold"], "ρ*")
    axes.set(xscale="log", xlabel=r"ratio $\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    axes.legend(frameon=False, loc="lower right", fontsize="small")


def _draw_margins(axes: Axes, result: ClaimResult) -> None:
    arrays = result.arrays
    low, high = arrays["noise_rate"].min(), arrays["noise_rate"].max()
    axes.axhspan(-arrays["deviation"], arrays["deviation"], color=drawing.GREY, alpha=0.2, lw=0)
    for index, ratio in enumerate(np.unique(arrays["ratio"])):
        cells = arrays["ratio"] == ratio
        x, nets = arrays["noise_rate"][cells], arrays["relative_margin"][cells]
        axes.plot(x, nets, color=drawing.BLUE, marker="o", ms=3.5, ls="", alpha=0.5)
        predicted = arrays["predicted_margin"][cells]
        drawing.prediction(axes, x, predicted, None if index else "closed form")
        axes.annotate(f"r = {ratio:g} ", (x[0], predicted[0]), ha="right", va="center")
    axes.set(xlim=(low - 0.25 * (high - low), high), xlabel="noise rate ρ")
    axes.set(ylabel="relative margin of the first step")
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """The grid with the threshold, and margins of the first step; closed forms dashed."""
    left, right = figure.subplots(1, 2)
    if "recovered" in result.arrays:
        _draw_grid(left, result)
        _draw_margins(right, result)

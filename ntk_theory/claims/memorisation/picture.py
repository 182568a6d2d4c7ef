"""Picture of `memorisation`: the U of the error, and first wrong steps over the ratio."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_curve(axes: Axes, result: ClaimResult) -> None:
    arrays, config = result.arrays, result.config
    rho = config["noise_rate"][config["reference"]]
    ratio = config["ratio"][config["reference"]]
    steps = np.arange(len(arrays["predicted_error"]))
    label = f"width {config['widths'][-1]}, ρ = {rho:g}, r = {ratio:g}"
    drawing.band(axes, steps, arrays["error"], drawing.BLUE, label)
    drawing.prediction(axes, steps, arrays["predicted_error"], "closed form")
    for level, name in ((2 * rho, "2ρ"), (2 * np.sqrt(rho), "2√ρ")):
        axes.axhline(level, color=drawing.GREY, lw=1)
        axes.annotate(name, (steps[-1], level), ha="right", va="bottom", color=drawing.GREY)
    axes.set(xscale="log", xlim=(1, steps[-1]), xlabel="step $t$")
    axes.set(ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    axes.legend(frameon=False)


def _draw_steps(axes: Axes, result: ClaimResult) -> None:
    arrays = result.arrays
    for index, rate in enumerate(np.unique(arrays["noise_rate"])):
        cells = arrays["noise_rate"] == rate
        x, nets = arrays["ratio"][cells], arrays["first_wrong"][cells]
        axes.plot(x, nets, color=drawing.BLUE, marker="o", ms=3.5, ls="", alpha=0.5)
        predicted = arrays["predicted_first_wrong"][cells]
        drawing.prediction(axes, x, predicted, None if index else "closed form")
        axes.annotate(f" ρ = {rate:g}", (x[-1], predicted[-1]), va="center")
    axes.set(xscale="log", yscale="log", xlabel=r"ratio $\lambda_+/\lambda_-$")
    axes.set(ylabel="first wrong step")
    axes.margins(x=0.15)
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """The U-shaped error curve, and first wrong steps over the ratio; closed forms dashed."""
    left, right = figure.subplots(1, 2)
    if "error" in result.arrays:
        _draw_curve(left, result)
        _draw_steps(right, result)

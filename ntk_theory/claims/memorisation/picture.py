"""Pictures of `memorisation`: the U of the error, and first wrong steps over the ratio."""

from __future__ import annotations

__all__ = ["error_curve", "first_wrong_step"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def error_curve(axes: Axes, result: ClaimResult) -> None:
    """Does plain training first approach the clean labels and then memorise the wrong ones?"""
    arrays, config = result.arrays, result.config
    if "error" not in arrays:
        return
    rho = config["noise_rate"][config["reference"]]
    steps = np.arange(len(arrays["predicted_error"]))
    drawing.band(axes, steps, arrays["error"], drawing.BLUE, f"plain training, ρ = {rho:g}")
    drawing.prediction(axes, steps, arrays["predicted_error"], "closed form")
    for level, name in ((2 * rho, "2ρ"), (2 * np.sqrt(rho), "2√ρ")):
        drawing.bound(axes, level, name, show=False)
        axes.annotate(
            name, (steps[-1], level), xytext=(0, 2), textcoords="offset points", ha="right"
        )
    cell = config["reference"]
    drawing.mark(axes, float(arrays["predicted_first_wrong"][cell]), "first wrong step")
    drawing.step_axis(axes, steps[-1])
    axes.set(ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$", ylim=(0.5 * 2 * rho, 1.25))
    axes.legend(loc="lower left")


def first_wrong_step(axes: Axes, result: ClaimResult) -> None:
    """When does a net output its first wrong label, over noise rates and ratios?"""
    arrays = result.arrays
    if "first_wrong" not in arrays:
        return
    ratios = np.unique(arrays["ratio"])
    for index, rate in enumerate(np.unique(arrays["noise_rate"])):
        cells = arrays["noise_rate"] == rate
        x, nets = arrays["ratio"][cells], arrays["first_wrong"][cells]
        drawing.dots(axes, x, nets, drawing.BLUE, "trained nets", show=index == 0)
        predicted = arrays["predicted_first_wrong"][cells]
        dashed = None if index else "closed form"
        drawing.prediction(axes, x, predicted, dashed, of=f"trained nets, ρ = {rate:g}")
        drawing.at_the_end(axes, x[-1], predicted[-1], f"ρ = {rate:g}")
    axes.set(xscale="log", yscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$")
    axes.set(ylabel="first wrong step", xlim=(ratios[0] / 1.15, ratios[-1] * 1.6))
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.set_yticks([10, 20, 40], ["10", "20", "40"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(loc="upper left")

"""Picture of `convergence`: error over time, and deviation over width, closed forms dashed."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_errors(figure: Figure, result: ClaimResult) -> None:
    arrays, bound = result.arrays, 2 * result.config["noise_rate"]
    axes = figure.axes[0]
    steps = np.arange(len(arrays["predicted_distilled"]))
    plain_steps = steps[: len(arrays["predicted_plain"])]
    if "distilled_error" in arrays:
        label = f"self-distillation, width {arrays['widths'][-1]}"
        drawing.band(axes, plain_steps, arrays["plain_error"], drawing.ORANGE, "plain training")
        drawing.band(axes, steps, arrays["distilled_error"], drawing.BLUE, label)
    drawing.prediction(axes, steps, arrays["predicted_distilled"], "closed forms")
    drawing.prediction(axes, plain_steps, arrays["predicted_plain"])
    axes.axhline(bound, color=drawing.GREY, lw=1, label="2ρ, bound of every stopping time")
    axes.set(xlabel="step $t$", ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    axes.set(xscale="log", yscale="log", xlim=(1, steps[-1]))
    axes.legend(frameon=False, loc="lower left")


def _draw_widths(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[1], result.arrays
    axes.set(xlabel="width $m$", ylabel=r"$\sup_t\,\|u_m-u_\infty\|/\sqrt{n}$")
    exponents = [m for m in result.measurements if m.name.startswith("exponent")]
    if not exponents:
        return
    widths, deviation = arrays["widths"], arrays["largest_deviation"]
    drawing.loglog_fit(axes, widths, deviation, exponents[0].measured)
    slope = exponents[0].predicted
    middle = np.exp(np.log(deviation).mean() - slope * np.log(widths).mean())
    drawing.prediction(axes, widths, middle * widths**slope, "slope −1/2")
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """Error over time and deviation over width, closed forms dashed."""
    figure.subplots(1, 2)
    _draw_errors(figure, result)
    _draw_widths(figure, result)

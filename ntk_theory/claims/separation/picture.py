"""Picture of `separation`: both errors over time, and what they come to over the noise rate."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_curves(axes: Axes, result: ClaimResult) -> None:
    arrays, config = result.arrays, result.config
    rho = config["noise_rate"][config["reference"]]
    for name, colour, label in (
        ("plain", drawing.ORANGE, "plain training"),
        ("distilled", drawing.BLUE, f"self-distillation, width {config['widths'][-1]}"),
    ):
        steps = np.arange(len(arrays[f"predicted_{name}"]))
        drawing.band(axes, steps, arrays[name], colour, label)
        drawing.prediction(axes, steps, arrays[f"predicted_{name}"])
    axes.axhline(2 * rho, color=drawing.GREY, lw=1, label=f"2ρ, ρ = {rho:g}")
    axes.set(xscale="log", yscale="log", xlim=(1, None), xlabel="step $t$")
    axes.set(ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    axes.legend(frameon=False, loc="lower left")


def _draw_rates(axes: Axes, result: ClaimResult) -> None:
    arrays = result.arrays
    rates = np.asarray(arrays["noise_rate"])
    for name, colour in (("best", drawing.ORANGE), ("final", drawing.BLUE)):
        axes.plot(rates, arrays[name], color=colour, marker="o", ms=3.5, ls="", alpha=0.5)
    drawing.prediction(axes, rates, arrays["predicted_best"], "closed forms")
    drawing.prediction(axes, rates, arrays["predicted_final"])
    axes.plot(rates, 2 * rates, color=drawing.GREY, lw=1, label="2ρ")
    for text, name in (("best stopped", "best"), ("self-distilled", "final")):
        start = (rates[0], arrays[f"predicted_{name}"][0])
        axes.annotate(text, start, xytext=(0, 10), textcoords="offset points")
    axes.set(xlabel="noise rate ρ", ylabel="RMS error", yscale="log")
    axes.margins(y=0.2)
    axes.legend(frameon=False, loc="center right")


def draw(figure: Figure, result: ClaimResult) -> None:
    """Both errors over time, and the best of the one and the last of the other over ρ."""
    left, right = figure.subplots(1, 2)
    if "noise_rate" in result.arrays:
        _draw_curves(left, result)
        _draw_rates(right, result)

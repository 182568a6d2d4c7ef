"""Pictures of `generalisation`."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_accuracy(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[0], result.arrays
    time = arrays["time"]
    drawing.band(axes, time, arrays["plain_accuracy"], drawing.ORANGE, "plain training")
    ends = np.repeat(arrays["distilled_accuracy"][:, None], time.size, axis=1)
    drawing.band(axes, time, ends, drawing.BLUE, "self-distillation, at its end")
    drawing.prediction(axes, time, arrays["plain_limit"].mean(axis=0), "kernel limit")
    level = np.full(time.size, arrays["distilled_limit"].mean())
    drawing.prediction(axes, time, level)
    axes.set(xlabel="stopping time, share of the run", xscale="log", xlim=(time[0], 1))
    axes.set(ylabel="accuracy on fresh points")
    axes.legend(frameon=False, loc="lower center")


def _draw_distance(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[1], result.arrays
    widths = arrays["widths"]
    for key, colour, level, label in (
        ("plain", drawing.ORANGE, 1, "memorised"),
        ("distilled", drawing.BLUE, 0, "self-distillation"),
    ):
        axes.plot(
            widths, arrays[f"{key}_distance"], color=colour, marker="o", ms=3.5, ls="", alpha=0.7
        )
        axes.plot([], [], color=colour, marker="o", ls="", label=label)
        value = np.full(widths.size, arrays["predicted_distance"][level])
        drawing.prediction(axes, widths, value, None if level else "closed forms")
    axes.set(xlabel="width $m$", ylabel=r"$\|W_T-W_0\|_F$")
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """Accuracy against the stopping time, and distance from initialisation against the width."""
    figure.subplots(1, 2)
    if "widths" in result.arrays:
        _draw_accuracy(figure, result)
        _draw_distance(figure, result)

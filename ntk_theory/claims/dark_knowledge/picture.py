"""Pictures of `dark-knowledge`: its rise and fall, and what students gain from their teachers."""

from __future__ import annotations

__all__ = ["rise_and_fall", "students"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def rise_and_fall(axes: Axes, result: ClaimResult) -> None:
    """How much more do nets output on siblings than on others, step by step?"""
    arrays = result.arrays
    steps = np.arange(len(arrays["predicted"]))
    if "dark_knowledge" in arrays:
        label = f"nets of width {int(arrays['width'])}"
        drawing.band(axes, steps, arrays["dark_knowledge"], drawing.BLUE, label)
    formula = r"$(g_{\mathrm{super}}-g_{\mathrm{class}})/c$"
    drawing.prediction(axes, steps, arrays["predicted"], formula)
    axes.set(xlabel="step $t$ of the teacher", ylabel="output on siblings − on others")
    axes.legend()


def students(axes: Axes, result: ClaimResult) -> None:
    """What do students of different targets gain over that of hard labels?"""
    arrays = result.arrays
    axes.set(ylabel="accuracy gained over hard labels")
    if "gain" not in arrays:
        return
    world = next(row for row in result.metrics if "world" in row)
    names = [name.removesuffix(" teacher") for name in list(world)[2:]]
    place = np.arange(len(names))
    drawing.dots(axes, place, arrays["gain"].T, drawing.BLUE, "nets, one dot a world")
    for key, colour, marker, label in (
        ("gain", drawing.ORANGE, "s", "nets, mean"),
        ("predicted_gain", drawing.BLACK, "D", "kernel predictor, mean"),
    ):
        drawing.dots(axes, place, arrays[key].mean(axis=0), colour, label, marker)
    axes.axhline(0, color=drawing.GREY, lw=0.6, gid="no gain")
    axes.set_xticks(place, names, rotation=25, ha="right")
    axes.legend()

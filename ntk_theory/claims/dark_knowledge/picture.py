"""Pictures of `dark-knowledge`: rise and fall, likeness of classes, and what students gain."""

from __future__ import annotations

__all__ = ["class_outputs", "rise_and_fall", "students"]

import math

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

_LABELS = 4
"""Superclasses with a label along an axis of the map, at most."""


def rise_and_fall(axes: Axes, result: ClaimResult) -> None:
    """How much more do nets output on siblings than on others, step by step?"""
    arrays = result.arrays
    if "dark_knowledge" not in arrays:
        return
    steps = np.arange(len(arrays["predicted"]))
    label = f"nets of width {int(arrays['width'])}"
    drawing.band(axes, steps, arrays["dark_knowledge"], drawing.BLUE, label)
    formula = r"$(g_{\mathrm{super}}-g_{\mathrm{class}})/c$"
    drawing.prediction(axes, steps, arrays["predicted"], formula)
    drawing.mark(axes, float(arrays["peak_time"]), r"$t_\mathrm{peak}$", 0.12)
    drawing.step_axis(axes, float(steps[-1]))
    top = 1.3 * float(arrays["predicted"].max())
    axes.set(ylabel="output on siblings − on others", ylim=(0, top))
    axes.locator_params(axis="y", nbins=5)
    axes.legend(loc="upper right")


def class_outputs(axes: Axes, result: ClaimResult) -> None:
    """What do nets output on each class for points of each, where dark knowledge peaks?

    The nets beside the closed form, on one scale; siblings are neighbours.
    """
    arrays = result.arrays
    if "class_outputs" not in arrays:
        return
    predicted = arrays["predicted_class_outputs"]
    count, siblings = len(predicted), int(result.config["classes"])
    classes, beside = np.arange(1, count + 1), count + 1
    most = float(predicted.max())
    drawing.heatmap(
        axes,
        classes,
        classes,
        arrays["class_outputs"].mean(axis=0),
        "mean output",
        most=most,
        scale="inside",
        ruled=True,
    )
    drawing.heatmap(
        axes,
        classes + beside,
        classes,
        predicted,
        "prediction closed form",
        most=most,
        scale=None,
        ruled=True,
    )
    for place, text in ((0, f"nets of width {int(arrays['width'])}"), (beside, "closed form")):
        axes.text(place + (count + 1) / 2, count + 0.7, text, ha="center", va="top", fontsize=7)
    first = np.arange(1, count + 1, siblings * math.ceil(count / siblings / _LABELS))
    names = [f"{one}–{one + siblings - 1}" for one in first]
    middle = first + (siblings - 1) / 2
    axes.set_xticks(np.concatenate([middle, middle + beside]), 2 * names)
    axes.set_yticks(middle, names)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    # The first class on top; below the last one room for what the maps are, and their scale.
    axes.set(
        xlabel=f"output on class, at step {int(arrays['peak_step'])}",
        xlim=(0.4, count + beside + 0.6),
        ylim=(1.4 * count + 0.5, 0.4),
        aspect="equal",
    )
    axes.set_ylabel("points of class", y=1 - 0.5 / 1.4)


def students(axes: Axes, result: ClaimResult) -> None:
    """What do students of different targets gain over that of hard labels?"""
    arrays = result.arrays
    if "gain" not in arrays:
        return
    world = next(row for row in result.metrics if "world" in row)
    names = [name.removesuffix(" teacher") for name in list(world)[2:]]
    place = np.arange(len(names))
    drawing.dots(axes, place, arrays["gain"].T, drawing.BLUE, "nets, one dot a world")
    mean = arrays["gain"].mean(axis=0)
    drawing.dots(axes, place, mean, drawing.ORANGE, "their mean", "s", size=5)
    for index, height in enumerate(arrays["predicted_gain"].mean(axis=0)):
        label = None if index else "kernel predictor, mean"
        ends = index + np.array([-0.35, 0.35])
        drawing.prediction(axes, ends, [height, height], label, of=names[index])
    drawing.bound(axes, 0.0, "hard labels")
    axes.set_xticks(place, names, rotation=25, ha="right")
    axes.set(ylabel="gain in accuracy")
    axes.legend()

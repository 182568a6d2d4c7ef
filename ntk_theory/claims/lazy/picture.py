"""Pictures of `lazy`: movement and flips, change of the kernel and deviation, over the width."""

from __future__ import annotations

__all__ = ["kernel_and_deviation", "movement_and_flips"]

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _over_width(
    axes: Axes, result: ClaimResult, quantity: str, predicted: ArrayLike, colour: str, label: str
) -> None:
    widths = result.arrays["widths"].astype(float)
    drawing.band(axes, widths, result.arrays[f"plain_{quantity}"].T, colour, label)
    drawing.prediction(axes, widths, predicted, "predicted" if colour == drawing.BLUE else None)
    axes.set(xlabel="width $m$", yscale="log")
    axes.set_xscale("log", base=2)


def movement_and_flips(axes: Axes, result: ClaimResult) -> None:
    """How far does training move a neuron, and how many activations does it flip?"""
    arrays = result.arrays
    if "plain_movement" not in arrays:
        return
    moved = arrays["plain_predicted_movement"]
    flipped = arrays["plain_predicted_flipped"] / np.sqrt(arrays["widths"])
    _over_width(axes, result, "movement", moved, drawing.BLUE, "largest movement of a neuron")
    _over_width(axes, result, "flipped", flipped, drawing.ORANGE, "share of flipped activations")
    axes.set(ylabel="after plain training", ylim=(None, 3 * float(np.max(moved))))
    axes.legend(loc="upper right")


def kernel_and_deviation(axes: Axes, result: ClaimResult) -> None:
    """How far does the NTK change, and the net leave its own linearisation?"""
    arrays = result.arrays
    if "plain_deviation" not in arrays:
        return
    changed, away = (
        arrays[f"plain_predicted_{quantity}"] for quantity in ("kernel_change", "deviation")
    )
    _over_width(axes, result, "kernel_change", changed, drawing.BLUE, r"$\|H_m(T)-H_m(0)\|_F$")
    _over_width(
        axes,
        result,
        "deviation",
        away,
        drawing.ORANGE,
        r"$\mathrm{sup}_t\,\|u_m-u_\mathrm{lin}\|/\sqrt{n}$",
    )
    axes.set(ylabel="after plain training", ylim=(None, 3 * float(np.max(changed))))
    axes.legend(loc="upper right")

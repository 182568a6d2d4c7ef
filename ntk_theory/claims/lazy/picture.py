"""Pictures of `lazy` over the width: what training moves, and what it does to the kernel."""

from __future__ import annotations

__all__ = ["kernel", "movement"]

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

Array = NDArray[np.float64]


def _over_width(
    axes: Axes, widths: Array, drawn: Sequence[tuple[Array, Array, str, str, str]], room: float
) -> None:
    """Nets over their prediction, with a label and a plain name of both.

    `room` above them, as a factor, is for the legend.
    """
    for nets, _, colour, label, _ in drawn:
        drawing.band(axes, widths, nets.T, colour, label)
    for place, (_, predicted, _, _, name) in enumerate(drawn, start=1):
        dashed = "predicted" if place == len(drawn) else None
        drawing.prediction(axes, widths, predicted, dashed, of=name)
    axes.set_xscale("log", base=2)
    top = max(float(nets.max()) for nets, *_ in drawn)
    axes.set(xlabel="width $m$", yscale="log", ylim=(None, room * top))
    axes.legend(loc="upper right")


def movement(axes: Axes, result: ClaimResult) -> None:
    """How far does plain training take a neuron, how many flip, and what is not linear then?"""
    arrays = result.arrays
    if "plain_movement" not in arrays:
        return
    widths = arrays["widths"].astype(float)
    drawn = [
        (
            arrays["plain_movement"],
            arrays["plain_predicted_movement"],
            drawing.BLUE,
            r"max$_r$ $\|w_r(T)-w_r(0)\|$",
            "max_r ‖w_r(T) − w_r(0)‖",
        ),
        (
            arrays["plain_flipped"],
            arrays["plain_predicted_flipped"] / np.sqrt(widths),
            drawing.ORANGE,
            "share of flipped activations",
            "share of flipped activations",
        ),
        (
            arrays["plain_deviation"],
            arrays["plain_predicted_deviation"],
            drawing.GREEN,
            r"sup$_t$ $\|u_m-u_\mathrm{lin}\|/\sqrt{n}$",
            "sup_t ‖u_m − u_lin‖/√n",
        ),
    ]
    _over_width(axes, widths, drawn, 8)
    axes.set(ylabel="distance or share, in plain training")


def kernel(axes: Axes, result: ClaimResult) -> None:
    """How far is the NTK from its limit at the start, and how far does training take it?"""
    arrays = result.arrays
    if "plain_kernel_change" not in arrays:
        return
    drawn = [
        (
            arrays["initial_distance"],
            arrays["predicted_initial_distance"],
            drawing.ORANGE,
            r"at the start, $\|H_m(0)-H\|_F$",
            "at the start, ‖H_m(0) − H‖_F",
        ),
        (
            arrays["plain_kernel_change"],
            arrays["plain_predicted_kernel_change"],
            drawing.BLUE,
            r"by training, $\|H_m(T)-H_m(0)\|_F$",
            "by training, ‖H_m(T) − H_m(0)‖_F",
        ),
    ]
    _over_width(axes, arrays["widths"].astype(float), drawn, 4)
    axes.set(ylabel="distance of kernels")

"""Picture of `lazy`: movement, flips, change of the kernel and deviation over the width."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def draw(figure: Figure, result: ClaimResult) -> None:
    """Movement and flips, changes of the kernel and deviation, over the width; theory dashed."""
    arrays = result.arrays
    left, right = figure.subplots(1, 2)
    widths = arrays["widths"].astype(float)
    root = np.sqrt(widths)
    panels = (
        (left, "movement", arrays["plain_predicted_movement"], drawing.BLUE, "largest movement"),
        (
            left,
            "flipped",
            arrays["plain_predicted_flipped"] / root,
            drawing.ORANGE,
            "flipped share",
        ),
        (
            right,
            "kernel_change",
            arrays["plain_predicted_kernel_change"],
            drawing.BLUE,
            r"$\|H_m(T)-H_m(0)\|_F$",
        ),
        (
            right,
            "deviation",
            arrays["plain_predicted_deviation"],
            drawing.ORANGE,
            r"$\sup_t\,\|u_m-u_{\rm lin}\|/\sqrt{n}$",
        ),
    )
    for axes, quantity, predicted, colour, label in panels:
        drawing.band(axes, widths, arrays[f"plain_{quantity}"].T, colour, label)
        drawing.prediction(axes, widths, predicted, "predicted" if colour == drawing.BLUE else None)
    for axes in (left, right):
        axes.set(xlabel="width $m$", yscale="log")
        axes.set_xscale("log", base=2)
        axes.legend(frameon=False)

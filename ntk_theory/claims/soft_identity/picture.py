"""Picture of `soft-identity`: differences below their rounding bound, and errors over time."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def draw(figure: Figure, result: ClaimResult) -> None:
    """Differences below their rounding bound, and the error curves over time."""
    left, right = figure.subplots(1, 2)
    arrays = result.arrays
    left.set(xlabel="width $m$", ylabel=r"$\sup_t\,\|u_{\rm soft}-u_{\rm plain}\|$", yscale="log")
    left.set_xscale("log", base=2)
    if "identity_widths" in arrays:
        widths = arrays["identity_widths"]
        seen = np.maximum(arrays["identity_difference"], 1e-18)
        left.plot(widths, seen, color=drawing.BLUE, marker="o", ms=3.5, ls="", label="measured")
        ladder = np.unique(widths)
        least = [arrays["identity_bound"][widths == width].min() for width in ladder]
        drawing.prediction(left, ladder, least, "smallest rounding bound")
        left.legend(frameon=False)
    right.set(xlabel="step $t$", ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    for key, colour, label in (
        ("memorising", drawing.ORANGE, "soft, Σα = ∞"),
        ("stopping", drawing.BLUE, "soft, Σα < ∞"),
    ):
        if f"{key}_error" not in arrays:
            continue
        steps = np.arange(arrays[f"{key}_error"].shape[1])
        drawing.band(right, steps, arrays[f"{key}_error"], colour, label)
        drawing.prediction(right, steps, arrays[f"predicted_{key}"])
        right.legend(frameon=False)

"""Pictures of `soft-identity`: the identity, what soft targets come to, and other policies."""

from __future__ import annotations

__all__ = ["identity", "policies", "soft_targets"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

_ERROR = r"RMS error  $\|u_t-y\|/\sqrt{n}$"
_FLOOR = 1e-18
"""Differences that are zero exactly are drawn here."""


def identity(axes: Axes, result: ClaimResult) -> None:
    """Do soft targets and plain training with rates ηα_t differ by more than rounding?"""
    arrays = result.arrays
    if "identity_widths" not in arrays:
        return
    widths = arrays["identity_widths"]
    seen = np.maximum(arrays["identity_difference"], _FLOOR)
    drawing.dots(axes, widths, seen, drawing.BLUE, "measured")
    ladder = np.unique(widths)
    least = [arrays["identity_bound"][widths == width].min() for width in ladder]
    drawing.prediction(axes, ladder, least, "smallest rounding bound")
    axes.set(xlabel="width $m$", ylabel=r"sup$_t$ $\|u_\mathrm{soft}-u_\mathrm{plain}\|$")
    axes.set(yscale="log", ylim=(1e-19, 1e-5))
    axes.set_xscale("log", base=2)
    axes.legend(loc="upper left")


def soft_targets(axes: Axes, result: ClaimResult) -> None:
    """Do soft targets memorise, and when do they stop early instead?"""
    arrays = result.arrays
    if "memorising_error" not in arrays:
        return
    steps = np.arange(arrays["memorising_error"].shape[1])
    ways = {
        "memorising": (drawing.ORANGE, r"$\Sigma\,\alpha_t=\infty$", "Σ α_t = ∞"),
        "stopping": (drawing.BLUE, r"$\Sigma\,\alpha_t<\infty$", "Σ α_t < ∞"),
    }
    for key, (colour, label, _) in ways.items():
        drawing.band(axes, steps, arrays[f"{key}_error"], colour, label)
    for key, (_, _, name) in ways.items():
        dashed = "closed forms" if key == "stopping" else None
        drawing.prediction(axes, steps, arrays[f"predicted_{key}"], dashed, of=name)
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ: bound of stopping")
    drawing.step_axis(axes, steps[-1])
    axes.set(ylabel=_ERROR, ylim=(0, 1.03))
    axes.legend(loc="lower left")


def policies(axes: Axes, result: ClaimResult) -> None:
    """Under one schedule of fading weights: which label policies reach the clean labels?"""
    arrays = result.arrays
    ways = {
        "stopping": (drawing.ORANGE, "soft, $u$"),
        "tempered": (drawing.GREEN, r"tempered, $\tanh(u/T)$"),
        "hard": (drawing.BLUE, r"hard, $\mathrm{sign}(u)$"),
    }
    if any(f"{key}_error" not in arrays for key in ways):
        return
    steps = np.arange(arrays["hard_error"].shape[1])
    for key, (colour, label) in ways.items():
        drawing.band(axes, steps, arrays[f"{key}_error"], colour, label)
    for key, (_, label) in ways.items():
        dashed, name = "kernel recursion" if key == "hard" else None, label.partition(",")[0]
        drawing.prediction(axes, steps, arrays[f"predicted_{key}"], dashed, of=name)
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ: bound of stopping")
    drawing.step_axis(axes, steps[-1])
    axes.set(ylabel=_ERROR, ylim=(0, 1.03))
    axes.legend(loc="lower left")

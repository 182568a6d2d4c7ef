"""Pictures of `air`: retrieved shares on clusters, and the lead of information on all designs."""

from __future__ import annotations

__all__ = ["information_ahead", "retrieved_shares"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def retrieved_shares(axes: Axes, result: ClaimResult) -> None:
    """How much of the information and of the noise is retrieved on clusters, step by step?"""
    arrays = result.arrays
    if "information" in arrays:
        steps = np.arange(arrays["information"].shape[1])
        drawing.band(axes, steps, arrays["information"], drawing.BLUE, "information")
        drawing.band(axes, steps, arrays["noise"], drawing.ORANGE, "noise")
        drawing.prediction(axes, steps, arrays["predicted_information"], "$1-(1-ηλ)^t$")
        drawing.prediction(axes, steps, arrays["predicted_noise"])
        axes.axhline(0.5, color=drawing.GREY, lw=0.6, gid="half")
        axes.legend(loc="lower right")
    axes.set(xlabel="step $t$", ylabel="retrieved share, clusters", ylim=(0, 1.05))


def information_ahead(axes: Axes, result: ClaimResult) -> None:
    """How far are clean labels ahead of noise, on each design?"""
    arrays = result.arrays
    colours = (drawing.BLUE, drawing.ORANGE, drawing.GREEN, drawing.INDIGO)
    for name, colour in zip(("clusters", "tree", "power_law", "circle"), colours, strict=True):
        if f"{name}_gap" not in arrays:
            continue
        steps = np.arange(arrays[f"{name}_gap"].shape[1])
        drawing.band(axes, steps, arrays[f"{name}_gap"], colour, name.replace("_", " "))
        label = "prediction" if name == "clusters" else None
        drawing.prediction(axes, steps, arrays[f"{name}_predicted_gap"], label)
    axes.axhline(0, color=drawing.GREY, lw=0.6, gid="no lead")
    axes.set(xlabel="step $t$", ylabel=r"$R_t(\mathrm{clean})-\mathbb{E}\,R_t(\mathrm{noise})$")
    if "clusters_gap" in arrays:
        axes.legend()

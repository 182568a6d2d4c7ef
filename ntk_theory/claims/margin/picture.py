"""Picture of `margin`: least margin over time, and the distribution of margins at the end."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_least(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[0], result.arrays
    steps = np.arange(len(arrays["self_distillation_predicted"]))
    label = f"self-distillation, width {arrays['widths'][-1]}"
    drawing.band(axes, steps, arrays["plain_margin"], drawing.ORANGE, "plain training")
    drawing.band(axes, steps, arrays["self_distillation_margin"], drawing.BLUE, label)
    drawing.prediction(axes, steps, arrays["self_distillation_predicted"], "closed forms")
    drawing.prediction(axes, steps, arrays["plain_predicted"])
    bound = 1 - 2 * result.config["noise_rate"]
    axes.axhline(bound, color=drawing.GREY, lw=1, label="1 − 2ρ, bound of every stopping time")
    axes.set(xlabel="step $t$", ylabel=r"least margin  $\min_i\,y_iu_i$", xscale="symlog")
    axes.set(xlim=(0, steps[-1]))
    axes.legend(frameon=False, fontsize=8)


def _draw_distribution(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[1], result.arrays
    points = arrays["flipped"].size
    share = np.repeat(np.arange(points + 1), 2)[1:-1] / points  # steps: 0, 1/n, 1/n, ..., 1
    ways = (("plain", drawing.ORANGE, "plain training"), ("self_distillation", drawing.BLUE, None))
    for key, colour, name in ways:
        for net, values in enumerate(np.sort(arrays[f"{key}_final"], axis=1)):
            label = (name or "self-distillation") if net == 0 else None
            axes.plot(np.repeat(values, 2), share, color=colour, lw=2.5, alpha=0.5, label=label)
        label = None if name else "two atoms each in the limit"
        drawing.prediction(axes, np.repeat(np.sort(arrays[f"{key}_atoms"]), 2), share, label)
    axes.set(xlabel="margin $y_iu_i$ at the end", ylabel="share of points below")
    axes.legend(frameon=False, loc="center left")


def draw(figure: Figure, result: ClaimResult) -> None:
    """Least margin over time, and the distribution of margins at the end."""
    figure.subplots(1, 2)
    if "widths" in result.arrays:
        _draw_least(figure, result)
        _draw_distribution(figure, result)

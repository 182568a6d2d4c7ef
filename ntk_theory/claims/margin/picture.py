"""Pictures of `margin`: least margin over time, and the distribution of margins in the end."""

from __future__ import annotations

__all__ = ["distribution", "least_margin"]

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def least_margin(axes: Axes, result: ClaimResult) -> None:
    """Does self-distillation reach a margin that no stopping time has?"""
    arrays = result.arrays
    if "plain_margin" not in arrays:
        return
    steps = np.arange(len(arrays["self_distillation_predicted"]))
    drawing.band(axes, steps, arrays["plain_margin"], drawing.ORANGE, "plain training")
    margins = arrays["self_distillation_margin"]
    drawing.band(axes, steps, margins, drawing.BLUE, "self-distillation")
    predicted = arrays["self_distillation_predicted"]
    drawing.prediction(axes, steps, predicted, "closed forms", of="self-distillation")
    drawing.prediction(axes, steps, arrays["plain_predicted"], of="plain training")
    drawing.bound(axes, 1 - 2 * result.config["noise_rate"], "1 − 2ρ: bound of stopping")
    drawing.step_axis(axes, steps[-1])
    axes.set(ylabel=r"least margin  $\min_i\,y_iu_i$", ylim=(-1.05, 1.05))
    axes.legend(loc="lower left")


def _share_below(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the share of values below each of them."""
    ordered = np.repeat(np.sort(np.asarray(values)), 2)
    points = ordered.size // 2
    return ordered, np.repeat(np.arange(points + 1), 2)[1:-1] / points


def distribution(axes: Axes, result: ClaimResult) -> None:
    """Where do the margins of all points lie: stopped at best, memorised, self-distilled?"""
    arrays = result.arrays
    if "stopped_final" not in arrays:
        return
    ways = (
        ("stopped", drawing.GREEN, "best stopping"),
        ("plain", drawing.ORANGE, "memorised"),
        ("self_distillation", drawing.BLUE, "self-distilled"),
    )
    for key, colour, name in ways:
        for net, values in enumerate(arrays[f"{key}_final"]):
            drawing.line(axes, *_share_below(values), colour, name, show=net == 0, alpha=0.6)
    for key, _, name in ways:
        dashed = "limit: two atoms" if key == "plain" else None
        drawing.prediction(axes, *_share_below(arrays[f"{key}_atoms"]), dashed, of=name)
    axes.axvline(0, color=drawing.GREY, lw=0.6, gid="margin 0")
    axes.set(xlabel="margin $y_iu_i$", ylabel="share of points below", ylim=(-0.03, 1.03))
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.legend(loc="upper left")

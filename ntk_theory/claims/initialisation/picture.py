"""Pictures of `initialisation`: final error over the scale and over the width."""

from __future__ import annotations

__all__ = ["draw"]

import numpy as np
from matplotlib.figure import Figure

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def _draw_scales(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[0], result.arrays
    small = np.full(len(arrays["small_errors"]), arrays["scales"][-1])
    x = np.concatenate([arrays["net_scales"], small])
    y = np.concatenate([arrays["net_errors"], arrays["small_errors"]])
    axes.plot(x, y, color=drawing.BLUE, marker="o", ms=3, ls="", alpha=0.25, label="nets")
    means = [y[x == scale].mean() for scale in arrays["scales"]]
    axes.plot(arrays["scales"], means, color=drawing.BLUE, lw=2.5, label="mean of the nets")
    drawing.prediction(axes, arrays["scales"], arrays["predicted_mean"], "predicted mean")
    axes.axhline(arrays["zero_start"][0], color=drawing.GREY, lw=1, label="zero start")
    axes.set(xlabel="scale σ of the initial weights", ylabel="final RMS error")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="center left")


def _draw_widths(figure: Figure, result: ClaimResult) -> None:
    axes, arrays = figure.axes[1], result.arrays
    widths, large = arrays["widths"], arrays["large_errors"]
    scale = result.config["init_scale"]
    error = large.std(axis=1, ddof=1) / np.sqrt(large.shape[1])
    axes.errorbar(
        widths,
        large.mean(axis=1),
        error,
        color=drawing.ORANGE,
        marker="o",
        ms=4,
        label=f"scale {scale:g}, mean ± standard error",
    )
    drawing.band(axes, widths, arrays["pair_errors"].T, drawing.BLUE, "antisymmetric pairs")
    drawing.prediction(axes, widths, np.full(len(widths), arrays["predicted_mean"][1]), "predicted")
    drawing.prediction(axes, widths, np.full(len(widths), arrays["zero_start"][0]))
    axes.set(xlabel="width $m$", ylabel="final RMS error")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="center right")


def draw(figure: Figure, result: ClaimResult) -> None:
    """Final error over the scale and over the width, predictions dashed."""
    figure.subplots(1, 2)
    if "net_errors" in result.arrays:
        _draw_scales(figure, result)
        _draw_widths(figure, result)

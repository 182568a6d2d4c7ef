"""Pictures of `initialisation`: floors over the scale, wrong signs, floors over the width."""

from __future__ import annotations

__all__ = ["floor", "width", "wrong_signs"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

Array = NDArray[np.float64]


def _scale_axis(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel=r"scale $\sigma$ of the initial weights")


def _by_scale(result: ClaimResult, key: str) -> tuple[Array, list[Array]]:
    """Scales, and a quantity of the nets at each of them."""
    every, values = result.arrays["net_scales"], result.arrays[f"net_{key}"]
    scales = np.unique(every)
    return scales, [values[every == scale] for scale in scales]


def floor(axes: Axes, result: ClaimResult) -> None:
    """How small must an initial output be to leave no error floor?"""
    arrays = result.arrays
    if "law_mean" not in arrays:
        return
    drawing.dots(axes, arrays["net_scales"], arrays["net_errors"], drawing.ORANGE, "single nets")
    name = "mean ± standard error"
    drawing.means(axes, *_by_scale(result, "errors"), drawing.INDIGO, name, "D")
    scales, (low, high) = arrays["law_scales"], arrays["law_range"]
    drawing.bound(axes, arrays["zero_start"][0], "antisymmetric pairs")
    drawing.prediction(axes, scales, arrays["law_mean"], "predicted mean")
    drawing.prediction_range(axes, scales, low, high, "predicted, 98 % of nets")
    _scale_axis(axes)
    axes.set(ylabel=r"final RMS error  $\|u_T-y\|/\sqrt{n}$", yscale="log")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)


def wrong_signs(axes: Axes, result: ClaimResult) -> None:
    """What share of signs is wrong when predictions begin to teach, and do nets get over it?"""
    arrays = result.arrays
    if "law_unrecovered" not in arrays:
        return
    scales = arrays["law_scales"]
    nets, signs = "nets with a wrong label at the end", "signs wrong after the burn-in"
    drawing.means(axes, *_by_scale(result, "unrecovered"), drawing.ORANGE, nets, "s")
    drawing.means(axes, *_by_scale(result, "wrong_signs"), drawing.INDIGO, signs)
    drawing.prediction(axes, scales, arrays["law_unrecovered"], "predicted", of=nets)
    drawing.prediction(axes, scales, arrays["law_wrong_signs"], of=signs)
    _scale_axis(axes)
    axes.set(ylabel="share", ylim=(-0.03, 1.03))
    axes.legend(loc="upper left")


def width(axes: Axes, result: ClaimResult) -> None:
    """Does a wider net help a large initial output?"""
    arrays = result.arrays
    if "large_errors" not in arrays:
        return
    widths, large = arrays["widths"], arrays["large_errors"]
    scale = result.config["init_scale"]
    pairs = "antisymmetric pairs"
    drawing.means(axes, widths, arrays["pair_errors"], drawing.BLUE, pairs, "s")
    drawing.dots(axes, widths, large, drawing.ORANGE, rf"nets of scale $\sigma = {scale:g}$")
    drawing.means(axes, widths, large, drawing.INDIGO, "their mean ± standard error", "D")
    predicted = np.full(len(widths), arrays["law_mean"][arrays["law_scales"] == scale][0])
    drawing.prediction(axes, widths, predicted, "predicted", of=f"nets of scale σ = {scale:g}")
    drawing.prediction(axes, widths, np.full(len(widths), arrays["zero_start"][0]), of=pairs)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="width $m$", ylabel=r"final RMS error  $\|u_T-y\|/\sqrt{n}$", yscale="log")
    axes.legend(loc="center right")

"""Pictures of random initial outputs: floors over the scale, wrong signs, floors over the width."""

from __future__ import annotations

__all__ = ["drawn", "floor", "over_width", "wrong_signs"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.claims._initialisation_scales import Scales, rms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.verdicts import ClaimResult

Array = NDArray[np.float64]

_STEPS_BETWEEN = 4
"""Scales at which the predicted distribution is drawn, for each at which nets are trained."""

_TAIL = 0.01
"""Share of single nets left out at either end of the range that is drawn."""


def drawn(problem: Scales, nets: Mapping[float, Sequence[Array]]) -> dict[str, Array]:
    """What is drawn of nets, outputs (S, 3, n) by scale, and of the predicted distributions."""
    places = range(_STEPS_BETWEEN * (len(problem.scales) - 1) + 1)
    scales = [problem.scales[0] * 2 ** (-place / _STEPS_BETWEEN) for place in places]
    laws = [problem.law(scale) for scale in scales]
    every = [(scale, one) for scale, found in nets.items() for one in found]
    outputs, clean = np.concatenate([one for _, one in every]), problem.dataset.clean
    return {
        "law_scales": np.array(scales),
        "law_mean": np.array([law.error.mean() for law in laws]),
        "law_range": np.stack([np.quantile(law.error, (_TAIL, 1 - _TAIL)) for law in laws], 1),
        "law_unrecovered": np.array([1 - law.recovered.mean() for law in laws]),
        "law_wrong_signs": np.array([problem.early_share(scale) for scale in scales]),
        "zero_start": problem.distilled.rms_error()[-1:],
        "net_scales": np.concatenate([np.full(len(one), scale) for scale, one in every]),
        "net_errors": rms(outputs[:, 2] - clean),
        "net_unrecovered": (outputs[:, 2] * clean <= 0).any(axis=1),
        "net_wrong_signs": (outputs[:, 1] * clean <= 0).mean(axis=1),
    }


def _scale_axis(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

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
    arrays, drawing = result.arrays, nt.drawing
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
    arrays, drawing = result.arrays, nt.drawing
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


def over_width(axes: Axes, result: ClaimResult) -> None:
    """Does a wider net help a large initial output?"""
    arrays, drawing = result.arrays, nt.drawing
    if "large_errors" not in arrays:
        return
    widths, large = arrays["widths"], arrays["large_errors"]
    scale, pairs = result.config["init_scale"], "antisymmetric pairs"
    drawing.means(axes, widths, arrays["pair_errors"], drawing.BLUE, pairs, "s")
    drawing.dots(axes, widths, large, drawing.ORANGE, rf"nets of scale $\sigma = {scale:g}$")
    drawing.means(axes, widths, large, drawing.INDIGO, "their mean ± standard error", "D")
    predicted = np.full(len(widths), arrays["law_mean"][arrays["law_scales"] == scale][0])
    drawing.prediction(axes, widths, predicted, "predicted", of=f"nets of scale σ = {scale:g}")
    drawing.prediction(axes, widths, np.full(len(widths), arrays["zero_start"][0]), of=pairs)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="width $m$", ylabel=r"final RMS error  $\|u_T-y\|/\sqrt{n}$", yscale="log")
    axes.legend(loc="center right")

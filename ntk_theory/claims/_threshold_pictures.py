"""Pictures of `threshold`: who recovers over ratio and width, and the margins that decide it."""

from __future__ import annotations

__all__ = ["arrays", "first_margins", "recovery_over_ratio", "recovery_over_width"]

from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import relative_margin
from ntk_theory.claims._threshold_cells import (
    NARROW,
    deviation,
    name_of,
    narrow_problems,
    pooled,
    recovered,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.rows import Array
    from ntk_theory.checking.verdicts import ClaimResult


def _edge(problem: nt.NoisyClusters, level: float) -> float:
    """Noise rate at which the predicted relative margin of step 1 has fallen to a level."""
    from scipy.optimize import brentq

    def above(rate: float) -> float:
        margin = nt.predictions.relative_margin(problem.spectrum, rate, problem.learning_rate, 1)
        return float(margin) - level

    low, high = 1e-9, 0.5
    if above(low) <= 0:
        return 0.0
    return high if above(high) >= 0 else float(brentq(above, low, high))


def arrays(run: nt.Run) -> dict[str, Array]:
    """Cells, and what the narrow nets do against what their deviation leads one to expect."""
    problems, cells, narrow = run.problem.problems, run.declared.rows, narrow_problems(run.problem)
    ratios = [problem.ratio for problem in problems]
    curve = np.geomspace(min(ratios) / 1.3, max(ratios) * 1.3, 60)
    every = [(row.training.points, run.widest(row.training).outputs()) for row in cells]
    names = [f"narrow, {name_of(problem)}" for problem in narrow]
    trained = [(run.trainings[name].points, run.results[name]) for name in names]
    # That the power law of the claim's nets goes on down to these widths is a heuristic.
    law = run.fit([values.ravel() for values in pooled(run)])
    levels = [law.at(width) for width in NARROW]
    return {
        "ratio": np.array(ratios),
        "noise_rate": np.array([problem.noise_rate for problem in problems]),
        "recovered": np.array([recovered(out, points).mean() for points, out in every]),
        "decided": np.array([abs(row.predicted) > deviation(run) for row in cells]),
        "relative_margin": np.array([relative_margin(out, points)[:, 1] for points, out in every]),
        "predicted_margin": np.array([row.predicted for row in cells]),
        "narrow_ratio": np.array(narrow[0].ratio),
        "narrow_rate": np.array([problem.noise_rate for problem in narrow]),
        "narrow_width": np.array(NARROW, dtype=float),
        "narrow_share": np.array([[recovered(one.outputs(), points).mean() for one in nets]
                                  for points, nets in trained]),
        "narrow_surely": np.array([_edge(narrow[0], level) for level in levels]),
        "narrow_never": np.array([_edge(narrow[0], -level) for level in levels]),
        "curve_ratio": curve,
        "curve_threshold": np.array([nt.predictions.recoverability_threshold(r) for r in curve]),
    }  # fmt: skip


def recovery_over_ratio(axes: Axes, result: ClaimResult) -> None:
    """At which noise rates and ratios do nets have every label right at some step?"""
    from matplotlib.ticker import NullLocator

    arrays, drawing = result.arrays, nt.drawing
    if "recovered" not in arrays:
        return
    x, y, share = (np.asarray(arrays[name]) for name in ("ratio", "noise_rate", "recovered"))
    decided = np.asarray(arrays["decided"], dtype=bool)
    for cells, colour, marker, label in (
        (share == 1, drawing.BLUE, "o", "all nets recover"),
        ((share > 0) & (share < 1), drawing.GREEN, "^", "some do"),
        (share == 0, drawing.ORANGE, "X", "none does"),
    ):
        if not cells.any():
            continue
        sure, near = cells & decided, cells & ~decided
        drawing.dots(axes, x[sure], y[sure], colour, label, marker, size=6)
        name = f"{label}, undecided"
        drawing.dots(axes, x[near], y[near], colour, name, marker, size=6, hollow=True, show=False)
    if not decided.all():
        name = "hollow: undecided at this width"
        drawing.dots(axes, [], [], drawing.GREY, name, size=6, hollow=True)
    drawing.prediction(axes, arrays["curve_ratio"], arrays["curve_threshold"], r"$\rho^*$")
    ratios = np.unique(x)
    axes.set(xscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)


def first_margins(axes: Axes, result: ClaimResult) -> None:
    """How does the margin that decides it cross zero at the threshold?"""
    arrays, drawing = result.arrays, nt.drawing
    if "relative_margin" not in arrays:
        return
    for index, ratio in enumerate(np.unique(arrays["ratio"])):
        cells = arrays["ratio"] == ratio
        x, nets = arrays["noise_rate"][cells], arrays["relative_margin"][cells]
        drawing.dots(axes, x, nets, drawing.BLUE, "trained nets", show=index == 0)
        predicted = arrays["predicted_margin"][cells]
        dashed = None if index else "closed form"
        drawing.prediction(axes, x, predicted, dashed, of=f"trained nets, r = {ratio:g}")
        axes.annotate(f"r = {ratio:g}", (x[0], predicted[0]), xytext=(-4, 0), ha="right",
                      va="center", textcoords="offset points", fontsize=7)  # fmt: skip
    drawing.bound(axes, 0.0, "0: a wrong label", show=False)
    rates = arrays["noise_rate"]
    axes.set(xlim=(rates.min() - 0.3 * np.ptp(rates), rates.max() + 0.02), xlabel="noise rate ρ")
    axes.set(ylabel="relative margin of the first step")
    axes.legend(loc="lower left")


def recovery_over_width(axes: Axes, result: ClaimResult) -> None:
    """From which width on do nets recover the noise rates below the threshold?"""
    arrays, drawing = result.arrays, nt.drawing
    if "narrow_share" not in arrays:
        return
    widths, rates = arrays["narrow_width"], arrays["narrow_rate"]
    places = np.log2(widths)
    drawing.heatmap(axes, places, rates, arrays["narrow_share"], "share of nets that recover")
    ends, ratio = axes.get_ylim(), float(arrays["narrow_ratio"])
    for key, label, name in (
        ("surely", "all below, none above", "the rate up to which all nets recover"),
        ("never", None, "the rate from which on none does"),
    ):
        drawing.prediction(axes, places, arrays[f"narrow_{key}"], label, of=name, over_map=True)
    threshold = nt.predictions.recoverability_threshold(ratio)
    drawing.bound(axes, threshold, rf"$\rho^*$ ($r$ = {ratio:g})")
    axes.set(xlabel="width $m$", ylabel="noise rate ρ", ylim=ends)
    axes.set_xticks(places[::2], [f"{width:g}" for width in widths[::2]])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

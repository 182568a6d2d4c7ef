"""The noise rate at which nets stop having every label right, against ρ*: interpolated in two ways.

Both interpolate a quantity whose closed form is linear in ρ with root ρ*, between the two rates
next to it, decided or not: the root of the line through the closed forms is ρ* itself.
"""

from __future__ import annotations

__all__ = ["best_margin_row", "first_margin_row"]

import math

from scipy.special import stdtrit

from ntk_theory.claims.threshold.nets import Nets
from ntk_theory.claims.threshold.plan import Cell, Plan
from ntk_theory.noise_grid import RISK
from ntk_theory.verdicts import Measurement


def _root(low: float, high: float, rates: tuple[float, float]) -> tuple[float, float, float]:
    """Line through two values at two rates: root, slope, and weight of the second in the root."""
    step = rates[1] - rates[0]
    slope = (high - low) / step
    root = rates[0] - low / slope
    return root, slope, (root - rates[0]) / step


def _first_size(cell: Cell) -> float:
    """Predicted root mean square of the outputs of the first step, in units of ηλ_−."""
    problem = cell.problem
    return float(cell.way.size[0]) / (problem.learning_rate * problem.spectrum.noise)


def best_margin_row(plan: Plan, nets: Nets, ratio: float) -> Measurement:
    """Where the best relative margin of any step, that decides whether nets recover, is zero.

    Theory has its best at step 1. Times the size of that step, in units of ηλ_−, it is
    r − 2 − 2ρ(r − 1) (section 6.4). Outputs within ν of their size at every step have a best margin
    within ν; so a root with weight s of the upper rate is within ν [(1−s) a_low + s a_high] over
    the slope 2(r − 1) of ρ*, a being those sizes. ν is a bound on the mean deviation of the nets of
    a cell, in the two cells of every ratio, from all narrower widths.

    A boundary that is off by more fails: by some hundredths of ρ, less than a step of the grid. A
    tolerance above half of that step tells no more than the signs of the cells do.
    """
    cells = [plan.cells[i] for i in plan.nearest(ratio)]
    rates = (cells[0].problem.noise_rate, cells[1].problem.noise_rate)
    sizes = [_first_size(cell) for cell in cells]
    low, high = (
        size * float(nets.best_margin[i][-1].mean())
        for i, size in zip(plan.nearest(ratio), sizes, strict=True)
    )
    root, _, share = _root(low, high, rates)
    deviation = nets.mean_bound(plan, 1 - RISK / (2 * len(plan.ratios)))
    slope = 2 * (cells[0].problem.spectrum.ratio - 1)
    return Measurement(
        f"boundary from the best margin of any step, r = {ratio:g}",
        cells[0].threshold,
        root,
        deviation * (abs(1 - share) * sizes[0] + abs(share) * sizes[1]) / slope,
        resolution=(rates[1] - rates[0]) / 2,
    )


def first_margin_row(plan: Plan, nets: Nets, ratio: float) -> Measurement:
    """Where the flipped points' mean margin after one step is zero.

    Nets have it without bias to leading order (section 6.7): the tolerance is that of the nets'
    scatter, by Student's law.
    """
    nearest = plan.nearest(ratio)
    cells = [plan.cells[i] for i in nearest]
    rates = (cells[0].problem.noise_rate, cells[1].problem.noise_rate)
    low, high = (float(nets.first[i][-1].mean()) for i in nearest)
    errors = [float(nets.first[i][-1].var(ddof=1)) / plan.nets.count for i in nearest]
    root, slope, share = _root(low, high, rates)
    spread = math.sqrt((1 - share) ** 2 * errors[0] + share**2 * errors[1]) / abs(slope)
    quantile = stdtrit(plan.nets.count - 1, 1 - RISK / (2 * len(plan.ratios)))
    return Measurement(
        f"boundary from the margin of the first step, r = {ratio:g}",
        cells[0].threshold,
        root,
        float(quantile * spread),
        resolution=(rates[1] - rates[0]) / 2,
    )

"""First wrong steps of all cells, and the error curve of the reference cell."""

from __future__ import annotations

__all__ = ["measurements"]

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.memorisation.controls import BROKEN
from ntk_theory.claims.memorisation.nets import Grid, first_wrong_step
from ntk_theory.claims.memorisation.plan import Cell, Plan
from ntk_theory.experiments import Rung
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import limit_run, worst_limit_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]


def _kernel_rows(plan: Plan) -> list[Measurement]:
    """The infinitely wide net, run on the measured kernel: exact steps, and exact outputs.

    Those of the controls too: nets alone tell their closed forms no better than to a tolerance.
    """
    runs, off = [], 0
    for cell in plan.cells:
        limit = limit_run(cell.problem.spectrum, cell.way)
        runs.append(limit)
        step = int(first_wrong_step(limit.outputs * cell.problem.dataset.clean))
        off = max(off, abs(step - cell.first_wrong))
    return [
        Measurement("kernel limit: first wrong step − closed form, largest", 0.0, off, 0.0),
        worst_limit_row(runs),
        worst_limit_row([broken(plan).limit() for broken in BROKEN], " of the controls"),
    ]


def _first_wrong_row(cell: Cell, measured: NDArray[np.int64], deviation: float) -> Measurement:
    """First wrong step of the net that leaves least of the window.

    Outputs that deviate by at most ν of their size have their first wrong sign while the predicted
    relative margin is within ±ν (section 6.7). A window that reaches half or twice the predicted
    step tells nothing.
    """
    problem, first = cell.problem, cell.first_wrong

    def fallen_to(margin: float) -> float:
        if margin <= -1:
            return math.inf
        return predictions.first_wrong_step(
            problem.spectrum, problem.noise_rate, problem.learning_rate, margin
        )

    below, above = first - fallen_to(deviation), fallen_to(-deviation) - first
    allowed = np.where(measured < first, below, above)
    worst = int(np.argmin(allowed - np.abs(measured - first)))
    tolerance, resolution = float(allowed[worst]), math.inf
    for side, limit in ((below, first / 2), (above, float(first))):
        if side > limit:
            tolerance, resolution = side, limit
    return Measurement(
        f"first wrong step, {cell.name} (net farthest off)",
        first,
        float(measured[worst]),
        tolerance,
        (float(measured.min()), float(measured.max())),
        resolution=resolution,
    )


def _curve_distance(cell: Cell, rung: Rung) -> Array:
    """Largest distance of a net's error curve from the predicted one, shape (S,)."""
    return np.asarray(np.abs(rung.error - cell.way.error).max(axis=1))


def _curve_tilt(cell: Cell, rung: Rung) -> Array:
    """Largest change of the curve's deviation from its best step on, a step, shape (S,)."""
    away = _from_best(cell)
    off = rung.error - cell.way.error
    change = np.abs(off - off[:, away == 0])[:, away > 0] / away[away > 0]
    return np.asarray(change.max(axis=1))


def _from_best(cell: Cell) -> NDArray[np.int64]:
    """Steps between every step and the predicted best one."""
    return np.abs(np.arange(len(cell.way.error)) - int(cell.way.error.argmin()))


def _best_window(cell: Cell, ladder: Ladder, allowed: float) -> float:
    """How far from the predicted best step a net may be best.

    Where the curve has risen by no more than the net's own curve can fall against it: by its tilt
    near the best step, by twice its distance anywhere. The mean net stays within what 99 of 100
    nets do.
    """
    away, error = _from_best(cell), cell.way.error
    tilt = ladder.allowance(cell.name, partial(_curve_tilt, cell))
    fall = np.minimum(tilt * away, 2 * allowed)
    return float(away[error - error.min() <= fall].max())


def _curve_rows(plan: Plan, ladder: Ladder) -> list[Measurement]:
    """The whole error curve of the reference case, its best and its end.

    Every one of them is as far off as the curve is at most; narrower nets say how far that is.
    """
    cell = plan.reference_cell
    predicted, rho = cell.way.error, cell.problem.noise_rate
    widest, best = ladder.rungs[cell.name][-1], int(predicted.argmin())
    distance = partial(_curve_distance, cell)
    allowed = ladder.allowance(cell.name, distance, plan.confidence)
    depth = min(1.0, 2 * math.sqrt(rho)) - float(predicted[best])
    return [
        over_nets(
            f"error curve, {cell.name}: largest distance",
            0.0,
            distance(widest),
            allowed,
            depth / 2,
        ),
        over_nets(
            f"best RMS error, {cell.name} (bound 2ρ)",
            float(predicted[best]),
            widest.error.min(axis=1),
            allowed,
            rho / 2,
        ),
        over_nets(
            f"step of the best RMS error, {cell.name}",
            best,
            widest.error.argmin(axis=1),
            _best_window(cell, ladder, allowed),
            best - 1,  # a window that reaches step 0, or twice the best step, tells nothing
        ),
        over_nets(
            f"RMS error after {cell.problem.steps} steps, {cell.name} (limit 2√ρ)",
            float(predicted[-1]),
            widest.error[:, -1],
            allowed,
            math.sqrt(rho) - rho,
        ),
    ]


def _falling(plan: Plan, grid: Grid) -> Iterator[Measurement]:
    """The deviations that set the windows and the tolerance of the curve fall with the width."""
    for cell, ladder in zip(plan.cells, grid.ladders, strict=True):
        yield ladder.falling_row(
            cell.name, f"relative outputs, {cell.name}", cell.way.relative_deviation
        )
    cell = plan.reference_cell
    yield grid.ladders[plan.reference].falling_row(
        cell.name, f"error curve, {cell.name}", partial(_curve_distance, cell)
    )


def measurements(plan: Plan, grid: Grid) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield from _kernel_rows(plan)
    for cell, ladder, steps in zip(plan.cells, grid.ladders, grid.first_wrong, strict=True):
        deviation = ladder.allowance(cell.name, cell.way.relative_deviation, plan.confidence)
        yield _first_wrong_row(cell, steps[-1], deviation)
    yield from _curve_rows(plan, grid.ladders[plan.reference])
    yield from _falling(plan, grid)

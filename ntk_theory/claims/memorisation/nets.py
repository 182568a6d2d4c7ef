"""The trained nets of `memorisation`: a ladder for each cell, and its first wrong steps."""

from __future__ import annotations

__all__ = ["Grid", "climb_all", "first_wrong_step"]

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.claims.memorisation.plan import Cell, Plan
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import climb, grid_ladders
from ntk_theory.runs import Evidence
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Progress


@dataclass
class Grid:
    """Nets of all cells: a ladder each, and the first wrong steps at every width, shape (M, S)."""

    ladders: list[Ladder] = field(default_factory=list)
    first_wrong: list[NDArray[np.int64]] = field(default_factory=list)


def first_wrong_step(margins: ArrayLike) -> NDArray[np.int64]:
    """First step t >= 1 at which a margin is not positive; T + 1 if there is none.

    Args:
        margins: y_i u_i(t), shape (..., T + 1, n).
    """
    wrong = (np.asarray(margins)[..., 1:, :] <= 0).any(axis=-1)
    first = np.where(wrong.any(axis=-1), wrong.argmax(axis=-1) + 1, wrong.shape[-1] + 1)
    return np.asarray(first)


def _climb_cell(
    cell: Cell, ladder: Ladder, evidence: Evidence, progress: Progress
) -> NDArray[np.int64] | None:
    """First wrong steps of a cell at every width, shape (M, S), or None if a net diverges."""
    clean = cell.problem.dataset.clean
    steps: list[NDArray[np.int64]] = []

    def look(trajectory: Trajectory) -> None:
        steps.append(first_wrong_step(trajectory.margins(clean)))

    return np.stack(steps) if climb(ladder, [cell.way], evidence, progress, look) else None


def climb_all(plan: Plan, evidence: Evidence, progress: Progress) -> Grid:
    """Train the ladder of every cell; up to the first net that diverges."""
    grid = Grid(grid_ladders(plan.nets, plan.problems))
    for index, (cell, ladder) in enumerate(zip(plan.cells, grid.ladders, strict=True)):
        steps = _climb_cell(cell, ladder, evidence, progress)
        if steps is None:
            break
        grid.first_wrong.append(steps)
        evidence.metrics += [
            {**row, "first_wrong_step": int(first)}
            for row, first in zip(ladder.metrics(), steps.ravel(), strict=True)
        ]
        evidence.progress_note = f"cells trained: {index + 1} of {len(plan.cells)}"
    return grid

"""The trained nets of `separation`: a ladder for each noise rate."""

from __future__ import annotations

__all__ = ["climb_all", "final_deviation", "relative_deviation"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.separation.plan import Plan
from ntk_theory.experiments import Rung
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import Way, climb, grid_ladders
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]


def relative_deviation(way: Way, rung: Rung) -> Array:
    """ε: largest RMS deviation of a net over the predicted error of that step, shape (S,).

    By the triangle inequality its error curve is within the factors 1 ± ε of the predicted one,
    and so is its least value.
    """
    return np.asarray((rung.deviation / way.error).max(axis=1))


def final_deviation(rung: Rung) -> Array:
    """RMS deviation of a net at the last step, shape (S,)."""
    return np.asarray(rung.deviation[:, -1])


def climb_all(plan: Plan, evidence: Evidence, progress: Progress) -> list[Ladder]:
    """Train the ladder of every noise rate in all its ways; up to the first net that diverges."""
    ladders = grid_ladders(plan.nets, plan.problems)
    for index, (problem, ladder) in enumerate(zip(plan.problems, ladders, strict=True)):
        if not climb(ladder, plan.ways(index), evidence, progress):
            break
        evidence.metrics += [{"noise_rate": problem.noise_rate, **row} for row in ladder.metrics()]
        evidence.progress_note = f"noise rates done: {index + 1} of {len(plan.problems)}"
    return ladders

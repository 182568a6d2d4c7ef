"""A run of `memorisation`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

import math

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.memorisation import CLAIM
from ntk_theory.claims.memorisation.controls import CONTROLS, control_tolerance
from ntk_theory.claims.memorisation.measurements import measurements
from ntk_theory.claims.memorisation.nets import Grid, climb_all
from ntk_theory.claims.memorisation.plan import Plan, make_plan, planned_premises
from ntk_theory.noise_grid import ControlNets
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _finding(plan: Plan, grid: Grid) -> str:
    cell = plan.reference_cell
    error = grid.ladders[plan.reference].rungs[cell.name][-1].error
    off = np.stack(
        [
            np.abs(steps[-1] - one.first_wrong)
            for one, steps in zip(plan.cells, grid.first_wrong, strict=True)
        ]
    )
    return (
        f"{(off == 0).sum()} of {off.size} nets of width {plan.nets.widths[-1]} output their first "
        f"wrong label at the very step predicted, the others at most {off.max()} steps off; at "
        f"{cell.name} the error falls to {error.min(axis=1).mean():.4g} and rises to "
        f"{error[:, -1].mean():.4g} (2ρ = {2 * cell.problem.noise_rate:.4g}, "
        f"2√ρ = {2 * math.sqrt(cell.problem.noise_rate):.4g})"
    )


def _arrays(plan: Plan, grid: Grid) -> dict[str, Array]:
    cell = plan.reference_cell
    rung = grid.ladders[plan.reference].rungs[cell.name][-1]
    return {
        "noise_rate": np.array([problem.noise_rate for problem in plan.problems]),
        "ratio": np.array([problem.ratio for problem in plan.problems]),
        "predicted_first_wrong": np.array([float(one.first_wrong) for one in plan.cells]),
        "first_wrong": np.stack([steps[-1] for steps in grid.first_wrong]).astype(float),
        "predicted_error": cell.way.error,
        "error": rung.error,
    }


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    grid = climb_all(plan, evidence, progress)
    if evidence.stopped is not None:
        return ""
    evidence.arrays |= _arrays(plan, grid)
    evidence.measurements += measurements(plan, grid)
    if evidence.sound:
        tolerance = control_tolerance(plan, grid.ladders[plan.reference])
        nets = ControlNets(plan.nets, tolerance, progress)
        for control in CONTROLS:
            evidence.controls.append(control(plan, nets))
    return _finding(plan, grid)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the grid, compare with the closed forms, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

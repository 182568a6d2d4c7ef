"""A run of `threshold`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.threshold import CLAIM
from ntk_theory.claims.threshold.controls import cases, run_control
from ntk_theory.claims.threshold.measurements import measurements
from ntk_theory.claims.threshold.narrow import Narrow, narrow_work, train_narrow
from ntk_theory.claims.threshold.nets import Nets, train_cell
from ntk_theory.claims.threshold.plan import Plan, make_plan, planned_premises, trained_premises
from ntk_theory.noise_grid import ControlNets, control_width
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _finding(plan: Plan, evidence: Evidence, deviation: float) -> str:
    listed = ", ".join(
        f"{m.measured:.3f} (ρ* = {m.predicted:.3f}) at {m.name.rpartition(', ')[2]}"
        for m in evidence.measurements
        if m.name.startswith("boundary from the margin of the first step")
    )
    undecided = [
        f"ρ = {cell.problem.noise_rate:g} at r = {cell.problem.ratio:g}"
        for cell in plan.cells
        if not cell.decided(deviation)
    ]
    return (
        f"{plan.nets.count} nets of width {plan.nets.widths[-1]} recover all labels in every "
        f"decided cell below ρ* and in none above; measured boundary {listed}. Too near the "
        f"threshold for this width: {'; '.join(undecided) or 'no cell'}"
    )


def _arrays(plan: Plan, nets: Nets, narrow: Narrow, deviation: float) -> dict[str, Array]:
    ratios = np.geomspace(min(plan.ratios) / 1.3, max(plan.ratios) * 1.3, 60)
    return {
        "ratio": np.array([problem.ratio for problem in plan.problems]),
        "noise_rate": np.array([problem.noise_rate for problem in plan.problems]),
        "recovered": np.stack([cell[-1].mean() for cell in nets.recovered]),
        "decided": np.array([cell.decided(deviation) for cell in plan.cells]),
        "relative_margin": np.stack([cell[-1] for cell in nets.relative_margin]),
        "predicted_margin": np.array([cell.first_margin for cell in plan.cells]),
        "deviation": np.array(deviation),
        "narrow_ratio": np.array(narrow.ratio),
        "narrow_threshold": np.array(predictions.recoverability_threshold(narrow.ratio)),
        "narrow_rate": narrow.rates,
        "narrow_width": narrow.widths,
        "narrow_share": narrow.share,
        "narrow_surely": narrow.surely,
        "narrow_never": narrow.never,
        "curve_ratio": ratios,
        "curve_threshold": np.array([predictions.recoverability_threshold(r) for r in ratios]),
    }


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    nets, broken = Nets(), cases(plan)
    progress.start(
        CLAIM.id,
        plan.work(sum(case.broken.way.recipe.steps for case in broken)) + narrow_work(plan),
    )
    for index in range(len(plan.cells)):
        if not train_cell(plan, index, nets, evidence, progress):
            return ""
        evidence.progress_note = f"cells trained: {index + 1} of {len(plan.cells)}"
    deviation = nets.bound(plan, -1, plan.nets.widths[-1])
    evidence.premises += trained_premises(plan, deviation)
    evidence.arrays |= _arrays(plan, nets, train_narrow(plan, nets, progress), deviation)
    evidence.measurements += measurements(plan, nets, deviation, boundaries=evidence.premises_hold)
    if evidence.sound:
        tolerance = nets.bound(plan, None, control_width(plan.nets))
        controls = ControlNets(plan.nets, tolerance, progress)
        for case in broken:
            evidence.controls.append(run_control(case, controls))
    return _finding(plan, evidence, deviation)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the grid, compare with the closed forms, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

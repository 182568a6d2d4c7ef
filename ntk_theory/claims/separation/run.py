"""A run of `separation`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.separation import CLAIM
from ntk_theory.claims.separation.controls import CONTROLS, control_tolerance
from ntk_theory.claims.separation.measurements import measurements
from ntk_theory.claims.separation.nets import climb_all
from ntk_theory.claims.separation.oracles import DISTILLED, PLAIN_TRAINING
from ntk_theory.claims.separation.plan import Plan, make_plan, planned_premises
from ntk_theory.ladder import Ladder, margin_premise
from ntk_theory.noise_grid import ControlNets
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _finding(plan: Plan, ladders: list[Ladder]) -> str:
    listed = []
    for problem, ladder in zip(plan.problems, ladders, strict=True):
        best = ladder.rungs[PLAIN_TRAINING][-1].error.min(axis=1).mean()
        final = ladder.rungs[DISTILLED][-1].error[:, -1].mean()
        listed.append(
            f"{best:.4g} against {final:.4g} at ρ = {problem.noise_rate:g} "
            f"(2ρ = {2 * problem.noise_rate:g})"
        )
    return (
        f"best stopped against self-distilled RMS error, {plan.nets.count} nets of width "
        f"{plan.nets.widths[-1]}: {'; '.join(listed)}; no net of any width, learning rate or soft "
        "schedule gets below 2ρ by more than its deviation"
    )


def _arrays(plan: Plan, ladders: list[Ladder]) -> dict[str, Array]:
    reference = ladders[plan.reference].rungs
    own, plain = plan.ways(plan.reference)[:2]
    both = [plan.ways(index)[:2] for index in range(len(plan.problems))]
    return {
        "noise_rate": np.array([problem.noise_rate for problem in plan.problems]),
        "memorisation_time": np.array(plan.problems[plan.reference].memorisation_time),
        "predicted_distilled": own.error,
        "predicted_plain": plain.error,
        "distilled": reference[DISTILLED][-1].error,
        "plain": reference[PLAIN_TRAINING][-1].error,
        "predicted_best": np.array([stopped.error.min() for _, stopped in both]),
        "predicted_final": np.array([distilled.error[-1] for distilled, _ in both]),
        "best": np.stack([one.rungs[PLAIN_TRAINING][-1].error.min(axis=1) for one in ladders]),
        "final": np.stack([one.rungs[DISTILLED][-1].error[:, -1] for one in ladders]),
    }


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladders = climb_all(plan, evidence, progress)
    if evidence.stopped is not None:
        return ""
    evidence.arrays |= _arrays(plan, ladders)
    narrowest = [ladder.rungs[DISTILLED][0] for ladder in ladders]
    evidence.premises.append(margin_premise(list(zip(plan.problems, narrowest, strict=True))))
    evidence.measurements += measurements(plan, ladders)
    if evidence.sound:
        tolerance = control_tolerance(plan, ladders[plan.reference])
        nets = ControlNets(plan.nets, tolerance, progress)
        for control in CONTROLS:
            evidence.controls.append(control(plan, nets))
    return _finding(plan, ladders)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladders, compare with the closed forms, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

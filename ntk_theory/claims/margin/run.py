"""A run of `margin`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.margin import CLAIM
from ntk_theory.claims.margin.controls import CONTROLS, ControlSetting
from ntk_theory.claims.margin.measurements import measurements
from ntk_theory.claims.margin.nets import (
    DISTILLED,
    PLAIN_TRAINING,
    STOPPED,
    Margins,
    climb,
)
from ntk_theory.claims.margin.plan import Plan, make_plan, planned_premises
from ntk_theory.ladder import margin_premise
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]

_KEYS = {DISTILLED: "self_distillation", PLAIN_TRAINING: "plain", STOPPED: "stopped"}
"""Names of the ways in the arrays."""


def _finding(found: Margins) -> str:
    plan, ladder = found.plan, found.ladder
    least = ladder.rungs[DISTILLED][-1].margin.mean()
    best = found.best[-1].mean()
    fresh = {way: rungs[-1].margins.mean() for way, rungs in found.fresh.items()}
    predicted = plan.problem.distilled.margin()[-1]
    return (
        f"{plan.nets.count} nets of width {plan.nets.widths[-1]} have a least margin of "
        f"{least:.4g} under self-distillation, predicted {predicted:.4g}; plain training has "
        f"{best:.4g} at its best step. Fresh points: {fresh[DISTILLED]:.4g}, against "
        f"{fresh[STOPPED]:.4g} at that step"
    )


def _arrays(found: Margins) -> dict[str, Array]:
    plan = found.plan
    problem = plan.problem
    dataset = problem.dataset
    arrays: dict[str, Array] = {"flipped": dataset.flipped.astype(float)}
    for way, curve, step in (
        (DISTILLED, problem.distilled, -1),
        (PLAIN_TRAINING, problem.plain, -1),
        (STOPPED, problem.plain, plan.best_step),
    ):
        key = _KEYS[way]
        margins = found.outputs[way] * dataset.clean
        predicted = curve.outputs(dataset.clean, dataset.flipped) * dataset.clean
        arrays[f"{key}_margin"] = margins.min(axis=2)
        arrays[f"{key}_final"] = margins[:, -1]
        arrays[f"{key}_predicted"] = curve.margin()
        arrays[f"{key}_atoms"] = predicted[step]
    arrays["widths"] = np.array(plan.nets.widths)
    arrays["fresh"] = np.stack([one.margins.mean(axis=1) for one in found.fresh[DISTILLED]])
    return arrays


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    problem = plan.problem
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder = plan.nets.ladder(problem.dataset.clean)
    found = Margins(plan, ladder)
    climb(found, evidence, progress)
    evidence.metrics += ladder.metrics()
    if evidence.diverged(ladder.stopped()):
        return ""
    evidence.premises.append(margin_premise([(problem, ladder.rungs[DISTILLED][0])]))
    evidence.measurements += measurements(found)
    evidence.arrays |= _arrays(found)
    if evidence.sound:
        setting = ControlSetting(found, progress)
        evidence.progress_note = "at the controls"
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    return _finding(found)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladder, compare margins with the closed forms, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

"""A run of `teacher-student`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.teacher_student import CLAIM
from ntk_theory.claims.teacher_student.controls import controls
from ntk_theory.claims.teacher_student.measurements import measurements
from ntk_theory.claims.teacher_student.nets import Pairs, climb, trained_premise
from ntk_theory.claims.teacher_student.plan import (
    HARDENED,
    TEACHER,
    Plan,
    make_plan,
    planned_premises,
    student_of,
)
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _arrays(plan: Plan, ladder: Ladder) -> dict[str, Array]:
    names = [student_of(stop) for stop in plan.stops]
    return {
        "stops": np.array(plan.stops),
        "predicted_teacher": plan.teacher.rms_error(),
        "teacher_error": ladder.rungs[TEACHER][-1].error,
        "predicted_students": np.stack([plan.student(s).rms_error() for s in plan.stops]),
        "student_error": np.stack([ladder.rungs[name][-1].error for name in names]),
        "predicted_hardened": plan.hardened.rms_error(),
        "hardened_error": ladder.rungs[HARDENED][-1].error,
    }


def _finding(plan: Plan, ladder: Ladder, pairs: Pairs) -> str:
    stops = plan.stops
    best, end = (
        ladder.rungs[student_of(stop)][-1].error[:, -1].mean() for stop in (stops.best, stops.end)
    )
    hardened = ladder.rungs[HARDENED][-1].error[:, -1].mean()
    return (
        f"students of width {plan.nets.widths[-1]} end {best:.4g} (RMS) from the clean labels if "
        f"their teacher was stopped at its best step, {end:.4g} if it was fully trained, and "
        f"{hardened:.2g} if they learn the signs of an early one; those of the best step end "
        f"{pairs.distance[stops.best][-1].mean():.1g} from their own teachers"
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    """Train teachers and students, compare with the closed forms, run the controls."""
    evidence.premises += planned_premises(plan)
    if {p.name for p in evidence.premises if not p.holds} - {"narrowest net moves little"}:
        return ""
    ladder = plan.nets.ladder(plan.problem.dataset.clean)
    pairs = Pairs()
    progress.start(CLAIM.id, plan.work())
    for count, width in enumerate(plan.nets.widths):
        evidence.progress_note = f"{count} of {len(plan.nets.widths)} widths trained"
        climb(ladder, plan, pairs, width, progress)
        if evidence.diverged(ladder.stopped()):
            return ""
    evidence.metrics += ladder.metrics()
    evidence.arrays |= _arrays(plan, ladder)
    evidence.premises.append(trained_premise(plan, pairs))
    evidence.measurements += measurements(plan, ladder, pairs)
    if evidence.sound:
        for control in controls(plan, ladder, progress):
            evidence.controls.append(control)
    return _finding(plan, ladder, pairs)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

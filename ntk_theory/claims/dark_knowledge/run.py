"""A run of `dark-knowledge`: nets on the tree, students, rows, controls, and what is kept."""

from __future__ import annotations

__all__ = ["run"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.dark_knowledge import CLAIM
from ntk_theory.claims.dark_knowledge.controls import CONTROLS, ControlSetting
from ntk_theory.claims.dark_knowledge.measurements import measurements
from ntk_theory.claims.dark_knowledge.nets import climb
from ntk_theory.claims.dark_knowledge.plan import Plan, make_plan, planned_premises
from ntk_theory.claims.dark_knowledge.students import Students, teach_all
from ntk_theory.claims.dark_knowledge.worlds import HARD_LABELS, STOPPED, STUDENTS
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _predicted(plan: Plan) -> dict[str, Array]:
    """Dark knowledge over time, its peak, and the outputs of all classes at it."""
    time, _ = predictions.dark_knowledge_peak(plan.spectrum, plan.learning_rate)
    return {
        "predicted": plan.knowledge,
        "peak_time": np.array(time),
        "peak_step": np.array(plan.peak_step),
        "predicted_class_outputs": plan.class_outputs[plan.peak_step],
    }


def _gains(students: Students) -> dict[str, Array]:
    """Gains of all students but that of hard labels over it, shape (worlds, students − 1)."""
    gains = [students.gain(name) for name in STUDENTS if name != HARD_LABELS]
    predicted, measured = (np.stack(column, axis=1) for column in zip(*gains, strict=True))
    return {"predicted_gain": predicted, "gain": measured}


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    """Train the ladder and the students, compare with theory, run the controls."""
    evidence.premises += planned_premises(plan)
    evidence.arrays |= _predicted(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    climbed = climb(plan, evidence, progress)
    if evidence.diverged(climbed.ladder.stopped()):
        return ""
    students = teach_all(plan, evidence, progress)
    evidence.arrays |= _gains(students)
    evidence.metrics += [
        {"world": index, **dict(zip(STUDENTS, map(float, row), strict=True))}
        for index, row in enumerate(students.measured)
    ]
    evidence.measurements += measurements(plan, climbed, students)
    if evidence.sound:
        setting = ControlSetting(plan, climbed, students, progress)
        evidence.progress_note = "at the controls"
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    predicted, gains, _ = students.paired(STOPPED)
    height = climbed.knowledge[-1, :, plan.peak_step].mean()
    return (
        f"dark knowledge of nets of width {plan.nets.widths[-1]} peaks at {height:.3g}, predicted "
        f"{plan.knowledge.max():.3g}; a student of one point a class gains {gains.mean():.1%} in "
        f"accuracy from the stopped teacher, predicted {predicted:.1%}"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train nets and students, compare them with theory, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

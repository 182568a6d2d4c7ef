"""The trained teachers of `teacher-student`, and students of their own for each."""

from __future__ import annotations

__all__ = [
    "CONTROL_STUDENT_STREAM",
    "STUDENT_STREAM",
    "Pairs",
    "climb",
    "rms",
    "teach",
    "trained_premise",
]

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.teacher_student.plan import (
    HARDENED,
    TEACHER,
    Plan,
    alone_until,
    student_of,
)
from ntk_theory.experiments import compare, net_seeds, train_nets
from ntk_theory.ladder import Ladder
from ntk_theory.targets import PLAIN
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Premise, Progress

Array = NDArray[np.float64]

STUDENT_STREAM, CONTROL_STUDENT_STREAM = 5, 6
"""Keep students and control students apart from the teachers (streams 0 and 1)."""


@dataclass
class Pairs:
    """What is seen of teachers and their students together.

    Attributes:
        distance: ‖student − its teacher‖/√n by stopping time, a row a width, each of shape (S,).
        miss: the same of (student − its teacher) from its prediction.
        wrong: shares of wrong signs of the two late rounds, at the last width: of the teacher, of
            the net without one, of the student; shape (3, S).
        scatter: largest distance of an output to its mean over the nets, at the first width and
            those steps whose signs are predicted.
        first_step: for students of the best teacher and of signs, outputs after one step, along
            and over their prediction η'Hz, a row a width, each of shape (S,).
    """

    distance: dict[int, list[Array]] = field(default_factory=dict)
    miss: dict[int, list[Array]] = field(default_factory=dict)
    wrong: Array = field(default_factory=lambda: np.empty((3, 0)))
    scatter: float = math.nan
    first_step: dict[str, list[Array]] = field(default_factory=dict)


def teach(
    plan: Plan, width: int, labels: Array, seeds: Sequence[int], progress: Progress
) -> Trajectory:
    """Train a student on each row of labels (S, n); its teacher is its own."""
    recipe = replace(
        plan.problem.recipe,
        distillation=PLAIN,
        learning_rate=plan.student_rate,
        steps=plan.student_steps,
    )
    every = [
        train_nets(
            replace(recipe, observed=row),
            width,
            [seed],
            dtype=plan.nets.dtype,
            device=plan.nets.device,
            progress=progress,
        )
        for row, seed in zip(labels, seeds, strict=True)
    ]
    kept = min(one.steps.size for one in every)
    return replace(
        every[0],
        steps=every[0].steps[:kept],
        outputs=np.concatenate([one.outputs[:, :kept] for one in every]),
        movement=np.concatenate([one.movement for one in every]),
        distance=np.concatenate([one.distance for one in every]),
        flipped_activations=np.concatenate([one.flipped_activations for one in every]),
        stopped=next((one.stopped for one in every if one.stopped), None),
    )


def climb(ladder: Ladder, plan: Plan, pairs: Pairs, width: int, progress: Progress) -> None:
    """Train the teachers of one width and all their students."""
    data = plan.problem.dataset
    points = data.clean, data.flipped
    recipe = replace(plan.problem.recipe, distillation=PLAIN, steps=plan.teacher_steps)
    predicted = plan.teacher.outputs(*points)
    teachers = ladder.train(TEACHER, recipe, width, predicted, progress=progress)
    second = plan.rounds[1]
    short = replace(recipe, learning_rate=plan.student_rate, steps=second)
    without = plan.student().outputs(*points)[: second + 1]
    alone = ladder.train(alone_until(second), short, width, without, progress=progress)
    if ladder.stopped():
        return
    seeds = net_seeds(ladder.seed, width, ladder.nets, STUDENT_STREAM)
    signs = np.sign(teachers.outputs[:, plan.stops.surest])
    hardened = teach(plan, width, signs, seeds, progress)
    rung = compare(hardened, width, plan.hardened.outputs(*points), data.clean)
    ladder.rungs.setdefault(HARDENED, []).append(rung)
    pairs.first_step.setdefault(HARDENED, []).append(_first_step(plan, hardened, signs))
    for stop in dict.fromkeys(plan.stops):
        labels = teachers.outputs[:, stop]
        students = teach(plan, width, labels, seeds, progress)
        limit = plan.student(stop).outputs(*points)
        rung = compare(students, width, limit, data.clean)
        ladder.rungs.setdefault(student_of(stop), []).append(rung)
        apart = students.outputs[:, -1] - labels
        pairs.distance.setdefault(stop, []).append(rms(apart))
        pairs.miss.setdefault(stop, []).append(rms(apart - (limit[-1] - predicted[stop])))
        if stop == plan.stops.best:
            pairs.first_step.setdefault(student_of(stop), []).append(
                _first_step(plan, students, labels)
            )
        if stop == plan.stops.late:
            rounds = np.stack([labels, alone.outputs[:, -1], students.outputs[:, second]])
            pairs.wrong = (rounds * data.clean <= 0).mean(axis=2)
            if width == plan.nets.widths[0]:
                signed = np.concatenate([rounds, teachers.outputs[None, :, plan.stops.surest]])
                mean = signed.mean(axis=1, keepdims=True)
                pairs.scatter = float(np.abs(signed - mean).max())


def _first_step(plan: Plan, students: Trajectory, labels: Array) -> Array:
    """Outputs after one step along and over their prediction, shape (S,)."""
    first = plan.student_rate * labels @ plan.problem.gram
    along = (students.outputs[:, 1] * first).sum(axis=1)
    return np.asarray(along / np.square(first).sum(axis=1))


def rms(difference: Array) -> Array:
    """Root mean square over the points."""
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)))


def trained_premise(plan: Plan, pairs: Pairs) -> Premise:
    """Predicted signs are not overturned by what sets the narrowest nets apart from each other."""
    surest = float(plan.teacher.margin()[plan.stops.surest])
    left = min(surest, plan.rounds[2]) - pairs.scatter
    return Premise(
        "margins above the scatter of the narrowest nets",
        left,
        left > 0,
        "least margin of a predicted sign − largest distance of a net's output to their mean > 0",
    )

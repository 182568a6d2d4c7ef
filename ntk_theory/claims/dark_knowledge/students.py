"""Teachers and students in worlds of their own, and what the students know of fresh points."""

from __future__ import annotations

__all__ = ["PAIRED_CONFIDENCE", "Students", "teach_all"]

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ntk_theory.claims.dark_knowledge.plan import Plan
from ntk_theory.claims.dark_knowledge.tree import along
from ntk_theory.claims.dark_knowledge.worlds import (
    GROUPS,
    HARD_LABELS,
    SIBLINGS,
    STUDENT_STEPS,
    STUDENTS,
    TESTED,
    TRAINED_OUT,
    World,
    draw_world,
)
from ntk_theory.experiments import net_seeds, train_nets
from ntk_theory.problems import Recipe
from ntk_theory.runs import Evidence
from ntk_theory.targets import PLAIN
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_TEACHER_STREAM, _STUDENT_STREAM = 3, 4
"""Keep teachers and students apart from the nets and the control nets of the tree."""

PAIRED_CONFIDENCE = 0.9999
"""Two-sided, of intervals over worlds: their nets are finite, which adds a little to chance."""


@dataclass(frozen=True)
class Students:
    """Accuracies on fresh points, one row a world and one column a student of `STUDENTS`.

    Attributes:
        predicted: by the kernel predictor, shape (worlds, students).
        measured: of nets, shape (worlds, students).
        raised: predicted accuracy that a trained-out teacher of a quarter of the width adds,
            shape (worlds,).
        teacher_deviation: of stopped teachers, narrow ones and those of the students' width, from
            the kernel limit on what their students see, shape (2, worlds).
        student_deviation: the same of students of hard labels on fresh points.
        first_step: outputs of the stopped teacher and of the student of hard labels after one step,
            along and over their prediction, shape (2, worlds).
        crossing: what the neurons that cross a hyperplane may add to that, times √m, (2, worlds).
    """

    predicted: Array
    measured: Array
    raised: Array
    teacher_deviation: Array
    student_deviation: Array
    first_step: Array
    crossing: Array

    def gain(self, name: str) -> tuple[Array, Array]:
        """Predicted and measured accuracy above that of hard labels, shape (worlds,)."""
        names = list(STUDENTS)
        column, base = names.index(name), names.index(HARD_LABELS)
        first, second = (
            values[:, column] - values[:, base] for values in (self.predicted, self.measured)
        )
        return first, second

    def margin(self, values: Array) -> float:
        """Half-width of Student's interval of a mean over worlds."""
        quantile = stdtrit(values.size - 1, (1 + PAIRED_CONFIDENCE) / 2)
        return float(quantile * values.std(ddof=1) / math.sqrt(values.size))

    def paired(self, name: str) -> tuple[float, Array, float]:
        """Predicted gain, measured gains, and the tolerance of their mean difference.

        One fresh point of one world is the least that an accuracy can differ by.
        """
        predicted, measured = self.gain(name)
        grain = 1 / (GROUPS * SIBLINGS * TESTED * predicted.size)
        return float(predicted.mean()), measured, self.margin(measured - predicted) + grain


@dataclass(frozen=True)
class _School:
    """One world with nets to train in it.

    Attributes:
        plan: widths, precision, seed.
        index: of the world.
        world: its points.
        progress: advanced as the nets train.
    """

    plan: Plan
    index: int
    world: World
    progress: Progress

    def _train(self, recipe: Recipe, width: int, stream: int, keep_network: bool) -> Trajectory:
        nets = self.plan.nets
        seeds = net_seeds(nets.seed, width, self.plan.worlds, stream)
        return train_nets(
            recipe,
            width,
            seeds[self.index : self.index + 1],
            dtype=nets.dtype,
            device=nets.device,
            progress=self.progress,
            keep_network=keep_network,
        )

    def teacher(self, width: int, steps: int) -> Array:
        """Outputs of a teacher after one step and in the end, shape (2, n, C)."""
        world = self.world
        recipe = Recipe(
            inputs=world.inputs,
            observed=world.labels,
            distillation=PLAIN,
            learning_rate=world.rate,
            steps=steps,
            record=sorted({1, steps}),
        )
        outputs = self._train(recipe, width, _TEACHER_STREAM, False).outputs
        return np.asarray(outputs[0, [0, -1]])

    def student(self, width: int, targets: Array) -> tuple[Array, Array]:
        """Outputs of a student after one step, and in the end on fresh points, shape (k, C)."""
        world = self.world
        recipe = Recipe(
            inputs=world.inputs[world.seen],
            observed=targets,
            distillation=PLAIN,
            learning_rate=world.student_rate,
            steps=STUDENT_STEPS,
            record=(1, STUDENT_STEPS),
        )
        trained = self._train(recipe, width, _STUDENT_STREAM, True)
        assert trained.network is not None
        return trained.outputs[0, 0], np.asarray(trained.network(world.tested)[0])


class _Lesson(NamedTuple):
    """What is seen in one world; one entry a student, or one a width (narrow, wide)."""

    predicted: list[float]
    measured: list[float]
    raised: float
    teacher_deviation: list[float]
    student_deviation: list[float]
    first_step: list[float]
    crossing: list[float]


def _distance(outputs: Array, limit: Array) -> float:
    """Root mean square over points of the distance of their outputs (k, C) to the limit."""
    return float(np.sqrt(np.square(outputs - limit).sum(axis=1).mean()))


def _teach(plan: Plan, index: int, progress: Progress) -> _Lesson:
    """Train teachers and students in one world."""
    sequence = np.random.SeedSequence(plan.nets.seed, spawn_key=(_TEACHER_STREAM, index))
    world = draw_world(np.random.default_rng(sequence))
    school = _School(plan, index, world, progress)
    teacher = school.teacher(plan.student_width, world.stop)
    stopped = teacher[1, world.seen]
    trained_out = school.teacher(plan.trained_out_width, TRAINED_OUT)[1, world.seen]
    narrower = school.teacher(plan.trained_out_width // 4, TRAINED_OUT)[1, world.seen]
    limits = world.teacher[[world.stop, TRAINED_OUT]][:, world.seen]
    taught = {
        name: school.student(plan.student_width, targets(stopped, trained_out))
        for name, targets in STUDENTS.items()
    }
    narrow_teacher = school.teacher(plan.narrow_width, world.stop)[1, world.seen]
    _, narrow_student = school.student(plan.narrow_width, np.eye(GROUPS * SIBLINGS))
    first, fresh = taught[HARD_LABELS]
    trained_out_limit = world.accuracy(world.predictor @ limits[1])
    return _Lesson(
        [world.accuracy(world.predictor @ targets(*limits)) for targets in STUDENTS.values()],
        [world.accuracy(outputs) for _, outputs in taught.values()],
        world.accuracy(world.predictor @ narrower) - trained_out_limit,
        [_distance(outputs, limits[0]) for outputs in (narrow_teacher, stopped)],
        [_distance(outputs, world.predictor) for outputs in (narrow_student, fresh)],
        [
            float(along(teacher[0], world.teacher[1])),
            float(along(first, world.student_rate * world.student_kernel)),
        ],
        list(world.crossing),
    )


def _lessons(plan: Plan, evidence: Evidence, progress: Progress) -> Iterator[_Lesson]:
    for index in range(plan.worlds):
        evidence.progress_note = f"tree done, {index} of {plan.worlds} worlds"
        yield _teach(plan, index, progress)


def teach_all(plan: Plan, evidence: Evidence, progress: Progress) -> Students:
    """Train teachers and students in all worlds."""
    columns = (np.array(column) for column in zip(*_lessons(plan, evidence, progress), strict=True))
    predicted, measured, raised, *by_world = columns
    return Students(predicted, measured, raised, *(column.T for column in by_world))

"""Worlds in which students learn: blurred trees, and what a teacher's outputs become as targets."""

from __future__ import annotations

__all__ = [
    "CLASS_COSINE",
    "FEATURES",
    "GROUPS",
    "HARD_LABELS",
    "SIBLINGS",
    "STOPPED",
    "STUDENTS",
    "STUDENT_STEPS",
    "SUPER_COSINE",
    "TAUGHT",
    "TESTED",
    "TRAINED_OUT",
    "World",
    "confidence",
    "draw_world",
    "shuffled",
]

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, predictions, training
from ntk_theory.claims.dark_knowledge.tree import averaged, knowledge
from ntk_theory.targets import PLAIN

Array = NDArray[np.float64]

GROUPS, SIBLINGS, TAUGHT, TESTED, FEATURES = 4, 4, 6, 24, 20
"""Of a world: superclasses, classes in each, points of a class to train and test on, dimension."""

SUPER_COSINE, CLASS_COSINE = 0.3, 0.5
"""Mean cosine of points of one superclass, and of one class, in a world."""

TRAINED_OUT, STUDENT_STEPS = 60, 10
"""Steps of a trained-out teacher and of every student."""

HARD_LABELS, STOPPED = "hard labels", "stopped teacher"
"""Names of the two students that the claim compares."""


@dataclass(frozen=True)
class World:
    """A blurred tree: classes in few dimensions, of which some points are mistaken for others.

    Attributes:
        inputs: what the teacher sees, the points of a class together, shape (n, d).
        tested: fresh points, shape (k, d).
        groups: class of each input, shape (n,).
        tested_groups: class of each fresh point, shape (k,).
    """

    inputs: Array
    tested: Array
    groups: NDArray[np.int64]
    tested_groups: NDArray[np.int64]

    @property
    def labels(self) -> Array:
        """One-hot rows, shape (n, C)."""
        return np.asarray(np.eye(GROUPS * SIBLINGS)[self.groups])

    @property
    def seen(self) -> slice:
        """What the student sees: the first point of each class."""
        return slice(0, None, TAUGHT)

    @cached_property
    def rate(self) -> float:
        """Learning rate of the teacher."""
        return 0.9 / float(np.linalg.eigvalsh(kernels.ntk_limit(self.inputs))[-1])

    @cached_property
    def teacher(self) -> Array:
        """Outputs of the infinitely wide teacher at every step, shape (T + 1, n, C)."""
        return training.train_kernel_limit(
            kernels.ntk_limit(self.inputs),
            self.labels,
            PLAIN,
            learning_rate=self.rate,
            steps=TRAINED_OUT,
        )

    @cached_property
    def stop(self) -> int:
        """Step at which the infinitely wide teacher holds most dark knowledge."""
        return int(knowledge(self.teacher, self.groups, SIBLINGS).argmax())

    @cached_property
    def student_kernel(self) -> Array:
        """Limiting NTK K of what the student sees, shape (C, C)."""
        return kernels.ntk_limit(self.inputs[self.seen])

    @cached_property
    def student_rate(self) -> float:
        """Learning rate of the student."""
        return 1 / float(np.linalg.eigvalsh(self.student_kernel)[-1])

    @property
    def crossing(self) -> tuple[float, float]:
        """What first outputs may miss: of the teacher, and of the student of hard labels."""
        gram, seen = self.inputs @ self.inputs.T, self.seen
        pulls = self.rate * self.labels, self.student_rate * np.eye(GROUPS * SIBLINGS)
        student = self.student_kernel @ pulls[1]
        return (
            predictions.first_step_crossing(gram, pulls[0], self.teacher[1]),
            predictions.first_step_crossing(gram[seen, seen], pulls[1], student),
        )

    @cached_property
    def predictor(self) -> Array:
        """Fresh outputs of the infinitely wide student from its targets, shape (k, C).

        K_* K^{-1} (I − (I − ηK)^t).
        """
        kernel, one = self.student_kernel, np.eye(len(self.student_kernel))
        left = np.linalg.matrix_power(one - self.student_rate * kernel, STUDENT_STEPS)
        cross = kernels.ntk_limit(self.tested, self.inputs[self.seen])
        return np.asarray(cross @ np.linalg.solve(kernel, one - left))

    def accuracy(self, outputs: Array) -> float:
        """Share of fresh points whose class has the largest output."""
        return float((outputs.argmax(axis=-1) == self.tested_groups).mean())


def draw_world(rng: np.random.Generator) -> World:
    """Unit rows √v e_g + √(w − v) e_{g,j} + √(1 − w) ε, with Gaussian directions e and ε."""

    def directions(count: int) -> Array:
        return rng.standard_normal((count, FEATURES)) / math.sqrt(FEATURES)

    classes = np.arange(GROUPS * SIBLINGS)
    centres = math.sqrt(SUPER_COSINE) * directions(GROUPS)[classes // SIBLINGS] + math.sqrt(
        CLASS_COSINE - SUPER_COSINE
    ) * directions(classes.size)

    def points(each: int) -> tuple[Array, NDArray[np.int64]]:
        groups = np.repeat(classes, each)
        rows = centres[groups] + math.sqrt(1 - CLASS_COSINE) * directions(groups.size)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), groups

    (inputs, groups), (tested, tested_groups) = points(TAUGHT), points(TESTED)
    return World(inputs, tested, groups, tested_groups)


def shuffled(targets: Array) -> Array:
    """Targets (C, C) with the outputs on the wrong classes in another order, in every row."""
    rng, moved = np.random.default_rng(len(targets)), targets.copy()
    for row in range(len(targets)):
        wrong = np.delete(np.arange(len(targets)), row)
        moved[row, wrong] = targets[row, rng.permutation(wrong)]
    return moved


def confidence(targets: Array) -> Array:
    """Targets (C, C) with the largest output of every row, and the mean of the others for these.

    What is left are the teacher's predicted class and its confidence. (Its predicted class alone
    would be the hard labels again wherever the teacher is right: not a thing to measure.)
    """
    rows, top = np.arange(len(targets)), targets.argmax(axis=1)
    largest = targets[rows, top]
    rest = (targets.sum(axis=1) - largest) / (len(targets) - 1)
    kept = np.repeat(rest[:, None], len(targets), axis=1)
    kept[rows, top] = largest
    return kept


STUDENTS: dict[str, Callable[[Array, Array], Array]] = {
    HARD_LABELS: lambda stopped, _: np.eye(len(stopped)),
    STOPPED: lambda stopped, _: stopped,
    "tree averages": lambda stopped, _: averaged(stopped, SIBLINGS),
    "trained-out teacher": lambda _, out: out,
    "confidence alone": lambda stopped, _: confidence(stopped),
    "shuffled teacher": lambda stopped, _: shuffled(stopped),
}
"""Targets of each student, from the outputs of a stopped and of a trained-out teacher."""

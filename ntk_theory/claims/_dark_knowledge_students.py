"""Students of stopped teachers, in worlds of their own (docs/theory.md, section 6.6).

A world is a blurred tree. In each a teacher sees some points of each class, and its students one;
their accuracy on fresh points is compared with that of the kernel predictor, world by world.
"""

from __future__ import annotations

__all__ = [
    "CONFIGURED", "HARD", "STOPPED", "STUDENTS", "World", "arrays", "averaged", "confidence",
    "controls", "gained", "rows", "shuffled", "taught", "work",
]  # fmt: skip

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import RISKS, falling_row, first_step_row, over_nets
from ntk_theory.checking.fitting import mean_bound
from ntk_theory.checking.rows import Array
from ntk_theory.checking.sweep import net_seeds

Found = Mapping[str, Array]
"""Numbers of all worlds by name: accuracies of students on fresh points, and more."""

HARD, STOPPED, TRAINED_OUT = "hard labels", "stopped teacher", "trained-out teacher"
GROUPS, SIBLINGS, TAUGHT, TESTED, FEATURES = 4, 4, 6, 24, 20
"""Of a world: superclasses, classes in each, points of a class to train and test on, dimension."""

COUNT = GROUPS * SIBLINGS
SUPER_COSINE, CLASS_COSINE = 0.3, 0.5
"""Mean cosine of points of one superclass, and of one class, in a world."""

TEACHER_STEPS, STUDENT_STEPS = 60, 10
WORLDS_PER_NET = 3
"""Accuracies scatter more over worlds than outputs do over nets."""

NARROWER, TRAINED_OUT_NARROWER = 16, 8
"""How many times narrower nets are that students and teachers have to improve on, and that say what
a finite width does to accuracies, as many as the sweep of the quick preset spans; and trained-out
teachers, which end near the labels anyway."""

CONFIGURED = {
    "worlds_per_net": WORLDS_PER_NET, "world_superclasses": GROUPS, "world_classes": SIBLINGS,
    "world_points": TAUGHT, "world_test_points": TESTED, "world_dimension": FEATURES,
    "world_cosines": [SUPER_COSINE, CLASS_COSINE], "teacher_steps": TEACHER_STEPS,
    "student_steps": STUDENT_STEPS, "narrower": [NARROWER, TRAINED_OUT_NARROWER],
}  # fmt: skip
_TEACHER_STREAM, _STUDENT_STREAM = 3, 4
_OF_WORLDS = 6
"""Rows about them, which share the risk of the run."""


def averaged(outputs: Array, siblings: int = SIBLINGS) -> Array:
    """Outputs (..., C, C) with their means over the tree: own class, siblings, others."""
    own, means = np.eye(outputs.shape[-1], dtype=bool), np.empty_like(outputs)
    superclass = np.arange(len(own)) // siblings
    same = superclass[:, None] == superclass
    for pairs in (own, same & ~own, ~same):
        means[..., pairs] = outputs[..., pairs].mean(axis=-1, keepdims=True)
    return means


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
    largest = targets.max(axis=1, keepdims=True)
    rest = (targets.sum(axis=1, keepdims=True) - largest) / (len(targets) - 1)
    return np.asarray(np.where(targets == largest, largest, rest))


STUDENTS: Mapping[str, Callable[[Array, Array], Array]] = {
    HARD: lambda stopped, _: np.eye(len(stopped)),
    STOPPED: lambda stopped, _: stopped,
    "tree averages": lambda stopped, _: averaged(stopped),
    TRAINED_OUT: lambda _, out: out,
    "confidence alone": lambda stopped, _: confidence(stopped),
    "shuffled teacher": lambda stopped, _: shuffled(stopped),
}
"""Targets of each student, from the outputs of a stopped and of a trained-out teacher."""


class World:
    """A blurred tree: classes in few dimensions, of which some points are mistaken for others.

    Unit rows √v e_g + √(w − v) e_{g,j} + √(1 − w) ε, with Gaussian directions e and ε.

    Attributes:
        tested: fresh points, as many of each class, shape (k, d).
        teacher: recipe of a trained-out teacher.
        student: recipe of the student of hard labels, which sees the first point of each class.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        def directions(count: int) -> Array:
            return rng.standard_normal((count, FEATURES)) / math.sqrt(FEATURES)

        above = math.sqrt(SUPER_COSINE) * np.repeat(directions(GROUPS), SIBLINGS, axis=0)
        centres = above + math.sqrt(CLASS_COSINE - SUPER_COSINE) * directions(COUNT)

        def points(each: int) -> Array:
            own = math.sqrt(1 - CLASS_COSINE) * directions(COUNT * each)
            return nt.data.unit_rows(np.repeat(centres, each, axis=0) + own)

        one, plain = np.eye(COUNT), nt.Recipe.plain
        labels, inputs = np.repeat(one, TAUGHT, axis=0), points(TAUGHT)
        self.tested = points(TESTED)
        self.teacher = plain(inputs, labels, share=0.9, steps=TEACHER_STEPS)
        self.student = plain(inputs[::TAUGHT], one, share=1.0, steps=STUDENT_STEPS)

    def limits(self) -> tuple[int, Array, Array]:
        """When the infinitely wide teacher knows most; what students see then and in the end."""
        outputs = self.teacher.kernel_limit()
        means = averaged(outputs.reshape(len(outputs), COUNT, TAUGHT, COUNT).mean(axis=2))
        stop = int((means[:, 0, 1] - means[:, 0, -1]).argmax())
        return stop, outputs[stop, ::TAUGHT], outputs[-1, ::TAUGHT]

    @cached_property
    def predictor(self) -> Array:
        """K_* K^{-1} (I − (I − ηK)^t): fresh outputs of the wide student from targets, (k, C)."""
        seen, one = self.student.inputs, np.eye(COUNT)
        kernel, cross = nt.kernels.ntk_limit(seen), nt.kernels.ntk_limit(self.tested, seen)
        left = np.linalg.matrix_power(one - self.student.rate * kernel, STUDENT_STEPS)
        return np.asarray(cross @ np.linalg.solve(kernel, one - left))


def _teach(run: nt.Run, index: int) -> dict[str, float]:
    """Train teachers and students in one world; says what is seen in it, by name."""
    nets, wide = run.nets, run.problem.student_width
    narrow, out_width = wide // NARROWER, wide // TRAINED_OUT_NARROWER
    key = np.random.SeedSequence(nets.seed, spawn_key=(_TEACHER_STREAM, index))
    world = World(np.random.default_rng(key))
    stop, *limits = world.limits()

    def train(recipe: nt.Recipe, width: int, stream: int) -> Any:
        seed = net_seeds(nets.seed, width, index + 1, stream)[-1:]
        both = replace(recipe, record=sorted({1, recipe.steps}))
        return nets.train(both, width, seed, progress=run.progress, keep_network=True)

    def teach(width: int, steps: int) -> tuple[Array, Array]:
        """Outputs of a teacher after one step, and those that students see, shape (C, C)."""
        found = train(replace(world.teacher, steps=steps), width, _TEACHER_STREAM)
        return found.outputs[:, 0], found.outputs[0, -1, ::TAUGHT]

    def learn(width: int, targets: Array) -> tuple[Array, Array]:
        """Outputs of a student after one step, and in the end on fresh points, shape (k, C)."""
        found = train(world.student.relabelled(targets), width, _STUDENT_STREAM)
        return found.outputs[:, 0], found.network(world.tested)[0]

    def accuracy(fresh: Array) -> float:
        return float((fresh.argmax(axis=1) == np.repeat(np.arange(COUNT), TESTED)).mean())

    teacher, narrower = (teach(width, stop) for width in (wide, narrow))
    out, sooner = (teach(width, TEACHER_STEPS)[1] for width in (out_width, out_width // 4))
    learnt = {name: learn(wide, of(teacher[1], out)) for name, of in STUDENTS.items()}
    few = {name: learn(narrow, of(narrower[1], sooner)) for name, of in STUDENTS.items()}
    found = {name: accuracy(fresh) for name, (_, fresh) in learnt.items()}
    for name, of in STUDENTS.items():
        found[f"predicted {name}"] = accuracy(world.predictor @ of(*limits))
        # Deviations ∝ m^{-1/2}: what nets that a narrow one teaches would be if wide. But a narrow
        # net is trained out later: of such a teacher all is kept.
        limit = world.predictor @ of(limits[0], sooner)
        found[f"shrunk {name}"] = accuracy(limit + (few[name][1] - limit) / math.sqrt(NARROWER))
    for who, recipe, (first, last), (_, off), limit in (
        ("teachers", world.teacher, teacher, narrower, limits[0]),
        ("students", world.student, learnt[HARD], few[HARD], world.predictor),
    ):
        pull, cosines = recipe.rate * recipe.observed, recipe.inputs @ recipe.inputs.T
        step = nt.kernels.ntk_limit(recipe.inputs) @ pull
        found[f"{who}: crossing"] = nt.predictions.first_step_crossing(cosines, pull, step)
        found[f"{who}: first step"] = float((first * step).sum() / np.square(step).sum())
        for name, outputs in (("off", last), ("narrow, off", off)):
            found[f"{who}: {name}"] = float(np.sqrt(np.square(outputs - limit).sum(axis=1).mean()))
    return found


def work(width: int, nets: int) -> float:
    """Neuron-steps of all teachers and students."""
    both = width + width // NARROWER
    teachers = 5 / 4 * width // TRAINED_OUT_NARROWER * TEACHER_STEPS + 3 * both
    return WORLDS_PER_NET * nets * (len(STUDENTS) * both * STUDENT_STEPS + teachers)


def taught(run: nt.Run) -> Found:
    """Train teachers and students in all worlds."""
    lessons, worlds = [], WORLDS_PER_NET * run.nets.count
    for index in range(worlds):
        run.evidence.progress_note = f"tree done, {index} of {worlds} worlds"
        lessons.append(_teach(run, index))
        run.evidence.metrics.append({"world": index, **lessons[-1]})
    return {key: np.array([one[key] for one in lessons]) for key in lessons[0]}


def _accuracies(found: Found, name: str) -> Array:
    """Predicted, measured and of narrower nets, their deviations shrunk, shape (3, worlds)."""
    return np.stack([found[of + name] for of in ("predicted ", "", "shrunk ")])


def gained(found: Found, name: str) -> Array:
    """The same over hard labels."""
    return _accuracies(found, name) - _accuracies(found, HARD)


def _mean(run: nt.Run, title: str, accuracies: Array, resolution: float) -> nt.Measurement:
    """Mean over worlds, against what narrower nets are off by when their deviations are shrunk.

    One fresh point of one world is the least that an accuracy can differ by.
    """
    predicted, measured, shrunk = accuracies
    worlds = predicted.size
    tolerance, decisive = (
        mean_bound([1], [shrunk - predicted], 1, run.confidence(_OF_WORLDS, risk), worlds)
        + 1 / (COUNT * TESTED * worlds)
        for risk in RISKS
    )
    return over_nets(title, predicted.mean(), measured, tolerance, resolution, decisive=decisive)


def rows(run: nt.Run, found: Found) -> Iterator[nt.Measurement]:
    """What students gain, and how near outputs are to their kernel limit."""
    width = run.problem.student_width
    gains, of_tree = gained(found, STOPPED), gained(found, "tree averages")
    half = float(gains[0].mean()) / 2
    for name in (HARD, STOPPED):
        title = f"student of {name}: accuracy on fresh points"
        yield _mean(run, title, _accuracies(found, name), half)
    # Worlds scatter by more than a twentieth of a gain; their number is what a run has time for.
    yield _mean(run, "accuracy gained from the stopped teacher over hard labels", gains, half)
    yield _mean(run, "accuracy gained from its averages over the tree alone", of_tree, half)
    level = run.confidence(_OF_WORLDS)  # accuracies hide much of the outputs
    for who, title in (("teachers", "stopped teachers, what students see"),
                       ("students", "students of hard labels, fresh points")):  # fmt: skip
        crossing, off, narrow, step = (
            found[f"{who}: {what}"] for what in ("crossing", "off", "narrow, off", "first step")
        )
        yield falling_row((width // NARROWER, width), [narrow, off], title)
        yield first_step_row((width,), step[None], who, float(crossing.mean()), level)


def controls() -> Iterator[nt.Control]:
    """Students that do not gain what that of the stopped teacher does."""

    def measured(name: str, run: nt.Run) -> tuple[nt.Measurement, float, float]:
        found: Found = run.notes["students"]
        failure = _mean(run, "accuracy gained over hard labels", gained(found, name), math.inf)
        return failure, float(gained(found, STOPPED)[0].mean()), failure.tolerance

    for name, broken in (
        (TRAINED_OUT, f"the teacher is stopped: here it trains for {TEACHER_STEPS} steps"),
        ("confidence alone",
         "outputs on wrong classes teach: here only the predicted class and its output do"),
        ("shuffled teacher",
         "outputs on wrong classes say which are near: here they are shuffled among them"),
    ):  # fmt: skip
        yield nt.Control(name.replace(" ", "-"), broken, measure=partial(measured, name))


def arrays(found: Found) -> dict[str, Array]:
    """Gains of all students but that of hard labels over it, shape (worlds, students − 1)."""
    gains = np.stack([gained(found, name) for name in STUDENTS if name != HARD], axis=-1)
    return {"predicted_gain": gains[0], "gain": gains[1]}

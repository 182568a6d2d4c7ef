"""Students of stopped teachers in worlds of their own: blurred trees (docs/theory.md, section 6.6).

In each world a teacher sees some points of each class, and its students one; their accuracy on
fresh points is compared with that of the kernel predictor, world by world.
"""

from __future__ import annotations

__all__ = [
    "HARD_LABELS",
    "STOPPED",
    "STUDENTS",
    "Students",
    "World",
    "confidence",
    "config",
    "controls",
    "draw_world",
    "gains_of_students",
    "means_over_tree",
    "shuffled",
    "teach_all",
    "work",
]

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.runs import over_nets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.verdicts import ClaimResult

Array = NDArray[np.float64]

GROUPS, SIBLINGS, TAUGHT, TESTED, FEATURES = 4, 4, 6, 24, 20
"""Of a world: superclasses, classes in each, points of a class to train and test on, dimension."""

COUNT = GROUPS * SIBLINGS
"""Classes of a world."""

SUPER_COSINE, CLASS_COSINE = 0.3, 0.5
"""Mean cosine of points of one superclass, and of one class, in a world."""

TRAINED_OUT, STUDENT_STEPS = 60, 10
"""Steps of a trained-out teacher and of every student."""

HARD_LABELS, STOPPED = "hard labels", "stopped teacher"
"""Names of the two students that the claim compares."""

_WORLDS_PER_NET = 3
"""Accuracies scatter more over worlds than outputs do over nets."""

_NARROWER = 16
"""How many times narrower the nets are that a student's and a teacher's outputs have to improve on:
as many as the sweep of the quick preset spans."""

_TEACHER_STREAM, _STUDENT_STREAM = 3, 4
"""Keep teachers and students apart from the nets and the control nets of the tree."""

_CONFIDENCE = 0.9999
"""Two-sided, of intervals over worlds: their nets are finite, which adds a little to chance."""


# ---------------------------------------------------------------- targets


def _relations(count: int, siblings: int) -> tuple[Array, Array, Array]:
    """Pairs of classes that are one, siblings, of different superclasses, (C, C) each."""
    own, superclass = np.eye(count, dtype=bool), np.arange(count) // siblings
    same = superclass[:, None] == superclass
    return own, same & ~own, ~same


def means_over_tree(outputs: Array, siblings: int) -> tuple[Array, Array, Array]:
    """Mean output on the own class, on its siblings and on others, of outputs (..., C, C)."""
    own, near, far = (
        outputs[..., pairs].mean(axis=-1) for pairs in _relations(outputs.shape[-1], siblings)
    )
    return own, near, far


def averaged(targets: Array, siblings: int = SIBLINGS) -> Array:
    """Targets (C, C) with their means over the tree: own class, siblings, others."""
    pairs, means = _relations(len(targets), siblings), means_over_tree(targets, siblings)
    return np.asarray(sum(mean * which for mean, which in zip(means, pairs, strict=True)))


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
    "tree averages": lambda stopped, _: averaged(stopped),
    "trained-out teacher": lambda _, out: out,
    "confidence alone": lambda stopped, _: confidence(stopped),
    "shuffled teacher": lambda stopped, _: shuffled(stopped),
}
"""Targets of each student, from the outputs of a stopped and of a trained-out teacher."""


# ---------------------------------------------------------------- worlds


@dataclass(frozen=True)
class World:
    """A blurred tree: classes in few dimensions, of which some points are mistaken for others.

    Attributes:
        inputs: what the teacher sees, the points of a class together, shape (n, d).
        tested: fresh points, as many of each class, shape (k, d).
    """

    inputs: Array
    tested: Array

    @cached_property
    def teacher(self) -> nt.Recipe:
        """What the teacher is trained on, to the end."""
        labels = np.repeat(np.eye(COUNT), TAUGHT, axis=0)
        return nt.Recipe.plain(self.inputs, labels, share=0.9, steps=TRAINED_OUT)

    @cached_property
    def student(self) -> nt.Recipe:
        """What the student of hard labels is trained on: the first point of each class."""
        seen = self.inputs[::TAUGHT]
        return nt.Recipe.plain(seen, np.eye(COUNT), share=1.0, steps=STUDENT_STEPS)

    @cached_property
    def limit(self) -> Array:
        """Outputs of the infinitely wide teacher at every step, shape (T + 1, n, C)."""
        recipe, gram = self.teacher, nt.kernels.ntk_limit(self.inputs)
        how: dict[str, Any] = {"learning_rate": recipe.learning_rate, "steps": recipe.steps}
        return nt.training.train_kernel_limit(gram, recipe.observed, recipe.distillation, **how)

    @cached_property
    def stop(self) -> int:
        """Step at which the infinitely wide teacher holds most dark knowledge."""
        classes = self.limit.reshape(TRAINED_OUT + 1, COUNT, TAUGHT, COUNT).mean(axis=2)
        _, siblings, others = means_over_tree(classes, SIBLINGS)
        return int((siblings - others).argmax())

    @cached_property
    def predictor(self) -> Array:
        """Fresh outputs of the infinitely wide student from its targets, shape (k, C).

        K_* K^{-1} (I − (I − ηK)^t).
        """
        seen, one = self.student.inputs, np.eye(COUNT)
        kernel = nt.kernels.ntk_limit(seen)
        left = np.linalg.matrix_power(one - self.student.learning_rate * kernel, STUDENT_STEPS)
        cross = nt.kernels.ntk_limit(self.tested, seen)
        return np.asarray(cross @ np.linalg.solve(kernel, one - left))

    def accuracy(self, outputs: Array) -> float:
        """Share of fresh points whose class has the largest output."""
        return float((outputs.argmax(axis=-1) == np.repeat(np.arange(COUNT), TESTED)).mean())


def draw_world(rng: np.random.Generator) -> World:
    """Unit rows √v e_g + √(w − v) e_{g,j} + √(1 − w) ε, with Gaussian directions e and ε."""

    def directions(count: int) -> Array:
        return rng.standard_normal((count, FEATURES)) / math.sqrt(FEATURES)

    above = math.sqrt(SUPER_COSINE) * np.repeat(directions(GROUPS), SIBLINGS, axis=0)
    centres = above + math.sqrt(CLASS_COSINE - SUPER_COSINE) * directions(COUNT)

    def points(each: int) -> Array:
        own = math.sqrt(1 - CLASS_COSINE) * directions(COUNT * each)
        return nt.data.unit_rows(np.repeat(centres, each, axis=0) + own)

    inputs = points(TAUGHT)
    return World(inputs, points(TESTED))


# ---------------------------------------------------------------- lessons


class _FirstStep(NamedTuple):
    """Outputs after one step, along and over their prediction, and c of section 9.5."""

    ratio: float
    crossing: float

    @classmethod
    def of(cls, recipe: nt.Recipe, outputs: Array) -> _FirstStep:
        pull = recipe.learning_rate * recipe.observed
        first = nt.kernels.ntk_limit(recipe.inputs) @ pull
        reach = nt.predictions.first_step_crossing(recipe.inputs @ recipe.inputs.T, pull, first)
        return cls(float((outputs * first).sum() / np.square(first).sum()), float(reach))


class _Lesson(NamedTuple):
    """What is seen in one world; one entry for each student, or each width (narrow, wide)."""

    predicted: list[float]
    measured: list[float]
    raised: float
    teacher_deviation: list[float]
    student_deviation: list[float]
    first_steps: list[_FirstStep]


def _distance(outputs: Array, limit: Array) -> float:
    """Root mean square over points of the distance of their outputs (k, C) to the limit."""
    return float(np.sqrt(np.square(outputs - limit).sum(axis=1).mean()))


def _teach(run: nt.Run, index: int) -> _Lesson:
    """Train teachers and students in one world."""
    from dataclasses import replace

    from ntk_theory.experiments import net_seeds, train_nets

    nets, wide = run.nets, run.problem.student_width
    narrow, out_width = wide // _NARROWER, wide // 8  # trained-out ones end near the labels anyway
    key = np.random.SeedSequence(nets.seed, spawn_key=(_TEACHER_STREAM, index))
    world = draw_world(np.random.default_rng(key))

    def trained(recipe: nt.Recipe, width: int, stream: int, steps: int, keep: bool) -> Any:
        seed = net_seeds(nets.seed, width, index + 1, stream)[-1:]
        short = replace(recipe, steps=steps, record=sorted({1, steps}))
        return train_nets(short, width, seed, dtype=nets.dtype, device=nets.device,
                          progress=run.progress, keep_network=keep)  # fmt: skip

    def teacher(width: int, steps: int) -> Array:
        """Outputs after one step and in the end, shape (2, n, C)."""
        outputs = trained(world.teacher, width, _TEACHER_STREAM, steps, False).outputs
        return np.asarray(outputs[0, [0, -1]])

    def student(width: int, targets: Array) -> tuple[Array, Array]:
        """Outputs after one step, and in the end on fresh points, shape (k, C)."""
        recipe = world.student.relabelled(targets)
        found = trained(recipe, width, _STUDENT_STREAM, STUDENT_STEPS, True)
        return found.outputs[0, 0], np.asarray(found.network(world.tested)[0])

    seen = slice(0, None, TAUGHT)
    first, everything = teacher(wide, world.stop)
    stopped = everything[seen]
    out, narrower_out = (teacher(w, TRAINED_OUT)[1, seen] for w in (out_width, out_width // 4))
    limits = world.limit[[world.stop, TRAINED_OUT]][:, seen]
    taught = {name: student(wide, targets(stopped, out)) for name, targets in STUDENTS.items()}
    narrow_teacher = teacher(narrow, world.stop)[1, seen]
    narrow_student = student(narrow, np.eye(COUNT))[1]
    own_first, fresh = taught[HARD_LABELS]
    of_limit = world.accuracy(world.predictor @ limits[1])
    return _Lesson(
        [world.accuracy(world.predictor @ targets(*limits)) for targets in STUDENTS.values()],
        [world.accuracy(outputs) for _, outputs in taught.values()],
        world.accuracy(world.predictor @ narrower_out) - of_limit,
        [_distance(outputs, limits[0]) for outputs in (narrow_teacher, stopped)],
        [_distance(outputs, world.predictor) for outputs in (narrow_student, fresh)],
        [_FirstStep.of(world.teacher, first), _FirstStep.of(world.student, own_first)],
    )


def teach_all(run: nt.Run) -> Students:
    """Train teachers and students in all worlds."""
    lessons, worlds = [], _WORLDS_PER_NET * run.nets.count
    for index in range(worlds):
        run.evidence.progress_note = f"tree done, {index} of {worlds} worlds"
        lessons.append(_teach(run, index))
    wide = run.problem.student_width
    found = Students(*map(np.array, zip(*lessons, strict=True)), (wide // _NARROWER, wide))
    run.evidence.metrics += [
        {"world": index, **dict(zip(STUDENTS, map(float, row), strict=True))}
        for index, row in enumerate(found.measured)
    ]
    return found


def work(width: int, nets: int) -> float:
    """Neuron-steps of all teachers and students.

    Args:
        width: of students.
        nets: at each width of the tree.
    """
    students = len(STUDENTS) * width + width // _NARROWER
    teachers = width // 8 * 5 / 4 * TRAINED_OUT + (width + width // _NARROWER) * 3
    return _WORLDS_PER_NET * nets * (students * STUDENT_STEPS + teachers)


def config(width: int) -> dict[str, Any]:
    """Every number of the worlds, and the widths of their nets."""
    return {
        "worlds_per_net": _WORLDS_PER_NET,
        "student_width": width,
        "trained_out_width": width // 8,
        "narrow_width": width // _NARROWER,
        "world_superclasses": GROUPS,
        "world_classes": SIBLINGS,
        "world_points": TAUGHT,
        "world_test_points": TESTED,
        "world_dimension": FEATURES,
        "world_cosines": [SUPER_COSINE, CLASS_COSINE],
        "teacher_steps": TRAINED_OUT,
        "student_steps": STUDENT_STEPS,
    }


# ---------------------------------------------------------------- what is found


@dataclass(frozen=True)
class Students:
    """Accuracies on fresh points, a row for each world and a column for each of `STUDENTS`.

    Attributes:
        predicted: by the kernel predictor, shape (worlds, students).
        measured: of nets, shape (worlds, students).
        raised: predicted accuracy that a trained-out teacher of a quarter of the width adds,
            shape (worlds,).
        teacher_deviation: of stopped teachers, narrow ones and those of the students' width, from
            the kernel limit on what their students see, shape (worlds, 2).
        student_deviation: the same of students of hard labels on fresh points.
        first_steps: of the stopped teacher and of the student of hard labels, ratio and crossing,
            shape (worlds, 2, 2).
        widths: narrow, and of students.
    """

    predicted: Array
    measured: Array
    raised: Array
    teacher_deviation: Array
    student_deviation: Array
    first_steps: Array
    widths: Sequence[int]

    def gain(self, name: str) -> tuple[Array, Array]:
        """Predicted and measured accuracy above that of hard labels, shape (worlds,)."""
        column, base = (list(STUDENTS).index(one) for one in (name, HARD_LABELS))
        first, second = (of[:, column] - of[:, base] for of in (self.predicted, self.measured))
        return first, second

    def paired(self, name: str) -> tuple[float, Array, float]:
        """Predicted gain, measured gains, and the tolerance of their mean difference.

        One fresh point of one world is the least that an accuracy can differ by.
        """
        predicted, measured = self.gain(name)
        grain = 1 / (COUNT * TESTED * predicted.size)
        return float(predicted.mean()), measured, _margin(measured - predicted) + grain

    def rows(self) -> Iterator[nt.Measurement]:
        """What students gain, and how near outputs are to their kernel limit."""
        from ntk_theory.ladder import falling_row, first_step_row

        gain, gains, tolerance = self.paired(STOPPED)
        for column, name in enumerate((HARD_LABELS, STOPPED)):
            predicted, measured = self.predicted[:, column], self.measured[:, column]
            title = f"student of {name}: accuracy on fresh points"
            off = _margin(measured - predicted)
            yield over_nets(title, float(predicted.mean()), measured, off, gain / 2)
        title = "accuracy gained from the stopped teacher over hard labels"
        yield over_nets(title, gain, gains, tolerance, gain / 2)
        least = float(gains.mean()) - _margin(gains)
        title = f"{title}, lower end of its interval over worlds"
        yield nt.Measurement(title, 0.0, least, 0.0, relation=nt.Relation.AT_LEAST)
        part, parts, tolerance = self.paired("tree averages")
        title = "accuracy gained from its averages over the tree alone"
        yield over_nets(title, part, parts, tolerance, gain / 2)
        # Accuracies hide much of the outputs.
        for title, deviation in (
            ("stopped teachers, what students see", self.teacher_deviation),
            ("students of hard labels, fresh points", self.student_deviation),
        ):
            yield falling_row(self.widths, list(deviation.T), title)
        for who, title in enumerate(("teachers", "students")):
            ratios, crossings = self.first_steps[:, who].T
            reach = float(crossings.mean())
            yield first_step_row(self.widths[1:], ratios[None], title, reach, _CONFIDENCE)

    def control(self, name: str) -> tuple[nt.Measurement, float]:
        """What a student gains that is taught worse, and what that of the stopped teacher does."""
        predicted, gains, tolerance = self.paired(name)
        if name == "trained-out teacher":
            # Finite nets train out later: what narrower ones keep bounds what these do.
            tolerance += abs(float(self.raised.mean()))
        title = "accuracy gained over hard labels"
        return over_nets(title, predicted, gains, tolerance), self.paired(STOPPED)[0]

    def arrays(self) -> dict[str, Array]:
        """Gains of all students but that of hard labels over it, shape (worlds, students − 1)."""
        gains = [self.gain(name) for name in STUDENTS if name != HARD_LABELS]
        predicted, measured = (np.stack(column, axis=1) for column in zip(*gains, strict=True))
        return {"predicted_gain": predicted, "gain": measured}


def _margin(values: Array) -> float:
    """Half-width of the interval of a mean over worlds."""
    from ntk_theory.fitting import half_width

    return half_width(values, _CONFIDENCE)


def controls() -> Iterator[nt.Control]:
    """Students that do not gain what that of the stopped teacher does."""

    def measured(student: str, run: nt.Run) -> tuple[nt.Measurement, float]:
        found: Students = run.notes["students"]
        return found.control(student)

    for student, broken in (
        ("trained-out teacher",
         f"the teacher is stopped: here it trains for {TRAINED_OUT} steps"),
        ("confidence alone",
         "outputs on wrong classes teach: here only the predicted class and its output do"),
        ("shuffled teacher",
         "outputs on wrong classes say which are near: here they are shuffled among them"),
    ):  # fmt: skip
        id_ = student.replace(" ", "-")
        yield nt.Control(id_, broken, measured=partial(measured, student))


def gains_of_students(axes: Axes, result: ClaimResult) -> None:
    """What do students of different targets gain over that of hard labels?"""
    arrays, drawing = result.arrays, nt.drawing
    if "gain" not in arrays:
        return
    names = [name.removesuffix(" teacher") for name in STUDENTS if name != HARD_LABELS]
    place, mean = np.arange(len(names)), arrays["gain"].mean(axis=0)
    drawing.dots(axes, place, arrays["gain"].T, drawing.BLUE, "nets, one dot a world")
    drawing.dots(axes, place, mean, drawing.ORANGE, "their mean", "s", size=5)
    for index, height in enumerate(arrays["predicted_gain"].mean(axis=0)):
        label = None if index else "kernel predictor, mean"
        ends = index + np.array([-0.35, 0.35])
        drawing.prediction(axes, ends, [height, height], label, of=names[index])
    drawing.bound(axes, 0.0, "hard labels")
    axes.set_xticks(place, names, rotation=25, ha="right")
    axes.set(ylabel="gain in accuracy")
    axes.legend()

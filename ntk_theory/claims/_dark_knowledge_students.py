"""Students of stopped teachers, in worlds of their own (docs/theory.md, section 6.6).

A world is a blurred tree. In each a teacher sees some points of each class, and its students one;
their accuracy on fresh points is compared with that of the kernel predictor, world by world.
"""

from __future__ import annotations

__all__ = [
    "STOPPED", "STUDENTS", "Students", "World", "accuracy", "arrays", "averaged", "confidence",
    "controls", "gains_of_students", "means_over_tree", "relations", "shuffled", "work",
]  # fmt: skip

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.evidence import over_nets
from ntk_theory.checking.fitting import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.verdicts import ClaimResult

Array = NDArray[np.float64]

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
"""How many times narrower nets are that students and teachers have to improve on, as many as the
sweep of the quick preset spans; and trained-out teachers, which end near the labels anyway."""

CONFIGURED = {
    "worlds_per_net": WORLDS_PER_NET, "world_superclasses": GROUPS, "world_classes": SIBLINGS,
    "world_points": TAUGHT, "world_test_points": TESTED, "world_dimension": FEATURES,
    "world_cosines": [SUPER_COSINE, CLASS_COSINE], "teacher_steps": TEACHER_STEPS,
    "student_steps": STUDENT_STEPS, "narrower": [NARROWER, TRAINED_OUT_NARROWER],
}  # fmt: skip
_TEACHER_STREAM, _STUDENT_STREAM = 3, 4
_CONFIDENCE = 0.9999
"""Two-sided, of intervals over worlds: their nets are finite, which adds a little to chance."""


def relations(count: int, siblings: int) -> tuple[Array, Array, Array]:
    """Pairs of classes that are one, siblings, of different superclasses, shape (C, C) each."""
    own, superclass = np.eye(count, dtype=bool), np.arange(count) // siblings
    same = superclass[:, None] == superclass
    return own, same & ~own, ~same


def means_over_tree(outputs: Array, siblings: int) -> tuple[Array, Array, Array]:
    """Mean output on the own class, on its siblings and on others, of outputs (..., C, C)."""
    own, near, far = (
        outputs[..., pairs].mean(axis=-1) for pairs in relations(outputs.shape[-1], siblings)
    )
    return own, near, far


def averaged(targets: Array) -> Array:
    """Targets (C, C) with their means over the tree: own class, siblings, others."""
    pairs, means = relations(len(targets), SIBLINGS), means_over_tree(targets, SIBLINGS)
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
    largest = targets.max(axis=1, keepdims=True)
    rest = (targets.sum(axis=1, keepdims=True) - largest) / (len(targets) - 1)
    top = np.arange(len(targets)) == targets.argmax(axis=1)[:, None]
    return np.asarray(np.where(top, largest, rest))


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

    @cached_property
    def limits(self) -> tuple[int, Array, Array]:
        """When the infinitely wide teacher holds most dark knowledge, and what students see then.

        And what they see in the end, shape (C, C) each.
        """
        outputs = self.teacher.kernel_limit()
        of_classes = outputs.reshape(len(outputs), COUNT, TAUGHT, COUNT).mean(axis=2)
        _, siblings, others = means_over_tree(of_classes, SIBLINGS)
        stop = int((siblings - others).argmax())
        return stop, outputs[stop, ::TAUGHT], outputs[-1, ::TAUGHT]

    @cached_property
    def predictor(self) -> Array:
        """K_* K^{-1} (I − (I − ηK)^t): fresh outputs of the wide student from targets, (k, C)."""
        seen, one = self.student.inputs, np.eye(COUNT)
        kernel, cross = nt.kernels.ntk_limit(seen), nt.kernels.ntk_limit(self.tested, seen)
        left = np.linalg.matrix_power(one - self.student.rate * kernel, STUDENT_STEPS)
        return np.asarray(cross @ np.linalg.solve(kernel, one - left))


def accuracy(outputs: Array) -> float:
    """Share of fresh points whose class has the largest output."""
    return float((outputs.argmax(axis=-1) == np.repeat(np.arange(COUNT), TESTED)).mean())


def _teach(run: nt.Run, index: int) -> dict[str, float]:
    """Train teachers and students in one world; says what is seen in it, by name."""
    from ntk_theory.checking.ladder import first_step_ratios
    from ntk_theory.checking.nets import net_seeds, train_nets

    nets, wide = run.nets, run.problem.student_width
    out_width, seen = wide // TRAINED_OUT_NARROWER, slice(0, None, TAUGHT)
    key = np.random.SeedSequence(nets.seed, spawn_key=(_TEACHER_STREAM, index))
    world = World(np.random.default_rng(key))
    stop, *limits = world.limits

    def train(recipe: nt.Recipe, width: int, stream: int, keep_network: bool = False) -> Any:
        seed = net_seeds(nets.seed, width, index + 1, stream)[-1:]
        return train_nets(replace(recipe, record=sorted({1, recipe.steps})), width, seed,
                          dtype=nets.dtype, device=nets.device, progress=run.progress,
                          keep_network=keep_network)  # fmt: skip

    def teach(width: int, steps: int) -> Array:
        """Outputs of a teacher, shape (k, n, C)."""
        recipe = replace(world.teacher, steps=steps)
        return np.asarray(train(recipe, width, _TEACHER_STREAM).outputs[0])

    def learn(width: int, targets: Array) -> tuple[Array, Array]:
        """Outputs of a student after one step, and in the end on fresh points, shape (k, C)."""
        found = train(world.student.relabelled(targets), width, _STUDENT_STREAM, True)
        return found.outputs[:, 0], found.network(world.tested)[0]

    def off(outputs: Array, limit: Array) -> float:
        return float(np.sqrt(np.square(outputs - limit).sum(axis=1).mean()))

    teacher, found = teach(wide, stop), {}
    stopped = teacher[-1, seen]
    out, sooner = (teach(w, TEACHER_STEPS)[-1, seen] for w in (out_width, out_width // 4))
    for name, targets in STUDENTS.items():
        first, fresh = learn(wide, targets(stopped, out))
        found[name] = accuracy(fresh)
        found[f"predicted {name}"] = accuracy(world.predictor @ targets(*limits))
        if name == HARD:
            ratio, found["students: crossing"] = first_step_ratios(world.student, first)
            found["students: first step"] = float(ratio[0])
            found["students: off"] = off(fresh, world.predictor)
    ratio, found["teachers: crossing"] = first_step_ratios(world.teacher, teacher[:1])
    found["teachers: first step"] = float(ratio[0])
    found["teachers: off"] = off(stopped, limits[0])
    found["teachers: narrow, off"] = off(teach(wide // NARROWER, stop)[-1, seen], limits[0])
    narrow = learn(wide // NARROWER, np.eye(COUNT))[1]
    found["students: narrow, off"] = off(narrow, world.predictor)
    # What a trained-out teacher of a quarter of the width adds to the predicted accuracy.
    found["raised"] = accuracy(world.predictor @ sooner) - found[f"predicted {TRAINED_OUT}"]
    return found


def work(width: int, nets: int) -> float:
    """Neuron-steps of all teachers and students."""
    both = width + width // NARROWER
    teachers = 5 / 4 * width // TRAINED_OUT_NARROWER * TEACHER_STEPS + 3 * both
    students = (len(STUDENTS) - 1) * width + both
    return WORLDS_PER_NET * nets * (students * STUDENT_STEPS + teachers)


class Students:
    """What is seen in each world, by name.

    Attributes:
        found: of each, shape (worlds,): accuracies of the students on fresh points, and more.
        widths: of narrow ones, and of all others but trained-out teachers.
    """

    def __init__(self, lessons: Sequence[Mapping[str, float]], width: int) -> None:
        self.found = {key: np.array([one[key] for one in lessons]) for key in lessons[0]}
        self.widths = width // NARROWER, width

    @classmethod
    def taught(cls, run: nt.Run) -> Students:
        """Train teachers and students in all worlds."""
        lessons, worlds = [], WORLDS_PER_NET * run.nets.count
        for index in range(worlds):
            run.evidence.progress_note = f"tree done, {index} of {worlds} worlds"
            lessons.append(_teach(run, index))
            run.evidence.metrics.append({"world": index, **lessons[-1]})
        return cls(lessons, run.problem.student_width)

    def gain(self, name: str) -> tuple[Array, Array]:
        """Predicted and measured accuracy above that of hard labels, shape (worlds,)."""
        predicted, of = f"predicted {name}", self.found
        return of[predicted] - of[f"predicted {HARD}"], of[name] - of[HARD]

    def paired(self, name: str) -> tuple[float, Array, float]:
        """Predicted gain, measured gains, and the tolerance of their mean difference.

        One fresh point of one world is the least that an accuracy can differ by.
        """
        predicted, measured = self.gain(name)
        grain = 1 / (COUNT * TESTED * predicted.size)
        return (
            float(predicted.mean()),
            measured,
            mean_of(measured - predicted, _CONFIDENCE)[1] + grain,
        )

    def rows(self) -> Iterator[nt.Measurement]:
        """What students gain, and how near outputs are to their kernel limit."""
        from ntk_theory.checking.ladder import falling_row, first_step_row

        of, (gain, gains, off) = self.found, self.paired(STOPPED)
        for name in (HARD, STOPPED):
            predicted, title = (
                of[f"predicted {name}"],
                f"student of {name}: accuracy on fresh points",
            )
            yield over_nets(title, float(predicted.mean()), of[name],
                            mean_of(of[name] - predicted, _CONFIDENCE)[1], gain / 2)  # fmt: skip
        title = "accuracy gained from the stopped teacher over hard labels"
        yield over_nets(title, gain, gains, off, gain / 2)
        yield nt.Measurement(f"{title}, lower end of its interval over worlds", 0.0,
                             float(gains.mean()) - mean_of(gains, _CONFIDENCE)[1], 0.0,
                             relation=nt.Relation.AT_LEAST)  # fmt: skip
        title = "accuracy gained from its averages over the tree alone"
        yield over_nets(title, *self.paired("tree averages"), gain / 2)
        # Accuracies hide much of the outputs.
        for who, title in (("teachers", "stopped teachers, what students see"),
                           ("students", "students of hard labels, fresh points")):  # fmt: skip
            yield falling_row(self.widths, [of[f"{who}: narrow, off"], of[f"{who}: off"]], title)
        for who in ("teachers", "students"):
            ratios, reach = of[f"{who}: first step"][None], float(of[f"{who}: crossing"].mean())
            yield first_step_row(self.widths[1:], ratios, who, reach, _CONFIDENCE)


def controls() -> Iterator[nt.Control]:
    """Students that do not gain what that of the stopped teacher does."""

    def measured(name: str, run: nt.Run) -> tuple[nt.Measurement, float, float]:
        students: Students = run.notes["students"]
        predicted, gains, off = students.paired(name)
        if name == TRAINED_OUT:
            # Finite nets train out later: what narrower ones keep bounds what these do.
            off += abs(float(students.found["raised"].mean()))
        failure = over_nets("accuracy gained over hard labels", predicted, gains, off)
        return failure, students.paired(STOPPED)[0], off

    for name, broken in (
        (TRAINED_OUT, f"the teacher is stopped: here it trains for {TEACHER_STEPS} steps"),
        ("confidence alone",
         "outputs on wrong classes teach: here only the predicted class and its output do"),
        ("shuffled teacher",
         "outputs on wrong classes say which are near: here they are shuffled among them"),
    ):  # fmt: skip
        yield nt.Control(name.replace(" ", "-"), broken, measure=partial(measured, name))


def arrays(students: Students) -> dict[str, Array]:
    """Gains of all students but that of hard labels over it, shape (worlds, students − 1)."""
    gains = zip(*(students.gain(name) for name in STUDENTS if name != HARD), strict=True)
    return dict(zip(("predicted_gain", "gain"), (np.stack(g, axis=1) for g in gains), strict=True))


def gains_of_students(axes: Axes, result: ClaimResult) -> None:
    """What do students of different targets gain over that of hard labels?"""
    arrays, drawing = result.arrays, nt.drawing
    if "gain" not in arrays:
        return
    names = [name.removesuffix(" teacher") for name in STUDENTS if name != HARD]
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

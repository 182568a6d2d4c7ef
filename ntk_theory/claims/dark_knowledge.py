"""Claim C2: an early-stopped teacher harvests dark knowledge (docs/theory.md, section 6.6).

Nets with one output a class are trained on a tree of classes. What they output on sibling classes,
less what they output on others, rises and falls as the closed form says; and students that see one
point of each class profit from the outputs of a stopped teacher, not from those of a trained-out
one.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory.runs import Evidence, chosen, conduct, over_nets
from ntk_theory.verdicts import (
    Claim,
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Relation,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.ladder import Ladder
    from ntk_theory.predictions import TreeSpectrum
    from ntk_theory.problems import Recipe
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_TRAINING = "one-hot labels"
_LEAST_WIDTHS = 5
_CLASSES, _CLASS_RATIO = 3, 5.0
"""Classes per superclass and λ_class/λ_− of the tree."""

_CONFIDENCE = 0.999
"""Of the bounds that narrower nets put on the widest: some ten rows hold together."""

_PAIRED_CONFIDENCE = 0.9999
"""Two-sided, of intervals over worlds: their nets are finite, which adds a little to chance."""

_EXPONENT, _EXPONENT_TOLERANCE = -0.5, 0.15
_CONTROL_STREAM, _CONTROL_NETS = 1, 4
_TEACHER_STREAM, _STUDENT_STREAM = 3, 4

_GROUPS, _SIBLINGS, _TAUGHT, _TESTED, _FEATURES = 4, 4, 6, 24, 20
"""Of a world: superclasses, classes in each, points of a class to train and test on, dimension."""

_SUPER_COSINE, _CLASS_COSINE = 0.3, 0.5
"""Mean cosine of points of one superclass, and of one class, in a world."""

_TRAINED_OUT, _STUDENT_STEPS = 60, 10

_WORLDS_PER_NET = 3
"""Accuracies scatter more over worlds than outputs do over nets."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    nets: int
    student_width: int


_PRESETS = {
    "quick": _Preset(256, 5, 4, 8192),
    "standard": _Preset(256, 6, 6, 8192),
    "paper": _Preset(256, 7, 10, 16384),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """A tree with the nets to train on it.

    Attributes:
        spectrum: eigenvalues of the tree.
        inputs: its points, those of a class together, shape (n, d).
        groups: class of each point, shape (n,).
        ratio: λ_super/λ_class asked for.
        learning_rate: η.
        steps: T.
        widths: of the ladder.
        nets: at each width.
        dtype: their precision.
        options: as given.
    """

    spectrum: TreeSpectrum
    inputs: Array
    groups: NDArray[np.int64]
    ratio: float
    learning_rate: float
    steps: int
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def labels(self) -> Array:
        """One-hot rows, shape (n, C)."""
        return np.asarray(np.eye(self.spectrum.superclasses * _CLASSES)[self.groups])

    @property
    def control_width(self) -> int:
        return self.widths[(len(self.widths) - 1) // 2]

    @property
    def worlds(self) -> int:
        """Blurred trees, each with a teacher and its students."""
        return _WORLDS_PER_NET * self.nets

    @property
    def student_width(self) -> int:
        """Width of students and of their stopped teachers, which make a few steps only."""
        return _PRESETS[self.options.preset].student_width

    @property
    def trained_out_width(self) -> int:
        """Width of trained-out teachers: they make many steps, and end near the labels anyway."""
        return self.student_width // 8

    @cached_property
    def class_outputs(self) -> Array:
        """Predicted outputs on the points of each class, shape (T + 1, C, C)."""
        from ntk_theory import predictions

        return predictions.tree_outputs(self.spectrum, self.learning_rate, self.steps)

    @property
    def outputs(self) -> Array:
        """Predicted outputs, shape (T + 1, n, C)."""
        return np.asarray(self.class_outputs[:, self.groups])

    @cached_property
    def knowledge(self) -> Array:
        """Predicted dark knowledge, shape (T + 1,)."""
        from ntk_theory import predictions

        return predictions.dark_knowledge(self.spectrum, self.learning_rate, self.steps)

    @property
    def peak_step(self) -> int:
        """Step at which the prediction is largest."""
        return int(self.knowledge.argmax())

    @cached_property
    def recipe(self) -> Recipe:
        """Plain training on the one-hot labels."""
        from ntk_theory.problems import Recipe
        from ntk_theory.targets import PLAIN

        return Recipe(
            inputs=self.inputs,
            observed=self.labels,
            distillation=PLAIN,
            learning_rate=self.learning_rate,
            steps=self.steps,
        )

    def work(self) -> float:
        ladder = sum(self.widths) * self.nets * self.steps
        controls = 3 * self.control_width * _CONTROL_NETS * self.steps
        students = (len(_STUDENTS) - 1) * self.student_width * _STUDENT_STEPS
        teachers = self.trained_out_width * 5 / 4 * _TRAINED_OUT + self.student_width * 3
        return ladder + controls + self.worlds * (students + teachers)

    def config(self) -> dict[str, Any]:
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": self.spectrum.superclasses,
            "classes": _CLASSES,
            "points": self.spectrum.points,
            "ratio": self.ratio,
            "class_ratio": _CLASS_RATIO,
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "device": self.options.device,
            "dtype": self.dtype,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
            "worlds": self.worlds,
            "student_width": self.student_width,
            "trained_out_width": self.trained_out_width,
            "world_superclasses": _GROUPS,
            "world_classes": _SIBLINGS,
            "world_points": _TAUGHT,
            "world_test_points": _TESTED,
            "world_dimension": _FEATURES,
            "world_cosines": [_SUPER_COSINE, _CLASS_COSINE],
            "teacher_steps": _TRAINED_OUT,
            "student_steps": _STUDENT_STEPS,
        }


def _plan(options: Options) -> _Plan:
    from ntk_theory import data, predictions
    from ntk_theory.experiments import check_memory, check_nets, check_widths

    preset = _PRESETS[options.preset]
    widths = tuple(preset.first * 2**k for k in range(preset.rungs))
    if options.widths is not None:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), 2)
    superclasses, points = chosen(options.clusters, 3), chosen(options.points, 4)
    ratio = chosen(options.ratio, 4.0)
    if not 1 < ratio < math.inf:
        raise ValueError(
            "ratio must be above 1 and finite: λ_super/λ_class = 1 means no superclasses; "
            f"got {ratio}"
        )
    if points % 2:
        raise ValueError(
            "points must be even: a control gives half of each class a sibling's label, evenly; "
            f"got {points}"
        )
    ratios = {"class_ratio": _CLASS_RATIO, "super_ratio": _CLASS_RATIO * ratio}
    design = data.tree(superclasses, _CLASSES, points, **ratios)
    angles = predictions.tree_angles(_CLASSES, points, **ratios)
    spectrum = predictions.tree_spectrum(superclasses, _CLASSES, points, *angles)
    rate = chosen(options.learning_rate, 0.3 / spectrum.mean)
    if not 0 < rate * spectrum.mean < 1:
        raise ValueError(
            f"learning_rate must lie in (0, 1/λ_max) = (0, {1 / spectrum.mean:.4g}), so that no "
            f"eigenspace overshoots; got {rate}"
        )
    steps = chosen(options.steps, math.ceil(8 / (rate * spectrum.class_)))
    peak, _ = predictions.dark_knowledge_peak(spectrum, rate)
    least = max(5, math.ceil(2 * peak + 2))
    if steps < least:
        raise ValueError(
            f"steps must be at least {least}, twice the predicted time of the peak and two; "
            f"got {steps}"
        )
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], design.inputs.shape, dtype)
    return _Plan(
        spectrum,
        design.inputs,
        design.groups,
        ratio,
        rate,
        steps,
        widths,
        nets,
        dtype,
        options,
    )


def _premises(plan: _Plan) -> list[Premise]:
    from ntk_theory.kernels import ntk_limit
    from ntk_theory.spectrum import eigendecomposition

    values = eigendecomposition(ntk_limit(plan.inputs)).eigenvalues
    rounding = len(values) * float(np.finfo(float).eps) * float(values[-1])
    bottom, overshoot = float(values[0]), plan.learning_rate * float(values[-1])
    left = float(plan.knowledge[-1] / plan.knowledge.max())
    return [
        Premise("zero initial output", 0.0, True, "f_0 = 0 (antisymmetric start)"),
        Premise("kernel positive definite", bottom, bottom > rounding, "λ_min(H) > n eps λ_max"),
        Premise("no overshoot", overshoot, overshoot < 1, "ηλ_max < 1"),
        Premise("long enough run", left, left < 0.1, "predicted to end below a tenth of the peak"),
    ]


# ---------------------------------------------------------------- the tree


def _relations(count: int, siblings: int) -> tuple[Array, Array]:
    """Whether two classes are siblings, and whether their superclasses differ, shape (C, C)."""
    index = np.arange(count)
    same = index[:, None] // siblings == index // siblings
    return np.asarray(same & (index[:, None] != index)), np.asarray(~same)


def _knowledge(outputs: Array, groups: NDArray[np.int64], siblings: int = _CLASSES) -> Array:
    """Mean output on siblings minus mean output on non-siblings, of outputs (..., n, C)."""
    sibling, other = (which[groups] for which in _relations(outputs.shape[-1], siblings))
    return np.asarray(outputs[..., sibling].mean(axis=-1) - outputs[..., other].mean(axis=-1))


def _peak(curves: Array, spacing: int = 1) -> tuple[Array, Array]:
    """Time and height of the peak of curves (..., T + 1), by a parabola through three steps."""
    top = np.clip(curves.argmax(axis=-1), spacing, curves.shape[-1] - 1 - spacing)
    before, at, after = (
        np.take_along_axis(curves, (top + shift)[..., None], axis=-1)[..., 0]
        for shift in (-spacing, 0, spacing)
    )
    shift = (before - after) / (2 * (before - 2 * at + after))
    return top + spacing * shift, at - (before - after) * shift / 4


@dataclass(frozen=True)
class _Climbed:
    """Dark knowledge and outputs of the nets of all widths.

    Attributes:
        ladder: the nets.
        knowledge: shape (widths, S, T + 1).
        means: output on the own class, siblings and others at the peak, shape (widths, S, 3).
    """

    ladder: Ladder
    knowledge: Array
    means: Array

    def signed_allowance(self, values: Array, width: int | None = None) -> float:
        """What narrower nets let expect of an error with a sign, (widths, S), like m^{-1/2}.

        Student's bound on one further N(0, τ²/m) from the mean square of √m times the N narrower
        ones; a mean over nets is nearer to 0 (docs/theory.md, section 6.5). At a `width` given, all
        nets are used.
        """
        from scipy.stats import t as student_t

        widths = np.array(self.ladder.widths, dtype=float)
        known = values if width else values[:-1]
        scaled = known * np.sqrt(widths[: len(known), None])
        at = width or self.ladder.widths[-1]
        quantile = float(student_t.ppf((1 + _CONFIDENCE) / 2, scaled.size))
        spread = float(np.sqrt(np.square(scaled).mean() / at))
        return quantile * spread + self.ladder.rounding_allowance(at)


def _kernel_row(plan: _Plan) -> Measurement:
    """The infinitely wide net, step by step on the measured kernel, against the closed form.

    An eigenvalue is off by 8 n eps λ_max (solver and matrix), so a filter by T η times that; the
    recursion rounds by n eps a step.
    """
    from ntk_theory.kernels import ntk_limit
    from ntk_theory.training import train_kernel_limit

    limit = train_kernel_limit(
        ntk_limit(plan.inputs),
        plan.labels,
        plan.recipe.distillation,
        learning_rate=plan.learning_rate,
        steps=plan.steps,
    )
    worst = float(np.abs(limit - plan.outputs).max())
    allowed = 9 * len(plan.inputs) * plan.steps * float(np.finfo(float).eps)
    return Measurement("kernel recursion − closed form, largest", 0.0, worst, allowed)


def _tree_rows(plan: _Plan, climbed: _Climbed) -> Iterator[Measurement]:
    """Dark knowledge over time: at its peak, when it peaks, at the end, and in between.

    A tolerance of half the height tells the peak from none and from its double.
    """
    from ntk_theory import predictions

    yield _kernel_row(plan)
    fitted = climbed.ladder.fit(_TRAINING, lambda rung: rung.largest_deviation)
    yield Measurement(
        "exponent of sup_t ‖u_m − u_∞‖/√n in m",
        _EXPONENT,
        fitted.exponent,
        _EXPONENT_TOLERANCE,
        fitted.interval,
    )
    time, height = predictions.dark_knowledge_peak(plan.spectrum, plan.learning_rate)
    times, heights = _peak(climbed.knowledge)
    # The error of a parabola falls at least like its spacing squared: the change from twice the
    # spacing is three times what is left, or more.
    own, coarse = _peak(plan.knowledge), _peak(plan.knowledge, 2)
    off_time, off_height = (abs(float(a - b)) for a, b in zip(own, coarse, strict=True))
    yield over_nets(
        "time of the peak",
        time,
        times[-1],
        climbed.signed_allowance(times - own[0]) + off_time,
        time / 2,
    )
    yield over_nets(
        "height of the peak",
        height,
        heights[-1],
        climbed.signed_allowance(heights - own[1]) + off_height,
        height / 2,
    )
    for step in (plan.peak_step // 2, 3 * plan.peak_step, plan.steps):
        predicted = float(plan.knowledge[step])
        yield over_nets(
            f"dark knowledge after {step} steps",
            predicted,
            climbed.knowledge[-1, :, step],
            climbed.signed_allowance(climbed.knowledge[..., step] - predicted),
            height / 2,
        )
    expected = _mean_outputs(plan.class_outputs[plan.peak_step])
    for index, name in enumerate(("the own class", "siblings", "other superclasses")):
        yield over_nets(
            f"mean output on {name} after {plan.peak_step} steps",
            float(expected[index]),
            climbed.means[-1, :, index],
            climbed.signed_allowance(climbed.means[..., index] - expected[index]),
            max(height, float(expected[index])) / 2,
        )


def _mean_outputs(class_outputs: Array) -> Array:
    """Mean over own class, siblings and others, of outputs (..., C, C), shape (..., 3)."""
    sibling, other = _relations(class_outputs.shape[-1], _CLASSES)
    own = np.eye(class_outputs.shape[-1], dtype=bool)
    means = [class_outputs[..., which].mean(axis=-1) for which in (own, sibling, other)]
    return np.stack(means, axis=-1)


# ---------------------------------------------------------------- students


@dataclass(frozen=True)
class _World:
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
        return np.asarray(np.eye(_GROUPS * _SIBLINGS)[self.groups])

    @property
    def seen(self) -> slice:
        """What the student sees: the first point of each class."""
        return slice(0, None, _TAUGHT)

    @cached_property
    def rate(self) -> float:
        """Learning rate of the teacher."""
        from ntk_theory.kernels import ntk_limit

        return 0.9 / float(np.linalg.eigvalsh(ntk_limit(self.inputs))[-1])

    @cached_property
    def teacher(self) -> Array:
        """Outputs of the infinitely wide teacher at every step, shape (T + 1, n, C)."""
        from ntk_theory.kernels import ntk_limit
        from ntk_theory.targets import PLAIN
        from ntk_theory.training import train_kernel_limit

        return train_kernel_limit(
            ntk_limit(self.inputs),
            self.labels,
            PLAIN,
            learning_rate=self.rate,
            steps=_TRAINED_OUT,
        )

    @cached_property
    def stop(self) -> int:
        """Step at which the infinitely wide teacher holds most dark knowledge."""
        return int(_knowledge(self.teacher, self.groups, _SIBLINGS).argmax())

    @cached_property
    def student_rate(self) -> float:
        from ntk_theory.kernels import ntk_limit

        return 1 / float(np.linalg.eigvalsh(ntk_limit(self.inputs[self.seen]))[-1])

    @cached_property
    def predictor(self) -> Array:
        """Fresh outputs of the infinitely wide student from its targets, shape (k, C).

        K_* K^{-1} (I − (I − ηK)^t).
        """
        from ntk_theory.kernels import ntk_limit

        few = self.inputs[self.seen]
        kernel = ntk_limit(few)
        left = np.eye(len(few)) - self.student_rate * kernel
        retrieved = np.eye(len(few)) - np.linalg.matrix_power(left, _STUDENT_STEPS)
        return np.asarray(ntk_limit(self.tested, few) @ np.linalg.solve(kernel, retrieved))

    def accuracy(self, outputs: Array) -> float:
        """Share of fresh points whose class has the largest output."""
        return float((outputs.argmax(axis=-1) == self.tested_groups).mean())


def _world(rng: np.random.Generator) -> _World:
    """Unit rows √v e_g + √(w − v) e_{g,j} + √(1 − w) ε, with Gaussian directions e and ε."""

    def directions(count: int) -> Array:
        return rng.standard_normal((count, _FEATURES)) / math.sqrt(_FEATURES)

    classes = np.arange(_GROUPS * _SIBLINGS)
    centres = math.sqrt(_SUPER_COSINE) * directions(_GROUPS)[classes // _SIBLINGS] + math.sqrt(
        _CLASS_COSINE - _SUPER_COSINE
    ) * directions(classes.size)

    def points(each: int) -> tuple[Array, NDArray[np.int64]]:
        groups = np.repeat(classes, each)
        rows = centres[groups] + math.sqrt(1 - _CLASS_COSINE) * directions(groups.size)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), groups

    (inputs, groups), (tested, tested_groups) = points(_TAUGHT), points(_TESTED)
    return _World(inputs, tested, groups, tested_groups)


def _averaged(targets: Array) -> Array:
    """Targets (C, C) with their means over the tree: own class, siblings, others."""
    sibling, other = _relations(len(targets), _SIBLINGS)
    own = np.eye(len(targets), dtype=bool)
    averaged = np.empty_like(targets)
    for which in (own, sibling, other):
        averaged[which] = targets[which].mean()
    return averaged


def _shuffled(targets: Array) -> Array:
    """Targets (C, C) with the outputs on the wrong classes in another order, in every row."""
    rng, shuffled = np.random.default_rng(len(targets)), targets.copy()
    for row in range(len(targets)):
        wrong = np.delete(np.arange(len(targets)), row)
        shuffled[row, wrong] = targets[row, rng.permutation(wrong)]
    return shuffled


def _hardened(targets: Array) -> Array:
    return np.asarray(np.eye(len(targets))[targets.argmax(axis=1)])


_Targets = Callable[[Array, Array], Array]
_STUDENTS: dict[str, _Targets] = {
    "hard labels": lambda stopped, _: np.eye(len(stopped)),
    "stopped teacher": lambda stopped, _: stopped,
    "tree averages": lambda stopped, _: _averaged(stopped),
    "trained-out teacher": lambda _, out: out,
    "hardened teacher": lambda stopped, _: _hardened(stopped),
    "shuffled teacher": lambda stopped, _: _shuffled(stopped),
}
"""Targets of each student, from the outputs of a stopped and of a trained-out teacher."""


@dataclass(frozen=True)
class _Students:
    """Accuracies on fresh points, one row a world and one column a student of `_STUDENTS`.

    Attributes:
        predicted: by the kernel predictor, shape (worlds, students).
        measured: of nets, shape (worlds, students).
        raised: predicted accuracy that a trained-out teacher of a quarter of the width adds,
            shape (worlds,).
    """

    predicted: Array
    measured: Array
    raised: Array

    def gain(self, name: str) -> tuple[Array, Array]:
        """Predicted and measured accuracy above that of hard labels, shape (worlds,)."""
        names = list(_STUDENTS)
        column, base = names.index(name), names.index("hard labels")
        first, second = (
            values[:, column] - values[:, base] for values in (self.predicted, self.measured)
        )
        return first, second

    def margin(self, values: Array) -> float:
        """Half-width of Student's interval of a mean over worlds."""
        from scipy.stats import t as student_t

        quantile = student_t.ppf((1 + _PAIRED_CONFIDENCE) / 2, values.size - 1)
        return float(quantile * values.std(ddof=1) / math.sqrt(values.size))

    def paired(self, name: str) -> tuple[float, Array, float]:
        """Predicted gain, measured gains, and the tolerance of their mean difference.

        One fresh point of one world is the least that an accuracy can differ by.
        """
        predicted, measured = self.gain(name)
        grain = 1 / (_GROUPS * _SIBLINGS * _TESTED * predicted.size)
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

    plan: _Plan
    index: int
    world: _World
    progress: Progress

    def _train(self, recipe: Recipe, width: int, stream: int, keep_network: bool) -> Trajectory:
        from ntk_theory.experiments import net_seeds, train_nets

        seeds = net_seeds(self.plan.options.seed, width, self.plan.worlds, stream)
        return train_nets(
            recipe,
            width,
            seeds[self.index : self.index + 1],
            dtype=self.plan.dtype,
            device=self.plan.options.device,
            progress=self.progress,
            keep_network=keep_network,
        )

    def teacher(self, width: int, steps: int) -> Array:
        """Outputs of a trained teacher on what the student sees, shape (C, C)."""
        from ntk_theory.problems import Recipe
        from ntk_theory.targets import PLAIN

        world = self.world
        recipe = Recipe(
            inputs=world.inputs,
            observed=world.labels,
            distillation=PLAIN,
            learning_rate=world.rate,
            steps=steps,
            record=(steps,),
        )
        outputs = self._train(recipe, width, _TEACHER_STREAM, False).outputs
        return np.asarray(outputs[0, 0, world.seen])

    def student(self, targets: Array) -> float:
        """Accuracy of a trained student on fresh points."""
        from ntk_theory.problems import Recipe
        from ntk_theory.targets import PLAIN

        world = self.world
        recipe = Recipe(
            inputs=world.inputs[world.seen],
            observed=targets,
            distillation=PLAIN,
            learning_rate=world.student_rate,
            steps=_STUDENT_STEPS,
            record=(_STUDENT_STEPS,),
        )
        network = self._train(recipe, self.plan.student_width, _STUDENT_STREAM, True).network
        assert network is not None
        return world.accuracy(network(world.tested)[0])


def _teach(plan: _Plan, index: int, progress: Progress) -> tuple[list[float], list[float], float]:
    """Train teachers and students in one world.

    Returns:
        Predicted and measured accuracies of the students, and by how much a trained-out teacher of
        a quarter of the width raises the predicted accuracy of its student.
    """
    sequence = np.random.SeedSequence(plan.options.seed, spawn_key=(_TEACHER_STREAM, index))
    world = _world(np.random.default_rng(sequence))
    school = _School(plan, index, world, progress)
    stopped = school.teacher(plan.student_width, world.stop)
    trained_out = school.teacher(plan.trained_out_width, _TRAINED_OUT)
    narrower = school.teacher(plan.trained_out_width // 4, _TRAINED_OUT)
    limits = world.teacher[[world.stop, _TRAINED_OUT]][:, world.seen]
    predicted, measured = [], []
    trained: dict[bytes, float] = {}
    for targets in _STUDENTS.values():
        observed = targets(stopped, trained_out)
        # A student starts from the same net whatever it is taught: equal targets, equal student.
        key = observed.tobytes()
        if key not in trained:
            trained[key] = school.student(observed)
        predicted.append(world.accuracy(world.predictor @ targets(*limits)))
        measured.append(trained[key])
    raised = world.accuracy(world.predictor @ narrower) - world.accuracy(
        world.predictor @ limits[1]
    )
    return predicted, measured, raised


def _student_rows(students: _Students) -> Iterator[Measurement]:
    """What a student that sees one point of each class gains from a stopped teacher."""
    gain, gains, tolerance = students.paired("stopped teacher")
    for column, name in enumerate(("hard labels", "stopped teacher")):
        predicted, measured = students.predicted[:, column], students.measured[:, column]
        yield over_nets(
            f"student of {name}: accuracy on fresh points",
            float(predicted.mean()),
            measured,
            students.margin(measured - predicted),
            gain / 2,
        )
    name = "accuracy gained from the stopped teacher over hard labels"
    yield over_nets(name, gain, gains, tolerance, gain / 2)
    yield Measurement(
        f"{name}, lower end of its interval over worlds",
        0.0,
        float(gains.mean()) - students.margin(gains),
        0.0,
        relation=Relation.AT_LEAST,
    )
    part, parts, tolerance = students.paired("tree averages")
    yield over_nets(
        "accuracy gained from its averages over the tree alone", part, parts, tolerance, gain / 2
    )


# ---------------------------------------------------------------- controls


def _control(
    id_: str,
    broken: str,
    name: str,
    predicted: float,
    values: Array,
    tolerance: float,
    claimed: float,
) -> Control:
    failure = over_nets(name, predicted, values, tolerance)
    fails = abs(failure.measured - claimed) > tolerance
    verdict = Verdict.VIOLATED if fails else Verdict.SUPPORTED
    return Control(id_, broken, Verdict.VIOLATED, verdict, failure, claimed, tolerance)


def _trained(plan: _Plan, recipe: Recipe, progress: Progress) -> Array:
    """Dark knowledge of control nets at every step, shape (S, T + 1)."""
    from ntk_theory.experiments import net_seeds, train_nets

    width = plan.control_width
    trajectory = train_nets(
        recipe,
        width,
        net_seeds(plan.options.seed, width, _CONTROL_NETS, _CONTROL_STREAM),
        dtype=plan.dtype,
        device=plan.options.device,
        progress=progress,
    )
    return _knowledge(trajectory.outputs, plan.groups)


def _tree_controls(plan: _Plan, climbed: _Climbed, progress: Progress) -> Iterator[Control]:
    """Trees that hold no dark knowledge, at one time or at any, or hold it for good."""
    from ntk_theory import data, predictions

    peak, spectrum = plan.peak_step, plan.spectrum
    height, left = float(plan.knowledge[peak]), float(plan.knowledge[-1])
    name = "dark knowledge after {} steps"
    allowed = {
        step: climbed.signed_allowance(
            climbed.knowledge[..., step] - plan.knowledge[step], plan.control_width
        )
        for step in (peak, plan.steps)
    }
    yield _control(
        "trained-out",
        f"the teacher is stopped: here it trains for {plan.steps} steps",
        name.format(plan.steps),
        left,
        _trained(plan, plan.recipe, progress)[:, -1],
        allowed[plan.steps],
        height,
    )
    angle = predictions.tree_angles(
        _CLASSES, spectrum.points, _CLASS_RATIO, _CLASS_RATIO * plan.ratio
    )[1]
    flat = data.equicorrelated_clusters(
        spectrum.superclasses * _CLASSES, spectrum.points, angle=angle
    )
    recipe = replace(plan.recipe, inputs=flat.inputs)
    yield _control(
        "no-superclasses",
        "classes have siblings: here all pairs of classes have one cosine",
        name.format(peak),
        0.0,
        _trained(plan, recipe, progress)[:, peak],
        allowed[peak],
        height,
    )
    # Half of each class keeps its label, the rest carries the siblings' in turn.
    rank = np.arange(len(plan.groups)) % spectrum.points
    shift = np.where(rank % 2 == 0, 0, 1 + (rank // 2) % (_CLASSES - 1))
    first = plan.groups - plan.groups % _CLASSES
    noisy = first + (plan.groups - first + shift) % _CLASSES
    observed = np.eye(spectrum.superclasses * _CLASSES)[noisy]
    remains = predictions.dark_knowledge(
        spectrum, plan.learning_rate, plan.steps, float((shift > 0).mean()), "superclass"
    )[-1]
    yield _control(
        "labels-of-siblings",
        "labels are right: here half of them are those of siblings, which a teacher keeps for good",
        name.format(plan.steps),
        float(remains),
        _trained(plan, replace(plan.recipe, observed=observed), progress)[:, -1],
        allowed[plan.steps],
        left,
    )


def _student_controls(students: _Students) -> Iterator[Control]:
    """Targets without the dark knowledge of the stopped teacher."""
    claimed, _, _ = students.paired("stopped teacher")
    for id_, student, broken in (
        (
            "trained-out-teacher",
            "trained-out teacher",
            f"the teacher is stopped: here it trains for {_TRAINED_OUT} steps",
        ),
        (
            "hardened-teacher",
            "hardened teacher",
            "the teacher's outputs teach: here only its predicted class does",
        ),
        (
            "shuffled-teacher",
            "shuffled teacher",
            "outputs on wrong classes say which are near: here they are shuffled among them",
        ),
    ):
        predicted, measured, tolerance = students.paired(student)
        if student == "trained-out teacher":
            # Finite nets train out later: what narrower ones keep bounds what these do.
            tolerance += abs(float(students.raised.mean()))
        name = "accuracy gained over hard labels"
        yield _control(id_, broken, name, predicted, measured, tolerance, claimed)


# ---------------------------------------------------------------- run


def _climb(plan: _Plan, ladder: Ladder, evidence: Evidence, progress: Progress) -> _Climbed:
    """Train all widths on the tree."""
    knowledge, means = [], []
    for width in plan.widths:
        evidence.progress_note = f"at width {width}"
        trajectory = ladder.train(_TRAINING, plan.recipe, width, plan.outputs, progress=progress)
        evidence.metrics[:] = ladder.metrics()
        if ladder.stopped():
            break
        knowledge.append(_knowledge(trajectory.outputs, plan.groups))
        count = plan.labels.shape[1]
        at_peak = trajectory.outputs[:, plan.peak_step].reshape(plan.nets, count, -1, count)
        means.append(_mean_outputs(at_peak.mean(axis=2)))
        evidence.arrays |= {"dark_knowledge": knowledge[-1], "width": np.array(width)}
    return _Climbed(ladder, np.array(knowledge), np.array(means))


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train the ladder and the students, compare with theory, run the controls."""
    from ntk_theory.ladder import Ladder

    options = plan.options
    evidence.premises += _premises(plan)
    evidence.arrays["predicted"] = plan.knowledge
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder = Ladder(plan.labels, plan.widths, plan.nets, options.seed, plan.dtype, options.device)
    climbed = _climb(plan, ladder, evidence, progress)
    if evidence.diverged(ladder.stopped()):
        return ""
    evidence.measurements += _tree_rows(plan, climbed)
    accuracies = []
    for index in range(plan.worlds):
        evidence.progress_note = f"tree done, {index} of {plan.worlds} worlds"
        accuracies.append(_teach(plan, index, progress))
    students = _Students(*(np.array(column) for column in zip(*accuracies, strict=True)))
    evidence.arrays |= {"predicted_gain": _gains(students, 0), "gain": _gains(students, 1)}
    evidence.metrics += [
        {"world": index, **dict(zip(_STUDENTS, map(float, row), strict=True))}
        for index, row in enumerate(students.measured)
    ]
    evidence.measurements += _student_rows(students)
    if evidence.sound:
        for control in _tree_controls(plan, climbed, progress):
            evidence.controls.append(control)
        evidence.controls += _student_controls(students)
    predicted, gains, _ = students.paired("stopped teacher")
    height = climbed.knowledge[-1, :, plan.peak_step].mean()
    return (
        f"dark knowledge of nets of width {plan.widths[-1]} peaks at {height:.3g}, predicted "
        f"{plan.knowledge.max():.3g}; a student of one point a class gains {gains.mean():.1%} in "
        f"accuracy from the stopped teacher, predicted {predicted:.1%}"
    )


def _gains(students: _Students, which: int) -> Array:
    """Gains of all students but the first over it, shape (worlds, students − 1)."""
    return np.stack([students.gain(name)[which] for name in list(_STUDENTS)[1:]], axis=1)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and the predicted rise and fall, without training."""
    from ntk_theory import predictions

    plan = _plan(options)
    time, height = predictions.dark_knowledge_peak(plan.spectrum, plan.learning_rate)
    predicted = {"time of the peak": time, "height of the peak": height}
    for step in (plan.peak_step // 2, 3 * plan.peak_step, plan.steps):
        predicted[f"dark knowledge after {step} steps"] = float(plan.knowledge[step])
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """Dark knowledge over time, and what students gain from their teachers."""
    from ntk_theory import drawing

    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    arrays = result.arrays
    steps = np.arange(len(arrays["predicted"]))
    if "dark_knowledge" in arrays:
        label = f"nets of width {int(arrays['width'])}"
        drawing.band(left, steps, arrays["dark_knowledge"], drawing.BLUE, label)
    drawing.prediction(
        left, steps, arrays["predicted"], r"$(g_{\mathrm{super}}-g_{\mathrm{class}})/c$"
    )
    left.set(xlabel="step $t$ of the teacher", ylabel="output on siblings − on others")
    left.legend(frameon=False)
    right.set(ylabel="accuracy gained over hard labels")
    if "gain" not in arrays:
        return
    names = [name.removesuffix(" teacher") for name in list(_STUDENTS)[1:]]
    place = np.arange(len(names))
    gains = arrays["gain"]
    right.errorbar(
        place,
        gains.mean(axis=0),
        2 * gains.std(axis=0, ddof=1) / math.sqrt(len(gains)),
        color=drawing.BLUE,
        marker="o",
        ls="",
        capsize=3,
        label="nets, ± 2 s.e.",
    )
    right.plot(
        place,
        arrays["predicted_gain"].mean(axis=0),
        color=drawing.BLACK,
        marker="_",
        ms=16,
        ls="",
        label="kernel predictor",
    )
    right.axhline(0, color=drawing.GREY, lw=1)
    right.set_xticks(place, names, rotation=25, ha="right")
    right.legend(frameon=False)


CLAIM = Claim(
    id="dark-knowledge",
    statement=(
        "On a tree of classes a wide net outputs more on siblings of the right class than on "
        "others, by an amount that rises and falls with training and is gone in a trained-out "
        "net; a student that sees one point of each class of a blurred tree is more accurate when "
        "a stopped teacher's outputs teach it than with hard labels."
    ),
    formulas=(
        "siblings − others = (g_super(t) − g_class(t)) / c,  g_λ(t) = 1 − (1 − ηλ)^t",
        "q = log(1 − ηλ_super) / log(1 − ηλ_class)",
        "time of the peak = log q / (log(1 − ηλ_class) − log(1 − ηλ_super))",
        "height of the peak = q^{−1/(q − 1)} (1 − 1/q) / c",
        "student on fresh points = K_* K^{-1} (I − (I − ηK)^t) × the teacher's outputs",
    ),
    assumptions=(
        "zero initial output",
        "η < 1/λ_max, so that no eigenspace overshoots",
        "noiseless one-hot labels; classes and superclasses of equal size",
        "nets wide enough for outputs to be independent: their kernel blocks vanish like m^{-1/2}",
        "students: kernels are measured, not in closed form; the gain is that of the trees drawn",
    ),
    derivation=(
        "One-hot labels lie in the class, superclass and mean eigenspaces of the tree's kernel, "
        "each retrieved by its own filter (section 3.2); reading off the entries gives the "
        "difference and its one peak (section 6.6). On targets that depend on the tree alone a "
        "student's choice between siblings is that of hard labels, so such a gain is one in "
        "superclasses; the rest of the measured gain is in finer differences between wrong classes."
    ),
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.6",
    paper_claims={
        "C2": "dark knowledge as output on sibling classes; square loss; synthetic trees of classes"
    },
    knobs=frozenset(
        {"seeds", "widths", "clusters", "points", "ratio", "steps", "learning_rate", "dtype"}
    ),
    controls=(
        "trained-out",
        "no-superclasses",
        "labels-of-siblings",
        "trained-out-teacher",
        "hardened-teacher",
        "shuffled-teacher",
    ),
    run=run,
    predict=predict,
    draw=draw,
)

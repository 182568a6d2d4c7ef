"""What `dark-knowledge` trains: a ladder of nets on a tree of classes, and students in worlds."""

from __future__ import annotations

__all__ = ["CLASSES", "CONTROL_NETS", "Plan", "make_plan", "planned_premises", "predict"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, kernels, predictions, spectrum
from ntk_theory.claims.dark_knowledge import worlds
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.predictions import TreeSpectrum
from ntk_theory.problems import Recipe
from ntk_theory.runs import chosen
from ntk_theory.targets import PLAIN
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

CLASSES, _CLASS_RATIO = 3, 5.0
"""Classes per superclass and λ_class/λ_− of the tree."""

CONTROL_NETS = 4
_FIRST, _LEAST_WIDTHS, _LEAST_NETS = 256, 5, 2
_WORLDS_PER_NET = 3
"""Accuracies scatter more over worlds than outputs do over nets."""

_NARROWER = 16
"""How many times narrower the nets are that a student's and a teacher's outputs have to improve on:
as many as the ladder of the quick preset spans."""


class _Preset(NamedTuple):
    last: int
    rungs: int
    nets: int
    student_width: int


_PRESETS = {
    "quick": _Preset(2**12, 5, 4, 8192),
    "standard": _Preset(2**17, 6, 6, 8192),
    "paper": _Preset(2**18, 7, 10, 16384),
}


@dataclass(frozen=True)
class Plan:
    """A tree with the nets to train on it, and the students.

    Attributes:
        spectrum: eigenvalues of the tree.
        inputs: its points, those of a class together, shape (n, d).
        groups: class of each point, shape (n,).
        ratio: λ_super/λ_class asked for.
        learning_rate: η.
        steps: T.
        nets: of the ladder.
        student_width: of students and of their stopped teachers, which make a few steps only.
    """

    spectrum: TreeSpectrum
    inputs: Array
    groups: NDArray[np.int64]
    ratio: float
    learning_rate: float
    steps: int
    nets: NetPlan
    student_width: int

    @property
    def labels(self) -> Array:
        """One-hot rows, shape (n, C)."""
        return np.asarray(np.eye(self.spectrum.superclasses * CLASSES)[self.groups])

    @property
    def control_width(self) -> int:
        """Width of control nets: a middle one, as their failures are large."""
        return self.nets.widths[(len(self.nets.widths) - 1) // 2]

    @property
    def worlds(self) -> int:
        """Blurred trees, each with a teacher and its students."""
        return _WORLDS_PER_NET * self.nets.count

    @property
    def trained_out_width(self) -> int:
        """Width of trained-out teachers: they make many steps, and end near the labels anyway."""
        return self.student_width // 8

    @property
    def narrow_width(self) -> int:
        """Width of the teachers and students that those of `student_width` have to improve on."""
        return self.student_width // _NARROWER

    @property
    def sibling_angle(self) -> float:
        """Between points of two sibling classes of the tree."""
        ratios = _CLASS_RATIO, _CLASS_RATIO * self.ratio
        return predictions.tree_angles(CLASSES, self.spectrum.points, *ratios)[1]

    @cached_property
    def class_outputs(self) -> Array:
        """Predicted outputs on the points of each class, shape (T + 1, C, C)."""
        return predictions.tree_outputs(self.spectrum, self.learning_rate, self.steps)

    @property
    def outputs(self) -> Array:
        """Predicted outputs, shape (T + 1, n, C)."""
        return np.asarray(self.class_outputs[:, self.groups])

    @cached_property
    def knowledge(self) -> Array:
        """Predicted dark knowledge, shape (T + 1,)."""
        return predictions.dark_knowledge(self.spectrum, self.learning_rate, self.steps)

    @property
    def peak_step(self) -> int:
        """Step at which the prediction is largest."""
        return int(self.knowledge.argmax())

    @property
    def checked_steps(self) -> tuple[int, int, int]:
        """Before the peak, after it, and in the end."""
        return self.peak_step // 2, 3 * self.peak_step, self.steps

    @property
    def crossing(self) -> float:
        """What first outputs may miss."""
        return predictions.first_step_crossing(
            self.inputs @ self.inputs.T, self.learning_rate * self.labels, self.outputs[1]
        )

    @cached_property
    def recipe(self) -> Recipe:
        """Plain training on the one-hot labels."""
        return Recipe(
            inputs=self.inputs,
            observed=self.labels,
            distillation=PLAIN,
            learning_rate=self.learning_rate,
            steps=self.steps,
        )

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        ladder = sum(self.nets.widths) * self.nets.count * self.steps
        controls = 3 * self.control_width * CONTROL_NETS * self.steps
        students = len(worlds.STUDENTS) * self.student_width + self.narrow_width
        teachers = self.trained_out_width * 5 / 4 * worlds.TRAINED_OUT
        stopped = (self.student_width + self.narrow_width) * 3
        each = students * worlds.STUDENT_STEPS + teachers + stopped
        return ladder + controls + self.worlds * each

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **self.nets.config(),
            "clusters": self.spectrum.superclasses,
            "classes": CLASSES,
            "points": self.spectrum.points,
            "ratio": self.ratio,
            "class_ratio": _CLASS_RATIO,
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
            "worlds": self.worlds,
            "student_width": self.student_width,
            "trained_out_width": self.trained_out_width,
            "narrow_width": self.narrow_width,
            "world_superclasses": worlds.GROUPS,
            "world_classes": worlds.SIBLINGS,
            "world_points": worlds.TAUGHT,
            "world_test_points": worlds.TESTED,
            "world_dimension": worlds.FEATURES,
            "world_cosines": [worlds.SUPER_COSINE, worlds.CLASS_COSINE],
            "teacher_steps": worlds.TRAINED_OUT,
            "student_steps": worlds.STUDENT_STEPS,
        }


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    preset = _PRESETS[options.preset]
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
    design = data.tree(superclasses, CLASSES, points, **ratios)
    angles = predictions.tree_angles(CLASSES, points, **ratios)
    levels = predictions.tree_spectrum(superclasses, CLASSES, points, *angles)
    rate = chosen(options.learning_rate, 0.3 / levels.mean)
    if not 0 < rate * levels.mean < 1:
        raise ValueError(
            f"learning_rate must lie in (0, 1/λ_max) = (0, {1 / levels.mean:.4g}), so that no "
            f"eigenspace overshoots; got {rate}"
        )
    steps = chosen(options.steps, math.ceil(8 / (rate * levels.class_)))
    peak, _ = predictions.dark_knowledge_peak(levels, rate)
    least = max(5, math.ceil(2 * peak + 2))
    if steps < least:
        raise ValueError(
            f"steps must be at least {least}, twice the predicted time of the peak and two; "
            f"got {steps}"
        )
    nets = plan_nets(
        options,
        dyadic_widths(_FIRST, preset.last, preset.rungs),
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=design.inputs.shape,
    )
    return Plan(
        levels, design.inputs, design.groups, ratio, rate, steps, nets, preset.student_width
    )


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses, all of which can be evaluated before any training."""
    values = spectrum.eigendecomposition(kernels.ntk_limit(plan.inputs)).eigenvalues
    rounding = len(values) * float(np.finfo(float).eps) * float(values[-1])
    bottom, overshoot = float(values[0]), plan.learning_rate * float(values[-1])
    left = float(plan.knowledge[-1] / plan.knowledge.max())
    return [
        Premise("zero initial output", 0.0, True, "f_0 = 0 (antisymmetric start)"),
        Premise("kernel positive definite", bottom, bottom > rounding, "λ_min(H) > n eps λ_max"),
        Premise("no overshoot", overshoot, overshoot < 1, "ηλ_max < 1"),
        Premise("long enough run", left, left < 0.1, "predicted to end below a tenth of the peak"),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and the predicted rise and fall, without training."""
    plan = make_plan(options)
    time, height = predictions.dark_knowledge_peak(plan.spectrum, plan.learning_rate)
    predicted = {"time of the peak": time, "height of the peak": height}
    for step in plan.checked_steps:
        predicted[f"dark knowledge after {step} steps"] = float(plan.knowledge[step])
    return plan.config(), predicted

"""`dark-knowledge` with one premise broken at a time: on the tree, and for students."""

from __future__ import annotations

__all__ = ["CONTROLS", "ControlSetting"]

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions
from ntk_theory.claims.dark_knowledge.nets import Climbed
from ntk_theory.claims.dark_knowledge.plan import CLASSES, CONTROL_NETS, Plan
from ntk_theory.claims.dark_knowledge.students import Students
from ntk_theory.claims.dark_knowledge.tree import knowledge
from ntk_theory.claims.dark_knowledge.worlds import STOPPED, TRAINED_OUT
from ntk_theory.problems import Recipe
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.verdicts import Control, Progress

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ControlSetting:
    """Trains control nets on the tree, and says how far they may lie from theory.

    Attributes:
        plan: of the claim.
        climbed: its nets on the tree.
        students: its students.
        progress: advanced as control nets train.
    """

    plan: Plan
    climbed: Climbed
    students: Students
    progress: Progress

    def trained(self, recipe: Recipe) -> Array:
        """Dark knowledge of control nets at every step, shape (S, T + 1)."""
        plan = self.plan
        trajectory = plan.nets.train_controls(
            recipe, plan.control_width, CONTROL_NETS, progress=self.progress
        )
        return knowledge(trajectory.outputs, plan.groups, CLASSES)

    def tree_control(
        self,
        id_: str,
        broken: str,
        recipe: Recipe,
        step: int,
        predicted: float,
        claimed: float,
    ) -> Control:
        """A tree on which nets hold another dark knowledge after so many steps."""
        plan, found = self.plan, self.climbed.knowledge
        allowed = self.climbed.signed_allowance(
            found[..., step] - plan.knowledge[step], plan.control_width
        )
        name = f"dark knowledge after {step} steps"
        failure = over_nets(name, predicted, self.trained(recipe)[:, step], allowed)
        return judged_control(id_, broken, failure, claimed, allowed)

    def student_control(self, id_: str, broken: str, student: str, further: float = 0.0) -> Control:
        """A student that does not gain what that of the stopped teacher does.

        Args:
            id_: name of the control.
            broken: what was changed.
            student: whose gain it is.
            further: added to the tolerance.
        """
        claimed, _, _ = self.students.paired(STOPPED)
        predicted, measured, tolerance = self.students.paired(student)
        tolerance += further
        failure = over_nets("accuracy gained over hard labels", predicted, measured, tolerance)
        return judged_control(id_, broken, failure, claimed, tolerance)


def _trained_out(setting: ControlSetting) -> Control:
    """At the end of the training nothing is left of the peak."""
    plan = setting.plan
    return setting.tree_control(
        "trained-out",
        f"the teacher is stopped: here it trains for {plan.steps} steps",
        plan.recipe,
        plan.steps,
        float(plan.knowledge[-1]),
        float(plan.knowledge[plan.peak_step]),
    )


def _no_superclasses(setting: ControlSetting) -> Control:
    """Among classes of one cosine there are no siblings."""
    plan = setting.plan
    levels = plan.spectrum
    flat = data.equicorrelated_clusters(
        levels.superclasses * CLASSES, levels.points, angle=plan.sibling_angle
    )
    return setting.tree_control(
        "no-superclasses",
        "classes have siblings: here all pairs of classes have one cosine",
        replace(plan.recipe, inputs=flat.inputs),
        plan.peak_step,
        0.0,
        float(plan.knowledge[plan.peak_step]),
    )


def _labels_of_siblings(setting: ControlSetting) -> Control:
    """Labels that confuse siblings hold the knowledge themselves, for good (section 6.6).

    Half of each class keeps its label, the rest carries the siblings' in turn.
    """
    plan = setting.plan
    levels = plan.spectrum
    rank = np.arange(len(plan.groups)) % levels.points
    shift = np.where(rank % 2 == 0, 0, 1 + (rank // 2) % (CLASSES - 1))
    first = plan.groups - plan.groups % CLASSES
    noisy = first + (plan.groups - first + shift) % CLASSES
    remains = predictions.dark_knowledge(
        levels, plan.learning_rate, plan.steps, float((shift > 0).mean()), "superclass"
    )[-1]
    return setting.tree_control(
        "labels-of-siblings",
        "labels are right: here half of them are those of siblings, which a teacher keeps for good",
        replace(plan.recipe, observed=np.eye(levels.superclasses * CLASSES)[noisy]),
        plan.steps,
        float(remains),
        float(plan.knowledge[-1]),
    )


def _trained_out_teacher(setting: ControlSetting) -> Control:
    """Finite nets train out later: what narrower ones keep bounds what these do."""
    return setting.student_control(
        "trained-out-teacher",
        f"the teacher is stopped: here it trains for {TRAINED_OUT} steps",
        "trained-out teacher",
        abs(float(setting.students.raised.mean())),
    )


def _confidence_alone(setting: ControlSetting) -> Control:
    """Softer labels alone are no gain: what a stopped teacher is sure of is not what teaches."""
    return setting.student_control(
        "confidence-alone",
        "outputs on wrong classes teach: here only the predicted class and its output do",
        "confidence alone",
    )


def _shuffled_teacher(setting: ControlSetting) -> Control:
    """Outputs on the wrong wrong classes are worse than none."""
    return setting.student_control(
        "shuffled-teacher",
        "outputs on wrong classes say which are near: here they are shuffled among them",
        "shuffled teacher",
    )


CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _trained_out,
    _no_superclasses,
    _labels_of_siblings,
    _trained_out_teacher,
    _confidence_alone,
    _shuffled_teacher,
)
"""In the order in which the claim lists them."""

"""Dark knowledge of the nets against its closed form, and what students gain from it."""

from __future__ import annotations

__all__ = ["measurements"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, predictions, training
from ntk_theory.claims.dark_knowledge.nets import TRAINING, Climbed, peak
from ntk_theory.claims.dark_knowledge.plan import CLASSES, Plan
from ntk_theory.claims.dark_knowledge.students import PAIRED_CONFIDENCE, Students
from ntk_theory.claims.dark_knowledge.tree import knowledge, mean_outputs
from ntk_theory.claims.dark_knowledge.worlds import HARD_LABELS, STOPPED
from ntk_theory.ladder import falling_row, first_step_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Relation

Array = NDArray[np.float64]


def _parabola_error(curve: Array) -> tuple[float, float]:
    """Of time and height of the peak of a curve (T + 1,), read off a parabola.

    It falls at least like the spacing squared: the change from twice the spacing is three times
    what is left, or more.
    """
    fine, coarse = peak(curve), peak(curve, 2)
    return abs(float(fine[0] - coarse[0])), abs(float(fine[1] - coarse[1]))


def _kernel_rows(plan: Plan) -> Iterator[Measurement]:
    """The infinitely wide net, step by step on the measured kernel, against the closed forms.

    An eigenvalue is off by 8 n eps λ_max (solver and matrix), so a filter by T η times that; the
    recursion rounds by n eps a step. Dark knowledge is the difference of two means of outputs. Its
    peak between two steps is known up to the error of a parabola.
    """
    limit = training.train_kernel_limit(
        kernels.ntk_limit(plan.inputs),
        plan.labels,
        plan.recipe.distillation,
        learning_rate=plan.learning_rate,
        steps=plan.steps,
    )
    worst = float(np.abs(limit - plan.outputs).max())
    allowed = 9 * len(plan.inputs) * plan.steps * float(np.finfo(float).eps)
    yield Measurement("kernel recursion − closed form, largest", 0.0, worst, allowed)
    curve = knowledge(limit, plan.groups, CLASSES)
    worst = float(np.abs(curve - plan.knowledge).max())
    yield Measurement("kernel limit: dark knowledge − closed form", 0.0, worst, 2 * allowed)
    names = "time", "height"
    closed = predictions.dark_knowledge_peak(plan.spectrum, plan.learning_rate)
    for name, expected, found, off in zip(
        names, closed, peak(curve), _parabola_error(curve), strict=True
    ):
        yield Measurement(f"kernel limit: {name} of the peak", expected, float(found), off)


def _tree_rows(plan: Plan, climbed: Climbed) -> Iterator[Measurement]:
    """Dark knowledge over time: at its peak, when it peaks, at the end, and in between.

    A tolerance of half the height tells the peak from none and from its double.
    """
    time, height = predictions.dark_knowledge_peak(plan.spectrum, plan.learning_rate)
    times, heights = peak(climbed.knowledge)
    own = peak(plan.knowledge)
    off_time, off_height = _parabola_error(plan.knowledge)
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
    for step in plan.checked_steps:
        predicted = float(plan.knowledge[step])
        yield over_nets(
            f"dark knowledge after {step} steps",
            predicted,
            climbed.knowledge[-1, :, step],
            climbed.signed_allowance(climbed.knowledge[..., step] - predicted),
            height / 2,
        )
    expected = mean_outputs(plan.class_outputs[plan.peak_step], CLASSES)
    for index, name in enumerate(("the own class", "siblings", "other superclasses")):
        yield over_nets(
            f"mean output on {name} after {plan.peak_step} steps",
            float(expected[index]),
            climbed.means[-1, :, index],
            climbed.signed_allowance(climbed.means[..., index] - expected[index]),
            max(height, float(expected[index])) / 2,
        )


def _ladder_rows(plan: Plan, climbed: Climbed) -> Iterator[Measurement]:
    """The deviation falls with the width, as it would not from a prediction that is off."""
    yield climbed.ladder.exponent_row(TRAINING, "exponent of sup_t ‖u_m − u_∞‖/√n in m")
    yield climbed.ladder.falling_row(TRAINING, "tree, sup over t")
    yield first_step_row(plan.nets.widths, climbed.first_step, "tree", plan.crossing)


def _student_rows(students: Students) -> Iterator[Measurement]:
    """What a student that sees one point of each class gains from a stopped teacher."""
    gain, gains, tolerance = students.paired(STOPPED)
    for column, name in enumerate((HARD_LABELS, STOPPED)):
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


def _outputs_in_worlds(plan: Plan, students: Students) -> Iterator[Measurement]:
    """Outputs of teachers and students against their kernel limit; accuracies hide much of them."""
    widths = plan.narrow_width, plan.student_width
    for title, deviation in (
        ("stopped teachers, what students see", students.teacher_deviation),
        ("students of hard labels, fresh points", students.student_deviation),
    ):
        yield falling_row(widths, list(deviation), title)
    for title, ratios, crossing in zip(
        ("teachers", "students"), students.first_step, students.crossing, strict=True
    ):
        mean = float(crossing.mean())
        yield first_step_row(widths[1:], ratios[None], title, mean, PAIRED_CONFIDENCE)


def measurements(plan: Plan, climbed: Climbed, students: Students) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield from _kernel_rows(plan)
    yield from _ladder_rows(plan, climbed)
    yield from _tree_rows(plan, climbed)
    yield from _student_rows(students)
    yield from _outputs_in_worlds(plan, students)

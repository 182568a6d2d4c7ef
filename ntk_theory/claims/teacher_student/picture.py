"""Pictures of `teacher-student`: the error over the teacher's and over the student's training."""

from __future__ import annotations

__all__ = ["error_of_students", "students_over_time"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def error_of_students(axes: Axes, result: ClaimResult) -> None:
    """How does the error of a student depend on when its teacher was stopped?"""
    arrays = result.arrays
    if "student_error" not in arrays:
        return
    steps, stops = np.arange(len(arrays["predicted_teacher"])), arrays["stops"]
    drawing.band(axes, steps, arrays["teacher_error"], drawing.ORANGE, "teacher at that step")
    ends = arrays["student_error"][:, :, -1]
    drawing.dots(axes, stops, ends, drawing.BLUE, "students of its outputs", size=4)
    surest = arrays["stops"][:1]
    hardened = arrays["hardened_error"][None, :, -1]
    drawing.dots(axes, surest, hardened, drawing.INDIGO, "students of its signs", "s", size=4)
    drawing.prediction(axes, steps, arrays["predicted_teacher"], "closed form")
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ")
    drawing.mark(axes, result.config["memorisation_time"], r"$t_\mathrm{mem}$", 0.12)
    drawing.step_axis(axes, 1.4 * steps[-1])  # room for the dots of fully trained teachers
    axes.set(xlabel=r"step $\tau$ at which the teacher is stopped", ylim=(-0.03, 1.5))
    axes.set(ylabel=r"RMS error  $\|u-y\|/\sqrt{n}$")
    # The mark of the memorisation time passes between the columns.
    axes.legend(loc="upper left", ncols=2, columnspacing=2.6)


def students_over_time(axes: Axes, result: ClaimResult) -> None:
    """Where does a student end whose teacher was stopped, and one that learns signs?"""
    arrays = result.arrays
    if "student_error" not in arrays:
        return
    steps = np.arange(len(arrays["predicted_hardened"]))
    shown = dict.fromkeys(arrays["stops"][1:].tolist())  # two of them may coincide
    for stop, colour in zip(shown, (drawing.BLUE, drawing.GREEN, drawing.ORANGE), strict=False):
        index = arrays["stops"].tolist().index(stop)
        predicted = arrays["predicted_students"][index]
        errors = arrays["student_error"][index]
        drawing.band(axes, steps, errors, colour, rf"outputs, $\tau={stop}$")
        drawing.prediction(axes, steps, predicted, of=f"outputs, τ = {stop}")
        drawing.at_the_end(axes, steps[-1], predicted[-1], rf"$\tau={stop}$")
    surest, signs = arrays["stops"][0], arrays["predicted_hardened"]
    drawing.band(axes, steps, arrays["hardened_error"], drawing.INDIGO, rf"signs, $\tau={surest}$")
    drawing.prediction(axes, steps, signs, "closed forms", of=f"signs, τ = {surest}")
    drawing.at_the_end(axes, steps[-1], signs[-1], "signs")
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ")
    drawing.step_axis(axes, 3 * steps[-1])  # room for what stands at the ends
    axes.set(xlabel="step $t$ of the student", ylim=(-0.08, 1.6))
    axes.set(ylabel=r"RMS error  $\|u-y\|/\sqrt{n}$")
    axes.legend(loc="upper right", ncols=2, columnspacing=1.0, title="students of a teacher's")

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
    drawing.dots(axes, stops, ends, drawing.BLUE, "its students, trained out", size=4)
    surest = arrays["stops"][:1]
    hardened = arrays["hardened_error"][None, :, -1]
    drawing.dots(axes, surest, hardened, drawing.GREEN, "students of its signs", "s", size=4)
    drawing.prediction(axes, steps, arrays["predicted_teacher"], "closed form")
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ")
    drawing.mark(axes, result.config["memorisation_time"], r"$t_\mathrm{mem}$", 0.12)
    drawing.step_axis(axes, steps[-1])
    axes.set(xlabel=r"stopping time $\tau$ of the teacher", ylim=(-0.03, 1.5))
    axes.set(ylabel=r"RMS error  $\|u-y\|/\sqrt{n}$")
    axes.legend(loc="upper left", ncols=2, columnspacing=1.0)


def students_over_time(axes: Axes, result: ClaimResult) -> None:
    """Where does a student end whose teacher was stopped, and one that learns signs?"""
    arrays = result.arrays
    if "student_error" not in arrays:
        return
    steps = np.arange(len(arrays["predicted_hardened"]))
    for index, stop in enumerate(arrays["stops"][1:], 1):
        errors = arrays["student_error"][index]
        name = "students of outputs" if index == 1 else f"students of outputs, stop {stop}"
        drawing.band(axes, steps, errors, drawing.BLUE, name, show=index == 1)
        drawing.prediction(axes, steps, arrays["predicted_students"][index])
        axes.annotate(
            rf"$\tau = {stop}$",
            (steps[-1], arrays["predicted_students"][index, -1]),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    drawing.band(axes, steps, arrays["hardened_error"], drawing.GREEN, "students of early signs")
    drawing.prediction(axes, steps, arrays["predicted_hardened"], "closed forms")
    axes.set(xlabel="step $t$ of the student", xlim=(0, steps[-1] * 1.2), ylim=(-0.03, 1.3))
    axes.set(ylabel=r"RMS error  $\|u-y\|/\sqrt{n}$")
    axes.legend(loc="upper center", ncols=2, columnspacing=1.0)

"""`teacher-student` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["ControlSetting", "controls"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.teacher_student.nets import CONTROL_STUDENT_STREAM, rms, teach
from ntk_theory.claims.teacher_student.plan import CONTROL_NETS, Plan
from ntk_theory.experiments import net_seeds
from ntk_theory.ladder import Ladder
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.targets import PLAIN
from ntk_theory.verdicts import Control, Measurement, Progress

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ControlSetting:
    """Control teachers, and how their students are trained and judged.

    Attributes:
        plan: of the claim.
        seeds: of the students.
        tolerance: deviation from theory that nets of this width may show.
        progress: advanced as they train.
        teachers: outputs of every teacher at every step, shape (S, T + 1, n).
    """

    plan: Plan
    seeds: list[int]
    tolerance: float
    progress: Progress
    teachers: Array

    @property
    def clean(self) -> Array:
        """Labels y."""
        return self.plan.problem.dataset.clean

    def taught(self, labels: Array) -> Array:
        """Outputs of a student of each row of labels, at every step."""
        students = teach(self.plan, self.plan.control_width, labels, self.seeds, self.progress)
        return students.outputs

    def error(self, labels: Array, predicted: float) -> Measurement:
        """Final RMS error of the students of these labels."""
        errors = rms(self.taught(labels)[:, -1] - self.clean)
        return over_nets("final RMS error", predicted, errors, self.tolerance)


def _fully_trained(setting: ControlSetting) -> Control:
    """A teacher that has memorised teaches the noisy labels (section 6.8)."""
    plan = setting.plan
    stops = plan.stops
    predicted = float(plan.student(stops.end).rms_error()[-1])
    return judged_control(
        "fully-trained-teacher",
        f"a stopped teacher: here it is trained for {stops.end} steps",
        setting.error(setting.teachers[:, stops.end], predicted),
        float(plan.student(stops.best).rms_error()[-1]),
        setting.tolerance,
    )


def _late_hardening(setting: ControlSetting) -> Control:
    """Signs of a teacher stopped too late are the noisy labels."""
    plan = setting.plan
    late = plan.stops.late
    predicted = float(plan.student().rms_error()[-1])
    return judged_control(
        "late-hardening",
        f"signs right when they are taught: here they are those of step {late}",
        setting.error(np.sign(setting.teachers[:, late]), predicted),
        float(plan.hardened.rms_error()[-1]),
        setting.tolerance,
        unmet=bool(plan.teacher.margin()[late] <= 0),
    )


def _shuffled(setting: ControlSetting) -> Control:
    """Shuffled outputs are filtered by each eigenspace like any others (section 6.1)."""
    plan = setting.plan
    problem, best = plan.problem, plan.stops.best
    order = np.random.default_rng(plan.nets.seed).permutation(setting.clean.size)
    outputs = plan.teacher.outputs(setting.clean, problem.dataset.flipped)[best, order]
    levels, rate = problem.spectrum, plan.student_rate
    learnt = [
        1 - (1 - rate * level) ** plan.student_steps
        for level in (levels.noise, levels.information, levels.mean)
    ]
    student = predictions.block_filter(levels, outputs, (learnt[0], learnt[1], learnt[2]))
    return judged_control(
        "shuffled-teacher",
        "outputs on the student's own inputs: here they are shuffled over the points",
        setting.error(setting.teachers[:, best, order], float(rms(student - setting.clean))),
        float(plan.student(best).rms_error()[-1]),
        setting.tolerance,
    )


def _stopped_student(setting: ControlSetting) -> Control:
    """A student that is stopped has its own filter too, and is not its teacher."""
    plan = setting.plan
    short, end = plan.steps(1, plan.student_rate), plan.stops.end
    labels = setting.teachers[:, end]
    failure = over_nets(
        "RMS distance to its teacher",
        float(plan.distance(end)[short]),
        rms(setting.taught(labels)[:, short] - labels),
        setting.tolerance,
    )
    return judged_control(
        "stopped-student",
        f"a student trained out: here it is stopped at step {short}",
        failure,
        float(plan.distance(end)[-1]),
        setting.tolerance,
    )


_CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _fully_trained,
    _late_hardening,
    _shuffled,
    _stopped_student,
)


def controls(plan: Plan, ladder: Ladder, progress: Progress) -> Iterator[Control]:
    """Controls in the order in which the claim lists them, on common teachers."""
    recipe = replace(plan.problem.recipe, distillation=PLAIN, steps=plan.teacher_steps)
    width = plan.control_width
    teachers = plan.nets.train_controls(recipe, width, CONTROL_NETS, progress=progress)
    setting = ControlSetting(
        plan,
        net_seeds(ladder.seed, width, CONTROL_NETS, CONTROL_STUDENT_STREAM),
        ladder.bound(lambda rung: rung.largest_deviation, width),
        progress,
        teachers.outputs,
    )
    for control in _CONTROLS:
        yield control(setting)

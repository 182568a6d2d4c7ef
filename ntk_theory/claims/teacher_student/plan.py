"""What `teacher-student` trains: teachers, when they are stopped, and their students."""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "HARDENED",
    "TEACHER",
    "Plan",
    "alone_until",
    "make_plan",
    "planned_premises",
    "predict",
    "student_of",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import NoisyClusters, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

TEACHER, HARDENED = "teacher", "student of hardened outputs"
CONTROL_NETS = 3
_LEAST_WIDTHS, _LEAST_NETS = 4, 2
_TEACHER_TIMES, _STUDENT_TIMES = 6, 8
"""Lengths of the trainings in units of 1/(ηλ_−), the time in which noise is retrieved."""


class _Preset(NamedTuple):
    rungs: int
    nets: int
    widest: int


_PRESETS = {
    "quick": _Preset(4, 10, 2**13),
    "standard": _Preset(5, 10, 2**17),
    "wide": _Preset(6, 6, 2**20),
    "paper": _Preset(10, 16, 2**18),
}


class _Stops(NamedTuple):
    """Stopping times of the teacher, in steps."""

    surest: int
    best: int
    late: int
    end: int


@dataclass(frozen=True)
class Plan:
    """A problem, the stopping times of its teachers, and the training of their students."""

    problem: NoisyClusters
    student_rate: float
    nets: NetPlan

    def steps(self, times: int, rate: float) -> int:
        """Steps of so many times 1/(ηλ_−)."""
        return math.ceil(times / (rate * self.problem.spectrum.noise))

    @property
    def teacher_steps(self) -> int:
        """Length of a full training of teachers."""
        return self.steps(_TEACHER_TIMES, self.problem.learning_rate)

    @property
    def student_steps(self) -> int:
        """Length of a full training of students."""
        return self.steps(_STUDENT_TIMES, self.student_rate)

    @cached_property
    def teacher(self) -> ErrorCurve:
        """Plain training, which is stopped somewhere."""
        problem = self.problem
        return predictions.plain_training(
            problem.spectrum,
            problem.noise_rate,
            problem.learning_rate,
            self.teacher_steps,
            problem.label_mean,
        )

    def student(self, *teachers: int) -> ErrorCurve:
        """Student of a teacher stopped at this step; without a teacher, of the observed labels."""
        problem = self.problem
        numbers = predictions.student_training(
            problem.spectrum,
            problem.noise_rate,
            [(problem.learning_rate, stop) for stop in teachers],
            self.student_rate,
            self.student_steps,
        )
        return predictions.ErrorCurve(*numbers, problem.noise_rate, problem.label_mean)

    @cached_property
    def hardened(self) -> ErrorCurve:
        """Student of the signs of a teacher that has them all right."""
        problem = self.problem
        numbers = predictions.hardened_student_training(
            problem.spectrum, self.student_rate, self.student_steps
        )
        return predictions.ErrorCurve(*numbers, problem.noise_rate, problem.label_mean)

    def distance(self, stop: int) -> Array:
        """Of a student to its teacher, over the student's steps."""
        problem = self.problem
        return predictions.student_distance(
            problem.spectrum,
            problem.noise_rate,
            (problem.learning_rate, stop),
            self.student_rate,
            self.student_steps,
            problem.label_mean,
        )

    def crossing(self, hardened: bool) -> float:
        """What a student's first outputs may miss: of the best teacher's outputs, or of signs."""
        problem = self.problem
        data = problem.dataset
        labels = self.teacher.outputs(data.clean, data.flipped)[self.stops.best]
        pulls = self.student_rate * (data.clean if hardened else labels)
        return predictions.first_step_crossing(
            data.inputs @ data.inputs.T, pulls, problem.gram @ pulls
        )

    @cached_property
    def rounds(self) -> tuple[int, int, float]:
        """Two stopping times, each too late, that are right one after the other.

        Of teacher and student, with the least of the three margins (the two wrong ones negated).
        The student alone would memorise as much in its time as the teacher does.
        """
        teacher, alone = self.teacher.margin(), self.student()
        best = (1, 1, -math.inf)
        for late in range(1, self.teacher_steps + 1, max(1, self.teacher_steps // 200)):
            reached = alone.memorised_noise >= self.teacher.memorised_noise[late]
            stop = max(1, int(np.argmax(reached)))
            both = self.student(late).margin()[stop]
            spare = float(min(-teacher[late], -alone.margin()[stop], both))
            if spare > best[2]:
                best = (late, stop, spare)
        return best

    @cached_property
    def stops(self) -> _Stops:
        """When teachers are stopped."""
        return _Stops(
            surest=max(1, int(self.teacher.margin().argmax())),
            best=max(1, int(self.teacher.rms_error().argmin())),
            late=self.rounds[0],
            end=self.teacher_steps,
        )

    @property
    def lazy_width(self) -> float:
        """Width from which on even a fully trained teacher moves little, over 4."""
        problem = self.problem
        memorised = float(self.teacher.memorised_noise[-1])
        return predictions.lazy_width(
            problem.spectrum, problem.angle, problem.noise_rate, memorised
        )

    @property
    def control_width(self) -> int:
        """Width of control nets: a middle one, as their failures are large."""
        return self.nets.widths[(len(self.nets.widths) - 1) // 2]

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        students = (len(set(self.stops)) + 1) * self.student_steps + self.rounds[1]
        nets = sum(self.nets.widths) * self.nets.count * (self.teacher_steps + students)
        controls = self.teacher_steps + 4 * self.student_steps
        return nets + self.control_width * CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        problem = self.problem
        return {
            **self.nets.config(),
            "clusters": problem.spectrum.clusters,
            "points": problem.spectrum.points,
            "ratio": problem.ratio,
            "cross_cosine": problem.cross_cosine,
            "noise_rate": problem.noise_rate,
            "learning_rate": problem.learning_rate,
            "student_learning_rate": self.student_rate,
            "teacher_steps": self.teacher_steps,
            "student_steps": self.student_steps,
            "stopping_times": list(self.stops),
            "second_stopping_time": self.rounds[1],
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
            "memorisation_time": problem.memorisation_time,
            "lazy_width": self.lazy_width,
        }


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    problem = noisy_clusters(
        clusters=chosen(options.clusters, 4),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 8.0),
        noise_rate=chosen(options.noise_rate, 0.2),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        learning_rate=options.learning_rate,
    )
    preset = _PRESETS[options.preset]

    def nets_from(lazy_width: float) -> NetPlan:
        return plan_nets(
            options,
            dyadic_widths(512, preset.widest, preset.rungs, lazy_width=lazy_width),
            preset.nets,
            least_widths=_LEAST_WIDTHS,
            least_count=_LEAST_NETS,
            shape=problem.dataset.inputs.shape,
        )

    plan = Plan(problem, 1 / problem.spectrum.mean, nets_from(0.0))
    # Even a fully trained teacher has to move little.
    return replace(plan, nets=nets_from(plan.lazy_width))


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses that are known before training."""
    kept = {
        "kernel positive definite",
        "stable learning rate",
        "no overshoot (for the 2ρ bound)",
        "recoverable noise rate",
    }
    surest = float(plan.teacher.margin()[plan.stops.surest])
    return [
        *(premise for premise in plan.problem.premises() if premise.name in kept),
        lazy_premise(plan.lazy_width, plan.nets.widths[0]),
        Premise(
            "signs right when they are taught",
            surest,
            surest > 0,
            "margin of the teacher at its surest step > 0",
        ),
        Premise(
            "two wrong rounds make a right one",
            plan.rounds[2],
            plan.rounds[2] > 0,
            "least of the margins of both, alone negated, and of their chain > 0",
        ),
    ]


def student_of(stop: int) -> str:
    """Name of the students of teachers stopped at a step."""
    return f"student of the teacher stopped at {stop}"


def alone_until(stop: int) -> str:
    """Name of nets without a teacher, stopped at a step."""
    return f"no teacher, stopped at {stop}"


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted errors, without training."""
    plan = make_plan(options)
    predicted = {
        f"{student_of(stop)}: RMS error": plan.student(stop).rms_error()[-1] for stop in plan.stops
    }
    late, second, _ = plan.rounds
    both = plan.student(late).rms_error()[second]
    predicted[f"{student_of(late)}, itself at {second}: RMS error"] = both
    predicted[f"{HARDENED}: RMS error"] = plan.hardened.rms_error()[-1]
    return plan.config(), {name: float(value) for name, value in predicted.items()}

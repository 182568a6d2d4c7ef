"""Teachers that are stopped and their students, on noisy clusters (docs/theory.md, section 6.8)."""

from __future__ import annotations

__all__ = ["HARDENED", "TEACHER", "Stops", "Teaching", "student_of"]

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.rows import Taught

if TYPE_CHECKING:
    from ntk_theory.predictions import ErrorCurve

Array = NDArray[np.float64]

TEACHER, HARDENED = "teacher", "student of hardened outputs"
STUDENT_TIMES = 8
"""Length of a student's full training in units of 1/(η'λ_−), in which noise is retrieved."""


def student_of(stop: int) -> str:
    """Name of the students of teachers stopped at a step."""
    return f"student of the teacher stopped at {stop}"


class Stops(NamedTuple):
    """Stopping times of the teacher, in steps."""

    surest: int
    best: int
    late: int
    end: int


class Teaching(nt.NoisyClusters):
    """Noisy clusters, on which teachers are trained plainly and stopped at several times."""

    @property
    def student_rate(self) -> float:
        """η', the largest rate at which nothing overshoots."""
        return 1 / self.spectrum.mean

    def student_times(self, times: float) -> int:
        """Steps of a student in so many times 1/(η'λ_−)."""
        return math.ceil(times / (self.student_rate * self.spectrum.noise))

    @property
    def student_steps(self) -> int:
        """Length of a full training of students."""
        return self.student_times(STUDENT_TIMES)

    def student(self, *teachers: int) -> ErrorCurve:
        """Student of a teacher stopped at this step; without a teacher, of the observed labels."""
        stages = [(self.learning_rate, stop) for stop in teachers]
        numbers = nt.predictions.student_training(
            self.spectrum, self.noise_rate, stages, self.student_rate, self.student_steps
        )
        return nt.predictions.ErrorCurve(*numbers, self.noise_rate, self.label_mean)

    @cached_property
    def hardened(self) -> ErrorCurve:
        """Student of the signs of a teacher that has them all right."""
        numbers = nt.predictions.hardened_student_training(
            self.spectrum, self.student_rate, self.student_steps
        )
        return nt.predictions.ErrorCurve(*numbers, self.noise_rate, self.label_mean)

    def distance(self, stop: int) -> Array:
        """Of a student to its teacher, over the student's steps."""
        return nt.predictions.student_distance(
            self.spectrum,
            self.noise_rate,
            (self.learning_rate, stop),
            self.student_rate,
            self.student_steps,
            self.label_mean,
        )

    @cached_property
    def rounds(self) -> tuple[int, int, float]:
        """Two stopping times, each too late, that are right one after the other.

        Of teacher and student, with the least of the three margins (the two wrong ones negated).
        The student alone would memorise as much in its time as the teacher does.
        """
        teacher, alone = self.plain.margin(), self.student()
        best = (1, 1, -math.inf)
        for late in range(1, self.steps + 1, max(1, self.steps // 200)):
            reached = alone.memorised_noise >= self.plain.memorised_noise[late]
            stop = max(1, int(np.argmax(reached)))
            both = self.student(late).margin()[stop]
            spare = float(min(-teacher[late], -alone.margin()[stop], both))
            if spare > best[2]:
                best = (late, stop, spare)
        return best

    @cached_property
    def stops(self) -> Stops:
        """When teachers are stopped; two of them may coincide."""
        surest = max(1, int(self.plain.margin().argmax()))
        best = max(1, int(self.plain.rms_error().argmin()))
        return Stops(surest, best, self.rounds[0], self.steps)

    @property
    def lazy_width(self) -> float:
        """Width from which on even a fully trained teacher moves little, over 4."""
        memorised = float(self.plain.memorised_noise[-1])
        return nt.predictions.lazy_width(self.spectrum, self.angle, self.noise_rate, memorised)

    def surely_right(self, step: int) -> nt.Premise:
        """Signs of a teacher stopped at a step are the clean labels."""
        margin = float(self.plain.margin()[step])
        needed = f"margin of the teacher at step {step} > 0"
        return nt.Premise("signs right when they are taught", margin, margin > 0, needed)

    def premises(self) -> tuple[nt.Premise, ...]:
        """Those of plain training."""
        kept = ("kernel positive", "stable learning", "no overshoot", "recoverable noise")
        return tuple(one for one in super().premises() if one.name.startswith(kept))

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        left_out = {"schedule", "init_scale", "steps"}
        return {
            **{name: value for name, value in super().config().items() if name not in left_out},
            "student_learning_rate": self.student_rate,
            "teacher_steps": self.steps,
            "student_steps": self.student_steps,
            "stopping_times": list(self.stops),
            "second_stopping_time": self.rounds[1],
            "memorisation_time": self.memorisation_time,
            "lazy_width": self.lazy_width,
        }

    def student_recipe(self, steps: int) -> nt.Recipe:
        """Plain training at the students' rate."""
        return replace(self.plain_recipe(steps), learning_rate=self.student_rate)

    def taught(
        self, name: str, by: nt.Training, stop: int, curve: ErrorCurve, *,
        signs: bool = False, order: Any = slice(None), **more: Any,
    ) -> nt.Training:  # fmt: skip
        """Students of stopped teachers.

        Args:
            name: of the training.
            by: training of the teachers.
            stop: step at which they are stopped.
            curve: of the students.
            signs: teach the signs of their outputs.
            order: in which points get each other's labels.
            more: other attributes of the training.
        """

        def lesson(outputs: Array) -> Array:
            labels = outputs[..., stop, :][..., order]
            return np.sign(labels) if signs else labels

        taught = Taught(by, lesson)
        recipe = self.student_recipe(self.student_steps).relabelled(taught.labels)
        return self.training(name, recipe, curve, taught=taught, **more)

    def shuffled(self, by: nt.Training) -> nt.Training:
        """Students of shuffled outputs: each eigenspace filters them like any others (6.1)."""
        levels, steps = self.spectrum, np.arange(self.student_steps + 1)
        order = np.random.default_rng(0).permutation(by.predicted.shape[1])
        noise, information, mean = (
            1 - (1 - self.student_rate * level) ** steps
            for level in (levels.noise, levels.information, levels.mean)
        )
        labels = by.predicted[self.stops.best, order]
        predicted = np.stack([
            nt.predictions.block_filter(levels, labels, (noise[t], information[t], mean[t]))
            for t in steps
        ])  # fmt: skip
        return self.taught(
            "student of shuffled outputs", by, self.stops.best, self.student(),
            order=order, predicted=predicted,
        )  # fmt: skip

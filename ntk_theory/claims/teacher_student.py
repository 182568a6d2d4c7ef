"""Claim C2: a student of a stopped teacher is that teacher (docs/theory.md, section 6.8).

Teachers are trained on noisy labels and stopped at several times; each has students of its own,
started from other weights, that learn its outputs, or the signs of these.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import Array, least_margin, rms, rms_error, size, wrong_signs
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import OWN_TEACHER, Taught

if TYPE_CHECKING:
    from ntk_theory.predictions import ErrorCurve

CLAIM = nt.Claim(
    "teacher-student",
    statement="""A student trained out on the outputs of a stopped teacher is that teacher, so its
    error to the clean labels is the teacher's U-shaped curve; a fully trained teacher teaches the
    noisy labels; the signs of a teacher stopped in time teach the clean ones exactly.""",
    formulas=(
        "student_t = A'_t A_τ ỹ,  filter g'_λ(t) g_λ(τ),  g_λ(t) = 1 − (1 − ηλ)^t",
        "‖student_t − y‖²/n = (1 − (1−2ρ) g'_+(t) g_+(τ))² + 4ρ(1−ρ) (g'_−(t) g_−(τ))²  (ȳ = 0)",
        "student_∞ = teacher(τ);  τ = ∞: 2√ρ;  never below 2ρ",
        "student of sign(teacher(τ)):  error (1 − η'λ_+)^t → 0 while the teacher's signs are right",
        "signs right iff (1−2ρ) Π g_+ > 2(1−ρ) Π g_−, one factor per round",
    ),
    assumptions=(
        "H positive definite, both learning rates below 2/λ_max (for the 2ρ bound at most 1/λ_max)",
        "ρ < ρ* = (r − 2)/(2(r − 1)), so that some teacher has every sign right",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation="""Training on fixed labels z retrieves A_t z with A_t = I − (I − ηH)^t; the
    student's z is A_τ ỹ, and both matrices share the eigenvectors of H, so the filters multiply. As
    the student's own factor tends to 1 it becomes its teacher. Signs of a teacher stopped in time
    are the clean labels, which hold no noise to memorise. At width m the student deviates by its
    own O(m^{-1/2}) plus its teacher's (docs/theory.md, sections 6.8 and 9).""",
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.8",
    paper_claims={
        "C2": "teacher by early stopping; training inputs, students of the same architecture"
    },
    presets={
        "quick": nt.Sweep(512, 8192, 4, nets=10),
        "standard": nt.Sweep(512, 2**17, 5, nets=10),
        "wide": nt.Sweep(512, 2**20, 6, nets=6),
        "thorough": nt.Sweep(512, 2**18, 10, nets=16),
    },
)


TEACHER, HARDENED = "teacher", "student of hardened outputs"
_STUDENT_TIMES = 8
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

    assumed = ("kernel positive", "stable learning", "no overshoot", "recoverable noise")

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
        return self.student_times(_STUDENT_TIMES)

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
            self.spectrum, self.noise_rate, (self.learning_rate, stop), self.student_rate,
            self.student_steps, self.label_mean,
        )  # fmt: skip

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

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        config = super().config()
        del config["schedule"], config["init_scale"], config["steps"]
        return config | {
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
        """Students, on their curve, of teachers stopped at a step.

        They are taught their outputs, or the signs of these, perhaps in another order.
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


CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 10, "ratio": 8.0, "noise_rate": 0.2},
    # A teacher's training ends when it has memorised up to e^{-6}.
    fixed={"share": None, "noise_times": 6, "steps": None, "held_out": 0, "init_scale": None,
           "schedule": "power"},
    into=Teaching.of,
)  # fmt: skip


@CLAIM.trainings
def trainings(problem: Teaching) -> Iterator[nt.Training]:
    """Teachers, nets at the students' rate without one, and students of all that is taught."""
    stops, second = problem.stops, problem.rounds[1]
    teacher = problem.plain_training(TEACHER, signs_at=(stops.surest, stops.late))
    yield teacher
    alone = problem.student_recipe(second)
    yield problem.training("no teacher", alone, problem.student(), signs_at=(second,))
    yield problem.taught(HARDENED, teacher, stops.surest, problem.hardened, signs=True)
    for stop in dict.fromkeys(stops):
        signs = (second,) if stop == stops.late else ()
        yield problem.taught(student_of(stop), teacher, stop, problem.student(stop), signs_at=signs)


@CLAIM.premises
def premises(problem: Teaching) -> Iterator[nt.Premise]:
    """Signs are right where they are taught, and two rounds are better than one."""
    yield problem.surely_right(problem.stops.surest)
    spare = problem.rounds[2]
    needed = "least of the margins of both, alone negated, and of their chain > 0"
    yield nt.Premise("two wrong rounds make a right one", spare, spare > 0, needed)


@CLAIM.rows
def rows(
    problem: Teaching, teacher: nt.Training, alone: nt.Training, hardened: nt.Training,
    *students: nt.Training,
) -> Iterator[nt.Row]:  # fmt: skip
    """The U of the students, their distances to their teachers, right signs, and two rounds."""
    stops, rho, second = problem.stops, problem.noise_rate, problem.rounds[1]
    errors = problem.plain.rms_error()
    # Half the least difference of the best teacher to another distinguishes them.
    apart = min(float(errors[stop] - errors[stops.best]) for stop in stops if stop != stops.best)
    for stop, student in zip(dict.fromkeys(stops), students, strict=True):
        yield nt.Row("RMS error", student, rms_error, resolves=apart / 2,
                     expect=float(problem.student(stop).rms_error()[-1]))  # fmt: skip
        yield nt.Row("least RMS error at any step (bound 2ρ)", student, rms_error, bound=2 * rho,
                     at=nt.ALL_STEPS, reduce=np.min, resolves=rho,
                     relation=nt.Relation.AT_LEAST)  # fmt: skip
        if stop != stops.end:  # where all teachers are alike
            # e^{-8} of a teacher: the law counts no deviation from one's own, and any two teachers
            # are far more apart than the narrower nets allow here.
            yield nt.Row("RMS distance to its own teacher", student, size, on=OWN_TEACHER,
                         norm="rms", expect=float(problem.distance(stop)[-1]),
                         resolves=partial(_half_a_teacher, stop))  # fmt: skip
    # ρ distinguishes an error of 0 from 2ρ, and a margin of 1 from 1 − 2ρ. Of errors that are 0 by
    # then a tolerance is no share.
    yield nt.Row("RMS error", hardened, rms_error, resolves=rho,
                 expect=float(problem.hardened.rms_error()[-1]))  # fmt: skip
    yield nt.Row("margin", hardened, least_margin, resolves=rho,
                 expect=float(problem.hardened.margin()[-1]))  # fmt: skip
    late = students[list(dict.fromkeys(stops)).index(stops.late)]
    both = float(problem.student(stops.late).rms_error()[second])
    yield nt.Row(f"RMS error when itself stopped at {second}", late, rms_error, at=second,
                 expect=both,
                 # Half the difference to the same net without a teacher.
                 resolves=abs(both - float(problem.student().rms_error()[second])) / 2)  # fmt: skip
    for training, step, share in ((teacher, stops.late, rho), (alone, second, rho),
                                  (late, second, 0.0)):  # fmt: skip
        yield nt.Row(f"0-1 error when stopped at {step}", training, wrong_signs, at=step,
                     expect=share)  # fmt: skip


def _half_a_teacher(stop: int, run: nt.Run) -> float:
    """Half of a teacher's deviation, which distinguishes it from another one."""
    teacher = run.trainings[TEACHER]
    off = run.widest(TEACHER).outputs()[:, stop] - teacher.predicted[stop]
    return float(rms(off).mean()) / 2


@CLAIM.controls
def controls(
    problem: Teaching, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    stops, teacher = problem.stops, trainings[TEACHER]
    best, signs = rows[f"{student_of(stops.best)}: RMS error"], rows[f"{HARDENED}: RMS error"]
    trained_out = trainings[student_of(stops.end)]
    yield nt.Control(
        "fully-trained-teacher",
        f"a stopped teacher: here it is trained for {stops.end} steps",
        best.under(trained_out),
    )
    yield nt.Control(
        "late-hardening",
        f"signs right when they are taught: here they are those of step {stops.late}",
        signs.under(
            problem.taught("late signs", teacher, stops.late, problem.student(), signs=True)
        ),
        unmet=problem.surely_right(stops.late),
    )
    yield nt.Control(
        "shuffled-teacher",
        "outputs on the student's own inputs: here they are shuffled over the points",
        best.under(problem.shuffled(teacher)),
    )
    short = problem.student_times(1)
    yield nt.Control(
        "stopped-student",
        f"a student trained out: here it is stopped at step {short}",
        rows[f"{best.training.name}: RMS distance to its own teacher"].under(
            trained_out, at=short, claimed=float(problem.distance(stops.end)[-1])
        ),
    )


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """Students of right signs have them all right."""
    points = run.trainings[HARDENED].points
    wrong = [wrong_signs(found.outputs()[:, -1:], points) for found in run.results[HARDENED]]
    name = f"{HARDENED}: 0-1 error, worst net of all widths"
    yield nt.Measurement(name, 0.0, float(np.max(wrong)), 0.0)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Where students end."""
    found = {row.title: float(run.measured(row).mean()) for row in run.declared.rows}
    best, end = (student_of(stop) for stop in (run.problem.stops.best, run.problem.stops.end))
    return (
        f"students of width {run.nets.widths[-1]} end {found[f'{best}: RMS error']:.4g} (RMS) from "
        "the clean labels if their teacher was stopped at its best step, "
        f"{found[f'{end}: RMS error']:.4g} if it was fully trained, and "
        f"{found[f'{HARDENED}: RMS error']:.2g} if they learn the signs of an early one; those of "
        f"the best step end {found[f'{best}: RMS distance to its own teacher']:.1g} from their own "
        "teachers"
    )


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """Errors of teachers over all steps, and of students in the end."""

    def error(name: str) -> Array:
        return rms_error(run.widest(name).outputs(), run.trainings[name].points)

    return {
        "stops": np.array(run.problem.stops),
        "predicted_teacher": run.problem.plain.rms_error(),
        "teacher_error": error(TEACHER),
        "student_error": np.stack([error(student_of(s))[:, -1] for s in run.problem.stops]),
        "hardened_error": error(HARDENED)[:, -1],
    }


def _error_of_students(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How does the error of a student depend on when its teacher was stopped?"""
    arrays, drawing = result.arrays, nt.drawing
    if "student_error" not in arrays:
        return
    steps, stops = np.arange(len(arrays["predicted_teacher"])), arrays["stops"]
    drawing.band(axes, steps, arrays["teacher_error"], drawing.ORANGE, "teacher at that step")
    drawing.dots(
        axes, stops, arrays["student_error"], drawing.BLUE, "students of its outputs", size=4
    )
    hardened = arrays["hardened_error"][None]
    drawing.dots(axes, stops[:1], hardened, drawing.INDIGO, "students of its signs", "s", size=4)
    drawing.prediction(axes, steps, arrays["predicted_teacher"], "closed form")
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ")
    drawing.mark(axes, result.config["memorisation_time"], r"$t_\mathrm{mem}$", 0.12)
    drawing.step_axis(axes, 1.4 * steps[-1])  # room for the dots of fully trained teachers
    axes.set(xlabel=r"step $\tau$ at which the teacher is stopped", ylim=(-0.03, 1.5))
    axes.set(ylabel=r"RMS error  $\|u-y\|/\sqrt{n}$")
    # The mark of the memorisation time passes between the columns.
    axes.legend(loc="upper left", ncols=2, columnspacing=2.6)


CLAIM.panels = {
    "error-of-students": _error_of_students,
    "students-over-time": Curves(
        rms_error,
        of=lambda problem: [*map(student_of, dict.fromkeys(problem.stops[:0:-1])), HARDENED],
        ylabel=r"RMS error  $\|u-y\|/\sqrt{n}$",
        bounds={"2ρ": lambda config: 2 * config["noise_rate"]},
        more={"xlabel": "step $t$ of the student", "ylim": (-0.08, 1.6)},
        legend="upper right",
    ),
}

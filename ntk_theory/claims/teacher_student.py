"""Claim C2: a student of a stopped teacher is that teacher (docs/theory.md, section 6.8).

Teachers are trained on noisy labels and stopped at several times; each has students of its own,
started from other weights, that learn its outputs, or the signs of these.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

    from ntk_theory.experiments import Rung
    from ntk_theory.ladder import Ladder
    from ntk_theory.predictions import ErrorCurve
    from ntk_theory.problems import NoisyClusters
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_TEACHER, _HARDENED = "teacher", "student of hardened outputs"
_LEAST_WIDTHS = 4
_CONTROL_NETS = 3
_TEACHER_TIMES, _STUDENT_TIMES = 6, 8
"""Lengths of the trainings in units of 1/(ηλ_−), the time in which noise is retrieved."""

_CONTROL_STREAM, _STUDENT_STREAM, _CONTROL_STUDENT_STREAM = 1, 5, 6
"""Keep students, control teachers and control students apart from the teachers (stream 0)."""

_EXPONENT, _CURVATURE, _EXPONENT_RESOLUTION = -0.5, 0.1, 0.4
"""The exponent's allowance for curvature at small widths is a convention; 0.4 excludes 0 and −1."""

_CONFIDENCE = 0.9995
"""Of the exponent, and of bounds on deviations that are themselves what is measured. The other
bounds are those of one net's vector (99 %), which the mean error exceeds much more rarely."""


class _Preset(NamedTuple):
    rungs: int
    nets: int
    widest: int


_PRESETS = {
    "quick": _Preset(4, 6, 2**13),
    "standard": _Preset(5, 10, 2**14),
    "paper": _Preset(6, 16, 2**15),
}


# ---------------------------------------------------------------- plan


class _Stops(NamedTuple):
    """Stopping times of the teacher, in steps."""

    surest: int
    best: int
    late: int
    end: int


@dataclass(frozen=True)
class _Plan:
    """A problem, the stopping times of its teachers, and the training of their students."""

    problem: NoisyClusters
    student_rate: float
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    def steps(self, times: int, rate: float) -> int:
        return math.ceil(times / (rate * self.problem.spectrum.noise))

    @property
    def teacher_steps(self) -> int:
        return self.steps(_TEACHER_TIMES, self.problem.learning_rate)

    @property
    def student_steps(self) -> int:
        return self.steps(_STUDENT_TIMES, self.student_rate)

    @cached_property
    def teacher(self) -> ErrorCurve:
        """Plain training, which is stopped somewhere."""
        from ntk_theory import predictions

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
        from ntk_theory import predictions

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
        from ntk_theory import predictions

        problem = self.problem
        numbers = predictions.hardened_student_training(
            problem.spectrum, self.student_rate, self.student_steps
        )
        return predictions.ErrorCurve(*numbers, problem.noise_rate, problem.label_mean)

    def distance(self, stop: int) -> Array:
        """Of a student to its teacher, over the student's steps."""
        from ntk_theory import predictions

        problem = self.problem
        return predictions.student_distance(
            problem.spectrum,
            problem.noise_rate,
            (problem.learning_rate, stop),
            self.student_rate,
            self.student_steps,
            problem.label_mean,
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
        return _Stops(
            surest=max(1, int(self.teacher.margin().argmax())),
            best=max(1, int(self.teacher.rms_error().argmin())),
            late=self.rounds[0],
            end=self.teacher_steps,
        )

    @property
    def lazy_width(self) -> float:
        from ntk_theory import predictions

        problem = self.problem
        memorised = float(self.teacher.memorised_noise[-1])
        return predictions.lazy_width(
            problem.spectrum, problem.angle, problem.noise_rate, memorised
        )

    @property
    def control_width(self) -> int:
        return self.widths[(len(self.widths) - 1) // 2]

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        students = (len(set(self.stops)) + 1) * self.student_steps + self.rounds[1]
        nets = sum(self.widths) * self.nets * (self.teacher_steps + students)
        controls = self.teacher_steps + 4 * self.student_steps
        return nets + self.control_width * _CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": problem.spectrum.clusters,
            "points": problem.spectrum.points,
            "ratio": problem.ratio,
            "cross_cosine": problem.cross_cosine,
            "noise_rate": problem.noise_rate,
            "learning_rate": problem.learning_rate,
            "device": self.options.device,
            "dtype": self.dtype,
            "student_learning_rate": self.student_rate,
            "teacher_steps": self.teacher_steps,
            "student_steps": self.student_steps,
            "stopping_times": list(self.stops),
            "second_stopping_time": self.rounds[1],
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
            "memorisation_time": problem.memorisation_time,
            "lazy_width": self.lazy_width,
        }


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths
    from ntk_theory.problems import noisy_clusters

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
    nets = check_nets(chosen(options.seeds, preset.nets), 2)
    dtype = chosen(options.dtype, "float64")
    plan = _Plan(problem, 1 / problem.spectrum.mean, (), nets, dtype, options)
    if options.widths is None:
        # The narrowest power of two at which even a fully trained teacher moves little, if it
        # can be reached; else a premise says so.
        first = 2 ** max(9, math.ceil(math.log2(4 * plan.lazy_width)))
        first = min(first, preset.widest // 2 ** (preset.rungs - 1))
        widths = tuple(first * 2**k for k in range(preset.rungs))
    else:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    check_memory(widths[-1], problem.dataset.inputs.shape, dtype)
    return replace(plan, widths=widths)


# ---------------------------------------------------------------- premises


def _planned_premises(plan: _Plan) -> list[Premise]:
    """Hypotheses that are known before training."""
    kept = {
        "kernel positive definite",
        "stable learning rate",
        "no overshoot (for the 2ρ bound)",
        "recoverable noise rate",
    }
    narrowest, lazy = plan.widths[0], plan.lazy_width
    surest = float(plan.teacher.margin()[plan.stops.surest])
    return [
        *(premise for premise in plan.problem.premises() if premise.name in kept),
        Premise(
            "narrowest net moves little",
            math.sqrt(lazy / narrowest),
            4 * lazy <= narrowest,
            f"relative movement <= 1/2, width >= {math.ceil(4 * lazy)}",
        ),
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


def _trained_premise(plan: _Plan, pairs: _Pairs) -> Premise:
    """Predicted signs are not overturned by what sets the narrowest nets apart from each other."""
    surest = float(plan.teacher.margin()[plan.stops.surest])
    left = min(surest, plan.rounds[2]) - pairs.scatter
    return Premise(
        "margins above the scatter of the narrowest nets",
        left,
        left > 0,
        "least margin of a predicted sign − largest distance of a net's output to their mean > 0",
    )


# ---------------------------------------------------------------- training


def _student(stop: int) -> str:
    return f"student of the teacher stopped at {stop}"


def _alone(stop: int) -> str:
    return f"no teacher, stopped at {stop}"


@dataclass
class _Pairs:
    """What is seen of teachers and their students together.

    Attributes:
        distance: ‖student − its teacher‖/√n by stopping time, a row a width, each of shape (S,).
        miss: the same of (student − its teacher) from its prediction.
        wrong: shares of wrong signs of the two late rounds, at the last width: of the teacher, of
            the net without one, of the student; shape (3, S).
        scatter: largest distance of an output to its mean over the nets, at the first width and
            those steps whose signs are predicted.
    """

    distance: dict[int, list[Array]] = field(default_factory=dict)
    miss: dict[int, list[Array]] = field(default_factory=dict)
    wrong: Array = field(default_factory=lambda: np.empty((3, 0)))
    scatter: float = math.nan


def _teach(
    plan: _Plan, width: int, labels: Array, seeds: Sequence[int], progress: Progress
) -> Trajectory:
    """Train a student on each row of labels (S, n); its teacher is its own."""
    from ntk_theory.experiments import train_nets
    from ntk_theory.targets import PLAIN

    recipe = replace(
        plan.problem.recipe,
        distillation=PLAIN,
        learning_rate=plan.student_rate,
        steps=plan.student_steps,
    )
    every = [
        train_nets(
            replace(recipe, observed=row),
            width,
            [seed],
            dtype=plan.dtype,
            device=plan.options.device,
            progress=progress,
        )
        for row, seed in zip(labels, seeds, strict=True)
    ]
    kept = min(one.steps.size for one in every)
    return replace(
        every[0],
        steps=every[0].steps[:kept],
        outputs=np.concatenate([one.outputs[:, :kept] for one in every]),
        movement=np.concatenate([one.movement for one in every]),
        distance=np.concatenate([one.distance for one in every]),
        flipped_activations=np.concatenate([one.flipped_activations for one in every]),
        stopped=next((one.stopped for one in every if one.stopped), None),
    )


def _climb_one(ladder: Ladder, plan: _Plan, pairs: _Pairs, width: int, progress: Progress) -> None:
    """Train the teachers of one width and all their students."""
    from ntk_theory.experiments import compare, net_seeds
    from ntk_theory.targets import PLAIN

    data = plan.problem.dataset
    points = data.clean, data.flipped
    recipe = replace(plan.problem.recipe, distillation=PLAIN, steps=plan.teacher_steps)
    predicted = plan.teacher.outputs(*points)
    teachers = ladder.train(_TEACHER, recipe, width, predicted, progress=progress)
    second = plan.rounds[1]
    short = replace(recipe, learning_rate=plan.student_rate, steps=second)
    without = plan.student().outputs(*points)[: second + 1]
    alone = ladder.train(_alone(second), short, width, without, progress=progress)
    if ladder.stopped():
        return
    seeds = net_seeds(ladder.seed, width, ladder.nets, _STUDENT_STREAM)
    signs = np.sign(teachers.outputs[:, plan.stops.surest])
    hardened = _teach(plan, width, signs, seeds, progress)
    rung = compare(hardened, width, plan.hardened.outputs(*points), data.clean)
    ladder.rungs.setdefault(_HARDENED, []).append(rung)
    for stop in dict.fromkeys(plan.stops):
        labels = teachers.outputs[:, stop]
        students = _teach(plan, width, labels, seeds, progress)
        limit = plan.student(stop).outputs(*points)
        rung = compare(students, width, limit, data.clean)
        ladder.rungs.setdefault(_student(stop), []).append(rung)
        apart = students.outputs[:, -1] - labels
        pairs.distance.setdefault(stop, []).append(_rms(apart))
        pairs.miss.setdefault(stop, []).append(_rms(apart - (limit[-1] - predicted[stop])))
        if stop == plan.stops.late:
            rounds = np.stack([labels, alone.outputs[:, -1], students.outputs[:, second]])
            pairs.wrong = (rounds * data.clean <= 0).mean(axis=2)
            if width == plan.widths[0]:
                signed = np.concatenate([rounds, teachers.outputs[None, :, plan.stops.surest]])
                mean = signed.mean(axis=1, keepdims=True)
                pairs.scatter = float(np.abs(signed - mean).max())


def _rms(difference: Array) -> Array:
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)))


# ---------------------------------------------------------------- measurements


def _kernel_limit(plan: _Plan) -> Measurement:
    """Teachers and students of infinite width, run on the measured kernel, against closed forms.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers; twice, as the student learns a rounded teacher.
    """
    from ntk_theory.targets import PLAIN
    from ntk_theory.training import train_kernel_limit

    problem, data = plan.problem, plan.problem.dataset
    points = data.clean, data.flipped
    teacher = train_kernel_limit(
        problem.gram,
        data.observed,
        PLAIN,
        learning_rate=problem.learning_rate,
        steps=plan.teacher_steps,
    )
    largest = float(np.abs(teacher - plan.teacher.outputs(*points)).max())
    for stop in plan.stops:
        student = train_kernel_limit(
            problem.gram,
            teacher[stop],
            PLAIN,
            learning_rate=plan.student_rate,
            steps=plan.student_steps,
        )
        difference = np.abs(student - plan.student(stop).outputs(*points))
        largest = max(largest, float(difference.max()))
    levels = problem.spectrum
    tolerance = 2 * len(data.clean) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement("kernel recursion − closed form, largest", 0.0, largest, tolerance)


def _exponent(plan: _Plan, ladder: Ladder) -> Measurement:
    """A student deviates from its limit, teacher's deviation included, like m^{-1/2}."""
    from scipy.stats import t as student_t

    fitted = ladder.fit(_student(plan.stops.best), lambda rung: rung.deviation[:, -1])
    offsets = fitted.log_widths - fitted.log_widths.mean()
    error = fitted.residual / math.sqrt(float(np.square(offsets).sum()))
    error *= float(student_t.ppf(_CONFIDENCE, offsets.size - 2))
    return Measurement(
        "exponent of the student's deviation in m",
        _EXPONENT,
        fitted.exponent,
        _CURVATURE + error,
        fitted.interval,
        resolution=_EXPONENT_RESOLUTION,
    )


def _ending(rung: Rung) -> Array:
    return rung.deviation[:, -1]


def _u_curve(plan: _Plan, ladder: Ladder) -> list[Measurement]:
    """The student's error over the teacher's stopping time is the teacher's U.

    After finitely many steps it is that of both filters; the limit lies at most the student's
    predicted distance to its teacher away. Half the least difference of the best teacher to another
    tells them apart.
    """
    errors, best = plan.teacher.rms_error(), plan.stops.best
    resolution = min(float(errors[s] - errors[best]) for s in plan.stops if s != best) / 2
    rows = []
    for stop in dict.fromkeys(plan.stops):  # two of them may coincide
        name = _student(stop)
        values = ladder.rungs[name][-1].error[:, -1]
        # An error at 2√ρ has all of the deviation in it.
        confidence = _CONFIDENCE if stop == plan.stops.end else 0.99
        allowed = ladder.allowance(name, _ending, confidence)
        finite = float(plan.student(stop).rms_error()[-1])
        limit = float(plan.teacher.rms_error()[stop])
        left = float(plan.distance(stop)[-1])
        rows += [
            over_nets(f"{name}: RMS error", finite, values, allowed, resolution),
            over_nets(f"{name}: RMS error, limit", limit, values, allowed + left, resolution),
        ]
    return rows


def _copy_rows(plan: _Plan, ladder: Ladder, pairs: _Pairs) -> list[Measurement]:
    """Every student is its own teacher, much closer than that teacher is to its limit.

    A tolerance of half the teacher's deviation tells the two apart.
    """
    from ntk_theory.fitting import fit_power_law

    rows, widest = [], plan.widths[-1]
    for stop in dict.fromkeys((plan.stops.best, plan.stops.late)):
        fitted = fit_power_law(
            plan.widths[:-1], pairs.miss[stop][:-1], rng=np.random.default_rng(ladder.seed)
        )
        allowed = fitted.upper(widest, _CONFIDENCE) + ladder.rounding_allowance(widest)
        rows.append(
            over_nets(
                f"{_student(stop)}: RMS distance to its own teacher",
                float(plan.distance(stop)[-1]),
                pairs.distance[stop][-1],
                allowed,
                float(ladder.rungs[_TEACHER][-1].deviation[:, stop].mean()) / 2,
            )
        )
    return rows


def _hardened_rows(plan: _Plan, ladder: Ladder) -> list[Measurement]:
    """A student of right signs ends at the clean labels, with no wrong sign at any width.

    A tolerance of ρ tells its error from 2ρ, and its margin 1 from 1 − 2ρ.
    """
    rungs, rho = ladder.rungs[_HARDENED], plan.problem.noise_rate
    return [
        over_nets(
            f"{_HARDENED}: RMS error",
            float(plan.hardened.rms_error()[-1]),
            rungs[-1].error[:, -1],
            ladder.allowance(_HARDENED, _ending, _CONFIDENCE),
            rho,
        ),
        over_nets(
            f"{_HARDENED}: margin",
            float(plan.hardened.margin()[-1]),
            rungs[-1].margin,
            ladder.allowance(_HARDENED, lambda rung: rung.worst_deviation[:, -1], _CONFIDENCE),
            rho,
        ),
        Measurement(
            f"{_HARDENED}: 0-1 error, worst net of all widths",
            0.0,
            max(float(rung.zero_one.max()) for rung in rungs),
            0.0,
        ),
    ]


def _bound(plan: _Plan, ladder: Ladder) -> Measurement:
    """No student of soft outputs is ever below 2ρ, wherever it and its teacher are stopped."""
    names = [_student(stop) for stop in plan.stops]
    widest = {name: ladder.rungs[name][-1] for name in names}
    # From narrower nets alone: the widest would widen their own bound by breaking it.
    bound = max(ladder.allowance(name, lambda rung: rung.largest_deviation) for name in names)
    best = np.min([rung.error.min(axis=1) for rung in widest.values()], axis=0)
    return Measurement(
        "students of outputs: least RMS error at any step (bound 2ρ)",
        2 * plan.problem.noise_rate,
        float(best.min()),
        bound,
        (float(best.min()), float(best.max())),
        Relation.AT_LEAST,
        resolution=plan.problem.noise_rate,
    )


def _round_rows(plan: _Plan, ladder: Ladder, pairs: _Pairs) -> list[Measurement]:
    """Two nets stopped too late, one taught by the other: the filters multiply.

    Their signs follow from the margins, of which a premise says that they exceed the deviation;
    the mean over nets of such a share rounds by at most n eps.
    """
    late, second, _ = plan.rounds
    name, rho = _student(late), plan.problem.noise_rate
    both, alone = plan.student(late).rms_error()[second], plan.student().rms_error()[second]
    rounding = len(plan.problem.dataset.clean) * float(np.finfo(float).eps)
    predicted = {
        f"teacher stopped at {late}": rho,
        f"net without a teacher stopped at {second}": rho,
        f"{name}, itself at {second}": 0.0,
    }
    return [
        over_nets(
            f"{name}, itself at {second}: RMS error",
            float(both),
            ladder.rungs[name][-1].error[:, second],
            ladder.allowance(name, lambda rung: rung.deviation[:, second]),
            # Half the difference to the same net without a teacher.
            abs(float(both - alone)) / 2,
        ),
        *(
            over_nets(f"{which}: 0-1 error", share, seen, rounding)
            for (which, share), seen in zip(predicted.items(), pairs.wrong, strict=True)
        ),
    ]


# ---------------------------------------------------------------- controls


def _failure(
    id_: str,
    broken: str,
    unmet: bool | None,
    what: str,
    predicted: float,
    values: Array,
    claimed: float,
    tolerance: float,
) -> Control:
    """A control that ends elsewhere than the claim says.

    Args:
        id_: its name.
        broken: what was changed.
        unmet: whether the premise that it has to unmake is unmet; None if it unmakes none.
        what: is measured.
        predicted: value that theory predicts.
        values: one a net, shape (S,).
        claimed: value if the claim held all the same.
        tolerance: deviation of nets of this width from theory.
    """
    failure = over_nets(what, predicted, values, tolerance)
    if unmet is None:
        expected = Verdict.VIOLATED
        fails = abs(failure.measured - claimed) > tolerance
    else:
        expected, fails = Verdict.PREMISE_UNMET, unmet
    verdict = expected if fails else Verdict.SUPPORTED
    return Control(id_, broken, expected, verdict, failure, claimed, tolerance)


def _controls(plan: _Plan, ladder: Ladder, progress: Progress) -> Iterator[Control]:
    """Teachers of the control's width, and students with one premise broken."""
    from ntk_theory import predictions
    from ntk_theory.experiments import net_seeds, train_nets
    from ntk_theory.targets import PLAIN

    problem, width, stops = plan.problem, plan.control_width, plan.stops
    clean, flipped = problem.dataset.clean, problem.dataset.flipped
    tolerance = ladder.bound(lambda rung: rung.largest_deviation, width)
    teachers = train_nets(
        replace(problem.recipe, distillation=PLAIN, steps=plan.teacher_steps),
        width,
        net_seeds(ladder.seed, width, _CONTROL_NETS, _CONTROL_STREAM),
        dtype=plan.dtype,
        device=plan.options.device,
        progress=progress,
    ).outputs
    seeds = net_seeds(ladder.seed, width, _CONTROL_NETS, _CONTROL_STUDENT_STREAM)

    def taught(labels: Array) -> Array:
        return _teach(plan, width, labels, seeds, progress).outputs

    def errors(labels: Array) -> Array:
        return _rms(taught(labels)[:, -1] - clean)

    yield _failure(
        "fully-trained-teacher",
        f"a stopped teacher: here it is trained for {stops.end} steps",
        None,
        "final RMS error",
        float(plan.student(stops.end).rms_error()[-1]),
        errors(teachers[:, stops.end]),
        float(plan.student(stops.best).rms_error()[-1]),
        tolerance,
    )
    yield _failure(
        "late-hardening",
        f"signs right when they are taught: here they are those of step {stops.late}",
        bool(plan.teacher.margin()[stops.late] <= 0),
        "final RMS error",
        float(plan.student().rms_error()[-1]),
        errors(np.sign(teachers[:, stops.late])),
        float(plan.hardened.rms_error()[-1]),
        tolerance,
    )
    order = np.random.default_rng(ladder.seed).permutation(clean.size)
    outputs = plan.teacher.outputs(clean, flipped)[stops.best, order]
    levels, rate = problem.spectrum, plan.student_rate
    learnt = [
        1 - (1 - rate * level) ** plan.student_steps
        for level in (levels.noise, levels.information, levels.mean)
    ]
    student = predictions.block_filter(levels, outputs, (learnt[0], learnt[1], learnt[2]))
    yield _failure(
        "shuffled-teacher",
        "outputs on the student's own inputs: here they are shuffled over the points",
        None,
        "final RMS error",
        float(_rms(student - clean)),
        errors(teachers[:, stops.best, order]),
        float(plan.student(stops.best).rms_error()[-1]),
        tolerance,
    )
    short = plan.steps(1, plan.student_rate)
    labels = teachers[:, stops.end]
    yield _failure(
        "stopped-student",
        f"a student trained out: here it is stopped at step {short}",
        None,
        "RMS distance to its teacher",
        float(plan.distance(stops.end)[short]),
        _rms(taught(labels)[:, short] - labels),
        float(plan.distance(stops.end)[-1]),
        tolerance,
    )


# ---------------------------------------------------------------- run


def _arrays(plan: _Plan, ladder: Ladder) -> dict[str, Array]:
    names = [_student(stop) for stop in plan.stops]
    return {
        "stops": np.array(plan.stops),
        "predicted_teacher": plan.teacher.rms_error(),
        "teacher_error": ladder.rungs[_TEACHER][-1].error,
        "predicted_students": np.stack([plan.student(s).rms_error() for s in plan.stops]),
        "student_error": np.stack([ladder.rungs[name][-1].error for name in names]),
        "predicted_hardened": plan.hardened.rms_error(),
        "hardened_error": ladder.rungs[_HARDENED][-1].error,
    }


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train teachers and students, compare with the closed forms, run the controls."""
    from ntk_theory.ladder import Ladder

    evidence.premises += _planned_premises(plan)
    if {p.name for p in evidence.premises if not p.holds} - {"narrowest net moves little"}:
        return ""
    clean, options = plan.problem.dataset.clean, plan.options
    ladder = Ladder(clean, plan.widths, plan.nets, options.seed, plan.dtype, options.device)
    pairs = _Pairs()
    progress.start(CLAIM.id, plan.work())
    for count, width in enumerate(plan.widths):
        evidence.progress_note = f"{count} of {len(plan.widths)} widths trained"
        _climb_one(ladder, plan, pairs, width, progress)
        if evidence.diverged(ladder.stopped()):
            return ""
    evidence.metrics += ladder.metrics()
    evidence.arrays |= _arrays(plan, ladder)
    evidence.premises.append(_trained_premise(plan, pairs))
    evidence.measurements += [
        _kernel_limit(plan),
        _exponent(plan, ladder),
        *_u_curve(plan, ladder),
        *_copy_rows(plan, ladder, pairs),
        *_hardened_rows(plan, ladder),
        _bound(plan, ladder),
        *_round_rows(plan, ladder, pairs),
    ]
    if evidence.sound:
        for control in _controls(plan, ladder, progress):
            evidence.controls.append(control)
    best, end = (ladder.rungs[_student(s)][-1] for s in (plan.stops.best, plan.stops.end))
    return (
        f"students of width {plan.widths[-1]} end {best.error[:, -1].mean():.4g} (RMS) from the "
        f"clean labels if their teacher was stopped at its best step, "
        f"{end.error[:, -1].mean():.4g} if it was fully trained, and "
        f"{ladder.rungs[_HARDENED][-1].error[:, -1].mean():.2g} if they learn the signs of an "
        "early one; those of the best step end "
        f"{pairs.distance[plan.stops.best][-1].mean():.1g} from their own teachers"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted errors, without training."""
    plan = _plan(options)
    predicted = {
        f"{_student(stop)}: RMS error": plan.student(stop).rms_error()[-1] for stop in plan.stops
    }
    late, second, _ = plan.rounds
    both = plan.student(late).rms_error()[second]
    predicted[f"{_student(late)}, itself at {second}: RMS error"] = both
    predicted[f"{_HARDENED}: RMS error"] = plan.hardened.rms_error()[-1]
    return plan.config(), {name: float(value) for name, value in predicted.items()}


# ---------------------------------------------------------------- picture


def _draw_teachers(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[0], result.arrays
    steps, stops = np.arange(len(arrays["predicted_teacher"])), arrays["stops"]
    drawing.band(axes, steps, arrays["teacher_error"], drawing.ORANGE, "teacher")
    ends = arrays["student_error"][:, :, -1]
    axes.plot(
        np.repeat(stops[:, None], ends.shape[1], axis=1),
        ends,
        color=drawing.BLUE,
        marker="o",
        ms=4,
        ls="",
        label=[f"students, width {result.config['widths'][-1]}"] + [None] * (ends.shape[1] - 1),
    )
    drawing.prediction(axes, steps, arrays["predicted_teacher"], "closed form")
    axes.axhline(2 * result.config["noise_rate"], color=drawing.GREY, lw=1, label="2ρ")
    axes.set(xlabel="teacher's stopping time", ylabel="RMS error to the clean labels")
    axes.set(xscale="log", xlim=(1, steps[-1] * 1.2), ylim=(0, None))
    axes.legend(frameon=False)


def _draw_students(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[1], result.arrays
    steps = np.arange(len(arrays["predicted_hardened"]))
    for index, stop in enumerate(arrays["stops"][1:], 1):
        label = "students of stopped teachers" if index == 1 else "_"
        drawing.band(axes, steps, arrays["student_error"][index], drawing.BLUE, label)
        drawing.prediction(axes, steps, arrays["predicted_students"][index])
        axes.annotate(f"τ = {stop}", (steps[-1], arrays["predicted_students"][index, -1]))
    drawing.band(axes, steps, arrays["hardened_error"], drawing.ORANGE, "students of early signs")
    drawing.prediction(axes, steps, arrays["predicted_hardened"], "closed forms")
    axes.set(xlabel="student's step $t$", ylabel="RMS error to the clean labels")
    axes.set(xlim=(0, steps[-1] * 1.2), ylim=(0, None))
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """Error over the teacher's and over the student's training, closed forms dashed."""
    figure.subplots(1, 2)
    if "student_error" in result.arrays:
        _draw_teachers(figure, result)
        _draw_students(figure, result)


CLAIM = Claim(
    id="teacher-student",
    statement=(
        "A student trained out on the outputs of a stopped teacher is that teacher, so its error "
        "to the clean labels is the teacher's U-shaped curve; a fully trained teacher teaches the "
        "noisy labels; the signs of a teacher stopped in time teach the clean ones exactly."
    ),
    formulas=(
        "student_t = A'_t A_τ ỹ,  filter g'_λ(t) g_λ(τ),  g_λ(t) = 1 − (1 − ηλ)^t",
        "‖student_t − y‖²/n = (1 − (1−2ρ) g'_+(t) g_+(τ))² + 4ρ(1−ρ) (g'_−(t) g_−(τ))²  (ȳ = 0)",
        "student_∞ = teacher(τ);  τ = ∞: 2√ρ;  never below 2ρ",
        "student of sign(teacher(τ)):  error (1 − η'λ_+)^t → 0 while the teacher's signs are right",
        "signs right iff (1−2ρ) Π g_+ > 2(1−ρ) Π g_−, one factor a round",
    ),
    assumptions=(
        "H positive definite, both learning rates below 2/λ_max (for the 2ρ bound at most 1/λ_max)",
        "ρ < ρ* = (r − 2)/(2(r − 1)), so that some teacher has every sign right",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "Training on fixed labels z retrieves A_t z with A_t = I − (I − ηH)^t; the student's z is "
        "A_τ ỹ, and both matrices share the eigenvectors of H, so the filters multiply. As the "
        "student's own factor tends to 1 it becomes its teacher. Signs of a teacher stopped in "
        "time are the clean labels, which hold no noise to memorise. At width m the student "
        "deviates by its own O(m^{-1/2}) plus its teacher's (docs/theory.md, sections 6.8 and 9)."
    ),
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.8",
    paper_claims={
        "C2": "teacher by early stopping; training inputs, students of the same architecture"
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "cross_cosine",
            "noise_rate",
            "learning_rate",
            "dtype",
        }
    ),
    controls=("fully-trained-teacher", "late-hardening", "shuffled-teacher", "stopped-student"),
    run=run,
    predict=predict,
    draw=draw,
)

"""Students against their teachers, and both against the closed forms."""

from __future__ import annotations

__all__ = ["measurements"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ntk_theory import training
from ntk_theory.claims.teacher_student.nets import Pairs, rms
from ntk_theory.claims.teacher_student.plan import HARDENED, TEACHER, Plan, student_of
from ntk_theory.experiments import Rung
from ntk_theory.fitting import fit_power_law
from ntk_theory.ladder import Ladder, falling_row, first_step_row
from ntk_theory.runs import over_nets
from ntk_theory.targets import PLAIN
from ntk_theory.verdicts import Measurement, Relation

Array = NDArray[np.float64]

CONFIDENCE = 0.9995
"""Of bounds on deviations that are themselves what is measured. The other bounds are those of one
net's vector (99 %), which the mean error exceeds much more rarely."""


def _kernel_limit(plan: Plan) -> Measurement:
    """Teachers and students of infinite width, run on the measured kernel, against closed forms.

    All of them at all steps, and distances to teachers: a student that is trained out has forgotten
    its rate. Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that
    the slowest mode remembers; twice, as the student learns a rounded teacher. A distance rounds by
    no more than the outputs that it is the norm of.
    """
    problem, data = plan.problem, plan.problem.dataset
    points = data.clean, data.flipped

    def trained(labels: Array, rate: float, steps: int) -> Array:
        return training.train_kernel_limit(
            problem.gram, labels, PLAIN, learning_rate=rate, steps=steps
        )

    teacher = trained(data.observed, problem.learning_rate, plan.teacher_steps)
    signs = np.sign(teacher[plan.stops.surest])
    hardened = trained(signs, plan.student_rate, plan.student_steps)
    differences = [
        teacher - plan.teacher.outputs(*points),
        hardened - plan.hardened.outputs(*points),
    ]
    for stop in plan.stops:
        student = trained(teacher[stop], plan.student_rate, plan.student_steps)
        differences += [
            student - plan.student(stop).outputs(*points),
            rms(student - teacher[stop]) - plan.distance(stop),
        ]
    largest = max(float(np.abs(difference).max()) for difference in differences)
    levels = problem.spectrum
    tolerance = 2 * len(data.clean) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement("kernel recursion − closed form, largest", 0.0, largest, tolerance)


def _ending(rung: Rung) -> Array:
    return rung.deviation[:, -1]


def _u_curve(plan: Plan, ladder: Ladder) -> list[Measurement]:
    """The student's error over the teacher's stopping time is the teacher's U.

    After finitely many steps it is that of both filters; the limit lies at most the student's
    predicted distance to its teacher away. Half the least difference of the best teacher to another
    tells them apart.
    """
    errors, best = plan.teacher.rms_error(), plan.stops.best
    resolution = min(float(errors[s] - errors[best]) for s in plan.stops if s != best) / 2
    rows = []
    for stop in dict.fromkeys(plan.stops):  # two of them may coincide
        name = student_of(stop)
        values = ladder.rungs[name][-1].error[:, -1]
        # An error at 2√ρ has all of the deviation in it.
        confidence = CONFIDENCE if stop == plan.stops.end else 0.99
        allowed = ladder.allowance(name, _ending, confidence)
        finite = float(plan.student(stop).rms_error()[-1])
        limit = float(plan.teacher.rms_error()[stop])
        left = float(plan.distance(stop)[-1])
        rows += [
            over_nets(f"{name}: RMS error", finite, values, allowed, resolution),
            over_nets(f"{name}: RMS error, limit", limit, values, allowed + left, resolution),
        ]
    return rows


def _copy_rows(plan: Plan, ladder: Ladder, pairs: Pairs) -> list[Measurement]:
    """Every student is its own teacher, much closer than that teacher is to its limit.

    A tolerance of half the teacher's deviation tells the two apart.
    """
    rows, widest = [], plan.nets.widths[-1]
    for stop in dict.fromkeys((plan.stops.best, plan.stops.late)):
        fitted = fit_power_law(
            plan.nets.widths[:-1], pairs.miss[stop][:-1], rng=np.random.default_rng(ladder.seed)
        )
        allowed = fitted.upper(widest, CONFIDENCE) + ladder.rounding_allowance(widest)
        rows.append(
            over_nets(
                f"{student_of(stop)}: RMS distance to its own teacher",
                float(plan.distance(stop)[-1]),
                pairs.distance[stop][-1],
                allowed,
                float(ladder.rungs[TEACHER][-1].deviation[:, stop].mean()) / 2,
            )
        )
    return rows


def _hardened_rows(plan: Plan, ladder: Ladder) -> list[Measurement]:
    """A student of right signs ends at the clean labels, with no wrong sign at any width.

    A tolerance of ρ tells its error from 2ρ, and its margin 1 from 1 − 2ρ.
    """
    rungs, rho = ladder.rungs[HARDENED], plan.problem.noise_rate
    return [
        over_nets(
            f"{HARDENED}: RMS error",
            float(plan.hardened.rms_error()[-1]),
            rungs[-1].error[:, -1],
            ladder.allowance(HARDENED, _ending, CONFIDENCE),
            rho,
        ),
        over_nets(
            f"{HARDENED}: margin",
            float(plan.hardened.margin()[-1]),
            rungs[-1].margin,
            ladder.allowance(HARDENED, lambda rung: rung.worst_deviation[:, -1], CONFIDENCE),
            rho,
        ),
        Measurement(
            f"{HARDENED}: 0-1 error, worst net of all widths",
            0.0,
            max(float(rung.zero_one.max()) for rung in rungs),
            0.0,
        ),
    ]


def _bound(plan: Plan, ladder: Ladder) -> Measurement:
    """No student of soft outputs is ever below 2ρ, wherever it and its teacher are stopped."""
    names = [student_of(stop) for stop in plan.stops]
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


def _round_rows(plan: Plan, ladder: Ladder, pairs: Pairs) -> list[Measurement]:
    """Two nets stopped too late, one taught by the other: the filters multiply.

    Their signs follow from the margins, of which a premise says that they exceed the deviation;
    the mean over nets of such a share rounds by at most n eps.
    """
    late, second, _ = plan.rounds
    name, rho = student_of(late), plan.problem.noise_rate
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


def _falling(plan: Plan, ladder: Ladder, pairs: Pairs) -> Iterator[Measurement]:
    """The deviations that set the tolerances fall with the width.

    Scattered nets leave the exponent open: its whole interval has to be near −1/2, where an
    interval in the tolerance would be the wider the less they tell. A trained-out student has
    forgotten its rate; its first step has not.
    """
    yield ladder.exponent_row(
        student_of(plan.stops.best), "exponent of the student's deviation in m", _ending
    )
    for name in (*dict.fromkeys(map(student_of, plan.stops)), HARDENED):
        yield ladder.falling_row(name, f"{name}, at the end", _ending)
    for stop in dict.fromkeys((plan.stops.best, plan.stops.late)):
        title = f"{student_of(stop)}, from its own teacher"
        yield falling_row(ladder.widths, pairs.miss[stop], title)
    for name, ratios in pairs.first_step.items():
        yield first_step_row(ladder.widths, np.array(ratios), name, plan.crossing(name == HARDENED))


def measurements(plan: Plan, ladder: Ladder, pairs: Pairs) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield _kernel_limit(plan)
    yield from _u_curve(plan, ladder)
    yield from _copy_rows(plan, ladder, pairs)
    yield from _hardened_rows(plan, ladder)
    yield _bound(plan, ladder)
    yield from _round_rows(plan, ladder, pairs)
    yield from _falling(plan, ladder, pairs)

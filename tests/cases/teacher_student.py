"""Toy run and mutants of `teacher-student`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate
from ntk_theory.toys import TOYS

TOY = TOYS["teacher-student"]

STUDENT = "ntk_theory.predictions.student_training"
HARDENED = "ntk_theory.predictions.hardened_student_training"
DISTANCE = "ntk_theory.predictions.student_distance"


def without_teachers_filter(right):
    return lambda s, rho, teachers, rate, steps: right(s, rho, [], rate, steps)


def without_students_filter(right):
    def wrong(s, rho, teachers, rate, steps):
        numbers = right(s, rho, teachers, rate, 1000)
        return tuple(np.full(steps + 1, number[-1]) for number in numbers)

    return wrong


def added_times(right):
    """One filter of the total time, as if the student went on where its teacher stopped."""

    def wrong(s, rho, teachers, rate, steps):
        ahead = round(sum(eta * tau for eta, tau in teachers) / rate)
        return tuple(number[ahead:] for number in right(s, rho, [], rate, steps + ahead))

    return wrong


def student_rate_times(factor):
    return lambda right: (
        lambda s, rho, teachers, rate, steps: right(s, rho, teachers, factor * rate, steps)
    )


def teacher_rate_times(factor):
    return lambda right: (
        lambda s, rho, teachers, rate, steps: right(
            s, rho, [(factor * eta, tau) for eta, tau in teachers], rate, steps
        )
    )


def hardened_rate_times(factor):
    return lambda right: lambda s, rate, steps: right(s, factor * rate, steps)


def distance_rate_times(factor):
    return lambda right: (
        lambda s, rho, teacher, rate, *rest: right(s, rho, teacher, factor * rate, *rest)
    )


def distance_teacher_rate_times(factor):
    return lambda right: (
        lambda s, rho, teacher, *rest: right(s, rho, (factor * teacher[0], teacher[1]), *rest)
    )


def plain_rate_times(factor):
    return lambda right: lambda s, rho, rate, *rest: right(s, rho, factor * rate, *rest)


def of_outputs(inputs, labels):
    return not np.isin(labels, (-1, 1)).all()


def of_right_signs(inputs, labels):
    """Of the same sign as their neighbours; no other net learns such labels."""
    return np.array_equal(np.sign(inputs @ (inputs.T @ labels)), labels)


OFF = (0.9, 1.2)
"""Factors of a learning rate that is wrong by little."""

MUTANTS = [
    *(Mutant(f"the student's rate times {f}", STUDENT, student_rate_times(f)) for f in OFF),
    *(Mutant(f"its teacher's rate times {f}", STUDENT, teacher_rate_times(f)) for f in OFF),
    *(Mutant(f"students of signs: rate times {f}", HARDENED, hardened_rate_times(f)) for f in OFF),
    *(Mutant(f"distance: student's rate times {f}", DISTANCE, distance_rate_times(f)) for f in OFF),
    *(
        Mutant(f"distance: teacher's rate times {f}", DISTANCE, distance_teacher_rate_times(f))
        for f in OFF
    ),
    *(
        Mutant(
            f"teachers train at {f} times their rate",
            "ntk_theory.predictions.plain_training",
            plain_rate_times(f),
        )
        for f in OFF
    ),
    *(
        Mutant(
            f"nets train at {f} times their rate",
            "ntk_theory.checking.nets.train",
            nets_at_rate(f),
        )
        for f in OFF[:1]
    ),
    *(
        Mutant(
            f"students' nets train at {f} times their rate",
            "ntk_theory.checking.nets.train",
            nets_at_rate(f, of_outputs),
        )
        for f in OFF[:1]
    ),
    *(
        Mutant(
            f"nets of students of signs train at {f} times their rate",
            "ntk_theory.checking.nets.train",
            nets_at_rate(f, of_right_signs),
        )
        for f in OFF[:1]
    ),
    Mutant("the teacher's filter is missing", STUDENT, without_teachers_filter),
    Mutant("the student's filter is missing", STUDENT, without_students_filter),
    Mutant("filters of added times, not their product", STUDENT, added_times),
    Mutant(
        "ρ for 1 − ρ",
        STUDENT,
        lambda right: lambda s, rho, *rest: right(s, 1 - rho, *rest),
    ),
    Mutant(
        "the information shrinks by 1 − ρ and not 1 − 2ρ",
        STUDENT,
        lambda right: lambda s, rho, *rest: right(s, rho / 2, *rest),
    ),
    Mutant(
        "λ_+ for λ_−",
        STUDENT,
        lambda right: lambda s, *rest: right(replace(s, noise=s.information), *rest),
    ),
    Mutant(
        "the student's rate is twice as large",
        STUDENT,
        lambda right: (
            lambda s, rho, teachers, rate, steps: right(s, rho, teachers, 2 * rate, steps)
        ),
    ),
    Mutant(
        "teachers stopped twice as late",
        STUDENT,
        lambda right: (
            lambda s, rho, teachers, rate, steps: right(
                s, rho, [(eta, 2 * tau) for eta, tau in teachers], rate, steps
            )
        ),
    ),
    Mutant(
        "hardened outputs keep the noise",
        HARDENED,
        lambda right: (
            lambda s, rate, steps: (
                *right(s, rate, steps)[:2],
                1 - (1 - rate * s.noise) ** np.arange(steps + 1),
            )
        ),
    ),
    Mutant(
        "students stay a tenth of their teacher away",
        DISTANCE,
        lambda right: lambda *args: right(*args) + 0.1 * right(*args)[0],
    ),
    Mutant(
        "teachers memorise at half the rate",
        "ntk_theory.predictions.plain_training",
        lambda right: lambda s, *rest: right(replace(s, noise=s.noise / 2), *rest),
    ),
]

"""Toy run and mutants of `zero-one`."""

import math
from dataclasses import replace

from cases import Mutant, nets_at_rate
from ntk_theory.toys import TOYS

TOY = TOYS["zero-one"]

TIME = "ntk_theory.predictions.recovery_time"
CENTRES = "ntk_theory.predictions.cluster_centres"
PLAIN = "ntk_theory.predictions.plain_training"


def centres(**changes):
    """Centres of which some numbers are wrong: f(right one) for each."""

    def change(right):
        def wrong(*args):
            found = right(*args)
            return replace(found, **{name: of(found) for name, of in changes.items()})

        return wrong

    return change


def steps_of(change_of):
    """A wrong stopping time, of the noise rate, the rate and λ_+."""
    return lambda right: lambda rho, rate, level: change_of(right, rho, rate, level)


MUTANTS = [
    Mutant(
        "δ/4 is tolerated",
        "ntk_theory.predictions.tolerated_noise",
        lambda right: lambda separation: 2 * right(separation),
    ),
    Mutant(
        "δ/16 is tolerated",
        "ntk_theory.predictions.tolerated_noise",
        lambda right: lambda separation: right(separation) / 2,
    ),
    Mutant("stopped a step late", TIME, steps_of(lambda right, *of: right(*of) + 1)),
    Mutant(
        "ρ of the information may be missing for 2ρ",
        TIME,
        steps_of(lambda right, rho, *of: right(rho / 2, *of)),
    ),
    Mutant(
        "the stopping time of twice the rate",
        TIME,
        steps_of(lambda right, rho, rate, level: right(rho, 2 * rate, level)),
    ),
    Mutant(
        "the promised error forgets the noise",
        "ntk_theory.predictions.recovery_error",
        lambda right: lambda rho, noise: right(rho, 0.0),
    ),
    Mutant(
        "the promised error is twice as large",
        "ntk_theory.predictions.recovery_error",
        lambda right: lambda *args: 2 * right(*args),
    ),
    Mutant(
        "ε_0 is that of two points", CENTRES, centres(radius=lambda one: math.sqrt(2) * one.radius)
    ),
    Mutant("twice λ(C)", CENTRES, centres(least=lambda one: 2 * one.least)),
    Mutant("twice ‖C‖²", CENTRES, centres(norm=lambda one: 2 * one.norm)),
    Mutant("half as many centres", CENTRES, centres(count=lambda one: one.count // 2)),
    Mutant(
        "the distance forgets the noise",
        "ntk_theory.predictions.linearised_distance",
        lambda right: (
            lambda levels, rho, mean, along, noise, *more: right(
                levels, rho, mean, along, 0.0, *more
            )
        ),
    ),
    Mutant(
        "the distance at ρ for 2ρ",
        "ntk_theory.predictions.linearised_distance",
        lambda right: lambda levels, rho, *errors: right(levels, rho / 2, *errors),
    ),
    Mutant(
        "the distance is 1 % short",
        "ntk_theory.predictions.linearised_distance",
        lambda right: lambda *args: 0.99 * right(*args),
    ),
    Mutant(
        "nets of every width move 1.1 times as far",
        "ntk_theory.claims.zero_one._moved",
        lambda right: lambda run, name: [1.1 * moved for moved in right(run, name)],
    ),
    *(
        Mutant(
            f"plain training at {factor} times the rate",
            PLAIN,
            lambda right, factor=factor: (
                lambda levels, rho, rate, *rest: right(levels, rho, factor * rate, *rest)
            ),
        )
        for factor in (0.95, 1.05)
    ),
    Mutant(
        "the student is its teacher",
        "ntk_theory.predictions.student_training",
        lambda right: lambda levels, rho, stages, *rest: right(levels, rho, [], *rest),
    ),
    Mutant("nets at 1.05 times the rate", "ntk_theory.checking.nets.train", nets_at_rate(1.05)),
    Mutant("targets are soft", "ntk_theory.targets.harden", lambda _: lambda outputs: outputs),
]

"""Toy run and mutants of `generalisation`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate, times_rate
from ntk_theory.toys import TOYS

NETS = "ntk_theory.checking.nets.train"

TOY = TOYS["generalisation"]

DISTANCE = "ntk_theory.predictions.linearised_distance"

DISTILLATION = "ntk_theory.predictions.self_distillation"
PLAIN = "ntk_theory.predictions.plain_training"
SOFT = "ntk_theory.predictions.soft_self_distillation"


MUTANTS = [
    Mutant(
        "nets of every width move 1.1 times as far",
        "ntk_theory.claims.generalisation.distances",
        lambda right: lambda run, name: [1.1 * moved for moved in right(run, name)],
    ),
    *(
        Mutant(
            f"{target.rpartition('.')[2]} at {factor} times the rate", target, times_rate(factor, 2)
        )
        for target in (DISTILLATION, PLAIN, SOFT)
        for factor in (0.9, 1.2)
    ),
    *(
        Mutant(
            f"nets at {factor} times the rate",
            NETS,
            nets_at_rate(factor),
        )
        for factor in (0.9,)
    ),
    Mutant(
        "the kernel lacks a factor",
        "ntk_theory.kernels.ntk_limit",
        lambda right: lambda *args, **kwargs: 2 * right(*args, **kwargs),
    ),
    Mutant(
        "distance with λ_+ for λ_−",
        DISTANCE,
        lambda right: lambda levels, *rest: right(replace(levels, noise=levels.information), *rest),
    ),
    Mutant(
        "distance with √2 too much",
        DISTANCE,
        lambda right: lambda *arguments: np.sqrt(2) * right(*arguments),
    ),
    Mutant(
        "distance without the square root",
        DISTANCE,
        lambda right: lambda *arguments: right(*arguments) ** 2,
    ),
    Mutant(
        "distance with 4ρ for 4ρ(1 − ρ), at twice the rate",
        DISTANCE,
        lambda right: lambda levels, rate, *rest: right(levels, min(2 * rate, 0.5), *rest),
    ),
    Mutant(
        "separation from the other side: 1/r* for r*",
        "ntk_theory.predictions.least_ratio",
        lambda right: lambda *arguments: 1 / right(*arguments),
    ),
]

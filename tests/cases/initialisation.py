"""Toy run and mutants of `initialisation`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate, times_rate
from ntk_theory.toys import TOYS

TOY = TOYS["initialisation"]

SPREAD = "ntk_theory.predictions.initial_output_spread"
SAMPLES = "ntk_theory.predictions.initial_output_samples"
SHARE = "ntk_theory.predictions.wrong_sign_share"
RATES = {
    "ntk_theory.predictions.self_distillation": 2,
    SPREAD: 3,
    "ntk_theory.predictions.block_recursion": 2,
    "ntk_theory.predictions.soft_self_distillation": 2,
}
"""Formulas that take a learning rate, and the number of that argument."""


def scaled(factor):
    return lambda right: lambda *args, **rest: factor * right(*args, **rest)


def times_scale(factor):
    def change(right):
        def wrong(*args, scale, **rest):
            return right(*args, scale=factor * scale, **rest)

        return wrong

    return change


MUTANTS = [
    *(
        Mutant(f"{target.rpartition('.')[2]} at {f} times the rate", target, times_rate(f, index))
        for target, index in RATES.items()
        for f in (0.9, 1.2)
    ),
    *(
        Mutant(f"nets at {f} times the rate", "ntk_theory.checking.nets.train", nets_at_rate(f))
        for f in (0.9,)
    ),
    *(
        Mutant(f"variance of {name} × {factor}", target, change(np.sqrt(factor)))
        for factor in (1.05, 0.95, 1.02)
        for name, target, change in (
            ("nets' weights", "ntk_theory.checking.nets.DrawnNets", times_scale),
            ("the draws", SAMPLES, scaled),
        )
    ),
    Mutant("κ_1(0) twice too large, in the spread", SPREAD, scaled(np.sqrt(2))),
    Mutant("κ_1(0) half of it, in the spread", SPREAD, scaled(np.sqrt(0.5))),
    Mutant(
        "the initial output does not decay",
        SPREAD,
        lambda right: lambda *args: np.full_like(right(*args), right(*args)[0]),
    ),
    Mutant(
        "λ_+ for λ_− in the decay",
        SPREAD,
        lambda right: lambda s, *rest: right(replace(s, noise=s.information), *rest),
    ),
    Mutant("the draws are twice too large", SAMPLES, scaled(2.0)),
    Mutant(
        "Φ of the margin squared",
        SHARE,
        lambda right: lambda margins, spread: right(np.square(margins), spread),
    ),
    Mutant(
        "right signs for wrong ones",
        SHARE,
        lambda right: lambda margins, spread: 1 - right(margins, spread),
    ),
    Mutant(
        "variance for standard deviation",
        SHARE,
        lambda right: lambda margins, spread: right(margins, np.square(spread)),
    ),
    Mutant(
        "a wrong sign is not taught back",
        "ntk_theory.predictions.block_recursion",
        lambda right: (
            lambda s, labels, rate, weights, start=None: right(
                s, labels, rate, weights, None if start is None else 0 * start
            )
        ),
    ),
    Mutant(
        "the source of E is ρ and not 2ρ",
        "ntk_theory.predictions.self_distillation",
        lambda right: lambda s, rho, *rest: replace(right(s, rho / 2, *rest), noise_rate=rho),
    ),
    Mutant(
        "nets lack 1/√m",
        "ntk_theory.checking.nets.DrawnNets",
        lambda right: (
            lambda width, *args, scale, **rest: right(
                width, *args, scale=scale * np.sqrt(width / 64), **rest
            )
        ),
    ),
]

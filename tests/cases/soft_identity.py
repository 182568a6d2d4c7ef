"""A toy run of the soft identity, and wrong versions of its formulas."""

from dataclasses import replace

import numpy as np

from cases import Mutant, times_rate
from ntk_theory.toys import TOYS

TOY = TOYS["soft-identity"]
RATES = "ntk_theory.predictions.equivalent_learning_rates"
CURVE = "ntk_theory.predictions.soft_self_distillation"


def kernel_times_rate(factor):
    """The recursion at another learning rate, which is in the product with ηH."""

    def change(right):
        def wrong(product, *rest):
            return right(lambda vector: factor * product(vector), *rest)

        return wrong

    return change


MUTANTS = [
    *(
        mutant
        for factor in (1.2, 0.9)
        for mutant in (
            Mutant(f"rate × {factor} in the curve", CURVE, times_rate(factor, 2)),
            Mutant(
                f"rate × {factor} in the time of the flow",
                "ntk_theory.predictions.gradient_flow",
                times_rate(factor, 1),
            ),
            Mutant(
                f"rates × {factor} in the small steps' gap",
                "ntk_theory.predictions.small_step_gap",
                times_rate(factor, 1),
            ),
            Mutant(
                f"rate × {factor} in the recursion of cross-entropy and of the controls",
                "ntk_theory.predictions.policy_recursion",
                kernel_times_rate(factor),
            ),
        )
    ),
    Mutant("the rate is η α²", RATES, lambda right: lambda eta, w: right(eta, np.square(w))),
    Mutant("the rate is η (1 − α)", RATES, lambda right: lambda eta, w: right(eta, 1 - w)),
    Mutant("the rate is η", RATES, lambda right: lambda eta, w: right(eta, np.ones_like(w))),
    Mutant(
        "α_t one step late", RATES, lambda right: lambda eta, w: right(eta, np.append(1.0, w[:-1]))
    ),
    Mutant(
        "the rate is too large by a millionth",
        RATES,
        lambda right: lambda eta, w: right(eta * (1 + 1e-6), w),
    ),
    Mutant(
        "λ_+ for λ_− in the curve",
        CURVE,
        lambda right: lambda s, *rest: right(replace(s, noise=s.information), *rest),
    ),
    Mutant(
        "λ_− twice too large in the curve",
        CURVE,
        lambda right: lambda s, *rest: right(replace(s, noise=2 * s.noise), *rest),
    ),
    Mutant(
        "the curve forgets the weights",
        CURVE,
        lambda right: lambda s, rho, eta, w, mean: right(s, rho, eta, np.ones_like(w), mean),
    ),
    Mutant(
        "ρ/2 for ρ in the curve",
        CURVE,
        lambda right: lambda s, rho, *rest: replace(right(s, rho / 2, *rest), noise_rate=rho),
    ),
    Mutant(
        "the small steps' gap lacks its factor 1/2",
        "ntk_theory.predictions.small_step_gap",
        lambda right: lambda levels, rates: 2 * right(levels, rates),
    ),
    Mutant(
        "the flow runs for Σ α, not η Σ α",
        "ntk_theory.predictions.gradient_flow",
        lambda right: lambda levels, time: right(levels, 2 * time),
    ),
    Mutant(
        "no lag in the lagged recursion",
        "ntk_theory.predictions.policy_recursion",
        lambda right: lambda h, y, w, policy, epoch=None, pi=None: right(h, y, w, policy, None, pi),
    ),
    Mutant(
        "softmax forgotten under cross-entropy",
        "ntk_theory.predictions.policy_recursion",
        lambda right: lambda h, y, w, policy, epoch=None, pi=None: right(h, y, w, policy, epoch),
    ),
    Mutant(
        "the rounding bound lacks eps",
        "ntk_theory.predictions.rounding_bound",
        lambda right: lambda **arguments: right(**arguments) / np.finfo(float).eps,
    ),
]

"""Toy run and mutants of `convergence`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate, times_rate
from ntk_theory.toys import TOYS

NETS = "ntk_theory.checking.nets.train"

TOY = TOYS["convergence"]

DISTILLATION = "ntk_theory.predictions.self_distillation"
CURVE = "ntk_theory.predictions.ErrorCurve"


def without_one_minus_rho(_):
    def rms_error(self):
        return np.sqrt(self.information_error**2 + 4 * self.noise_rate * self.memorised_noise**2)

    return rms_error


MUTANTS = [
    Mutant(
        "the source of E is ρ and not 2ρ",
        DISTILLATION,
        lambda right: lambda s, rho, *rest: replace(right(s, rho / 2, *rest), noise_rate=rho),
    ),
    Mutant(
        "λ_+ for λ_−",
        DISTILLATION,
        lambda right: lambda s, *rest: right(replace(s, noise=s.information), *rest),
    ),
    Mutant(
        "λ_− twice too large",
        DISTILLATION,
        lambda right: lambda s, *rest: right(replace(s, noise=2 * s.noise), *rest),
    ),
    Mutant(
        "α_t one step late",
        DISTILLATION,
        lambda right: lambda s, rho, eta, w, mean: right(s, rho, eta, np.append(1.0, w[:-1]), mean),
    ),
    Mutant(
        "plain training at ρ/2",
        "ntk_theory.predictions.plain_training",
        lambda right: lambda s, rho, *rest: replace(right(s, rho / 2, *rest), noise_rate=rho),
    ),
    Mutant("the error forgets 1 − ρ", f"{CURVE}.rms_error", without_one_minus_rho),
    Mutant(
        "the margin has ρ for 1 − ρ",
        f"{CURVE}.margin",
        lambda right: lambda self: right(replace(self, noise_rate=1 - self.noise_rate)),
    ),
    Mutant("rate of the nets × 0.9", NETS, nets_at_rate(0.9)),
    *(
        Mutant(
            f"rate × {factor} in {name}",
            f"ntk_theory.predictions.{name}",
            times_rate(factor, index),
        )
        for name, index in (
            ("self_distillation", 2),
            ("plain_training", 2),
            ("cluster_outputs", 3),
            ("gram_outputs", 3),
            # Of the controls alone:
            ("soft_self_distillation", 2),
            ("block_recursion", 2),
        )
        for factor in (1.2, 0.9)
    ),
    Mutant(
        "the kernel lacks a factor",
        "ntk_theory.kernels.ntk_limit",
        lambda right: lambda *args, **kwargs: 2 * right(*args, **kwargs),
    ),
    Mutant(
        "hard targets are wrong",
        "ntk_theory.targets.harden",
        lambda right: lambda outputs: -right(outputs),
    ),
    Mutant("targets are soft", "ntk_theory.targets.harden", lambda _: lambda outputs: outputs),
    Mutant(
        "nets start with an output",
        "ntk_theory.checking.nets.DrawnNets",
        lambda right: lambda *args, **kwargs: right(*args, **(kwargs | {"antisymmetric": False})),
    ),
    Mutant(
        "labels have other noise than said",
        "ntk_theory.data.Dataset.noise_rate",
        lambda _: property(lambda _: 0.4),
    ),
]

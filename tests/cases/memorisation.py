"""Toy run and mutants of `memorisation`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate
from ntk_theory.toys import TOYS

TOY = TOYS["memorisation"]

FIRST_WRONG = "ntk_theory.predictions.first_wrong_step"
PLAIN = "ntk_theory.predictions.plain_training"
SOFT = "ntk_theory.predictions.soft_self_distillation"
DISTILLATION = "ntk_theory.predictions.self_distillation"


def without_one_minus_rho(_):
    def rms_error(self):
        return np.sqrt(self.information_error**2 + 4 * self.noise_rate * self.memorised_noise**2)

    return rms_error


def rate_times(factor):
    """A formula of spectrum, noise rate and learning rate, at a wrong learning rate."""
    return lambda f: lambda s, rho, rate, *rest: f(s, rho, factor * rate, *rest)


MUTANTS = [
    *(
        Mutant(
            f"{target.rpartition('.')[2]} at {factor} times the rate", target, rate_times(factor)
        )
        for target in (FIRST_WRONG, PLAIN, SOFT, DISTILLATION)
        for factor in (0.9, 1.2)
    ),
    *(
        Mutant(
            f"whole clusters at {factor} times the rate",
            "ntk_theory.predictions.whole_cluster_margin",
            lambda f, factor=factor: lambda s, rate, *rest: f(s, factor * rate, *rest),
        )
        for factor in (0.9, 1.2)
    ),
    Mutant("twice the first wrong step", FIRST_WRONG, lambda f: lambda *args: 2 * f(*args)),
    Mutant("one step late", FIRST_WRONG, lambda f: lambda *args: f(*args) + 1),
    Mutant(
        "the first wrong step forgets the factor 2 of ρ",
        FIRST_WRONG,
        lambda f: lambda s, rho, *rest: f(s, rho / 2, *rest),
    ),
    Mutant(
        "the first wrong step has twice λ_−",
        FIRST_WRONG,
        lambda f: lambda s, *rest: f(replace(s, noise=2 * s.noise), *rest),
    ),
    Mutant(
        "plain training at ρ/2",
        PLAIN,
        lambda f: lambda s, rho, *rest: replace(f(s, rho / 2, *rest), noise_rate=rho),
    ),
    Mutant(
        "λ_+ and λ_− change places",
        PLAIN,
        lambda f: lambda s, *rest: f(replace(s, noise=s.information, information=s.noise), *rest),
    ),
    Mutant(
        "the error forgets 1 − ρ",
        "ntk_theory.predictions.ErrorCurve.rms_error",
        without_one_minus_rho,
    ),
    Mutant("the nets' rate lacks a factor", "ntk_theory.checking.nets.train", nets_at_rate(2**0.5)),
    Mutant(
        "the kernel lacks a factor",
        "ntk_theory.kernels.ntk_limit",
        lambda f: lambda *args, **kwargs: 2 * f(*args, **kwargs),
    ),
    Mutant(
        "whole clusters are retrieved like noise",
        "ntk_theory.predictions.whole_cluster_margin",
        lambda f: lambda s, *rest: f(replace(s, information=s.noise), *rest),
    ),
    Mutant("targets are soft", "ntk_theory.targets.harden", lambda _: lambda outputs: outputs),
]

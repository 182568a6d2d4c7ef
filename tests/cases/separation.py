"""Toy run and mutants of `separation`."""

from dataclasses import replace

from cases import Mutant
from ntk_theory.toys import TOYS

TOY = TOYS["separation"]

DISTILLATION = "ntk_theory.predictions.self_distillation"
PLAIN = "ntk_theory.predictions.plain_training"
SOFT = "ntk_theory.predictions.soft_self_distillation"


def at_other_rate(f):
    return lambda s, rho, *rest: replace(f(s, rho / 2, *rest), noise_rate=rho)


def rate_times(factor):
    """A formula of spectrum, noise rate and learning rate, at a wrong learning rate."""
    return lambda f: lambda s, rho, rate, *rest: f(s, rho, factor * rate, *rest)


MUTANTS = [
    *(
        Mutant(
            f"{target.rpartition('.')[2]} at {factor} times the rate", target, rate_times(factor)
        )
        for target in (DISTILLATION, PLAIN, SOFT)
        for factor in (0.9, 1.2)
    ),
    Mutant("the source of E is ρ and not 2ρ", DISTILLATION, at_other_rate),
    Mutant(
        "λ_+ for λ_− in self-distillation",
        DISTILLATION,
        lambda f: lambda s, *rest: f(replace(s, noise=s.information), *rest),
    ),
    Mutant("plain training at ρ/2", PLAIN, at_other_rate),
    Mutant(
        "λ_− twice too large in plain training",
        PLAIN,
        lambda f: lambda s, *rest: f(replace(s, noise=2 * s.noise), *rest),
    ),
    Mutant("soft targets at ρ/2", SOFT, at_other_rate),
    Mutant(
        "soft targets square the weights",
        SOFT,
        lambda f: lambda s, rho, rate, w, *rest: f(s, rho, rate, w**2, *rest),
    ),
    Mutant(
        "the overshoot does not know the ratio",
        "ntk_theory.predictions.overshoot_error",
        lambda f: lambda ratio, rho: f(1.0, rho),
    ),
    Mutant("targets are soft", "ntk_theory.targets.harden", lambda _: lambda outputs: outputs),
    Mutant(
        "nets start with an output",
        "ntk_theory.checking.nets.DrawnNets",
        lambda f: lambda *args, **kwargs: f(*args, **(kwargs | {"antisymmetric": False})),
    ),
    Mutant(
        "the kernel lacks a factor",
        "ntk_theory.kernels.ntk_limit",
        lambda f: lambda *args, **kwargs: 2 * f(*args, **kwargs),
    ),
]

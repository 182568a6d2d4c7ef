"""Toy run and mutants of `threshold`."""

from dataclasses import replace

from cases import Mutant
from ntk_theory.toys import TOYS

TOY = TOYS["threshold"]

THRESHOLD = "ntk_theory.predictions.recoverability_threshold"
MARGIN = "ntk_theory.predictions.relative_margin"
PLAIN = "ntk_theory.predictions.plain_training"


def on_clean_labels(train):
    """Nets never see a wrong label: the clusters' majority in place of the observed labels."""

    def wrong(network, inputs, observed, *args, **kwargs):
        clusters = (inputs @ inputs.T > 0.1).astype(float)
        majority = clusters @ observed
        return train(network, inputs, majority / abs(majority), *args, **kwargs)

    return wrong


# The margin of the first step does not depend on the rate: nothing is wrong with it at another one.
MUTANTS = [
    *(
        Mutant(
            f"plain_training at {factor} times the rate",
            PLAIN,
            lambda f, factor=factor: lambda s, rho, rate, *rest: f(s, rho, factor * rate, *rest),
        )
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
    Mutant("ρ* without the 2", THRESHOLD, lambda _: lambda r: (r - 2) / (r - 1)),
    Mutant("ρ* = (r − 1)/(2r)", THRESHOLD, lambda _: lambda r: (r - 1) / (2 * r)),
    Mutant("ρ* = (r − 2)/(2r)", THRESHOLD, lambda _: lambda r: (r - 2) / (2 * r)),
    Mutant("ρ* of λ_0 + λ_+", THRESHOLD, lambda f: lambda r: f(2 * r)),
    Mutant(
        "the margin has ρ for 1 − ρ",
        MARGIN,
        lambda f: lambda s, rho, *rest: -f(s, 1 - rho, *rest),
    ),
    Mutant(
        "the margin has λ_+ for λ_−",
        MARGIN,
        lambda f: lambda s, *rest: f(replace(s, noise=s.information), *rest),
    ),
    Mutant(
        "λ_− twice too large",
        PLAIN,
        lambda f: lambda s, *rest: f(replace(s, noise=2 * s.noise), *rest),
    ),
    Mutant(
        "the kernel is squared",
        "ntk_theory.kernels.ntk_limit",
        lambda f: lambda *args, **kwargs: f(*args, **kwargs) ** 2,
    ),
    Mutant("nets see no wrong label", "ntk_theory.checking.nets.train", on_clean_labels),
    Mutant(
        "hard targets are wrong", "ntk_theory.targets.harden", lambda f: lambda outputs: -f(outputs)
    ),
]

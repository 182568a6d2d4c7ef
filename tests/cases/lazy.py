"""A toy run of the lazy laws, and wrong versions of their constants."""

from dataclasses import replace

import numpy as np

from cases import Mutant, times_rate
from ntk_theory.toys import TOYS

TOY = TOYS["lazy"]

LAYER = "ntk_theory.predictions.boundary_layer"
DISTANCE = "ntk_theory.predictions.linearised_distance"


def changed(**factors):
    """A boundary layer some of whose constants are multiplied."""

    def change(right):
        def wrong(*args, **kwargs):
            layer = right(*args, **kwargs)
            return replace(
                layer, **{name: factor * getattr(layer, name) for name, factor in factors.items()}
            )

        return wrong

    return change


def layer_times_rate(factor):
    """Boundary layer at another learning rate, which is in the kernel and in the pulls."""

    def change(right):
        def wrong(cosines, kernel, pulls, *rest):
            return right(cosines, factor * kernel, factor * pulls, *rest)

        return wrong

    return change


MUTANTS = [
    *(
        mutant
        for factor in (1.2, 0.9)
        for mutant in (
            Mutant(f"rate × {factor} in the boundary layer", LAYER, layer_times_rate(factor)),
            Mutant(
                f"rate × {factor} in the largest movement",
                "ntk_theory.predictions.largest_movement",
                times_rate(factor, 1),
            ),
            Mutant(
                f"rate × {factor} in plain training",
                "ntk_theory.predictions.plain_training",
                times_rate(factor, 2),
            ),
            Mutant(
                f"rate × {factor} in self-distillation",
                "ntk_theory.predictions.self_distillation",
                times_rate(factor, 2),
            ),
        )
    ),
    *(
        Mutant(
            f"m ‖H_m(0) − H‖² × {factor}",
            "ntk_theory.predictions.kernel_fluctuation",
            lambda right, by=factor: lambda *args, **kwargs: by * right(*args, **kwargs),
        )
        for factor in (1.05, 0.95)
    ),
    Mutant("flips lack the factor 1/2 of two signs", LAYER, changed(flipped=2.0)),
    Mutant("the deviation lacks a factor", LAYER, changed(deviation=2.0)),
    Mutant("the kernel does not change in the mean", LAYER, changed(kernel_change=0.1)),
    Mutant(
        "the kernel's scatter is that of independent entries",
        LAYER,
        changed(kernel_scatter=4.0),
    ),
    Mutant(
        "pulls lack the learning rate",
        LAYER,
        lambda right: (
            lambda cosines, kernel, pulls, *rest: right(cosines, kernel, 2 * pulls, *rest)
        ),
    ),
    Mutant(
        "λ_+ for λ_− in the distance",
        DISTANCE,
        lambda right: lambda s, *rest: right(replace(s, noise=s.information), *rest),
    ),
    Mutant(
        "ρ for 1 − ρ in the distance, its square dropped",
        DISTANCE,
        lambda right: lambda s, rho, e0, e, q, mean: right(s, rho, e0, e, np.sqrt(abs(q)), mean),
    ),
    Mutant(
        "pairs are taken for independent neurons",
        "ntk_theory.predictions.kernel_fluctuation",
        lambda right: lambda cosines, *, pairs=True: right(cosines, pairs=False),
    ),
    Mutant(
        "the output lacks its factor m^{-1/2}",
        "ntk_theory.predictions.movement_exponent",
        lambda right: lambda gamma=0.0: right(gamma + 0.5),
    ),
    Mutant(
        "the rate of other output scales is not adapted",
        "ntk_theory.predictions.movement_exponent",
        lambda right: lambda gamma=0.0: -0.5 + gamma,
    ),
    Mutant(
        "the largest of m neurons is their mean",
        "ntk_theory.predictions.largest_movement",
        lambda right: lambda cosines, pull, neurons, rng: right(cosines, pull, 1, rng),
    ),
]

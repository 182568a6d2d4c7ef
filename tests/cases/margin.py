"""Toy run and mutants of `margin`."""

from dataclasses import replace

import numpy as np

from cases import Mutant
from ntk_theory.toys import TOYS

TOY = TOYS["margin"]

MUTANTS = [
    Mutant(
        "fresh points as good as training points: 1 for 1 − 1/r",
        "ntk_theory.predictions.unseen_margin",
        lambda right: lambda levels, mean, information, *rest: 1 + np.asarray(information),
    ),
    Mutant(
        "fresh margin with 1/r for 1 − 1/r",
        "ntk_theory.predictions.unseen_margin",
        lambda right: (
            lambda levels, mean, information, *rest: (1 + np.asarray(information)) / levels.ratio
        ),
    ),
    Mutant(
        "least margin with ρ for 1 − ρ",
        "ntk_theory.predictions.ErrorCurve.margin",
        lambda right: lambda curve: right(replace(curve, noise_rate=1 - curve.noise_rate)),
    ),
    Mutant(
        "plain training with the filter of λ_+ on the noise",
        "ntk_theory.predictions.plain_training",
        lambda right: lambda levels, *rest: right(replace(levels, noise=levels.information), *rest),
    ),
    Mutant(
        "noise retrieved at half the rate",
        "ntk_theory.predictions.self_distillation",
        lambda right: lambda levels, *rest: right(replace(levels, noise=levels.noise / 2), *rest),
    ),
    Mutant(
        "information shrunk by 1 − ρ for 1 − 2ρ",
        "ntk_theory.predictions.plain_training",
        lambda right: (
            lambda levels, rate, *rest: replace(right(levels, rate / 2, *rest), noise_rate=rate)
        ),
    ),
]

"""Toy run and wrong formulas of the claim `air`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate, seeing, times_rate
from ntk_theory.toys import TOYS

TOY = TOYS["air"]

POINTS = {"clusters": 24, "tree": 42, "power law": 40, "circle": 15}


MUTANTS = [
    *(
        Mutant(
            f"rate of the nets on the {design} × {factor}",
            "ntk_theory.checking.nets.train",
            nets_at_rate(factor, seeing(points)),
        )
        for design, points in POINTS.items()
        for factor in (0.9,)
    ),
    *(
        Mutant(
            f"rate × {factor} in {name}",
            f"ntk_theory.predictions.{name}",
            times_rate(factor, index),
        )
        for name, index in (
            ("half_time", 1),
            ("half_time_ratio", 2),
            ("retrieval_filter", 1),
            ("retrieval_gap", 2),
            ("cluster_gap", 1),
        )
        for factor in (1.2, 0.9)
    ),
    Mutant(
        "half-times of information and noise exchanged",
        "ntk_theory.predictions.half_time_ratio",
        lambda right: lambda information, noise, rate: right(noise, information, rate),
    ),
    Mutant(
        "half-time to a tenth, log 10 for log 2",
        "ntk_theory.predictions.half_time",
        lambda right: lambda value, rate: right(value, rate) * np.log(10) / np.log(2),
    ),
    Mutant(
        "filter with twice the learning rate",
        "ntk_theory.predictions.retrieval_filter",
        lambda right: lambda values, rate, steps: right(values, 2 * rate, steps),
    ),
    Mutant(
        "filter one step late",
        "ntk_theory.predictions.retrieval_filter",
        lambda right: (
            lambda values, rate, steps: np.vstack(
                [np.zeros((1, np.size(values))), right(values, rate, steps - 1)]
            )
        ),
    ),
    Mutant(
        "noise not subtracted",
        "ntk_theory.predictions.retrieval_gap",
        lambda right: (
            lambda values, energy, rate, steps: right(
                values, energy + 1 / np.size(energy), rate, steps
            )
        ),
    ),
    Mutant(
        "λ_− for λ_+ in the gap on clusters",
        "ntk_theory.predictions.cluster_gap",
        lambda right: (
            lambda levels, rate, steps: right(
                replace(levels, information=levels.noise), rate, steps
            )
        ),
    ),
    Mutant(
        "twice the noise eigenvalue",
        "ntk_theory.predictions.cluster_spectrum",
        lambda right: (
            lambda *arguments: (lambda levels: replace(levels, noise=2 * levels.noise))(
                right(*arguments)
            )
        ),
    ),
]

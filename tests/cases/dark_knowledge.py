"""Toy run and wrong formulas of the claim `dark-knowledge`."""

from dataclasses import replace

from cases import Mutant, nets_at_rate, seeing, times_rate
from ntk_theory.toys import TOYS

TOY = TOYS["dark-knowledge"]

POINTS = {"the tree": 36, "teachers": 96, "students": 16}


MUTANTS = [
    *(
        Mutant(
            f"rate of {who} × {factor}",
            "ntk_theory.checking.nets.train",
            nets_at_rate(factor, seeing(points)),
        )
        for who, points in POINTS.items()
        for factor in (0.9,)
    ),
    *(
        Mutant(
            f"rate × {factor} in {name}", f"ntk_theory.predictions.{name}", times_rate(factor, 1)
        )
        for name in ("tree_outputs", "dark_knowledge", "dark_knowledge_peak")
        for factor in (1.2, 0.9)
    ),
    Mutant(
        "not divided by the classes of a superclass",
        "ntk_theory.predictions.dark_knowledge",
        lambda right: lambda spectrum, *rest: spectrum.classes * right(spectrum, *rest),
    ),
    Mutant(
        "λ_− for λ_class",
        "ntk_theory.predictions.dark_knowledge",
        lambda right: (
            lambda spectrum, *rest: right(replace(spectrum, class_=spectrum.noise), *rest)
        ),
    ),
    Mutant(
        "peak where classes are half retrieved",
        "ntk_theory.predictions.dark_knowledge_peak",
        lambda right: (
            lambda spectrum, rate: (
                0.693 / (rate * spectrum.class_),
                right(spectrum, rate)[1],
            )
        ),
    ),
    Mutant(
        "peak of twice the height",
        "ntk_theory.predictions.dark_knowledge_peak",
        lambda right: (
            lambda spectrum, rate: (
                right(spectrum, rate)[0],
                2 * right(spectrum, rate)[1],
            )
        ),
    ),
    Mutant(
        "levels exchanged",
        "ntk_theory.predictions.tree_outputs",
        lambda right: (
            lambda spectrum, *rest: right(
                replace(spectrum, class_=spectrum.super_, super_=spectrum.class_), *rest
            )
        ),
    ),
    Mutant(
        "siblings' labels left out of the noise",
        "ntk_theory.predictions.dark_knowledge",
        lambda right: lambda spectrum, rate, steps, *noise: right(spectrum, rate, steps),
    ),
]

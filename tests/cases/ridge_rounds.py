"""Toy run and mutants of `ridge-rounds`."""

from dataclasses import replace

from cases import Mutant
from ntk_theory.toys import TOYS

TOY = TOYS["ridge-rounds"]


def off_by(factor):
    """Rounds at another penalty than predicted."""

    def change(rounds):
        def wrong(ridge, *name):
            recipe, weight, penalty = ridge
            other = rounds((recipe, weight, factor * penalty), *name)
            return replace(rounds(ridge, *name), predicted=other.predicted)

        return wrong

    return change


MUTANTS = [
    Mutant("a penalty 5 % too large", "trainings", off_by(1.05)),
    Mutant(
        "nets have the kernel of both layers",
        "ntk_theory.kernels.ntk_empirical",
        lambda right: lambda net, x: right(net, x, layers="both"),
    ),
]

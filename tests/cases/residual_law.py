"""Toy run and mutants of `residual-law`."""

from dataclasses import replace

from cases import Mutant, nets_at_rate
from ntk_theory.toys import TOYS

TOY = TOYS["residual-law"]


def off_by(factor):
    """Descent whose residual shrinks at another rate than predicted."""

    def change(descent):
        def wrong(recipe, *name):
            right = descent(recipe, *name)
            at = descent(replace(recipe, learning_rate=factor * recipe.learning_rate), *name)
            return replace(right, predicted=at.predicted, curves=at.curves)

        return wrong

    return change


MUTANTS = [
    Mutant("the residual shrinks 5 % too fast", "trainings", off_by(1.05)),
    Mutant("nets at 1.2 times the rate", "ntk_theory.checking.nets.train", nets_at_rate(1.2)),
    Mutant(
        "the kernel lacks a factor in the measured one",
        "ntk_theory.training.train_kernel_limit",
        lambda right: lambda gram, *args, **kwargs: right(2 * gram, *args, **kwargs),
    ),
]

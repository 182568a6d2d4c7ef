"""Toy run and mutants of `finite-width`."""

from dataclasses import replace

import numpy as np

from cases import Mutant, nets_at_rate
from ntk_theory.toys import TOYS

TOY = TOYS["finite-width"]

LAW = "ntk_theory.predictions.fluctuations"


def given(**changes):
    """A function that is called with other arguments."""
    return lambda right: lambda *args, **kwargs: right(*args, **kwargs | changes)


def times(factor):
    return lambda right: lambda *args, **kwargs: factor * right(*args, **kwargs)


def kernels_times(factor):
    return lambda right: lambda *args, **kwargs: (factor * one for one in right(*args, **kwargs))


def response_times(factor):
    def change(right):
        def wrong(self, step, outputs, teacher):
            _, of_teacher = right(self, step, outputs, teacher)
            return factor * np.ones((*outputs.shape, 1)), of_teacher

        return wrong

    return change


def weights_times(factor):
    def change(right):
        return lambda self, *args: right(replace(self, weights=factor * self.weights), *args)

    return change


MUTANTS = [
    *(Mutant(f"rate of the nets × {factor}", "ntk_theory.checking.nets.train", nets_at_rate(factor))
      for factor in (0.98, 1.02)),
    Mutant("pairs count as two neurons", f"{LAW}.kernel_draws", given(pairs=False)),
    Mutant("Ξ is 10 % too large", f"{LAW}.kernel_draws", kernels_times(1.1)),
    Mutant("nobody changes an activation", f"{LAW}.boundary_source", times(0.0)),
    Mutant("the boundary pulls the other way", f"{LAW}.boundary_source", times(-1.0)),
    Mutant("the density at a hyperplane is that of σ = 2", f"{LAW}.boundary_source",
           times(0.5)),
    Mutant("nets do not respond to their deviation", f"{LAW}.Teaching.response",
           response_times(0.0)),
    Mutant("the response is half too large", f"{LAW}.Teaching.response", response_times(1.5)),
    Mutant("a neuron's own pull is left out", f"{LAW}._layer",
           lambda right: lambda others, own, rng: right(others, 0 * own, rng)),
    Mutant("observed labels have 90 % of their weight", f"{LAW}.Teaching.residual",
           weights_times(0.9)),
    Mutant("widths for their roots", "ntk_theory.claims.finite_width.Law.outputs",
           lambda right: lambda law, width: law.limit + law.draws / width),
]  # fmt: skip

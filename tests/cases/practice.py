"""Toy run and mutants of `practice`."""

from cases import Mutant
from ntk_theory.losses import PLAIN, Mixing
from ntk_theory.toys import TOYS

TOY = TOYS["practice"]

MUTANTS = [
    Mutant(
        "a wrong label keeps its share of all labels in a minibatch",
        "ntk_theory.predictions.minibatch_weight",
        lambda right: lambda rho, points, batch: right(rho, points, points),
    ),
    Mutant(
        "minibatches drawn with replacement",
        "ntk_theory.predictions.minibatch_weight",
        lambda right: lambda rho, points, batch: 1 - (1 - rho) * (batch - 1) / batch - rho / points,
    ),
    Mutant(
        "memorising gains what it costs",
        "ntk_theory.claims._practice_nets.Source.cost",
        lambda right: lambda source, setting: tuple(-one for one in right(source, setting)),
    ),
    Mutant(
        "agreement over all points",
        "ntk_theory.claims._practice_agreement.Mixing",
        lambda right: lambda weight, agreement, after: right(weight, agreement="data", after=after),
    ),
    Mutant(
        "no net learns from its predictions",
        "ntk_theory.claims._practice_nets.LOSSES",
        lambda right: dict.fromkeys(right, PLAIN),
    ),
    Mutant(
        "nets learn from their predictions alone",
        "ntk_theory.claims._practice_nets.LOSSES",
        lambda right: dict.fromkeys(right, Mixing(1.0, "hard")),
    ),
]

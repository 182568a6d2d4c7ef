"""Toy run and mutants of `chains`."""

from dataclasses import replace

from cases import Mutant, nets_at_rate, times_rate
from ntk_theory.toys import TOYS

TOY = TOYS["chains"]

THRESHOLD = "ntk_theory.predictions.chain_threshold"
MARGIN = "ntk_theory.predictions.chain_margin"
STUDENT = "ntk_theory.predictions.student_training"
HARDENED = "ntk_theory.predictions.hardened_student_training"
NETS = "ntk_theory.checking.nets.train"


def with_rounds(change):
    """A formula of ratio, … and the number of rounds, at another number of them."""
    return lambda right: lambda *args: right(*args[:-1], change(args[-1]))


def goes_on(train):
    """Nets that are to start anew go on from where they are."""

    def wrong(network, inputs, labels, taught, *args, **kwargs):
        other = replace(taught, restart=False, epoch=None) if taught.restart else taught
        return train(network, inputs, labels, other, *args, **kwargs)

    return wrong


MUTANTS = [
    Mutant("ρ*_{k+1} for ρ*_k", THRESHOLD, with_rounds(lambda k: k + 1)),
    Mutant("ρ*_1 for every ρ*_k", THRESHOLD, with_rounds(lambda _: 1)),
    Mutant("ρ*_k with kr for r^k", THRESHOLD, lambda right: lambda ratio, k: right(k * ratio, 1)),
    Mutant("margin of one round more", MARGIN, with_rounds(lambda k: k + 1)),
    Mutant("margin with ρ for 1 − ρ", MARGIN, lambda right: lambda r, rho, k: right(r, 1 - rho, k)),
    Mutant("students at 1.05 times their rate", STUDENT, times_rate(1.05, 3)),
    Mutant(
        "the teachers' filters are missing",
        STUDENT,
        lambda right: lambda s, rho, teachers, *own: right(s, rho, [], *own),
    ),
    Mutant(
        "λ_+ and λ_− change places",
        STUDENT,
        lambda right: (
            lambda s, *rest: right(replace(s, noise=s.information, information=s.noise), *rest)
        ),
    ),
    Mutant(
        "hardened outputs keep a noise rate",
        HARDENED,
        lambda right: lambda s, rate, steps: tuple(one + 0.1 for one in right(s, rate, steps)),
    ),
    Mutant("nets train at 1.05 times their rate", NETS, nets_at_rate(1.05)),
    Mutant("nets train at 0.95 times their rate", NETS, nets_at_rate(0.95)),
    Mutant("rounds go on where they are", NETS, goes_on),
    Mutant("hard targets are soft", "ntk_theory.targets.harden", lambda _: lambda outputs: outputs),
    Mutant(
        "the kernel lacks a factor",
        "ntk_theory.kernels.ntk_limit",
        lambda right: lambda *args, **kwargs: 2 * right(*args, **kwargs),
    ),
]

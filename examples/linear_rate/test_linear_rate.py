"""`linear-rate` at toy size, and with wrong versions of itself."""

from dataclasses import replace

from linear_rate import CLAIM

import ntk_theory as nt
from ntk_theory.testing import Mutant, check_claim


def faster(right):
    """A prediction at 1.05 times the rate."""

    def wrong(recipe, *args, **kwargs):
        other = replace(recipe, learning_rate=1.05 * recipe.learning_rate)
        predicted = right(other, *args, **kwargs).predicted
        return replace(right(recipe, *args, **kwargs), predicted=predicted)

    return wrong


def test_the_claim():
    """A toy run, and one with a wrong formula."""
    toy = nt.Options("quick", points=12, dimension=30, widths=(256, 512, 1024, 2048))
    check_claim(CLAIM, toy, [Mutant("5 % too fast", "trainings", faster)])

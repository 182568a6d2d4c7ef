"""Toy runs of every claim, and wrong versions of its formulas: one module a claim.

Each module has `TOY`, the options of `ntk_theory.toys`, and `MUTANTS`, changes of a formula under
which a toy run must not be SUPPORTED.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import stored
from ntk_theory.checking.verdicts import ClaimResult
from ntk_theory.claims import all_claims
from ntk_theory.testing import Mutant as Mutant
from ntk_theory.toys import toy as toy
from progress import Silent


class Counted(NamedTuple):
    """A toy run, and how much of its work it said it had and did."""

    result: ClaimResult
    total: float
    done: float


class _Counter(Silent):
    total = done = 0.0

    def start(self, description: str, total: float) -> None:
        self.total = total

    def advance(self, amount: float) -> None:
        self.done += amount


@cache
def toy_run(claim: str) -> Counted:
    """The toy run of a claim, made once in each test process; mutants may have its nets."""
    counter = _Counter()
    with stored.trainings(claim):
        result = all_claims()[claim].run(toy(claim), counter)
    return Counted(result, counter.total, counter.done)


def toy_result(claim: str) -> ClaimResult:
    """What the toy run of a claim found."""
    return toy_run(claim).result


def times_rate(factor: float, index: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A prediction at another learning rate, its argument number `index`."""

    def change(right: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(*args: Any, **kwargs: Any) -> Any:
            return right(*args[:index], factor * args[index], *args[index + 1 :], **kwargs)

        return wrong

    return change


def nets_at_rate(
    factor: float, which: Callable[[Any, Any], bool] = lambda inputs, labels: True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Training of nets at another learning rate, of those whose inputs and labels are meant."""

    def change(train: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(
            network: Any, inputs: Any, labels: Any, *args: Any, learning_rate: Any, **kwargs: Any
        ) -> Any:
            rate = factor * learning_rate if which(inputs, labels) else learning_rate
            return train(network, inputs, labels, *args, learning_rate=rate, **kwargs)

        return wrong

    return change


def seeing(points: int) -> Callable[[Any, Any], bool]:
    """Nets that are trained on so many points."""
    return lambda inputs, labels: len(inputs) == points

"""Toy runs of every claim, and wrong versions of its formulas: one module a claim.

Each module defines `TOY`, options at which a whole run takes seconds and is SUPPORTED, and
`MUTANTS`, changes of a formula under which it must not be.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """A function replaced by a wrong version of itself."""

    name: str
    target: str
    change: Callable[[Callable[..., Any]], Callable[..., Any]]

"""What every claim has to stand, for its tests: `check_claim(CLAIM, toy, mutants)`."""

from __future__ import annotations

__all__ = ["Mutant", "caught_by", "check_claim", "check_mutant", "check_toy", "mutated"]

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np

from ntk_theory.checking.verdicts import ClaimResult, Options, Verdict
from ntk_theory.machine.progress import Silent


class Mutant(NamedTuple):
    """A function replaced by a wrong version of itself.

    Attributes:
        name: what is wrong with it.
        target: its full name, as "package.module.function"; or, without a dot, that of a part of
            the claim, as "trainings".
        change: makes the wrong version of the right one.
    """

    name: str
    target: str
    change: Callable[[Callable[..., Any]], Callable[..., Any]]


@contextmanager
def mutated(claim: Any, mutant: Mutant) -> Iterator[None]:
    """Let the wrong version stand in place of the right one."""
    if "." not in mutant.target:
        parts = claim._parts
        right = parts[mutant.target]
        parts[mutant.target] = mutant.change(right)
        try:
            yield
        finally:
            parts[mutant.target] = right
        return
    home, _, name = mutant.target.rpartition(".")
    owner = resolve_name(home)
    right = getattr(owner, name)
    setattr(owner, name, mutant.change(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def check_toy(claim: Any, toy: Options) -> ClaimResult:
    """A toy run is SUPPORTED, fails in every control, says what it did, and can be repeated.

    Args:
        claim: of this package or of anybody's.
        toy: options at which a run takes seconds.

    Returns:
        The run.

    Raises:
        AssertionError: naming what does not hold.
    """
    result: ClaimResult = claim.run(toy, Silent())
    assert result.verdict is Verdict.SUPPORTED, f"{claim.id}: {result.verdict}: {result.finding}"
    assert result.controls, f"{claim.id} has no control: a check that cannot fail"
    for control in result.controls:
        assert control.holds, f"control {control.id} did not fail as it must: {control}"
    names = [row.name for row in result.measurements]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"rows of the same name: {sorted(twice)}"
    config, predicted = claim.predict(toy)
    assert config == result.config, "the config of a run is not that of its prediction"
    assert json.loads(json.dumps(config)) == config, "the config has values that JSON has not"
    rows = {row.name: row.predicted for row in result.measurements}
    assert predicted.items() <= rows.items(), "a run predicts other numbers than were declared"
    for row in result.metrics:
        numbers = [value for value in row.values() if isinstance(value, float)]
        assert all(map(math.isfinite, numbers)), f"a metric is not finite: {row}"
    again = claim.run(toy, Silent())
    assert again.measurements == result.measurements, "the same seed gives another result"
    assert again.controls == result.controls, "the same seed gives other controls"
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)
    return result


def check_mutant(claim: Any, toy: Options, mutant: Mutant) -> ClaimResult:
    """With a wrong formula the toy run is not SUPPORTED; returns it."""
    with mutated(claim, mutant):
        result: ClaimResult = claim.run(toy, Silent())
    assert result.verdict is not Verdict.SUPPORTED, f"SUPPORTED with a wrong formula: {mutant.name}"
    return result


def caught_by(result: ClaimResult) -> list[str]:
    """All that keeps a run from being SUPPORTED, in the order of the report."""
    found = [f"premise: {premise.name}" for premise in result.premises if not premise.holds]
    for row in sorted(result.measurements, key=lambda row: row.holds is None):
        if not row.holds:
            kind = {"formula": "closed form", "falling": "falling row"}.get(row.kind, "row")
            found.append(f"{kind}{', left open' if row.holds is None else ''}: {row.name}")
    found += [f"control: {control.id}" for control in result.controls if not control.holds]
    return found or [f"verdict: {result.verdict}"]


def check_claim(claim: Any, toy: Options, mutants: Iterable[Mutant]) -> None:
    """All of it: a toy run, its pictures, and what wrong formulas lead to.

    Args:
        claim: of this package or of anybody's.
        toy: options at which a run takes seconds.
        mutants: wrong versions of what the claim predicts or does; at least one.

    Raises:
        AssertionError: naming what does not hold.
    """
    from ntk_theory.report.pictures import svg_pictures

    result = check_toy(claim, toy)
    for name, picture in svg_pictures(result).items():
        assert "<path" in picture, f"panel {name} draws nothing"
    wrong = list(mutants)
    assert wrong, f"{claim.id} has no mutant: name a wrong version of its formula"
    for mutant in wrong:
        check_mutant(claim, toy, mutant)

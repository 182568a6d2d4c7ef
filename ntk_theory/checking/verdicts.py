"""What a claim is made of, and how premises, measurements and controls add up to a verdict."""

from __future__ import annotations

__all__ = [
    "ClaimResult",
    "Control",
    "DeclarationError",
    "Measurement",
    "Options",
    "Premise",
    "Progress",
    "Relation",
    "Verdict",
    "deferred",
    "judge",
]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from ntk_theory.checking.claim import Claim


class DeclarationError(ValueError):
    """A claim is not declared as it has to be."""


class Verdict(StrEnum):
    """Outcome of a claim. A numerical check supports a theorem; it never proves one."""

    SUPPORTED = "SUPPORTED"
    VIOLATED = "VIOLATED"
    PREMISE_UNMET = "PREMISE_UNMET"
    INCONCLUSIVE = "INCONCLUSIVE"


class Relation(StrEnum):
    """How a measured value has to stand to the predicted one."""

    EQUAL = "equal"
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True)
class Premise:
    """A hypothesis of the claim, evaluated.

    Attributes:
        name: what is assumed.
        value: the number it is about, or None where there is none.
        holds: whether it is met.
        requirement: the condition on `value`, in words or symbols.
    """

    name: str
    value: float | None
    holds: bool
    requirement: str


@dataclass(frozen=True)
class Measurement:
    """A predicted number beside the measured one.

    Attributes:
        name: what is measured.
        predicted: closed form.
        measured: estimate from trained nets.
        tolerance: how far the two may lie apart, derived in docs/theory.md, section 11; not at all
            when left out, which is for counts and bounds.
        interval: (low, high) of the estimate.
        relation: "equal" within the tolerance, or one-sided up to it.
        whole_interval: the interval too must lie within the tolerance; if only the estimate does,
            nothing can be concluded.
        resolution: the largest tolerance that still distinguishes success from failure; under a
            wider one nothing can be concluded.
        decisive: how far the two may lie apart before the claim is VIOLATED; farther apart than the
            tolerance nothing can be concluded. The tolerance itself when left out.
        source: of the tolerance: the "law" of finite width, or "fitted" to narrower nets; empty
            where it is neither.
        kind: "row" of the claim; "formula" that is held against another computation of it, without
            nets; or "falling", a deviation that must fall with the width.
    """

    name: str
    predicted: float
    measured: float
    tolerance: float = 0.0
    interval: tuple[float, float] | None = None
    relation: Relation = Relation.EQUAL
    whole_interval: bool = False
    resolution: float = math.inf
    kind: Literal["row", "formula", "falling"] = "row"
    decisive: float | None = None
    source: Literal["law", "fitted", ""] = ""

    def _slack_of(self, value: float) -> float:
        difference = value - self.predicted
        if self.relation is Relation.AT_LEAST:
            return self.tolerance + difference
        if self.relation is Relation.AT_MOST:
            return self.tolerance - difference
        return self.tolerance - abs(difference)

    @property
    def slack(self) -> float:
        """What is left of the tolerance; negative when the measurement fails."""
        return self._slack_of(self.measured)

    @property
    def holds(self) -> bool | None:
        """True, False, or None where interval or tolerance leave it open. NaN never holds."""
        if not self.slack >= 0:
            beyond = 0.0 if self.decisive is None else self.decisive - self.tolerance
            return None if -self.slack <= beyond else False
        if self.tolerance > self.resolution:
            return None
        if self.whole_interval and self.interval is not None:
            return True if all(self._slack_of(end) >= 0 for end in self.interval) else None
        return True


@dataclass(frozen=True)
class Control:
    """The claim run once more with one premise broken: it has to fail, and as predicted.

    Attributes:
        id: short name.
        broken_premise: what was changed.
        expected: the verdict it must come to.
        verdict: the verdict it came to.
        failure: what theory says will be seen instead, against what was seen.
        claimed: what would have been seen had the claim held all the same.
        claimed_tolerance: how far from `claimed` would still have counted as that.
    """

    id: str
    broken_premise: str
    expected: Verdict
    verdict: Verdict
    failure: Measurement
    claimed: float
    claimed_tolerance: float

    @property
    def holds(self) -> bool:
        """Right verdict, the predicted failure seen, and that distinguished from success."""
        apart = abs(self.failure.measured - self.claimed) > self.claimed_tolerance
        return self.verdict is self.expected and self.failure.holds is True and apart


def judge(
    premises: tuple[Premise, ...],
    measurements: tuple[Measurement, ...],
    controls: tuple[Control, ...] = (),
) -> Verdict:
    """Verdict of a claim.

    PREMISE_UNMET if a premise fails: the theory then says nothing. Else VIOLATED if a measurement
    fails. Else INCONCLUSIVE if one is left open, nothing was measured, or a control did not fail as
    it must: a check that cannot fail shows nothing. Else SUPPORTED.
    """
    if not all(premise.holds for premise in premises):
        return Verdict.PREMISE_UNMET
    outcomes = [measurement.holds for measurement in measurements]
    if False in outcomes:
        return Verdict.VIOLATED
    if None in outcomes or not outcomes or not all(control.holds for control in controls):
        return Verdict.INCONCLUSIVE
    return Verdict.SUPPORTED


@dataclass(frozen=True)
class ClaimResult:
    """Everything a run of a claim found.

    Attributes:
        claim: what was checked.
        options: as the user gave them.
        config: every number needed to run it again.
        premises: evaluated hypotheses.
        measurements: predicted beside measured.
        controls: broken runs.
        verdict: of all of them together.
        finding: one sentence that says what was found.
        seconds: wall-clock time.
        metrics: one row for each trained net.
        arrays: curves, by name.
        notices: the least relative error of each parameter of theory, by name, that would have made
            the verdict VIOLATED with the power .99.
        interrupted: whether the run was cut short.
        about: what theory says of the problem before any net is trained, in lines; few have it.
    """

    claim: Claim
    options: Options
    config: Mapping[str, Any]
    premises: tuple[Premise, ...]
    measurements: tuple[Measurement, ...]
    controls: tuple[Control, ...]
    verdict: Verdict
    finding: str
    seconds: float = 0.0
    metrics: tuple[Mapping[str, Any], ...] = ()
    arrays: Mapping[str, Any] = field(default_factory=dict)
    notices: Mapping[str, float] = field(default_factory=dict)
    interrupted: bool = False
    about: tuple[str, ...] = ()


class Progress(Protocol):
    """Receives how much of the work is done."""

    def start(self, description: str, total: float) -> None:
        """Begin a task of so many units."""

    def advance(self, amount: float) -> None:
        """Report more units done."""


@dataclass(frozen=True, init=False)
class Options:
    """What a run is asked for; None leaves the choice to the claim.

    Attributes:
        preset: "quick", "standard", "wide" or another one of the claim: which widths, how many
            nets.
        seed: of all randomness.
        seeds: how many nets are trained at each width.
        widths: of the nets.
        device: "cpu" or "cuda".
        dtype: precision of the nets, "float32" or "float64", or that of the products of float32
            ones, "tf32" or "bf16".
        knobs: parameters of the claim's problem, by name.

    >>> Options(seed=1, ratio=40.0).knobs
    {'ratio': 40.0}
    """

    preset: str
    seed: int
    seeds: int | None
    widths: tuple[int, ...] | None
    device: str
    dtype: str | None
    knobs: Mapping[str, Any]

    def __init__(
        self,
        preset: str = "standard",
        seed: int = 0,
        seeds: int | None = None,
        widths: tuple[int, ...] | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        knobs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must not be negative; got {seed}")
        given = {**(knobs or {}), **more}
        own = {
            "preset": preset,
            "seed": seed,
            "seeds": seeds,
            "widths": widths,
            "device": device,
            "dtype": dtype,
            "knobs": {name: value for name, value in given.items() if value is not None},
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)


def deferred(name: str) -> Callable[..., Any]:
    """Function that is imported when it is first called, so that listing claims loads no torch.

    Args:
        name: "package.module:function".
    """

    def call(*arguments: Any) -> Any:
        return resolve_name(name)(*arguments)

    return call

"""Timing of contenders in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

__all__ = ["Contender", "Entry", "Watch", "compare", "done", "spread", "whole"]

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Contender = Callable[[], float]
"""Does its task, and says how many seconds it took."""

_PAUSE = 0.2
"""Seconds between contenders: threads that one library keeps waiting slow down those of another."""

_SHORT = 1.0
"""Seconds of a call that is made once more before it is timed: processors sleep in a pause."""


def done() -> None:
    """Wait for a processor, which has done what it was told when a call returns."""


def whole(call: Callable[[], Any], wait: Callable[[], None] = done) -> Contender:
    """Take the time of all of a call.

    Args:
        call: what takes the time.
        wait: returns when all that a device was told to do is done.
    """

    def timed() -> float:
        wait()
        started = time.perf_counter()
        call()
        wait()
        return time.perf_counter() - started

    return timed


class Watch:
    """Seconds that a step takes, without what begins and ends a run.

    Args:
        wait: returns when all that a device was told to do is done.
        clock: says the seconds; those on the wall when left out.
    """

    def __init__(
        self, wait: Callable[[], None] = done, clock: Callable[[], float] | None = None
    ) -> None:
        self.wait, self.clock = wait, clock
        self.stamps: list[float] = []

    def __call__(self, step: int) -> None:  # noqa: ARG002 (as training calls it)
        """A step has been made."""
        self.wait()
        self.stamps.append(time.perf_counter() if self.clock is None else self.clock())

    @property
    def each(self) -> list[float]:
        """Of all steps but the first."""
        return [later - sooner for sooner, later in pairwise(self.stamps)]

    @property
    def seconds(self) -> float:
        """Median over all steps but the first."""
        return statistics.median(self.each)


def spread(seconds: list[float]) -> tuple[float, float]:
    """Median and half the distance between the quartiles."""
    if len(seconds) < 2:
        return seconds[0], 0.0
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return middle, (high - low) / 2


@dataclass(frozen=True)
class Entry:
    """What one task took.

    Attributes:
        task: what was computed.
        shape: its sizes, by name.
        seconds: median of each contender; "ours" is this package, "floor" the products it needs.
        ratios: median over rounds of each contender's time over ours.
        accuracy: largest errors against float64 oracles, by name.
        missing: peers that are not installed.
    """

    task: str
    shape: Mapping[str, int]
    seconds: Mapping[str, float]
    ratios: Mapping[str, float]
    accuracy: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def compare(
    task: str,
    shape: Mapping[str, int],
    contenders: Mapping[str, Contender | None],
    *,
    rounds: int,
    accuracy: Mapping[str, float] | None = None,
) -> Entry:
    """Time every contender once a round, warm, and after a pause.

    Args:
        task: what is computed.
        shape: its sizes.
        contenders: "ours" among them; None for one that is not installed.
        rounds: how often.
        accuracy: kept with the entry.
    """
    there = {name: call for name, call in contenders.items() if call is not None}
    first = {name: call() for name, call in there.items()}
    seconds: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(rounds):
        for name, call in there.items():
            time.sleep(_PAUSE)
            if first[name] < _SHORT:
                call()
            seconds[name].append(call())
    ours = seconds["ours"]
    return Entry(
        task,
        dict(shape),
        {name: statistics.median(taken) for name, taken in seconds.items()},
        {
            name: statistics.median(other / own for other, own in zip(taken, ours, strict=True))
            for name, taken in seconds.items()
            if name != "ours"
        },
        dict(accuracy or {}),
        tuple(name for name, call in contenders.items() if call is None),
    )

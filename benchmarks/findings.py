"""A GPU, the time that is left on it, and what was found there or why nothing was."""

from __future__ import annotations

__all__ = ["Clock", "Deadline", "Finding", "Gpu", "LateError", "measured"]

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from benchmarks.timing import Watch
from ntk_theory import arguments


@dataclass(frozen=True)
class Gpu:
    """A GPU that is there.

    Attributes:
        name: as torch takes it.
        kind: what its maker calls it.
        memory: bytes that are free on it.
        wait: returns when all that it was told to do is done.
    """

    name: str
    kind: str
    memory: float
    wait: Callable[[], None]

    @classmethod
    def of(cls, name: str) -> Gpu:
        """The GPU of a name; raises ValueError, in one line, where there is none."""
        device = arguments.device("--device", name)
        wait = partial(torch.cuda.synchronize, device)
        try:
            free, _ = torch.cuda.mem_get_info(device)
            return cls(name, torch.cuda.get_device_name(device), float(free), wait)
        except RuntimeError as error:  # torch finds one, and cannot use it
            reason = _line(error)
        raise ValueError(f"--device must be usable; got {name!r}, of which torch says: {reason}")


@dataclass(frozen=True)
class Finding:
    """What was measured, or why it was not.

    Attributes:
        task: what was done.
        shape: its sizes, by name.
        precision: of its products.
        seconds: median; None where nothing was measured.
        spread: half the distance between the quartiles.
        share: of the rate of matrix products of this precision, measured just before, that the
            products reach which the task cannot do without; None where that is not asked.
        details: whatever else was found.
        left_out: why it was not measured, or not to its end.
        error: what failed.
    """

    task: str
    shape: Mapping[str, int]
    precision: str
    seconds: float | None = None
    spread: float | None = None
    share: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    left_out: str | None = None
    error: str | None = None


class Clock:
    """Time that is left of a limit.

    Args:
        limit: in seconds.
        now: time in seconds.
    """

    def __init__(self, limit: float, now: Callable[[], float] = time.monotonic) -> None:
        self.now, self.end = now, now() + limit

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - self.now()


class LateError(Exception):
    """No time is left."""


class Deadline(Watch):
    """A watch that ends the run when no time is left."""

    def __init__(self, clock: Clock, wait: Callable[[], None]) -> None:
        super().__init__(wait)
        self.deadline = clock

    def __call__(self, step: int) -> None:
        """A step has been made; raises LateError when no time is left."""
        super().__call__(step)
        if self.deadline.left <= 0:
            raise LateError


def measured(finding: Finding, clock: Clock, call: Callable[[], Finding]) -> Finding:
    """What a call finds, or the finding with the reason why there is nothing.

    An error ends no other measurement: this may be the only hour on such a machine.
    """
    try:
        if clock.left <= 0:
            raise LateError
        return call()
    except LateError:
        reason = "no time was left"
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        reason = _line(error)
    except ValueError as error:  # what does not fit the memory is refused
        reason = str(error)
    except RuntimeError as error:
        return replace(finding, error=_line(error))
    return replace(finding, left_out=reason)


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__

"""The precision that a call asks for, whatever its caller has allowed torch."""

from __future__ import annotations

__all__ = ["own_precision"]

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_FULL = "highest"


class _Inside:
    """How many calls are being made, of all threads, and what torch was allowed before the first.

    The precision of float32 products is of the process: the last call to end gives it back.
    """

    def __init__(self) -> None:
        self.calls, self.lock, self.before = 0, Lock(), _FULL

    @contextmanager
    def full(self) -> Iterator[None]:
        """Products of float32 in float32."""
        with self.lock:
            self.calls += 1
            if self.calls == 1:
                self.before = _allowed()
                _set(self.before, _FULL)
        try:
            yield
        finally:
            with self.lock:
                self.calls -= 1
                if self.calls == 0:
                    _set(_FULL, self.before)


def _allowed() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set for one backend alone, by the names of later versions
        return _FULL


def _set(now: str, then: str) -> None:
    if now != then:
        torch.set_float32_matmul_precision(then)


_inside = _Inside()


def own_precision(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function multiply in the precision of its arguments.

    Under `torch.autocast` the factors of float32 products would be rounded to eight bits, and with
    `torch.set_float32_matmul_precision("medium")` on some processors, too.
    """

    @wraps(call)
    def exact(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        kinds = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        with ExitStack() as states:
            states.enter_context(_inside.full())
            for kind in kinds:
                states.enter_context(torch.autocast(kind, enabled=False))
            return call(*args, **kwargs)

    return exact

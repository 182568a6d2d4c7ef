"""How much memory a run may take."""

from __future__ import annotations

__all__ = ["limited_memory", "memory_limit"]

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_limit: ContextVar[float | None] = ContextVar("limit", default=None)


def memory_limit() -> float:
    """Bytes that a run may take: what the user said, or what this machine has."""
    limit = _limit.get()
    if limit is not None:
        return limit
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


@contextmanager
def limited_memory(limit: float | None) -> Iterator[None]:
    """Keep everything inside this context to so many bytes; None leaves it to the machine."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)

"""How much memory a run may take."""

from __future__ import annotations

__all__ = ["control_group_memory", "limited_memory", "memory_limit"]

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath

import psutil

_MEMBERSHIP, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_UNIFIED, _SEPARATE = ("memory.max", "memory.high"), ("memory.limit_in_bytes",)
"""Files that hold a limit: of version 2, and of version 1 with a tree for each controller."""

_limit: ContextVar[float | None] = ContextVar("limit", default=None)


def memory_limit() -> float:
    """Bytes that a run may take: what the user said, or else the least of what this process has.

    That is the memory of the machine, the limit of its control group (a container, a batch job),
    and what is left of its address space (`ulimit -v`).
    """
    limit = _limit.get()
    if limit is not None:
        return limit
    machine = float(psutil.virtual_memory().total)
    return min(machine, control_group_memory(), _address_space())


@contextmanager
def limited_memory(limit: float | None) -> Iterator[None]:
    """Keep everything inside this context to so many bytes; None leaves it to the machine."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def control_group_memory(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> float:
    """Bytes that Linux allows the control groups of this process; infinity if it does not say.

    A group is held to the limits of all that it lies in, up to the root of what can be seen from
    inside a container. Version 1 says that there is none by a number beyond any machine's memory.

    Args:
        membership: file that names the groups of the process.
        mount: folder of all groups.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    limits = [math.inf]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            limits += _limits(mount, group, _UNIFIED)
        elif "memory" in controllers.split(","):
            limits += _limits(mount / "memory", group, _SEPARATE)
    return min(limits)


def _limits(root: Path, group: str, names: tuple[str, ...]) -> Iterator[float]:
    """Numbers in the files of a group, and of those that it lies in."""
    # A container may be told where its group lies outside: such a path is not there, or has "..".
    parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
    for depth in range(len(parts) + 1):
        for name in names:
            try:
                text = root.joinpath(*parts[:depth], name).read_text(encoding="utf-8").strip()
            except OSError:
                continue
            if text.isdecimal():  # else "max"
                yield float(text)


def _address_space() -> float:
    """Bytes that may still be mapped; infinity where no limit is set, or none can be."""
    if not hasattr(psutil, "RLIMIT_AS"):
        return math.inf
    process = psutil.Process()
    allowed, _ = process.rlimit(psutil.RLIMIT_AS)
    if allowed == psutil.RLIM_INFINITY:
        return math.inf
    return float(max(0, allowed - process.memory_info().vms))

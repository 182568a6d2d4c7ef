"""What the launcher of several processes (torchrun) says to each of them."""

from __future__ import annotations

__all__ = ["Launch", "launched"]

import os
from collections.abc import Mapping
from dataclasses import dataclass

_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""Set by torchrun beside WORLD_SIZE."""


@dataclass(frozen=True)
class Launch:
    """Where this process stands among those that were launched with it.

    Attributes:
        rank: its number.
        size: how many there are.
        local_rank: its number among those of this machine.
        local_size: how many there are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read the variables of torchrun; a process without WORLD_SIZE is alone, whatever else is set.

    Raises:
        ValueError: for variables that no launcher sets like that.

    >>> launched({"RANK": "1"}).rank
    0
    """
    size = _count(environment, "WORLD_SIZE", 1, 1)
    if size == 1:
        return Launch()
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {size}, but {missing[0]} is not set: launch with torchrun, or unset "
            "WORLD_SIZE"
        )
    _count(environment, "MASTER_PORT", 0, 1)
    rank = _count(environment, "RANK", 0, 0)
    if rank >= size:
        raise ValueError(f"RANK must be below WORLD_SIZE, {size}; got {rank}: launch with torchrun")
    return Launch(
        rank,
        size,
        _count(environment, "LOCAL_RANK", 0, 0),
        _count(environment, "LOCAL_WORLD_SIZE", 1, 1),
    )


def _count(environment: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environment.get(name) or str(default)
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise ValueError(
            f"the environment variable {name} must be a whole number of at least {least}; got "
            f"{text!r}: launch with torchrun, or unset it"
        )
    return number

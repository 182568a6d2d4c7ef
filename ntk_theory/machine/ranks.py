"""Several processes that share the neurons of every net (torch.distributed, launched by torchrun).

Each process holds every size-th block of neurons and the whole rest. What is summed over neurons is
summed over processes: integer counts exactly, outputs up to rounding and the same on each of them,
so that all take the same steps and come to the same verdict.
"""

from __future__ import annotations

__all__ = [
    "LostProcessError",
    "agreed",
    "gather",
    "joined",
    "largest",
    "own",
    "rank",
    "size",
    "total",
]

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ntk_theory.machine.launcher import launched

Item = TypeVar("Item")

_PATIENCE = timedelta(minutes=30)
"""Processes wait for each other at most that long."""


class LostProcessError(RuntimeError):
    """Another process of the run has ended, or no longer answers."""


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process; 0 if it is alone."""
    return dist.get_rank() if _together() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _together() else 1


def own(blocks: Iterable[Item]) -> Iterator[Item]:
    """Those of the blocks of neurons that this process holds."""
    return islice(blocks, rank(), None, size())


def _reduced(values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if _together():
        with _answered():
            dist.all_reduce(values, operation)
    return values


def total(values: Tensor) -> Tensor:
    """Sum over all processes, in place."""
    return _reduced(values, dist.ReduceOp.SUM)


def largest(values: Tensor) -> Tensor:
    """Maximum over all processes, in place."""
    return _reduced(values, dist.ReduceOp.MAX)


def agreed(value: float) -> float:
    """The smallest value of all processes, for decisions that all have to take alike."""
    return -float(largest(torch.tensor([-value], dtype=torch.float64, device="cpu"))[0])


def gather(held: Sequence[Tensor], shapes: Sequence[tuple[int, ...]], like: Tensor) -> list[Tensor]:
    """The blocks of all processes, in order.

    Args:
        held: by this process.
        shapes: of all blocks.
        like: a tensor of their precision and device.
    """
    mine, blocks = iter(held), []
    for index, shape in enumerate(shapes):
        owner = index % size()
        block = next(mine).contiguous() if owner == rank() else like.new_empty(shape)
        if _together():
            with _answered():
                dist.broadcast(block, src=owner)
        blocks.append(block)
    return blocks


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise LostProcessError(
            f"another process of the run has ended or does not answer ({reason}); what it said "
            "last is above"
        ) from None


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes if torchrun has launched this one, and leave together at the end.

    A launcher ends all of them as soon as one has failed; this one is then done with its work.

    Args:
        device: on GPUs they speak to each other by nccl, else by gloo.
    """
    if launched().size < 2:
        yield
        return
    # What is measured in the end is on the processor in either case.
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    with _answered():
        dist.init_process_group(backend, timeout=_PATIENCE)
    # Older versions of torch (2.4 to 2.6 were seen to) leave with the interpreter's lock held, and
    # wait for a thread that may be about to free what was summed last, which takes that lock. So
    # what is summed last outlives it.
    last = torch.zeros(1, device="cpu")
    try:
        yield
        total(last)
    finally:
        dist.destroy_process_group()

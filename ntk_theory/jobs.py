"""Worker processes that train nets side by side (`--jobs N`), one thread or a few each.

Nets of different seeds share nothing, so whoever trains one makes the same of it to the bit, as
long as the number of threads is the same.
"""

from __future__ import annotations

__all__ = ["in_workers", "side_by_side", "spread", "workers"]

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from ntk_theory.command import signals
from ntk_theory.ranks import LostProcessError
from ntk_theory.resources import limited_memory, memory_limit
from ntk_theory.training.checkpoints import Checkpoints, checkpointed, current

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Workers:
    """Processes that train nets.

    Attributes:
        pool: takes the work.
        count: how many there are.
        others: children that this process had before.
    """

    pool: Executor
    count: int
    others: frozenset[BaseProcess]


_workers: ContextVar[_Workers | None] = ContextVar("workers", default=None)


def workers() -> int:
    """How many processes there are to train nets; 0 if this one has to do it itself."""
    there = _workers.get()
    return 0 if there is None else there.count


@contextmanager
def spread(count: int) -> Iterator[None]:
    """Let every training inside this context be done by so many processes; by this one if 1."""
    if count == 1:
        yield
        return
    threads = max(1, torch.get_num_threads() // count)
    others = frozenset(active_children())
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads,)
    ) as pool:
        there = _Workers(pool, count, others)
        token = _workers.set(there)
        try:
            # All of them are started now, each for a task that finds none idle: one that is given
            # up half-way ends with a traceback, and so does one that hears of Ctrl-C.
            with signals.shielded(), _deaf_children():
                for _ in range(count):
                    pool.submit(int)
            yield
        except BaseException:
            _dismiss(there)
            raise
        finally:
            _workers.reset(token)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that are started here hear nothing of Ctrl-C, from their first moment on.

    It is for the process that gives the work; that one stops them.
    """
    if sys.platform == "win32":  # which has no such masks
        yield
    else:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(threads: int) -> None:
    """Ctrl-C is for the process that gives the work; when that is gone, so is this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def in_workers(call: Callable[..., Result], items: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    """Results of a call for each item, in their order, computed by the workers.

    Each of them keeps to the limit of memory, and knows of the checkpoints.

    Args:
        call: a function of a module.
        items: its arguments.

    Raises:
        LostProcessError: if a worker was killed.
    """
    there = _workers.get()
    if there is None:
        raise RuntimeError("there are no workers outside the context of `spread`")
    futures: list[Future[Result]] = []
    try:
        futures += [
            there.pool.submit(_inside, memory_limit(), current(), call, item) for item in items
        ]
        for future in futures:
            yield future.result()
    except BrokenProcessPool:
        raise LostProcessError(
            "a worker of --jobs was killed, or took more memory than there is; try fewer of them"
        ) from None
    except GeneratorExit:
        _cancel(futures)  # the rest is not needed, but the workers are
        raise
    except BaseException:
        _cancel(futures)
        _dismiss(there)
        raise


def _cancel(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def _dismiss(there: _Workers) -> None:
    """End the workers in the middle of what they do: nobody will take it."""
    for child in set(active_children()) - there.others:
        child.terminate()


def _inside(
    memory: float,
    checkpoints: Checkpoints | None,
    call: Callable[..., Result],
    item: tuple[Any, ...],
) -> Result:
    with limited_memory(memory), checkpointed(checkpoints):
        return call(*item)


def side_by_side(calls: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Results of calls, in their order; all of them give work to the workers if there are any."""
    there = _workers.get()
    if there is None:
        yield from (call() for call in calls)
        return
    every = [(copy_context(), call) for call in calls]
    with ThreadPoolExecutor(len(every)) as pool:
        try:
            yield from pool.map(lambda one: one[0].run(one[1]), every)
        except GeneratorExit:
            raise
        except BaseException:
            _dismiss(there)  # threads of this pool wait for them
            raise

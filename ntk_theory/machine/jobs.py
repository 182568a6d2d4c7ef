"""Worker processes that do side by side what shares nothing (`--jobs N`), a thread or a few each.

That is whole claims, or nets of different seeds: whoever trains one makes the same of it to the
bit, as long as the number of threads is the same.
"""

from __future__ import annotations

__all__ = [
    "board",
    "in_workers",
    "rescued",
    "result_of",
    "side_by_side",
    "spread",
    "submitted",
    "workers",
]

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from ntk_theory.command import signals
from ntk_theory.machine.progress import Board
from ntk_theory.machine.ranks import LostProcessError
from ntk_theory.machine.resources import limited_memory, memory_limit
from ntk_theory.training.checkpoints import Checkpoints, checkpointed, current

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Workers:
    """Processes that train nets.

    Attributes:
        pool: takes the work.
        count: how many there are.
        others: children that this process had before.
        board: where they say how far they are.
    """

    pool: Executor
    count: int
    others: frozenset[BaseProcess]
    board: Board


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries of linear algebra look at when they are loaded."""

_TICK = 0.1
"""Seconds between two looks at whether a signal has come."""

_workers: ContextVar[_Workers | None] = ContextVar("workers", default=None)

_board: Board | None = None
"""Of a worker; see `board`."""


def board() -> Board:
    """Where workers say how far they are: of all of them, or of those that this one belongs to."""
    there = _workers.get()
    found = _board if there is None else there.board
    if found is None:
        raise RuntimeError("there are no workers outside the context of `spread`")
    return found


def workers() -> int:
    """How many processes there are to train nets; 0 if this one has to do it itself."""
    there = _workers.get()
    return 0 if there is None else there.count


@contextmanager
def spread(count: int, places: int = 0) -> Iterator[None]:
    """Let so many processes do the work inside this context; this one if 1.

    Args:
        count: how many.
        places: on the board, where they say how far they are.
    """
    if count == 1:
        yield
        return
    threads = max(1, torch.get_num_threads() // count)
    others, shared = frozenset(active_children()), Board(places)
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads, shared)
    ) as pool:
        there = _Workers(pool, count, others, shared)
        token = _workers.set(there)
        try:
            # All of them are started now, each for a task that finds none idle: one that is given
            # up half-way ends with a traceback, and so does one that hears of Ctrl-C.
            with signals.shielded(), _deaf_children(), _few_threads(threads):
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


@contextmanager
def _few_threads(count: int) -> Iterator[None]:
    """Let numpy of processes that are started here take so many threads, if nobody has said."""
    names = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def _begin(threads: int, shared: Board) -> None:
    """Ctrl-C is for the process that gives the work; when that is gone, so is this one."""
    global _board
    _board = shared
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
    futures: Sequence[Future[Result]] = ()
    try:
        futures = submitted(call, items)
        for future in futures:
            yield result_of(future)
    except LostProcessError:
        raise
    except GeneratorExit:
        _cancel(futures)  # the rest is not needed, but the workers are
        raise
    except BaseException:
        there = _workers.get()
        if there is not None:
            _dismiss(there)  # and with them what waits: a pool stumbles over what is cancelled
        raise


def submitted(
    call: Callable[..., Result], items: Sequence[tuple[Any, ...]]
) -> list[Future[Result]]:
    """The same, under way."""
    there = _workers.get()
    if there is None:
        raise RuntimeError("there are no workers outside the context of `spread`")
    with _none_lost():
        return [there.pool.submit(_inside, memory_limit(), current(), call, item) for item in items]


def result_of(future: Future[Result]) -> Result:
    """Wait for a result of what was submitted.

    Looks up now and then: a signal that was put off would not wake a thread that waits for a lock.
    """
    with _none_lost():
        while not wait([future], timeout=_TICK).done:
            pass
        return future.result()


def rescued(futures: Sequence[Future[Result]], patience: float) -> list[Result | None]:
    """Ask the workers to stop; what they have done in so many seconds, None where that is nothing.

    Args:
        futures: what was submitted, and is to be stopped.
        patience: seconds.
    """
    _cancel(futures)
    board().stop()
    done, _ = wait(futures, timeout=patience)
    whole = [
        future in done and not future.cancelled() and not future.exception() for future in futures
    ]
    return [future.result() if one else None for future, one in zip(futures, whole, strict=True)]


@contextmanager
def _none_lost() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise LostProcessError(
            "a worker of --jobs was killed, or took more memory than there is; try fewer of them"
        ) from None


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

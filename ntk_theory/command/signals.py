"""Signals that ask a run to end: what is finished stays, what is being written is written.

The first one raises `StoppedBySignal` in the main thread, or at the end of a `shielded` context.
Later ones raise nothing: whoever is ending is left to end. A run that has not ended some seconds
after the first one, in a long call of a library, say, is ended as it is: all that was finished is
on disk by then.
"""

from __future__ import annotations

__all__ = ["heeded", "received", "shielded"]

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ntk_theory.command.statuses import StoppedBySignal, of_signal

_ASKING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Not every system has all of them."""

_GRACE = 6.0
"""Seconds that a run has to end after it was asked to, not counting those in which it writes."""


class _Watch:
    """What has been received in one run."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.shields = 0
        self.ended = threading.Event()

    def receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handler of all the signals."""
        if self.number is not None:
            return
        self.number = number
        threading.Thread(target=self._end, daemon=True).start()
        if not self.shields:
            raise StoppedBySignal

    def _end(self) -> None:
        """End the process if it does not end by itself."""
        left, tick = _GRACE, 0.1
        while left > 0:
            if self.ended.wait(tick):
                return
            if not self.shields:
                left -= tick
        os._exit(of_signal(self.number or 0))


_watch = _Watch()


def received() -> int | None:
    """Number of the first signal that asked the run to end, or None."""
    return _watch.number


@contextmanager
def shielded() -> Iterator[None]:
    """Finish what is inside before a signal is heeded."""
    global _watch
    watch = _watch
    before = watch.number
    watch.shields += 1
    try:
        yield
    finally:
        watch.shields -= 1
    if watch.number is not None and before is None and not watch.shields:
        raise StoppedBySignal


@contextmanager
def heeded() -> Iterator[None]:
    """Let signals end the run inside this context in good order.

    A signal that was ignored before, as SIGHUP is under nohup, still is. Only the main thread can
    heed any.
    """
    global _watch
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _watch, before = _Watch(), {}
    for name in _ASKING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _watch.receive)
    try:
        yield
    finally:
        _watch.ended.set()
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

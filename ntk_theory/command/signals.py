"""Signals that ask a run to end: what is finished stays, what is being written is written.

The first one raises `StoppedBySignal` in the main thread, or at the end of a `shielded` context or
of the loading of a module.
Later ones raise nothing: whoever is ending is left to end. A run that has not ended some seconds
after the first one, in a long call of a library, say, is ended as it is: all that was finished is
on disk by then.
"""

from __future__ import annotations

__all__ = ["end", "heeded", "received", "shielded", "unheeded"]

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from ntk_theory.command.statuses import StoppedBySignal, of_signal

_ASKING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Not every system has all of them."""

_GRACE, _TICK = 5.0, 0.1
"""Seconds that a run has to end after it was asked to, or has last written; and between two looks
at whether it has."""


class _Watch:
    """What has been received in one run.

    Attributes:
        number: of the first signal, or None.
        pending: whether it has still to be raised.
        shields: contexts that it waits for.
        ended: set when the run has come to its end.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.pending = False
        self.shields = 0
        self.ended = threading.Event()

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handler of all the signals."""
        if self.number is None:
            self.number, self.pending = number, True
            threading.Thread(target=self._end, daemon=True).start()
        if self.pending and _imports(frame):
            self.once_more()
        else:
            self.raise_pending()

    def raise_pending(self) -> None:
        """Raise what is to be raised, unless something is shielded."""
        if self.pending and not self.shields:
            self.pending = False
            raise StoppedBySignal

    def once_more(self) -> None:
        """Raise it at another moment of the main thread."""
        self.pending = True
        again = threading.Timer(_TICK, _thread.interrupt_main, (self.number,))
        again.daemon = True
        again.start()

    def _end(self) -> None:
        """End the process if it does not end by itself."""
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            if self.ended.wait(_TICK):
                return
            if self.shields:
                deadline = time.monotonic() + _GRACE
        os._exit(of_signal(self.number or 0))


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being loaded: libraries in C++ abort the process if that is cut short."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_watch = _Watch()


def received() -> int | None:
    """Number of the first signal that asked the run to end, or None."""
    return _watch.number


@contextmanager
def shielded() -> Iterator[None]:
    """Finish what is inside before a signal is heeded."""
    watch = _watch
    watch.shields += 1
    try:
        yield
    finally:
        watch.shields -= 1
    watch.raise_pending()


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
    unraisable = sys.unraisablehook
    sys.unraisablehook = _heard_again(_watch, unraisable)
    try:
        yield
    finally:
        _watch.ended.set()
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _heard_again(
    watch: _Watch, usual: Callable[[sys.UnraisableHookArgs], object]
) -> Callable[[sys.UnraisableHookArgs], object]:
    """Hook for exceptions that Python lets nobody catch, as those in a callback of a weakref."""

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, StoppedBySignal):
            watch.once_more()
        else:
            usual(unraisable)

    return hook


def unheeded() -> None:
    """For a program, before it has anything to lose: Ctrl-C ends it at once and without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end(status: int) -> NoReturn:
    """End a program; after a signal without waiting for what still runs in its threads."""
    if status < of_signal(0):
        sys.exit(status)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)

"""Progress of long work as bars on standard error."""

from __future__ import annotations

__all__ = ["Bar", "Board", "Silent", "Told", "bars"]

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ntk_theory.command import terminal

_LOOK = 0.2
"""Seconds between two looks at how far other processes are."""


class Bar:
    """One bar a claim, with the time left."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown
        self.task: TaskID | None = None

    def start(self, description: str, total: float) -> None:
        """Begin a bar of so many units."""
        self.task = self.shown.add_task(description, total=total)

    def advance(self, amount: float) -> None:
        """Report more units done."""
        if self.task is not None:
            self.shown.advance(self.task, amount)


class Silent:
    """A no-op progress callback."""

    def start(self, description: str, total: float) -> None:
        """Begin."""

    def advance(self, amount: float) -> None:
        """Go on."""


class Board:
    """What processes that work for another one tell it, in memory that they share.

    It has no lock: one that is killed leaves nobody waiting.
    """

    def __init__(self, places: int) -> None:
        # The share that is done of each; negative until it is begun. Last, whether to stop.
        self._shares = get_context("spawn").RawArray("d", [-1.0] * places + [0.0])

    def told(self, place: int) -> Told:
        """Progress of one of them."""
        return Told(self, place)

    def set(self, place: int, share: float) -> None:
        """Say how much is done."""
        self._shares[place] = share

    def stop(self) -> None:
        """Ask all of them to stop."""
        self._shares[-1] = 1.0

    @property
    def stopped(self) -> bool:
        """Whether they are asked to."""
        return bool(self._shares[-1])

    @contextmanager
    def shown(self, names: Sequence[str], enabled: bool) -> Iterator[None]:
        """Draw a bar for each that has begun and is not done, as `bars` does."""
        with bars(enabled) as drawn:
            if drawn.disable:
                yield
                return
            tasks = [drawn.add_task(name, total=1.0, start=False, visible=False) for name in names]
            left = Event()

            def follow() -> None:
                while not left.wait(_LOOK):
                    for task, share in zip(tasks, self._shares, strict=False):
                        if share >= 0:
                            drawn.start_task(task)
                        drawn.update(task, completed=share, visible=0 <= share < 1)

            follower = Thread(target=follow, daemon=True)
            follower.start()
            try:
                yield
            finally:
                left.set()
                follower.join()


class Told:
    """Progress of a claim in another process; it is interrupted here where it is asked to stop."""

    def __init__(self, board: Board, place: int) -> None:
        self.board, self.place = board, place
        self.done, self.total = 0.0, 1.0

    def start(self, description: str, total: float) -> None:  # noqa: ARG002 (the board has names)
        """Begin."""
        self.total = total
        self.advance(0.0)

    def advance(self, amount: float) -> None:
        """Report more units done."""
        if self.board.stopped:
            raise KeyboardInterrupt
        self.done += amount
        self.board.set(self.place, min(self.done / self.total, 1.0))


def bars(enabled: bool) -> Progress:
    """Where bars are drawn: on standard error, and only if that is a terminal."""
    console = Console(file=terminal.errors())
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        disable=not (enabled and console.is_terminal),
        transient=True,
    )

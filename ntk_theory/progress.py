"""Progress of long work as bars on standard error."""

from __future__ import annotations

__all__ = ["Bar", "Silent", "bars"]

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ntk_theory.command import terminal


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

"""What the programs of this package share: one line for what goes wrong, a status for its kind."""

from __future__ import annotations

__all__ = ["complain", "guarded", "say_error", "warnings_in_a_line"]

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ntk_theory.command import terminal
from ntk_theory.command.statuses import Status, explain_crash, of_error


def complain(prog: str, line: str) -> None:
    """Say one line on standard error.

    Args:
        prog: the program, as it is typed.
        line: what it has to say.
    """
    stream = terminal.errors()
    stream.write(f"{prog}: {line}\n")
    stream.flush()


def say_error(prog: str, error: BaseException, *, about: str = "", debug: bool = False) -> None:
    """Say what an exception means, in one line.

    Args:
        prog: the program, as it is typed.
        error: what was raised.
        about: what it is about, in front of it.
        debug: the traceback comes first.
    """
    if debug:
        terminal.errors().write("".join(traceback.format_exception(error)))
    complain(prog, f"error: {about}{explain_crash(error)}")


@contextmanager
def warnings_in_a_line(prog: str) -> Iterator[None]:
    """What a run warns of is one line; which warnings are shown is left as it is."""
    shown = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, RuntimeWarning):
            complain(prog, f"warning: {message}")
        else:
            shown(message, category, *rest, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


def guarded(prog: str, main: Callable[[], int], *, debug: bool = False) -> int:
    """Exit status of a program whose faults are no tracebacks.

    Args:
        prog: the program, as it is typed.
        main: does the work; returns its status.
        debug: show the traceback of a fault.
    """
    with warnings_in_a_line(prog):
        try:
            return int(main())
        except Exception as error:
            say_error(prog, error, debug=debug)
            return int(of_error(error))
        except KeyboardInterrupt:
            complain(prog, "interrupted before anything was computed")
            return int(Status.INTERRUPTED)

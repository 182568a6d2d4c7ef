"""Exit statuses: what each of them means, and which one an exception comes to."""

from __future__ import annotations

__all__ = [
    "Refusal",
    "Status",
    "StoppedBySignal",
    "explain_crash",
    "listed",
    "of_error",
    "of_signal",
    "of_verdicts",
]

import errno
import traceback
from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

import ntk_theory
from ntk_theory.checking.verdicts import DeclarationError, Verdict

_OF_LIBRARIES = {"numpy", "scipy", "torch"}
"""Folders of code that is nobody's claim."""


class Status(IntEnum):
    """How a run ended. Of several that apply, the first of `_WORST_FIRST` is the run's."""

    SUPPORTED = 0
    VIOLATED = 1
    REFUSED = 2
    UNDECIDED = 3
    LOST_PROCESS = 4
    CRASHED = 5
    OUT_OF_MEMORY = 6
    NOT_WRITTEN = 7
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """In one line."""
        return _MEANINGS[self]


_MEANINGS = {
    Status.SUPPORTED: "every claim is SUPPORTED (a numerical check supports a theorem, it never "
    "proves it)",
    Status.VIOLATED: "some claim is VIOLATED; this is never a fault of the program",
    Status.REFUSED: "the command was wrong: one line says what, and nothing was run",
    Status.UNDECIDED: "no claim is VIOLATED, but one is INCONCLUSIVE or has a premise unmet",
    Status.LOST_PROCESS: "of several processes one was lost",
    Status.CRASHED: "a fault of this program: one line says what to report, --debug shows where",
    Status.OUT_OF_MEMORY: "the memory ran out",
    Status.NOT_WRITTEN: "some result could not be written: a full disk, a closed pipe",
    Status.HUNG_UP: "ended by SIGHUP: the terminal was closed",
    Status.INTERRUPTED: "interrupted by SIGINT: Ctrl-C",
    Status.TERMINATED: "ended by SIGTERM",
}

_WORST_FIRST = (
    Status.LOST_PROCESS,
    Status.OUT_OF_MEMORY,
    Status.CRASHED,
    Status.NOT_WRITTEN,
    Status.VIOLATED,
    Status.UNDECIDED,
    Status.SUPPORTED,
)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "can't start new thread",
    "Cannot allocate memory",
    "failed to map segment",
)
"""What libraries say in a RuntimeError or ImportError when an allocation failed."""


class Refusal(Exception):  # noqa: N818 (a refusal of the command, not an error in the program)
    """What is wrong with the command."""


class StoppedBySignal(KeyboardInterrupt):
    """A signal asks this process to end; caught wherever Ctrl-C is."""


def listed(indent: str = "  ") -> str:
    """All statuses with their meanings, a line each.

    >>> print(listed().splitlines()[1])
      1    some claim is VIOLATED; this is never a fault of the program
    """
    return "\n".join(f"{indent}{status.value:<4} {status.meaning}" for status in Status)


def of_signal(number: int) -> int:
    """128 + its number, as shells have it."""
    return 128 + number


def of_verdicts(verdicts: Iterable[Verdict], others: Iterable[Status] = ()) -> Status:
    """Status of a run that came to its end.

    Args:
        verdicts: of the claims that were run; none at all decides nothing.
        others: what else happened on the way.
    """
    found = set(others)
    given = set(verdicts)
    if Verdict.VIOLATED in given:
        found.add(Status.VIOLATED)
    if given != {Verdict.SUPPORTED} and given != {Verdict.SUPPORTED, Verdict.VIOLATED}:
        found.add(Status.UNDECIDED)
    return next((status for status in _WORST_FIRST if status in found), Status.SUPPORTED)


def _says_no_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError | ImportError):
        return any(words in str(error) for words in _NO_MEMORY)
    return isinstance(error, MemoryError)


def of_error(error: BaseException) -> Status:
    """Status that an exception comes to which nobody else has caught."""
    # By its name: the class comes with torch, which takes seconds to load.
    if any(base.__name__ == "LostProcessError" for base in type(error).__mro__):
        return Status.LOST_PROCESS
    if isinstance(error, Refusal):
        return Status.REFUSED
    if _says_no_memory(error):
        return Status.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _FULL:
        return Status.NOT_WRITTEN
    if isinstance(error, KeyboardInterrupt):
        return Status.INTERRUPTED
    return Status.CRASHED


def _where(error: BaseException) -> str:
    """The innermost line of this package that the error came through."""
    package = Path(ntk_theory.__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(package)]
    if not own:
        return "outside the package"
    place = Path(own[-1].filename).relative_to(package.parent).as_posix()
    return f"{place}:{own[-1].lineno}"


def _in_a_claim(error: BaseException) -> str:
    """Where the code of somebody else's claim was called that the error came through, or empty."""
    package = Path(ntk_theory.__file__).parent
    place = ""
    for before, frame in pairwise(traceback.extract_tb(error.__traceback__)):
        called = Path(before.filename).parent == package / "checking"
        file = Path(frame.filename)
        if called and not (file.is_relative_to(package) or _OF_LIBRARIES.intersection(file.parts)):
            place = f"{frame.filename}:{frame.lineno}"
    return place


def _in_one_line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {words[:300]}" if words else name


def explain_crash(error: BaseException) -> str:
    """One line about an exception: what happened and what to do."""
    status, what = of_error(error), _in_one_line(error)
    if status in (Status.LOST_PROCESS, Status.REFUSED):
        return " ".join(str(error).split())
    if status is Status.OUT_OF_MEMORY:
        return f"the memory ran out ({what}); use fewer --jobs, narrower --widths, or --memory SIZE"
    if status is Status.NOT_WRITTEN and isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        return f"cannot write{place}: {error.strerror}"
    if status is Status.INTERRUPTED:
        return "interrupted"
    if isinstance(error, DeclarationError):
        return f"the claim is not declared as it has to be: {what}"
    foreign = _in_a_claim(error)
    if foreign:
        return f"the claim's own code raised {what} in {foreign} (--debug shows the traceback)"
    return (
        f"a fault of ntk_theory {ntk_theory.__version__}, not a verdict: {what} in "
        f"{_where(error)}; please report this line with your command (--debug shows the traceback)"
    )

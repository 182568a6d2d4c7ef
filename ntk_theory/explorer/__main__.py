"""The closed forms on sliders: `python -m ntk_theory.explorer FILE.html` writes one HTML page.

The page is self-contained and computes every curve itself, in `forms.js` and `width.js`; a test
holds them against `ntk_theory.predictions`.
"""

from __future__ import annotations

__all__ = ["main", "page", "program"]

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from ntk_theory import __version__
from ntk_theory.command import signals, terminal
from ntk_theory.command.parser import Parser
from ntk_theory.command.program import complain, guarded
from ntk_theory.command.statuses import Status
from ntk_theory.machine.atomic import write_whole

_PROG = "python -m ntk_theory.explorer"


def page() -> str:
    """The page, with its style and its scripts in it: it fetches nothing."""
    folder = files("ntk_theory.explorer")

    def part(match: re.Match[str]) -> str:
        name = match[1]
        return __version__ if name == "version" else (folder / name).read_text(encoding="utf-8")

    return re.sub(r"\{\{([\w.]+)\}\}", part, (folder / "page.html").read_text(encoding="utf-8"))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments of the command line; exits with 2, in one line, where they make no sense."""
    parser = Parser(prog=_PROG, description="Write the closed forms on sliders, as one HTML page.")
    parser.add_argument("file", type=Path, metavar="FILE.html", help="where the page goes")
    given = parser.parse_args(argv)
    if given.file.suffix not in (".html", ".htm"):
        parser.error(f"FILE.html must end in .html; got {given.file}")
    if given.file.is_dir() or not given.file.parent.is_dir():
        parser.error(f"FILE.html must be a file in a folder that is there; got {given.file}")
    return given


def _main(words: Sequence[str]) -> int:
    file = _arguments(words).file
    try:
        write_whole(file, page())
    except OSError as error:
        complain(_PROG, f"error: cannot write {file}: {error.strerror}")
        return Status.NOT_WRITTEN
    terminal.output().write(f"{file}\n")
    return Status.SUPPORTED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, one of `command.statuses.Status`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(_PROG, lambda: _main(words))


def program() -> NoReturn:
    """The command as a process of its own."""
    signals.unheeded()
    sys.exit(main())


if __name__ == "__main__":
    program()

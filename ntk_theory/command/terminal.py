"""What is said to the terminal, whatever has become of it.

A terminal may be closed, full, gone, or without the letters of the field. None of this is a reason
to lose a result: what cannot be said is dropped, and letters that its encoding lacks get a plain
form.
"""

from __future__ import annotations

__all__ = ["Steady", "errors", "output", "plain"]

import os
import sys
import unicodedata
from collections.abc import Iterable
from typing import TextIO, cast

_PLAIN = {
    "‖": "||",
    "√": "sqrt",
    "−": "-",
    "–": "-",
    "—": "-",
    "±": "+/-",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "≈": "~",
    "≻": ">",
    "∝": "~",
    "…": "...",
    "×": "x",
    "·": "*",
    "∘": "o",
    "→": "->",
    "←": "<-",
    "⇒": "=>",
    "↦": "->",
    "∇": "grad ",
    "∂": "d",
    "⟂": "orthogonal to",
    "¾": "3/4",
    "²": "^2",
    "³": "^3",
    "⁴": "^4",
    "¹": "^1",
    "∞": "inf",
    "Σ": "sum",
    "∈": "in",
    "½": "1/2",
    "¼": "1/4",
    "ỹ": "y~",
    "ℓ": "l",
    "⟨": "<",
    "⟩": ">",
    "ᵀ": "^T",
    "⁺": "^+",
    "⁻": "^-",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "•": "*",
    "⌊": "floor(",
    "⌋": ")",
    "⌈": "ceil(",
    "⌉": ")",
    "λ": "lambda",
    "Λ": "Lambda",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}


def _spelled(letter: str) -> str:
    """A letter in ASCII."""
    if letter in _PLAIN:
        return _PLAIN[letter]
    name = unicodedata.name(letter, "")
    if name.startswith("GREEK"):
        word = name.split(" LETTER ")[-1].split(" WITH ")[0].lower()
        return word.capitalize() if "CAPITAL" in name else word
    simple = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return simple or "?"


def plain(text: str, encoding: str) -> str:
    """Text as an encoding can say it: λ is lambda where there is no λ.

    >>> plain("λ ≥ 2ρ‖ξ‖", "ascii")
    'lambda >= 2rho||xi||'
    >>> plain("±λ", "cp1252")
    '±lambda'
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(letter if _has(letter, encoding) else _spelled(letter) for letter in text)
    except LookupError:
        return plain(text, "ascii")
    return text


def _has(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


class Steady:
    """A stream that takes whatever is written to it and never fails.

    Attributes:
        failed: whether something could not be said.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.failed = stream is None

    @property
    def encoding(self) -> str:
        """Of the stream; ASCII where it has none."""
        return str(getattr(self._stream, "encoding", None) or "ascii")

    def isatty(self) -> bool:
        """Whether this is a terminal that still is there."""
        ask = getattr(self._stream, "isatty", None)
        try:
            return not self.failed and ask is not None and bool(ask())
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Of the stream; raises OSError where there is none."""
        ask = getattr(self._stream, "fileno", None)
        if ask is None:
            raise OSError("no file behind this stream")
        return int(ask())

    def write(self, text: str) -> int:
        """Write as much of it as can be written."""
        if not self.failed and self._stream is not None:
            try:
                self._stream.write(plain(text, self.encoding))
            except (OSError, ValueError):
                self._give_up()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines one after the other."""
        for text in lines:
            self.write(text)

    def flush(self) -> None:
        """Let it be seen."""
        flush = getattr(self._stream, "flush", None)
        if self.failed or flush is None:
            return
        try:
            flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """Nothing more is said; what a buffer holds goes where it cannot fail when Python ends."""
        self.failed = True
        if self._stream not in (sys.__stdout__, sys.__stderr__) or self._stream is None:
            return
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            pass


def output() -> TextIO:
    """Standard output as it is now, made steady."""
    return cast(TextIO, Steady(sys.stdout))


def errors() -> TextIO:
    """Standard error as it is now, made steady."""
    return cast(TextIO, Steady(sys.stderr))

"""Files that are whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

__all__ = ["Staged", "is_stream", "unstaged", "write_whole"]

import os
import re
import shutil
import time
from pathlib import Path

_PAUSES = (0.1, 0.2, 0.3, 0.4)
"""Seconds between attempts."""


def is_stream(file: Path) -> bool:
    """Whether a path is a terminal, a pipe or a device, which nothing may be renamed over."""
    if file.parts[:2] in ((os.sep, "dev"), (os.sep, "proc")):
        return True
    return file.exists() and not (file.is_file() or file.is_dir())


def _on_windows() -> bool:
    return os.name == "nt"


def _replace(part: Path, target: Path) -> None:
    """Rename; on Windows once more while an editor or a virus scanner has the old file open."""
    for pause in _PAUSES if _on_windows() else ():
        try:
            part.replace(target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    part.replace(target)


class Staged:
    """Content that lies, whole, beside the file that it is for, hidden, until it is committed.

    A link is followed, the permissions of a file that is there are kept, and text is UTF-8 with
    line feeds on every system. Pipes and devices are written to when it is committed.

    Attributes:
        file: what it is for.
        part: where it lies; None for pipes and devices.
    """

    def __init__(self, file: Path, content: bytes | str) -> None:
        """Write beside.

        Args:
            file: its folder is there.
            content: all of it.

        Raises:
            OSError: if it cannot be written; nothing is left of it then.
        """
        self.file = file
        self._data = content.encode("utf-8") if isinstance(content, str) else content
        self.part: Path | None = None
        if is_stream(file):
            return
        self._target = file.resolve()
        part = self._target.with_name(f".{self._target.name}.{os.getpid()}.part")
        self.part = part
        try:
            with part.open("wb") as stream:
                stream.write(self._data)
                stream.flush()
                os.fsync(stream.fileno())
            if self._target.exists():
                shutil.copymode(self._target, part)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                error.filename = str(file)  # not that of the part, or none
            raise

    def commit(self) -> None:
        """Put it in its place: whoever reads the file finds the old content or the new."""
        if self.part is None:
            self.file.write_bytes(self._data)
            return
        try:
            _replace(self.part, self._target)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing of it."""
        if self.part is not None:
            self.part.unlink(missing_ok=True)


def unstaged(part: Path) -> Path:
    """The file that a part is for, which a killed process has left; any other path is itself.

    >>> unstaged(Path(".results.json.42.part")).name
    'results.json'
    """
    named = re.fullmatch(r"\.(.+)\.\d+\.part", part.name)
    return part.with_name(named[1]) if named else part


def write_whole(file: Path, content: bytes | str) -> None:
    """Write a file so that whoever reads it, at any time, finds the old content or the new.

    Args:
        file: its folder is there.
        content: all of it.

    Raises:
        OSError: if it cannot be written; what was there is then still there.
    """
    Staged(file, content).commit()

"""What a run leaves behind: JSON, metrics, arrays and report, on disk after every claim.

Nothing is printed or drawn before it is on disk. The first thing that a run writes takes away what
an earlier run has left in the same places, so that files of the two are never side by side.
"""

from __future__ import annotations

__all__ = ["NOWHERE", "Outputs", "Recording"]

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntk_theory.checking.verdicts import ClaimResult
from ntk_theory.command.parser import STDOUT
from ntk_theory.command.statuses import Refusal, Status
from ntk_theory.machine.atomic import Staged, is_stream, unstaged

_KINDS = (".jsonl", ".npz", ".png")
"""Of the files that each claim has in a folder of results."""


@dataclass(frozen=True)
class Outputs:
    """Where the results of a run go.

    Attributes:
        json: a file, or `parser.STDOUT`; None for nowhere.
        directory: of results.json and the files of each claim.
        report: FILE.html or FILE.md.
        claims: ids of all claims there are: their files are known by them.
    """

    json: Path | None
    directory: Path | None
    report: Path | None
    claims: tuple[str, ...]

    @classmethod
    def of(cls, arguments: argparse.Namespace, claims: Sequence[str]) -> Outputs:
        """Take them from the command line; raises a refusal for places that cannot be written."""
        outputs = cls(arguments.json, arguments.out, arguments.report, tuple(claims))
        outputs._check_report()
        outputs._check_apart(arguments.checkpoint)
        outputs._check_writable()
        return outputs

    @property
    def pictures(self) -> Path | None:
        """Folder of the pictures of a report in Markdown."""
        if self.report is None or self.report.suffix != ".md":
            return None
        return self.report.with_name(f"{self.report.stem}-pictures")

    @property
    def stream(self) -> Path | None:
        """Where JSON goes that is written once, at the end: standard output, a pipe, a device."""
        return self.json if self.json is not None and _streams(self.json) else None

    @property
    def file(self) -> Path | None:
        """Where JSON goes that is written after every claim."""
        return self.json if self.stream is None else None

    def _check_report(self) -> None:
        if self.report is not None and self.report.suffix not in (".html", ".md"):
            raise Refusal(f"--report must end in .html or .md; got {self.report}")
        if self.report is not None and is_stream(self.report):
            raise Refusal(f"--report must be a file; got the pipe or device {self.report}")

    def _check_apart(self, checkpoint: Path | None) -> None:
        """No two outputs may be one file, or lie in each other's folders under a name of theirs."""
        files = [("--json", self.json), ("--report", self.report)]
        folders = [("--out", self.directory), ("--report's pictures", self.pictures)]
        if checkpoint is not None:
            folders.append(("--checkpoint", checkpoint))
        places: dict[Path, str] = {}
        named = [(flag, place) for flag, place in files + folders if place is not None]
        for flag, place in named:
            if place == STDOUT:
                continue
            same = [other for other in places if _same(other, place)]
            if same:
                raise Refusal(f"{places[same[0]]} and {flag} are the same, {place}; name two")
            places[place] = flag
        if self.directory is None:
            return
        for flag, file in files:
            if file is None or file.resolve().parent != self.directory.resolve():
                continue
            if self._is_own(file):
                raise Refusal(f"{flag} {file} is a file that --out writes; name another")

    def _is_own(self, file: Path) -> bool:
        """Whether a file has a name that this writes into a folder."""
        return file.name == "results.json" or (file.suffix in _KINDS and file.stem in self.claims)

    def _check_writable(self) -> None:
        """Fail before the work, not after it."""
        for flag, place in (
            ("--out", self.directory),
            ("--json", self.json),
            ("--report", self.report),
        ):
            if place is None or place == STDOUT:
                continue
            try:
                if is_stream(place):
                    place.stat()  # is it there?
                    continue
                if place is self.directory:
                    place.mkdir(parents=True, exist_ok=True)
                    place = next(
                        (one for one in self.earlier() if one.is_dir()), place / "results.json"
                    )
                if place.is_dir():
                    raise IsADirectoryError(0, "it is a folder", str(place))
                Staged(place, "").discard()
            except (OSError, ValueError) as error:  # ValueError: a name with a null byte
                reason = getattr(error, "strerror", None) or str(error)
                raise Refusal(f"{flag}: cannot write {str(place)!r}: {reason}") from None

    def earlier(self) -> Iterator[Path]:
        """Files of results that may be of another run."""
        if self.directory is not None:
            for file in sorted(self.directory.iterdir()):
                if self._is_own(file) or self._is_own(unstaged(file)):
                    yield file
        if self.pictures is not None and self.pictures.is_dir():
            for file in sorted(self.pictures.glob("*.svg")):
                if any(file.name.startswith(f"{id_}-") for id_ in self.claims):
                    yield file
        for one in (self.report, self.file):
            if one is not None and one.is_file():
                yield one


NOWHERE = Outputs(None, None, None, ())
"""For results that are only wanted in memory."""


class Recording:
    """The results of a run so far, and what of them is on disk.

    Attributes:
        results: of the claims that were run.
        failed: what happened to those that came to no verdict, by id: a line each.
    """

    def __init__(self, outputs: Outputs, claims: Sequence[str], command: str) -> None:
        """Begin.

        Args:
            outputs: where to.
            claims: ids of those that are to be run, in their order.
            command: that was given.
        """
        self.results: list[ClaimResult] = []
        self.failed: dict[str, str] = {}
        self._happened: set[Status] = set()
        self._unwritten = ""
        self._outputs, self._claims, self._command = outputs, tuple(claims), command
        self._pictures: dict[str, Mapping[str, str]] = {}
        self._undrawn: list[ClaimResult] = []
        self._unsaved: list[ClaimResult] = []
        self._written: list[Path] = []
        self._begun = False
        self._environment: dict[str, Any] | None = None

    @property
    def happened(self) -> set[Status]:
        """What else than verdicts the run has come to so far."""
        return self._happened | ({Status.NOT_WRITTEN} if self._unwritten else set())

    def add(self, result: ClaimResult) -> list[str]:
        """Take a result, and put it on disk with all before it.

        Returns:
            What could not be written, a line each: it is tried again with what comes.
        """
        self.results.append(result)
        self._unsaved.append(result)
        self._undrawn.append(result)
        return self._tried(lambda: self._write(None))

    def fail(self, claim: str, status: Status, line: str) -> list[str]:
        """Take that a claim came to no verdict; returns what could not be written."""
        self.failed[claim] = line
        self._happened.add(status)
        return self._tried(lambda: self._write(None))

    def happens(self, status: Status) -> None:
        """Take that something else has gone wrong."""
        self._happened.add(status)

    def finish(self, status: int) -> list[str]:
        """Write all once more, with how the run has ended; returns what could not be written."""
        return self._tried(lambda: self._write(status))

    def to_stream(self, status: int) -> list[str]:
        """Write the JSON where it is written once; returns what could not be written."""
        from ntk_theory.report.document import to_json

        stream = self._outputs.stream
        if stream is None:
            return []
        try:
            text = to_json(self._document(status), ascii_only=True)
            if stream == STDOUT:
                _to_stdout(text)
            else:
                stream.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            self._happened.add(Status.NOT_WRITTEN)
            return [f"error: cannot write {error.filename or stream}: {error.strerror}"]
        return []

    def _tried(self, write: Callable[[], None]) -> list[str]:
        try:
            write()
        except OSError as error:
            line = f"error: cannot write {error.filename or 'the results'}: {error.strerror}"
            said, self._unwritten = self._unwritten, line
            return [line] if line != said else []
        self._unwritten = ""
        return []

    def draw(self, status: int | None = None) -> list[str]:
        """Draw what has not been drawn yet.

        Args:
            status: how the run has ended, if it has.

        Returns:
            What could not be drawn, a line each: no result is lost with it.
        """
        from ntk_theory.report.pictures import save_picture, svg_pictures

        if not self._begun:
            return []  # what an earlier run has left is still there
        complaints = []
        outputs = self._outputs
        waiting, self._undrawn = self._undrawn, []
        for result in waiting if outputs.directory or outputs.report else ():
            if not result.arrays:
                continue
            try:
                if outputs.directory is not None:
                    picture = outputs.directory / f"{result.claim.id}.png"
                    save_picture(picture, result)
                    self._note(picture)
                if outputs.report is not None:
                    self._pictures[result.claim.id] = svg_pictures(result)
                    self._write(status)
            except Exception as error:  # whatever it is, a picture is no result
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                complaints.append(f"{result.claim.id} could not be drawn ({reason[:300]})")
        return complaints

    def places(self) -> list[str]:
        """What was written where, a line each."""
        outputs = self._outputs
        lines = []
        if outputs.directory is not None and self._written:
            names = [file.name for file in self._written if file.parent == outputs.directory]
            lines.append(f"Written to {outputs.directory}: {', '.join(names)}")
        if outputs.report is not None and self._begun:
            files = [outputs.report, *(f for f in self._written if f.parent == outputs.pictures)]
            lines.append(f"Report: {', '.join(map(str, files))}")
        return lines

    def _note(self, file: Path) -> None:
        if file not in self._written:
            self._written.append(file)

    def _document(self, status: int | None) -> dict[str, Any]:
        from ntk_theory.machine.environment import describe_environment
        from ntk_theory.report.document import to_document

        if self._environment is None:
            self._environment = describe_environment()
        done = {result.claim.id for result in self.results} | set(self.failed)
        not_run = [id_ for id_ in self._claims if id_ not in done]
        return to_document(
            self.results, self._environment, not_run, failed=self.failed, exit_status=status
        )

    def _files(self, status: int | None) -> dict[Path, bytes | str]:
        """Content of all that is to be written now; the index of a folder is its last file."""
        from ntk_theory.report.document import to_json
        from ntk_theory.report.files import claim_files, report_files

        outputs = self._outputs
        files: dict[Path, bytes | str] = {}
        document = self._document(status)
        if outputs.directory is not None:
            for result in self._unsaved:
                files |= claim_files(outputs.directory, result)
        if outputs.report is not None:
            files |= report_files(outputs.report, document, self._pictures, self._command)
        text = to_json(document)
        if outputs.file is not None:
            files[outputs.file] = text
        if outputs.directory is not None:
            files[outputs.directory / "results.json"] = text
        return files

    def _write(self, status: int | None) -> None:
        from ntk_theory.command.signals import shielded

        outputs = self._outputs
        if not any((outputs.file, outputs.directory, outputs.report)):
            return
        with shielded():
            if outputs.pictures is not None:
                outputs.pictures.mkdir(exist_ok=True)
            staged: list[Staged] = []
            try:
                for file, content in self._files(status).items():
                    staged.append(Staged(file, content))
                if not self._begun:
                    own = {one.part for one in staged}
                    for old in outputs.earlier():
                        if old.resolve() not in own:
                            old.resolve().unlink()
                    self._begun = True
                for one in staged:
                    one.commit()
                    self._note(one.file)
            except BaseException:
                for one in staged:
                    one.discard()
                raise
            self._unsaved.clear()


def _same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return os.path.normcase(one.resolve()) == os.path.normcase(other.resolve())


def _streams(place: Path) -> bool:
    return place == STDOUT or is_stream(place)


def _to_stdout(text: str) -> None:
    """Raises OSError if standard output does not take it."""
    if sys.stdout is None:
        raise OSError(0, "it is closed", "standard output")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except ValueError:
        raise OSError(0, "it is closed", "standard output") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None

"""Claims of other people: of installed packages, and of a file of one's own.

A package adds its claims by entry points of the group `ntk_theory.claims`; a file is read with
`python -m ntk_theory.verify --claims FILE.py`. What cannot be read is named in one line, and the
other claims are there all the same.
"""

from __future__ import annotations

__all__ = ["GROUP", "ClaimError", "claims_of_file", "installed_claims"]

import runpy
from collections.abc import Container, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ntk_theory.checking.claim import Claim

GROUP = "ntk_theory.claims"
"""Of the entry points by which packages add claims."""


class ClaimError(ValueError):
    """A claim of somebody else's that cannot be read; the message is one line."""


def _checked(claim: Any, where: str, taken: Container[str]) -> Claim:
    """A claim whose id is free and whose knobs can be read."""
    if not isinstance(claim, Claim):
        raise ClaimError(
            f"{where} is a {type(claim).__name__}; give an ntk_theory.Claim (docs/write-a-claim.md)"
        )
    if claim.id in taken:
        raise ClaimError(f"{where} has the id {claim.id!r}, which is taken; give it another one")
    try:
        claim.check_declared()
    except (TypeError, ValueError, NameError) as error:
        raise ClaimError(f"{where}: {_line(error)}") from error
    claim.origin = where
    return claim


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _of_entry(entry: EntryPoint, taken: Container[str]) -> Claim:
    where = f"entry point {entry.name} = {entry.value}"
    try:
        found = entry.load()
    except Exception as error:  # it is somebody else's; whatever it does, the others are there
        raise ClaimError(f"{where}: {_line(error)}") from error
    return _checked(found, where, taken)


def installed_claims(taken: Iterable[str]) -> tuple[dict[str, Claim], list[str]]:
    """Claims of installed packages by id, and a line about each that cannot be read.

    Args:
        taken: ids of claims that are there already.
    """
    claims: dict[str, Claim] = {}
    complaints = []
    for entry in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            claim = _of_entry(entry, {*taken, *claims})
        except ClaimError as error:
            complaints.append(str(error))
        else:
            claims[claim.id] = claim
    return claims, complaints


def claims_of_file(file: Path, taken: Iterable[str]) -> dict[str, Claim]:
    """Every claim that is a global name of a Python file, by id.

    Args:
        file: it is run.
        taken: ids of claims that are there already.

    Raises:
        ClaimError: for a file that cannot be run, or defines none.
    """
    try:
        made = runpy.run_path(str(file), run_name=file.stem)
    except OSError as error:
        raise ClaimError(f"cannot read {file}: {error.strerror}") from error
    except Exception as error:  # whatever the file does
        raise ClaimError(f"{file}: {_line(error)}") from error
    claims: dict[str, Claim] = {}
    for value in {id(value): value for value in made.values() if isinstance(value, Claim)}.values():
        claims[value.id] = _checked(value, str(file), {*taken, *claims})
    if not claims:
        raise ClaimError(f"{file} defines no claim: CLAIM = ntk_theory.Claim(…) is missing")
    return claims

"""Inputs and labels in files: arrays of numpy, and tables of text."""

from __future__ import annotations

__all__ = ["is_number", "read_arrays", "read_csv", "read_npz"]

import csv
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Parts = tuple[Any, Any, Any]
"""Inputs, labels, and right labels or None."""


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_arrays(file: Path, needed: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Every array of a file of `np.savez`; of objects, which would be run, none.

    Args:
        file: that ends in .npz.
        needed: names of arrays that it must have.

    Raises:
        ValueError: for a file that is no such file, or lacks one of them.
        OSError: for a file that cannot be opened.
    """
    try:
        with file.open("rb") as content:  # numpy leaves a file open that it cannot read
            found = np.load(content, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("it is one array; write several with np.savez")
            with found:
                arrays = dict(found)
    except OSError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        raise ValueError(f"{file} cannot be read as arrays of numbers or texts: {why}") from error
    missing = [name for name in needed if name not in arrays]
    if missing:
        has = ", ".join(arrays) or "none"
        raise ValueError(f"{file} has no array {missing[0]!r}; its arrays are: {has}")
    return arrays


def read_npz(file: Path) -> Parts:
    """Arrays `inputs` and `labels`, and `clean` if it is there."""
    arrays = read_arrays(file, ("inputs", "labels"))
    return arrays["inputs"], arrays["labels"], arrays.get("clean")


def read_csv(file: Path) -> Parts:
    """Rows of numbers with a label in the last column; a first row of names is passed over.

    Raises:
        ValueError: for what is no such table; the line is named.
        OSError: for a file that cannot be opened.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is no text of rows and commas: {error}") from error
    if rows and not any(is_number(cell) for cell in rows[0][1]):
        del rows[0]
    if not rows:
        raise ValueError(f"{file} has no rows of numbers")
    columns = len(rows[0][1])
    if columns < 2:
        raise ValueError(f"{file} has one column; give numbers, and in the last column the label")
    for line, row in rows:
        if len(row) != columns:
            raise ValueError(f"{file}, line {line}: {len(row)} columns in place of {columns}")
        wrong = [cell for cell in row[:-1] if not is_number(cell)]
        if wrong:
            raise ValueError(f"{file}, line {line}: {wrong[0][:40]!r} is no finite number")
        if not row[-1].strip():
            raise ValueError(f"{file}, line {line}: there is no label in the last column")
    labels = [row[-1].strip() for _, row in rows]
    inputs = [[float(cell) for cell in row[:-1]] for _, row in rows]
    if all(is_number(label) for label in labels):
        return inputs, [float(label) for label in labels], None
    return inputs, labels, None

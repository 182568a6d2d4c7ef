"""Results as files: metrics, arrays, and one page to read."""

from __future__ import annotations

__all__ = ["claim_files", "report_files"]

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ntk_theory.checking.verdicts import ClaimResult
from ntk_theory.report.document import finite
from ntk_theory.report.markdown import to_markdown
from ntk_theory.report.page import to_page


def claim_files(directory: Path, result: ClaimResult) -> dict[Path, bytes | str]:
    """Metrics ID.jsonl, one row a net, and arrays ID.npz of a claim: where they go, and content.

    Args:
        directory: of the results.
        result: of the claim.
    """
    stem = directory / result.claim.id
    rows = ({"claim": result.claim.id} | dict(row) for row in result.metrics)
    metrics = "".join(json.dumps(finite(row), allow_nan=False) + "\n" for row in rows)
    files: dict[Path, bytes | str] = {stem.with_suffix(".jsonl"): metrics}
    if result.arrays:
        packed = BytesIO()
        np.savez_compressed(packed, **result.arrays)
        files[stem.with_suffix(".npz")] = packed.getvalue()
    return files


def report_files(
    file: Path,
    document: Mapping[str, Any],
    pictures: Mapping[str, Mapping[str, str]],
    command: str,
) -> dict[Path, bytes | str]:
    """A report to read: one self-contained page (.html), or Markdown with pictures (.md).

    Args:
        file: its ending says which; pictures of FILE.md go to the folder FILE-pictures beside it.
        document: of `document.to_document`.
        pictures: SVG elements of each claim that has been drawn, by its id and their names.
        command: that made it.

    Returns:
        Where the files go, and their content.
    """
    if file.suffix == ".html":
        return {file: to_page(document, pictures, command)}
    folder = file.with_name(f"{file.stem}-pictures")
    files: dict[Path, bytes | str] = {}
    linked = {}
    for id_, panels in pictures.items():
        files |= {folder / f"{id_}-{name}.svg": svg for name, svg in panels.items()}
        linked[id_] = [f"{folder.name}/{id_}-{name}.svg" for name in panels]
    return files | {file: to_markdown(document, linked, command)}

"""Results as files: JSON, metrics, arrays, pictures, and one page to read."""

from __future__ import annotations

__all__ = ["claim_files", "report_files", "save_picture", "svg_pictures"]

import json
import math
import re
from collections.abc import Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np

from ntk_theory import drawing
from ntk_theory.atomic import write_whole
from ntk_theory.report.document import finite
from ntk_theory.report.markdown import to_markdown
from ntk_theory.report.page import to_page
from ntk_theory.verdicts import ClaimResult

_IN_A_ROW = 3
"""Panels beside each other in the picture of a claim, at most."""


def save_picture(file: Path, result: ClaimResult) -> None:
    """Draw a claim's prediction over its measurement, panels in rows of three, and save it."""
    width, height = drawing.COLUMN
    panels = list(result.claim.panels.values())
    columns = min(len(panels), _IN_A_ROW)
    rows = math.ceil(len(panels) / columns)
    with drawing.style():
        # Room between a scale beside one panel and the label of the next.
        figure = drawing.figure(width * columns, height * rows, room=0.06)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for one, panel in zip(axes, panels, strict=False):
            panel(one, result)
        for empty in axes[len(panels) :]:
            empty.remove()
        figure.draw_without_rendering()  # labels above a panel find their place in a first layout
        picture = BytesIO()
        figure.savefig(picture, format="png")
    write_whole(file, picture.getvalue())


def svg_pictures(result: ClaimResult) -> dict[str, str]:
    """Every panel of a claim as an SVG element, to stand inside a page with others.

    The same result gives the same text: ids come from claim and panel, and no date is written.
    """
    return {name: _svg(result, name) for name in result.claim.panels}


def _svg(result: ClaimResult, name: str) -> str:
    key, buffer = f"{result.claim.id}-{name}", StringIO()
    with drawing.style({"svg.hashsalt": key}):
        figure = drawing.figure(*drawing.COLUMN)
        result.claim.panels[name](figure.subplots(), result)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    # Ids of glyphs are the same in every picture; in one page they would name each other's. Names
    # of series may stand twice in one picture, and name nothing that is referred to.
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(
        r' id="([^"]*)"',
        lambda match: f' id="{key}-{match[1]}"' if match[1] in used else "",
        text[text.index("<svg") :],
    )
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", text)
    return text.rstrip() + "\n"


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

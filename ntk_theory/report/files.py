"""Results as files: JSON, metrics, arrays, pictures, and one page to read."""

from __future__ import annotations

__all__ = ["save_picture", "svg_pictures", "write_files", "write_report"]

import json
import math
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ntk_theory import drawing
from ntk_theory.report.document import finite, to_document, to_json
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
        layout = ConstrainedLayoutEngine(wspace=0.06, hspace=0.06)
        figure = Figure(figsize=(width * columns, height * rows), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for one, panel in zip(axes, panels, strict=False):
            panel(one, result)
        for empty in axes[len(panels) :]:
            empty.remove()
        figure.draw_without_rendering()  # labels above a panel find their place in a first layout
        figure.savefig(file)


def svg_pictures(result: ClaimResult) -> dict[str, str]:
    """Every panel of a claim as an SVG element, to stand inside a page with others.

    The same result gives the same text: ids come from claim and panel, and no date is written.
    """
    return {name: _svg(result, name) for name in result.claim.panels}


def _svg(result: ClaimResult, name: str) -> str:
    key, buffer = f"{result.claim.id}-{name}", StringIO()
    with drawing.style(), mpl.rc_context({"svg.hashsalt": key}):
        figure = Figure(figsize=drawing.COLUMN, layout="constrained")
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


def write_files(
    directory: Path,
    results: Sequence[ClaimResult],
    environment: Mapping[str, Any],
    not_run: Sequence[str] = (),
) -> list[Path]:
    """Write results.json, and for each claim ID metrics ID.jsonl, arrays ID.npz, picture ID.png.

    Args:
        directory: where to.
        results: of the claims.
        environment: what they ran on.
        not_run: ids of claims that an interruption came before.

    Returns:
        The files written.
    """
    files = [directory / "results.json"]
    files[0].write_text(to_json(to_document(results, environment, not_run)), encoding="utf-8")
    for result in results:
        stem = directory / result.claim.id
        rows = ({"claim": result.claim.id} | dict(row) for row in result.metrics)
        metrics = "".join(json.dumps(finite(row)) + "\n" for row in rows)
        stem.with_suffix(".jsonl").write_text(metrics, encoding="utf-8")
        files.append(stem.with_suffix(".jsonl"))
        if result.arrays:
            np.savez_compressed(stem.with_suffix(".npz"), **result.arrays)
            save_picture(stem.with_suffix(".png"), result)
            files += [stem.with_suffix(".npz"), stem.with_suffix(".png")]
    return files


def write_report(
    file: Path,
    results: Sequence[ClaimResult],
    environment: Mapping[str, Any],
    command: str,
    not_run: Sequence[str] = (),
) -> list[Path]:
    """Write a report to read: one self-contained page (.html), or Markdown with pictures (.md).

    Args:
        file: its ending says which; pictures of FILE.md go to the folder FILE-pictures beside it.
        results: of the claims, in the order of the report.
        environment: what they ran on.
        command: that made them.
        not_run: ids of claims that an interruption came before.

    Returns:
        The files written.
    """
    document = to_document(results, environment, not_run)
    drawn = {result.claim.id: svg_pictures(result) for result in results if result.arrays}
    if file.suffix == ".html":
        file.write_text(to_page(document, drawn, command), encoding="utf-8")
        return [file]
    folder = file.with_name(f"{file.stem}-pictures")
    folder.mkdir(exist_ok=True)
    written, pictures = [file], {}
    for id_, panels in drawn.items():
        for name, svg in panels.items():
            written.append(folder / f"{id_}-{name}.svg")
            written[-1].write_text(svg, encoding="utf-8")
        pictures[id_] = [f"{folder.name}/{id_}-{name}.svg" for name in panels]
    file.write_text(to_markdown(document, pictures, command), encoding="utf-8")
    return written

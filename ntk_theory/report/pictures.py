"""Pictures of results: prediction over measurement."""

from __future__ import annotations

__all__ = ["picture", "save_picture", "svg_pictures"]

import math
import re
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ntk_theory import drawing
from ntk_theory.checking.verdicts import ClaimResult
from ntk_theory.machine.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IN_A_ROW = 3
"""Panels beside each other in the picture of a claim, at most."""


def picture(result: ClaimResult) -> Figure:
    """A claim's prediction over its measurement, panels in rows of three."""
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
    return figure


def save_picture(file: Path, result: ClaimResult) -> None:
    """Draw `picture` and save it."""
    content = BytesIO()
    with drawing.style():
        picture(result).savefig(content, format="png")
    write_whole(file, content.getvalue())


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

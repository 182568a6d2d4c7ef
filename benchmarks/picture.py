"""Picture of event-driven training from a file of results.

`python -m benchmarks.picture FILE.json PICTURE.png`
"""

from __future__ import annotations

__all__ = ["digest", "draw", "main"]

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_theory import drawing
from ntk_theory.machine.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMS = (
    ("autograd + SGD", drawing.GREY, "v"),
    ("dense", drawing.ORANGE, "s"),
    ("without numba", drawing.GREEN, "^"),
    ("event-driven", drawing.INDIGO, "o"),
    ("its steps alone", drawing.BLUE, "D"),
)


def digest(found: Mapping[str, Any]) -> str:
    """Of the results, which a picture carries: it says whether it was drawn from them."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _times(axes: Axes, found: Mapping[str, Any]) -> None:
    """Seconds over width, with the power law through those of wide nets."""
    for name, colour, marker in _FORMS:
        x, y = np.array(
            [
                (one["width"], one["seconds"][name])
                for one in found["widths"]
                if name in one["seconds"]
            ]
        ).T
        exponent = found["exponents"].get(name)
        label = name if exponent is None else f"{name}: slope {exponent:.2f}"
        drawing.line(axes, x, y, colour, label, marker=marker, ms=3, ls="")
        if exponent is not None:
            wide = x >= found["fitted"]
            constant = np.exp(np.log(y[wide]).mean() - exponent * np.log(x[wide]).mean())
            power = constant * x[wide] ** exponent
            drawing.line(axes, x[wide], power, colour, f"{name}: fit", show=False)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    shape = found["shape"]
    axes.set(xlabel="width $m$", ylabel=f"seconds for {shape['T']} steps")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def _looked_at(axes: Axes, found: Mapping[str, Any]) -> None:
    """Share of the pairs of a neuron and a point that a step looks at, and that change sign."""
    x = np.array([one["width"] for one in found["widths"]], dtype=float)
    looked_at = np.array([one["looked_at"] for one in found["widths"]])
    changed = np.array([one["flips"] for one in found["widths"]]) / (x * found["shape"]["n"])
    drawing.line(axes, x, looked_at, drawing.INDIGO, "looked at", marker="o", ms=3)
    drawing.line(axes, x, changed, drawing.BLUE, "change sign", marker="D", ms=3)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set(xlabel="width $m$", ylabel="share of all pairs, in a step")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))


def draw(found: Mapping[str, Any]) -> Figure:
    """Both panels, in the style that is set."""
    width, height = drawing.COLUMN
    figure = drawing.figure(2 * width, 1.2 * height)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    _times(left, found)
    _looked_at(right, found)
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the picture of a file of results."""
    results, picture = map(Path, sys.argv[1:] if argv is None else argv)
    found = json.loads(results.read_text(encoding="utf-8"))["event_driven"]
    drawn = BytesIO()
    with drawing.style():
        draw(found).savefig(drawn, format="png", metadata={"Source": digest(found)})
    write_whole(picture, drawn.getvalue())


if __name__ == "__main__":
    main()

"""Tables of the documentation from a file of results: `python -m benchmarks.markdown FILE.json`."""

from __future__ import annotations

__all__ = ["tables"]

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import noisy_labels

_PEERS = (
    "| task | shape | ms | over the floor | peers take … times as long |",
    "|---|---|---|---|---|",
)
_GROWTH = ("| grows | values | seconds or GiB | exponent |", "|---|---|---|---|")


def _shape(shape: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in shape.items())


def _ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"


def _entry(entry: Mapping[str, Any]) -> str:
    peers = [f"{name} {_ratio(r)}" for name, r in entry["ratios"].items() if name != "floor"]
    peers += [f"{name} was not there" for name in entry["missing"]]
    return (
        f"| {entry['task']} | {_shape(entry['shape'])} | {entry['seconds']['ours'] * 1e3:.3g} | "
        f"{1 / entry['ratios']['floor']:.2f} | {', '.join(peers)} |"
    )


def _growth(one: Mapping[str, Any]) -> str:
    measured = one["seconds"] or one["gibibytes"]
    values = ", ".join(map(str, one["values"]))
    numbers = ", ".join(f"{value:.3g}" for value in measured)
    return f"| {one['task']}, {one['size']} | {values} | {numbers} | {one['exponent']:.2f} |"


def _worst(entries: Sequence[Mapping[str, Any]]) -> str:
    errors: dict[str, float] = {}
    for entry in entries:
        for name, value in entry["accuracy"].items():
            errors[name] = max(value, errors.get(name, 0.0))
    listed = "; ".join(f"{name} {value:.0e}" for name, value in errors.items())
    return f"Largest errors against float64 oracles: {listed}."


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"


def _scaling(found: Mapping[str, Any]) -> Iterator[str]:
    """Seconds of every form at every width, their exponents, and the process of the widest net."""
    widths = found["widths"]
    names = list(widths[0]["seconds"])
    yield _row(("m", *names, "pairs looked at in a step", "flips in a step"))
    yield "|" + (len(names) + 3) * "---|"
    for one in widths:
        cells = (
            _seconds(one["seconds"][name])
            + (f" ({_ratio(one['ratios'][name])} ×)" if name in one["ratios"] else "")
            if name in one["seconds"]
            else ""
            for name in names
        )
        share, flips = f"{100 * one['looked_at']:.2g} %", f"{one['flips']:.3g}"
        yield _row((f"2^{math.log2(one['width']):g}", *cells, share, flips))
    fitted = found["exponents"]
    exponents = (f"{fitted[name]:.2f}" if name in fitted else "" for name in names)
    yield _row((f"exponent from 2^{math.log2(found['fitted']):g} on", *exponents, "", ""))
    yield from ("", _against_dense(widths))
    if found["widest"]:
        yield ""
        yield _of_widest(found["widest"])


def _against_dense(widths: Sequence[Mapping[str, Any]]) -> str:
    of = "outputs", "flips", "movement", "distance"
    parts = [
        f"m = 2^{math.log2(one['width']):g}: "
        + ", ".join(f"{name} {one['accuracy'][name]:.0e}" for name in of)
        for one in widths
        if one["accuracy"]
    ]
    return f"Largest differences to the dense form, over all steps: {'; '.join(parts)}."


def _of_widest(widest: Mapping[str, Any]) -> str:
    width, threads = f"2^{math.log2(widest['m']):g}", widest["threads"]
    return (
        f"A process of its own, on {threads} threads, trains a net of width {width} in "
        f"{widest['seconds']:.1f} s on the wall, and holds {widest['GiB']:.2f} GiB at most."
    )


def tables(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown: entries, their accuracy, growth, event-driven training; what there is."""
    if document["entries"]:
        yield from _PEERS
        yield from map(_entry, document["entries"])
        yield from ("", _worst(document["entries"]), "")
    if document["growth"]:
        yield from _GROWTH
        yield from map(_growth, document["growth"])
        yield ""
    if document.get("event_driven"):
        yield from _scaling(document["event_driven"])
    if document.get("noisy_labels"):
        yield from noisy_labels.lines(document["noisy_labels"])


if __name__ == "__main__":
    print("\n".join(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

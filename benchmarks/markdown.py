"""Tables of docs/scaling.md from a file of results: `python -m benchmarks.markdown FILE.json`."""

from __future__ import annotations

__all__ = ["tables"]

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def tables(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown: entries, their accuracy, growth."""
    yield from _PEERS
    yield from map(_entry, document["entries"])
    yield from ("", _worst(document["entries"]), "")
    yield from _GROWTH
    yield from map(_growth, document["growth"])


if __name__ == "__main__":
    print("\n".join(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

"""Measure the speed of the package against the products it needs and against its peers.

On a GPU: what docs/scaling.md says has not been measured on one, in ten minutes at most.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import (
    empirical_gram,
    event_driven,
    growth,
    limiting_gram,
    on_a_gpu,
    smallest_eigenvalue,
    training_step,
)
from benchmarks.event_driven import Scaling
from benchmarks.growth import Growth
from benchmarks.timing import Entry
from ntk_theory.machine.environment import describe_environment

_PROG = "python -m benchmarks"

_MEASURES: dict[str, Callable[[int], Iterator[Entry]]] = {
    "limiting-gram": limiting_gram.measure,
    "empirical-gram": empirical_gram.measure,
    "training-step": training_step.measure,
    "smallest-eigenvalue": smallest_eigenvalue.measure,
}
_ALL = [*_MEASURES, "growth", "event-driven"]


_RESULTS = Path(__file__).parent / "results"

_LIMIT = 540.0
"""Seconds after which nothing is measured on a GPU any more: of ten minutes, one is left for what
cannot be interrupted."""


def _table(entries: Sequence[Entry]) -> Table:
    table = Table("task", "shape", "ms", "ours/floor", "peers' time over ours", box=None)
    for entry in entries:
        peers = [f"{name} {ratio:.1f}" for name, ratio in entry.ratios.items() if name != "floor"]
        peers += [f"{name} not installed" for name in entry.missing]
        table.add_row(
            entry.task,
            " ".join(f"{name}={size}" for name, size in entry.shape.items()),
            f"{entry.seconds['ours'] * 1e3:.1f}",
            f"{1 / entry.ratios['floor']:.2f}",
            ", ".join(peers),
        )
    return table


def _growth_table(found: Sequence[Growth]) -> Table:
    table = Table("task", "grows", "values", "seconds or GiB", "exponent", box=None)
    for one in found:
        measured = one.seconds or one.gibibytes or ()
        table.add_row(
            one.task,
            one.size,
            ", ".join(map(str, one.values)),
            ", ".join(f"{value:.3g}" for value in measured),
            f"{one.exponent:.2f}",
        )
    return table


def _on_a_gpu(
    gpu: on_a_gpu.Gpu, rounds: int, out: Path | None, sizes: on_a_gpu.Sizes | None = None
) -> int:
    """Measure on a GPU; what is found is on disk as soon as it is."""
    path = _RESULTS / f"gpu-{_slug(gpu.kind)}.json" if out is None else out
    findings: list[on_a_gpu.Finding] = []
    for one in on_a_gpu.measure(gpu, rounds=rounds, clock=on_a_gpu.Clock(_LIMIT), sizes=sizes):
        shape = (f"{name}={size}" for name, size in one.shape.items())
        print(one.task, *shape, one.precision, file=sys.stderr, flush=True)
        findings.append(one)
        _write(path, on_a_gpu.document(gpu, findings))
    Console().print(on_a_gpu.table(findings))
    print(f"written to {path}")
    return int(any(one.error is not None for one in findings))


def _slug(name: str) -> str:
    """A name as that of a file: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8", newline="\n")


def _scaling_table(found: Scaling) -> Table:
    names = list(found.widths[0].seconds)
    table = Table("m", *names, "looked at", "flips", box=None)
    for one in found.widths:
        seconds = (f"{one.seconds[name]:.3g}" if name in one.seconds else "" for name in names)
        table.add_row(str(one.width), *seconds, f"{one.looked_at:.2e}", f"{one.flips:.3g}")
    exponents = (
        f"{found.exponents[name]:.2f}" if name in found.exponents else "" for name in names
    )
    table.add_row("exponent", *exponents)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(prog=_PROG, description=__doc__)
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda or cuda:N: a GPU has measurements of its own (default: cpu)",
    )
    parser.add_argument("--only", nargs="+", choices=_ALL)
    parser.add_argument("--rounds", type=int, default=7, help="of each contender (default: 7)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.json",
        help="where the JSON goes (of a GPU, if left out: benchmarks/results/gpu-NAME.json)",
    )
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {arguments.rounds}")
    if arguments.out is not None and not arguments.out.parent.is_dir():
        parser.error(f"--out: there is no folder {arguments.out.parent}; make it first")
    if arguments.device != "cpu":
        if arguments.only is not None:
            parser.error("--only is for the processor; on a GPU everything is measured")
        try:
            gpu = on_a_gpu.Gpu.of(arguments.device)
        except ValueError as error:
            print(f"{_PROG}: error: {error}", file=sys.stderr)
            return 2
        return _on_a_gpu(gpu, arguments.rounds, arguments.out)
    chosen = arguments.only or _ALL
    entries: list[Entry] = []
    for name in [name for name in _MEASURES if name in chosen]:
        print(f"{name} …", file=sys.stderr, flush=True)
        entries += _MEASURES[name](arguments.rounds)
    grown: list[Growth] = []
    if "growth" in chosen:
        print("growth …", file=sys.stderr, flush=True)
        grown += growth.measure(arguments.rounds)
    scaling: Scaling | None = None
    if "event-driven" in chosen:
        print("event-driven …", file=sys.stderr, flush=True)
        scaling = event_driven.measure(arguments.rounds)
    console = Console()
    if entries:
        console.print(_table(entries))
    if grown:
        console.print(_growth_table(grown))
    if scaling is not None:
        console.print(_scaling_table(scaling))
    if arguments.out is not None:
        document = {
            "environment": describe_environment() | {"cores": os.cpu_count()},
            "entries": [asdict(entry) for entry in entries],
            "growth": [asdict(one) for one in grown],
            "event_driven": asdict(scaling) if scaling is not None else None,
        }
        _write(arguments.out, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Chains of stopped nets: who recovers after one, two and three of them, and how far outputs go."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=13,
    name="chains",
    title="Stopped nets in a row",
    shows="Each net is taught the outputs of the one before: k of them have every label right "
    "below ρ*_k = (r^k − 2)/(2(r^k − 1)), far beyond the ρ* = ρ*_1 of one net. Their outputs stay "
    "farther than 2ρ from the clean labels, until one more net is taught the signs.",
    panels=(("chains", "phase-diagram"), ("chains", "net-by-net")),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

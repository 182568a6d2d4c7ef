"""Who recovers: noise rate and ratio."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=6,
    name="recovery-over-ratio",
    title="Who recovers: noise rate and ratio",
    shows="Trained nets have every label right at some step below ρ*(r) = (r − 2)/(2(r − 1)), "
    "and never above it; hollow marks are too near ρ* for the width to be judged.",
    panels=(("threshold", "recovery-over-ratio"),),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

"""Margins of all points under the best stopping time, plain training and self-distillation."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=8,
    name="margins",
    title="Margins",
    shows="Stopped at its best step, plain training leaves every point a margin below 1 − 2ρ; "
    "trained out, it gives flipped points the margin −1; self-distillation takes them all towards "
    "1.",
    panels=(("margin", "distribution"),),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

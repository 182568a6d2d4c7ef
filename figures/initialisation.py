"""Final error of nets from random initial outputs, over the scale of their initial weights."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=11,
    name="initialisation",
    title="Initialisation",
    shows="From a random initial output self-distillation has a floor, which vanishes faster than "
    "any power of the initial scale: at 1/8 every net ends where antisymmetric pairs do.",
    panels=(("initialisation", "floor"),),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

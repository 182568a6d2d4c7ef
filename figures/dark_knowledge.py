"""Dark knowledge: its rise and fall, and the likeness of classes that nets output."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=10,
    name="dark-knowledge",
    title="Dark knowledge",
    shows="What nets output on siblings of the right class beyond what they output on others "
    "rises, peaks and is gone in the end; at the peak a net's outputs show which classes are "
    "siblings, in the blocks along the diagonal.",
    panels=(
        ("dark-knowledge", "rise-and-fall"),
        ("dark-knowledge", "class-outputs"),
    ),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

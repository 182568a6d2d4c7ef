"""Spectrum and labels."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=2,
    name="spectrum",
    title="Spectrum and labels",
    shows="The kernels have the eigenvalues of their closed forms, if there are any. Clean labels "
    "lie in the top eigenspaces; noise, of one draw here, has little there: none on clusters with "
    "the same share of wrong labels in each, and on a power law no more than on other directions.",
    panels=(
        ("air", "eigenvalues"),
        ("air", "energy"),
    ),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

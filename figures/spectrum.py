"""Spectrum and labels."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=2,
    name="spectrum",
    title="Spectrum and labels",
    shows="The kernels have the prescribed eigenvalues; clean labels lie in the top eigenspaces, "
    "noise (what the observed labels have beyond their mean) lies along all eigenvectors alike.",
    panels=(
        ("air", "eigenvalues"),
        ("air", "energy"),
    ),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

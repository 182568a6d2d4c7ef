"""Anisotropic information retrieval."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=1,
    name="air",
    title="Anisotropic information retrieval",
    shows="Trained nets retrieve the labels along an eigenspace of the NTK as 1 − (1 − ηλ)^t: "
    "information, which lies in the top eigenspaces, before noise, which lies everywhere.",
    panels=(
        ("air", "retrieved-shares"),
        ("air", "eigenspaces"),
    ),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

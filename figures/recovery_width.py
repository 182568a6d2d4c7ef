"""Who recovers: noise rate and width."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=7,
    name="recovery-over-width",
    title="Who recovers: noise rate and width",
    shows="The wider the nets, the nearer to ρ* they recover every label. Dashed: up to where they "
    "must, and from where on they cannot, by the predicted margin and the deviation that the "
    "claim's nets lead one to expect of a net of that width.",
    panels=(("threshold", "recovery-over-width"),),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

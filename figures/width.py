"""Width."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=5,
    name="width",
    title="Width",
    shows="Trained nets approach the infinitely wide one like m^{-1/2}; the wider they are, the "
    "less training moves a neuron, flips activations and leaves the linearised net, as predicted.",
    panels=(
        ("convergence", "deviation-over-width"),
        ("lazy", "movement"),
    ),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

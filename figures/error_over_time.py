"""Error over time."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=3,
    name="error-over-time",
    title="Error over time",
    shows="Plain training comes closest to the clean labels before t_mem, never closer than 2ρ, "
    "and then memorises the noise; self-distillation of the same nets goes on towards 0.",
    panels=(("separation", "error-over-time"),),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

"""Label policies compared."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=4,
    name="label-policies",
    title="Label policies compared",
    shows="On one schedule, soft targets only slow plain training down, tempered ones bring the "
    "wrong labels back here, hard ones lead to the clean labels. Of the hard ones, weights that "
    "fade out reach them; constant weights stop at 2α√ρ, weights by agreement at 2ρ√ρ.",
    panels=(
        ("soft-identity", "policies"),
        ("convergence", "schedules"),
    ),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

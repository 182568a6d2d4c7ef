"""The error of a student against the stopping time of its teacher."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=9,
    name="teacher-stopping",
    title="When the teacher was stopped",
    shows="Students trained out on the outputs of a stopped teacher lie on the teacher's own U, "
    "and none is below 2ρ; students of the signs of a teacher stopped in time end at 0.",
    panels=(("teacher-student", "error-of-students"),),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

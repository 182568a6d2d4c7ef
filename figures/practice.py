"""Self-distillation on images of digits: accuracy over training, over the methods, the spectrum."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=14,
    name="practice",
    title="In practice: images of digits",
    shows="Nets that weigh their own predictions by agreement keep the accuracy that nets trained "
    "on labels alone lose again; they are ahead of the best stopping time, in hindsight, where "
    "memorising costs the kernel limit a tenth. Clean labels and noise are apart in the spectrum. "
    "The rule has nothing to choose.",
    panels=(
        ("practice", "over-training"), ("practice", "over-training-2"),
        ("practice", "over-training-3"), ("practice", "compared"), ("practice", "spectrum"),
    ),
)  # fmt: skip


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

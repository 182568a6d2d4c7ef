"""Generalisation measure and test error over the noise rate, for all three ways of training."""

from __future__ import annotations

__all__ = ["PICTURE", "main"]

from pathlib import Path

from figures.publishing import Picture, Runs, publish

PICTURE = Picture(
    number=12,
    name="generalisation",
    title="Generalisation",
    shows="Memorising costs a norm that grows with the noise, where self-distillation stays at "
    "that of clean labels; its test error is far below that of the memorised net, and where noise "
    "is much, below that of the best stopping time, which only an oracle knows.",
    panels=(("generalisation", "measure"), ("generalisation", "test-error")),
)


def main(out: Path, runs: Runs | None = None) -> list[Path]:
    """Write the figure and its data to a folder."""
    return publish(PICTURE, out, runs)

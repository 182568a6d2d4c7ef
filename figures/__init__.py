"""The figures of the argument: `python -m figures` draws all of them, one script each."""

from __future__ import annotations

__all__ = ["all_figures"]

from importlib import import_module
from pathlib import Path

from figures.publishing import Picture

_MACHINERY = {"__init__", "__main__", "publishing"}


def all_figures() -> dict[str, Picture]:
    """Every figure by its name, in the order in which they are numbered."""
    names = sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _MACHINERY
    )
    pictures = [import_module(f"figures.{name}").PICTURE for name in names]
    return {one.name: one for one in sorted(pictures, key=lambda one: one.number)}

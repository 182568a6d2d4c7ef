"""What callers hand in, checked once: numbers of any layout, labels, seeds, counts, choices.

Arrays may be numpy's of any strides, byte order or kind of real number, lists, pandas' columns, or
torch's tensors on any device. They come back as numpy arrays in C order and native byte order,
without a copy where they are so already. Whatever is refused is refused in one line: which
argument, what it must be, what came, what to do. Values are ValueErrors, kinds are TypeErrors.
"""

from __future__ import annotations

__all__ = [
    "TargetKind",
    "array",
    "choice",
    "class_numbers",
    "columns",
    "device",
    "flag",
    "generator",
    "gram_matrix",
    "in_precision",
    "number",
    "positive",
    "precision",
    "real",
    "rows",
    "seeds",
    "targets",
    "tensor",
    "vectors",
    "whole",
    "wholes",
]

from ntk_theory.arguments.arrays import (
    array,
    columns,
    gram_matrix,
    in_precision,
    rows,
    tensor,
    vectors,
)
from ntk_theory.arguments.labels import TargetKind, class_numbers, targets
from ntk_theory.arguments.scalars import (
    choice,
    device,
    flag,
    generator,
    number,
    positive,
    precision,
    real,
    seeds,
    whole,
    wholes,
)

"""Precision of the matrix products of a step, apart from that of the weights.

Tensor cores multiply factors of few bits and add up in float32: TF32 has 10 bits after the leading
one, bfloat16 has 7, both with the exponents of float32. The factors of the two products of a step
are rounded to as many bits; weights, pre-activations, output sums and updates stay float32. On a
machine without tensor cores the products are then float32: the same numbers up to the order of the
sums, so that a precision can be tried on any machine.
"""

from __future__ import annotations

__all__ = ["PRECISIONS", "rounded", "storage", "tensor_cores"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_BITS = {"tf32": 10, "bf16": 7}
_SINGLE_BITS = 23

PRECISIONS = ("float64", "float32", "tf32", "bf16")
"""Of nets: their own, or that of their products."""


def storage(precision: str) -> torch.dtype:
    """What weights and sums are kept in."""
    return torch.float64 if precision == "float64" else torch.float32


def rounded(values: Tensor, precision: str) -> Tensor:
    """Factor of a product as the product takes it: rounded to nearest, ties to even.

    Args:
        values: finite, float32 where the precision has fewer bits.
        precision: one of `PRECISIONS`.
    """
    if precision not in _BITS:
        return values
    dropped = _SINGLE_BITS - _BITS[precision]
    bits = values.contiguous().view(torch.int32)
    odd = (bits >> dropped) & 1
    half = (1 << (dropped - 1)) - 1
    return ((bits + (odd + half)) & -(1 << dropped)).view(torch.float32)


@contextmanager
def tensor_cores(precision: str) -> Iterator[None]:
    """Let a GPU multiply in TF32 for a precision of fewer bits; it holds bfloat16 numbers, too.

    This is of the process, not of a thread: a GPU is given one net after the other.
    """
    if precision not in _BITS:
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = True
    try:
        yield
    finally:
        matmul.allow_tf32 = before

"""The limiting NTK as an operator, for more points than a matrix of them would fit."""

from __future__ import annotations

__all__ = ["KernelOperator", "fits"]

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory.kernels import (
    Layers,
    Precision,
    UnitRows,
    check_layers,
    check_rows,
    diagonal_of,
    limit_of,
)
from ntk_theory.precision import own_precision

Array = NDArray[np.float64]

_TEMPORARIES = 4
"""Blocks of rows that forming one of them takes."""


def fits(points: int, dtype: Precision, memory: float) -> bool:
    """Whether the kernel of so many points is kept in so many bytes."""
    row = points * getattr(torch, dtype).itemsize
    return bool((points + _TEMPORARIES) * row <= memory)


class KernelOperator:
    """H as something that multiplies vectors.

    It is kept where it fits the memory, and is otherwise formed anew at every product: the blocks
    of rows on and above the diagonal, each of which serves its mirror image, too. Entries and
    products are of the precision asked for, sums over blocks in float64.

    Attributes:
        shape: (n, n).
        kept: whether the matrix is kept.
        height: rows of the largest block that is formed at once, if it is not kept.
    """

    def __init__(
        self,
        inputs: ArrayLike,
        *,
        layers: Layers = "first",
        dtype: Precision = "float64",
        device: str = "cpu",
        memory: float = np.inf,
    ) -> None:
        """Take inputs.

        Args:
            inputs: X, shape (n, d), no zero row.
            layers: "first" or "both".
            dtype: precision of entries and products.
            device: where they are formed.
            memory: bytes that may be taken beside the inputs.

        Raises:
            ValueError: for a zero row, NaN, a wrong shape, or memory that does not hold a row.
        """
        check_layers(layers)
        rows = check_rows("inputs", inputs)
        self._rows, self._layers = UnitRows.of("inputs", rows, dtype, device), layers
        points = len(rows)
        self.shape = points, points
        row = points * self._rows.units.element_size()
        self.height = int(min(points, memory // (_TEMPORARIES * row)))
        if self.height < 1:
            raise ValueError(
                f"memory must hold {_TEMPORARIES} rows of the kernel, {_TEMPORARIES * row} bytes; "
                f"got {memory:.0f}"
            )
        self.kept = fits(points, dtype, memory)
        self._matrix = limit_of(self._rows, self._rows, layers) if self.kept else None

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the kernel, from the diagonal on: shapes (height, n − start)."""
        for start in range(0, self.shape[0], self.height):
            rows = slice(start, min(start + self.height, self.shape[0]))
            yield rows, limit_of(self._rows[rows], self._rows[start:], self._layers)

    def dense(self) -> Array:
        """The matrix, shape (n, n), if it is kept; raises ValueError if not."""
        if self._matrix is None:
            raise ValueError("the kernel is not kept; give it more memory, or multiply by it")
        return np.asarray(self._matrix.double().cpu().numpy())

    @property
    def trace(self) -> float:
        """Sum of the eigenvalues: κ(0) times the squared norms."""
        return diagonal_of(self._layers) * float(self._rows.norms.double().square().sum())

    @own_precision
    def __matmul__(self, vectors: ArrayLike) -> Array:
        """H v for one vector (n,) or several (n, k)."""
        given = np.asarray(vectors, dtype=float)
        columns = torch.as_tensor(given, device=self._rows.units.device).reshape(len(given), -1)
        factor = columns.to(self._rows.units.dtype)
        if self._matrix is not None:
            product = (self._matrix @ factor).double()
        else:
            product = torch.zeros_like(columns)
            for rows, block in self._blocks():
                product[rows] += (block @ factor[rows.start :]).double()
                beyond = block[:, rows.stop - rows.start :]
                product[rows.stop :] += (beyond.T @ factor[rows]).double()
        return np.asarray(product.cpu().numpy().reshape(given.shape))

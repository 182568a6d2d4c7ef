"""The limiting NTK as an operator, for more points than a matrix of them would fit."""

from __future__ import annotations

__all__ = ["KernelOperator", "fits"]

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory import arguments
from ntk_theory.kernels import (
    Layers,
    Precision,
    UnitRows,
    check_products,
    diagonal_of,
    limit_of,
    squares_of,
)
from ntk_theory.machine.precision import own_precision

Array = NDArray[np.float64]

_TEMPORARIES = 4
"""Blocks of rows that forming one of them takes."""

_LARGE = 2.0**60
"""Size of a vector from which on, or below one over it, it is measured by a power of two."""


def fits(points: int, dtype: Precision, memory: float) -> bool:
    """Whether the kernel of so many points is kept in so many bytes."""
    row = points * getattr(torch, arguments.precision("dtype", dtype)).itemsize
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
        device: str | torch.device = "cpu",
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
            ValueError: for a zero row, NaN, a wrong shape, norms whose products the precision does
                not hold, or memory that does not hold a row.
        """
        self._layers: Layers = arguments.choice("layers", layers, get_args(Layers))
        memory = arguments.real("memory", memory, "be a positive number of bytes", lambda x: x > 0)
        precision, where = arguments.precision("dtype", dtype), arguments.device("device", device)
        rows = arguments.rows("inputs", inputs)
        units = UnitRows.of("inputs", rows, precision, where)
        self._power = 0
        if units.powers is not None:  # entries of size 1 keep their digits in products
            self._power = int(np.floor(units.exponents.max()))
            units = replace(units, powers=units.powers - self._power)
        self._rows = units
        check_products(units, units)
        points = len(rows)
        self.shape = points, points
        row = points * self._rows.units.element_size()
        self.height = int(min(points, memory // (_TEMPORARIES * row)))
        if self.height < 1:
            raise ValueError(
                f"memory must hold {_TEMPORARIES} rows of the kernel, {_TEMPORARIES * row} bytes; "
                f"got {memory:.0f}"
            )
        self.kept = fits(points, precision, memory)
        self._matrix = limit_of(self._rows, self._rows, self._layers) if self.kept else None

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the kernel, from the diagonal on: shapes (height, n − start)."""
        for start in range(0, self.shape[0], self.height):
            rows = slice(start, min(start + self.height, self.shape[0]))
            yield rows, limit_of(self._rows[rows], self._rows[start:], self._layers)

    def dense(self) -> Array:
        """The matrix, shape (n, n), if it is kept; raises ValueError if not."""
        if self._matrix is None:
            raise ValueError("the kernel is not kept; give it more memory, or multiply by it")
        return self._sized("the kernel", self._matrix.double().cpu().numpy())

    @property
    def trace(self) -> float:
        """Sum of the eigenvalues: κ(0) times the squared norms."""
        squares = float(squares_of(self._rows).double().sum())
        return float(self._sized("the trace", np.asarray(diagonal_of(self._layers) * squares)))

    @own_precision
    def __matmul__(self, vectors: ArrayLike) -> Array:
        """H v for one vector (n,) or several (n, k).

        Args:
            vectors: v; (n, 1) is one of several, and stays so.

        Returns:
            In the shape of the vectors.

        Raises:
            ValueError: for another shape, NaN or infinity.
        """
        size = self.shape[0]
        given = np.asarray(
            arguments.array(
                "vectors", vectors, (size,), (size, "k"), do="give a number for each point"
            ),
            dtype=float,
        )
        columns, powers = self._scaled(given.reshape(size, -1))
        factor = columns.to(self._rows.units.dtype)
        if self._matrix is not None:
            product = (self._matrix @ factor).double()
        else:
            product = torch.zeros_like(columns)
            for rows, block in self._blocks():
                product[rows] += (block @ factor[rows.start :]).double()
                beyond = block[:, rows.stop - rows.start :]
                product[rows.stop :] += (beyond.T @ factor[rows]).double()
        return self._sized("products", product.cpu().numpy(), powers).reshape(given.shape)

    def _sized(self, what: str, values: Array, powers: NDArray[np.intc] | None = None) -> Array:
        """What rows and vectors of size 1 give, in its size."""
        if self._power == 0 and powers is None:
            return values
        with np.errstate(all="ignore"):
            sized = np.asarray(
                np.ldexp(values, 2 * self._power + (0 if powers is None else powers))
            )
        if np.isfinite(sized).all():
            return sized
        raise ValueError(
            f"inputs and vectors must be of a size that leaves {what} finite; got one beyond the "
            "numbers; divide them by their size"
        )

    def _scaled(self, columns: Array) -> tuple[Tensor, NDArray[np.intc] | None]:
        """Vectors on the device, and powers of two that far too large or small ones are over."""
        powers, sizes = None, np.abs(columns).max(axis=0)
        seen = sizes[sizes > 0]
        if seen.size and not (seen.min() > 1 / _LARGE and seen.max() < _LARGE):
            powers = np.frexp(sizes)[1]
            with np.errstate(all="ignore"):
                columns = np.ldexp(columns, -powers)
        return arguments.tensor(columns, where=self._rows.units.device), powers

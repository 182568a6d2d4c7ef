"""The inputs of a training run, with what its steps need of them."""

from __future__ import annotations

__all__ = ["Points", "moves_weights", "shared_points"]

import hashlib
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ntk_theory.training.products import rounded

_CLEAR, _WELL_CONDITIONED = 1e-10, 1e-6
"""Squared singular values, over the largest, that are surely no rounding, and that leave ten digits
to the solution of a system."""


def moves_weights(points: int, rank: int) -> bool:
    """Whether moving weights takes fewer operations than moving pre-activations: n > 2 rank."""
    return points > 2 * rank


class Points:
    """The inputs, with what a step needs of them.

    Attributes:
        inputs: X, shape (n, d).
        precision: of products, one of `products.PRECISIONS`; that of the inputs when left out.
    """

    def __init__(self, inputs: Tensor, precision: str | None = None) -> None:
        self.inputs = inputs
        self.precision = precision or str(inputs.dtype).removeprefix("torch.")

    def as_factor(self, values: Tensor) -> Tensor:
        """As products take them."""
        return rounded(values, self.precision)

    @cached_property
    def gram(self) -> Tensor:
        """X Xᵀ, shape (n, n)."""
        return self._products.to(self.inputs.dtype)

    @cached_property
    def _products(self) -> Tensor:
        """The same in float64."""
        rows = self.inputs.double()
        return rows @ rows.mT

    @property
    def _rounding(self) -> float:
        """Share of the largest singular value below which one is rounding, and taken for none."""
        return float(max(self.inputs.shape) * torch.finfo(self.inputs.dtype).eps)

    @cached_property
    def _span(self) -> tuple[int, Tensor]:
        """Dimension of the span of the inputs, and an orthonormal basis, shape (d, rank)."""
        rows = self.inputs.double()
        if rows.shape[0] > 2 * rows.shape[1]:
            rows = torch.linalg.qr(rows, mode="r").R  # of the same span
        _, values, right = torch.linalg.svd(rows, full_matrices=False)
        kept = int((values > self._rounding * values[:1]).sum())
        return kept, right[:kept].mT

    @property
    def rank(self) -> int:
        """Dimension of the span of the inputs."""
        return self._span[0]

    @cached_property
    def basis(self) -> Tensor | None:
        """Orthonormal basis of the span, shape (d, rank); None where it is the whole space."""
        return None if self.rank == self.inputs.shape[1] else self._span[1]

    @cached_property
    def coordinates(self) -> Tensor:
        """X in that basis, shape (n, rank)."""
        if self.basis is None:
            return self.inputs
        return (self.inputs.double() @ self.basis).to(self.inputs.dtype)

    @cached_property
    def _squares(self) -> Tensor:
        """Squared singular values of X, ascending: small ones hold few digits, but cost little."""
        squares: Tensor = torch.linalg.eigvalsh(self._products)
        return squares

    @cached_property
    def cholesky(self) -> Tensor | None:
        """Cholesky factor of X Xᵀ in float64, or None where that is not well-conditioned."""
        if self._squares[0] <= _WELL_CONDITIONED * self._squares[-1]:
            return None
        factor: Tensor = torch.linalg.cholesky(self._products)
        return factor

    @cached_property
    def inverse(self) -> Tensor:
        """Pseudo-inverse of X in float64, shape (d, n)."""
        rows = self.inputs.double()
        if self.cholesky is not None:
            return torch.cholesky_solve(rows, self.cholesky).mT
        inverse: Tensor = torch.linalg.pinv(rows, rtol=self._rounding)
        return inverse

    @property
    def factor(self) -> Tensor:
        """What the patterns of a step are multiplied by: X in that basis, or Γ."""
        return self.coordinates if self.many else self.gram

    @cached_property
    def factor_of_products(self) -> Tensor:
        """The same as products take it."""
        return self.as_factor(self.factor)

    @cached_property
    def many(self) -> bool:
        """Whether the weights are what a step moves."""
        points, features = self.inputs.shape
        # The rank is at most d, at least the number of clear singular values, and to find it takes
        # a decomposition.
        if moves_weights(points, min(points, features)):
            return True
        clear = int((self._squares > _CLEAR * self._squares[-1]).sum())
        return moves_weights(points, clear) and moves_weights(points, self.rank)


_shared: dict[str, Points] = {}
_sharing = Lock()


def shared_points(inputs: Tensor, precision: str) -> Points:
    """The inputs with what a step needs of them; those of the last run if they are the same."""
    digest = hashlib.sha256(np.ascontiguousarray(inputs.cpu().numpy()).data).hexdigest()
    key = f"{digest} {tuple(inputs.shape)} {inputs.dtype} {inputs.device} {precision}"
    with _sharing:
        if key not in _shared:
            _shared.clear()
            points = Points(inputs, precision)
            # What a step takes: nets of other threads wait for it, instead of making their own.
            _ = points.factor_of_products
            _shared[key] = points
        return _shared[key]

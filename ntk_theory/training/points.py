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

_CLEAR = 1e-10
"""Squared singular value, over the largest, that is surely no rounding."""

_WELL_CONDITIONED = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Least one of inputs whose pseudo-inverse loses at most one and a half of seven digits, or three
of sixteen."""


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
        return self.exact_gram.to(self.inputs.dtype)

    @cached_property
    def exact_gram(self) -> Tensor:
        """The same in float64."""
        rows = self.inputs.double()
        return rows @ rows.mT

    @cached_property
    def _span(self) -> tuple[Tensor, Tensor]:
        """Singular values of the inputs but for rounding, and an orthonormal basis of their span.

        Descending, shape (rank,), and shape (d, rank).
        """
        rows = self.inputs.double()
        if rows.shape[0] > 2 * rows.shape[1]:
            rows = torch.linalg.qr(rows, mode="r").R  # of the same span
        _, values, right = torch.linalg.svd(rows, full_matrices=False)
        kept = self._kept(values, right)
        return values[:kept], right[:kept].mT

    def _kept(self, values: Tensor, right: Tensor) -> int:
        """How many right singular vectors span the inputs, up to their rounding.

        What they leave of a row may be eps of it, as much as rounding may have changed it. A small
        singular value alone says nothing: many rows may share it, or it be that of a few which are
        nearly equal. Below max(n, d) eps of the largest, in float64, it is what this decomposition
        rounds.
        """
        clear = max(self.inputs.shape) * torch.finfo(torch.float64).eps
        most = int((values > clear * values[:1]).sum())
        allowed = torch.finfo(self.inputs.dtype).eps ** 2
        # With fewer than these more would be left of all rows together, so of one of them.
        left = values.square().flip(0).cumsum(0).flip(0)
        least = min(int((left > allowed * left[:1]).sum()), most)
        if least == most:
            return most
        rows = self.inputs.double()
        parts = (rows @ right[least:most].mT).square().flip(1).cumsum(1).flip(1)
        above = parts > allowed * rows.square().sum(dim=1, keepdim=True)
        return least + int(above.any(dim=0).sum())

    @property
    def rank(self) -> int:
        """Dimension of the span of the inputs."""
        return int(self._span[0].numel())

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
        squares: Tensor = torch.linalg.eigvalsh(self.exact_gram)
        return squares

    @property
    def _least_square(self) -> float:
        """Least squared singular value that counts as well-conditioned."""
        return _WELL_CONDITIONED[self.inputs.dtype] * float(self._squares[-1])

    @cached_property
    def cholesky(self) -> Tensor | None:
        """Cholesky factor of X Xᵀ in float64, or None where that is not well-conditioned."""
        if self._squares[0] <= self._least_square:
            return None
        factor: Tensor = torch.linalg.cholesky(self.exact_gram)
        return factor

    @cached_property
    def inverse(self) -> Tensor:
        """Pseudo-inverse of X in float64, shape (d, n); inaccurate where pulls are to be summed."""
        rows = self.inputs.double()
        if self.cholesky is not None:
            return torch.cholesky_solve(rows, self.cholesky).mT
        basis = self._span[1]
        inverse: Tensor = basis @ torch.linalg.pinv(rows @ basis)
        return inverse

    @cached_property
    def triangle(self) -> Tensor:
        """L of X = L Qᵀ in float64, shape (n, min(n, d)): ‖g X‖ = ‖g L‖ in fewer operations."""
        upper: Tensor = torch.linalg.qr(self.inputs.double().mT, mode="r").R
        return upper.mT

    @cached_property
    def sums_pulls(self) -> bool:
        """Whether neurons known by their pre-activations keep the sum of their pulls, too.

        Not where the singular values of the inputs are large or none, as of exact copies.
        """
        if self.many or self._squares[-min(self.inputs.shape)] > self._least_square:
            return False
        values = self._span[0]
        return bool(values.numel() and values[-1].square() <= self._least_square)

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

"""Eigenspaces of a Gram matrix, and what training retrieves along them."""

from __future__ import annotations

__all__ = [
    "Eigenpairs",
    "Spectrum",
    "SymmetricOperator",
    "eigendecomposition",
    "extreme_eigenpairs",
    "lambda_min",
    "retrieved_share",
]

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, LinAlgWarning, eigh, eigvalsh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, lobpcg

Array = NDArray[np.float64]


def _symmetric(matrix: ArrayLike) -> Array:
    gram = np.asarray(matrix, dtype=float)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or gram.size == 0:
        raise ValueError(f"the Gram matrix must be square and non-empty; got shape {gram.shape}")
    if not np.isfinite(gram).all():
        raise ValueError("the Gram matrix must be finite; it holds NaN or infinity")
    scale = np.abs(gram).max()
    if np.abs(gram - gram.T).max() > 1e-8 * scale:
        raise ValueError("the Gram matrix must be symmetric; use the train/train block")
    return gram


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and orthonormal eigenvectors of a Gram matrix.

    Attributes:
        eigenvalues: ascending, shape (n,).
        eigenvectors: columns, in the same order, shape (n, n).
    """

    eigenvalues: Array
    eigenvectors: Array

    def largest_gap(self) -> int:
        """Number of eigenvalues above the largest relative gap: the rank of the information.

        Eigenvalues below n eps λ_max count as equal; 0 if no eigenvalue is above that.
        """
        if self.eigenvalues[-1] <= 0:
            return 0
        floor = self.eigenvalues.size * np.finfo(float).eps * self.eigenvalues[-1]
        logs = np.log(np.maximum(self.eigenvalues, max(floor, np.finfo(float).tiny)))
        if self.eigenvalues.size == 1:
            return 1
        return int(self.eigenvalues.size - 1 - np.argmax(np.diff(logs)))

    def information(self, rank: int) -> Array:
        """Orthonormal basis of the top `rank` eigenvectors, shape (n, rank)."""
        self._check_rank(rank)
        return self.eigenvectors[:, self.eigenvalues.size - rank :]

    def noise(self, rank: int) -> Array:
        """Orthonormal basis of the rest, shape (n, n − rank)."""
        self._check_rank(rank)
        return self.eigenvectors[:, : self.eigenvalues.size - rank]

    def project(self, values: ArrayLike) -> Array:
        """Coefficients along the eigenvectors of vectors in the last axis, shape (..., n)."""
        return np.asarray(values, dtype=float) @ self.eigenvectors

    def eigenspaces(self) -> tuple[slice, ...]:
        """Runs of eigenvalues that are equal to rounding, 8 n eps λ_max, ascending.

        The basis within such a run is arbitrary; only the space it spans has a meaning.
        """
        width = 8 * self.eigenvalues.size * float(np.finfo(float).eps) * self.eigenvalues[-1]
        ends = np.flatnonzero(np.diff(self.eigenvalues) > width) + 1
        bounds = [0, *(int(end) for end in ends), self.eigenvalues.size]
        return tuple(slice(low, high) for low, high in pairwise(bounds))

    def bands(
        self, labels: ArrayLike, *, factor: float = 1.0, least: float = 0.0
    ) -> tuple[slice, ...]:
        """Runs of eigenspaces that hold enough of some labels to be seen, ascending.

        Built from the top: a band is closed once it holds the share `least` of ‖labels‖² and the
        next eigenvalue is at most its largest one divided by `factor`. What is left at the bottom
        with less than that joins the lowest band.

        Args:
            labels: shape (n,), not zero.
            factor: at least 1; with 1 each eigenspace is a band if it holds enough.
            least: in [0, 1].
        """
        energy = self.project(labels) ** 2
        enough = least * float(energy.sum())
        bands: list[slice] = []
        stop = self.eigenvalues.size
        for space in reversed(self.eigenspaces()):
            start = space.start
            full = energy[start:stop].sum() >= enough
            if full and (
                start == 0 or self.eigenvalues[start - 1] <= self.eigenvalues[stop - 1] / factor
            ):
                bands.append(slice(start, stop))
                stop = start
        if stop > 0:
            bands[-1:] = [slice(0, bands[-1].stop if bands else stop)]
        return tuple(reversed(bands))

    def _check_rank(self, rank: int) -> None:
        if not 0 <= rank <= self.eigenvalues.size:
            raise ValueError(f"rank must lie in 0..{self.eigenvalues.size}; got {rank}")


def eigendecomposition(gram: ArrayLike) -> Spectrum:
    """Full eigendecomposition of a symmetric Gram matrix, shape (n, n)."""
    # Divide and conquer keeps eigenvectors of nearly equal eigenvalues orthogonal; the default
    # driver does not.
    values, vectors = eigh(_symmetric(gram), driver="evd")
    return Spectrum(values, vectors)


def lambda_min(gram: ArrayLike) -> float:
    """Smallest eigenvalue of a positive semi-definite matrix, without a full decomposition.

    Shift-invert Lanczos at zero; of an indefinite matrix it finds the eigenvalue nearest to zero.
    A singular matrix, on which the inversion fails, falls back to a dense solver. The result is
    within about n eps λ_max of the true value; smaller ones are zero for all that can be told.
    """
    matrix = _symmetric(gram)
    if matrix.shape[0] > 2:
        # A fixed generic start: a constant vector is orthogonal to every contrast.
        start = np.random.default_rng(0).standard_normal(matrix.shape[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", LinAlgWarning)
                (value,) = eigsh(matrix, k=1, sigma=0.0, v0=start, return_eigenvectors=False)
            return float(value)
        except (ArpackError, LinAlgError, LinAlgWarning, RuntimeError, ValueError):
            pass  # singular to rounding: the inverse does not exist
    (smallest,) = eigvalsh(matrix, subset_by_index=(0, 0))
    return float(smallest)


class SymmetricOperator(Protocol):
    """A symmetric matrix that is known by its products."""

    shape: tuple[int, int]

    def __matmul__(self, vectors: ArrayLike) -> Array:
        """Product with vectors (n,) or (n, k)."""


@dataclass(frozen=True)
class Eigenpairs:
    """Some eigenvalues of a symmetric matrix, with what is known of their error.

    Attributes:
        values: θ, from the extreme one inwards, shape (k,).
        vectors: orthonormal columns v, shape (n, k).
        residuals: ‖Hv − θv‖, shape (k,): within that distance of θ lies an eigenvalue.
    """

    values: Array
    vectors: Array
    residuals: Array


def extreme_eigenpairs(
    operator: SymmetricOperator,
    count: int,
    *,
    end: Literal["largest", "smallest"] = "largest",
    rng: np.random.Generator,
    guess: ArrayLike | None = None,
    tolerance: float = 1e-8,
    iterations: int = 200,
) -> Eigenpairs:
    """Eigenpairs at one end of a spectrum, from products alone (LOBPCG).

    Where the iterations do not suffice, as at the lower end of a dense spectrum, the residuals say
    how near they have come.

    Args:
        operator: H, shape (n, n).
        count: how many, at most n/5.
        end: which.
        rng: draws where to start from.
        guess: columns to start from, shape (n, j) with j <= count, as far as known.
        tolerance: residual that is small enough, in units of the largest of the values.
        iterations: products with blocks of `count` vectors, at most.

    Raises:
        ValueError: for a count out of range.
    """
    size = operator.shape[0]
    if not 1 <= count <= size // 5:
        raise ValueError(f"count must lie in 1..{size // 5}, a fifth of the matrix; got {count}")
    start = rng.standard_normal((size, count))
    if guess is not None:
        known = np.asarray(guess, dtype=float).reshape(size, -1)
        start[:, : known.shape[1]] = known
    start = np.linalg.qr(start)[0]
    scale = float(np.linalg.norm(operator @ start, axis=0).max())
    linear = LinearOperator(
        operator.shape, matvec=operator.__matmul__, matmat=operator.__matmul__, dtype=float
    )
    with warnings.catch_warnings():
        # That it has not converged is said by the residuals.
        warnings.simplefilter("ignore", UserWarning)
        _, vectors = lobpcg(
            linear,
            start,
            tol=tolerance * scale,
            maxiter=iterations,
            largest=end == "largest",
        )
    # Ritz values of an orthonormal basis, and residuals that owe nothing to the solver.
    basis = np.linalg.qr(vectors)[0]
    image = operator @ basis
    values, rotation = eigh(basis.T @ image)
    order = np.argsort(values)[:: -1 if end == "largest" else 1]
    values, rotation = values[order], rotation[:, order]
    vectors = basis @ rotation
    residuals = np.linalg.norm(image @ rotation - vectors * values, axis=0)
    return Eigenpairs(values, vectors, residuals)


@np.errstate(under="ignore")
def retrieved_share(
    spectrum: Spectrum, learning_rate: float, steps: ArrayLike, labels: ArrayLike
) -> Array:
    """Share R_t(z) = zᵀ(I − (I − ηH)^t) z / ‖z‖² of labels z that t steps retrieve.

    Args:
        spectrum: of the Gram matrix H.
        learning_rate: η.
        steps: t, shape (k,).
        labels: z, shape (n,), not zero.

    Returns:
        Shape (k,); within [0, 1] for η λ_max <= 1.

    Reference: docs/theory.md, section 6.
    """
    energy = spectrum.project(labels) ** 2
    if not energy.any():
        raise ValueError("labels must not be all zero: nothing can be retrieved of them")
    kept = (1 - learning_rate * spectrum.eigenvalues) ** np.asarray(steps)[:, None]
    return np.asarray(1 - kept @ energy / energy.sum())

"""Eigenspaces of a Gram matrix, and what training retrieves along them."""

from __future__ import annotations

__all__ = [
    "Eigenpairs",
    "Spectrum",
    "SymmetricOperator",
    "eigendecomposition",
    "eigenvalue_nearest_zero",
    "extreme_eigenpairs",
    "lambda_min",
    "retrieved_share",
]

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, LinAlgWarning, cholesky, eigh, eigvalsh
from scipy.linalg.blas import dtrsv
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from ntk_theory import arguments
from ntk_theory.extreme import Eigenpairs, SymmetricOperator, extreme_eigenpairs

Array = NDArray[np.float64]

_FAILURES = ArpackError, LinAlgError, LinAlgWarning, RuntimeError, ValueError
"""Of an inversion, or of iterations with the inverse."""

_EXACT = 1e-14
"""Relative residual of iterations with the inverse."""

_TIE = 1e-9
"""Relative difference of gaps that rounding may decide."""


def _labels(values: ArrayLike, size: int) -> Array:
    """Numbers of which a share is retrieved, shape (n,): labels of any kind, or their noise."""
    labels = arguments.array(
        "labels", values, (size,), (size, 1), do="give one number for each point"
    ).reshape(-1)
    if not labels.any():
        raise ValueError(
            "labels must not be all zero: nothing can be retrieved of them; "
            f"got {size} zeros; give labels of which one is not 0"
        )
    return np.asarray(labels, dtype=float)


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and orthonormal eigenvectors of a Gram matrix.

    Attributes:
        eigenvalues: ascending, shape (n,).
        eigenvectors: columns, in the same order, shape (n, n).

    Raises:
        ValueError: for other shapes, NaN or infinity.
    """

    eigenvalues: Array
    eigenvectors: Array

    def __post_init__(self) -> None:
        values = arguments.array("eigenvalues", self.eigenvalues, ("n",))
        size = values.size
        vectors = arguments.array(
            "eigenvectors", self.eigenvectors, (size, size), do="give a column for each eigenvalue"
        )
        object.__setattr__(self, "eigenvalues", values)
        object.__setattr__(self, "eigenvectors", vectors)

    def largest_gap(self) -> int:
        """Number of eigenvalues above the largest relative gap: the rank of the information.

        Eigenvalues below n eps λ_max count as equal; 0 if no eigenvalue is above that. Of gaps
        that are equal to rounding the lowest counts.
        """
        if self.eigenvalues[-1] <= 0:
            return 0
        floor = self.eigenvalues.size * np.finfo(float).eps * self.eigenvalues[-1]
        logs = np.log(np.maximum(self.eigenvalues, max(floor, np.finfo(float).tiny)))
        if self.eigenvalues.size == 1:
            return 1
        gaps = np.diff(logs)
        largest = int(np.flatnonzero(gaps >= (1 - _TIE) * gaps.max())[0])
        return int(self.eigenvalues.size) - 1 - largest

    def information(self, rank: int) -> Array:
        """Orthonormal basis of the top `rank` eigenvectors, shape (n, rank)."""
        return self.eigenvectors[:, self.eigenvalues.size - self._checked(rank) :]

    def noise(self, rank: int) -> Array:
        """Orthonormal basis of the rest, shape (n, n − rank)."""
        return self.eigenvectors[:, : self.eigenvalues.size - self._checked(rank)]

    def project(self, values: ArrayLike) -> Array:
        """Coefficients along the eigenvectors of vectors in the last axis, shape (..., n)."""
        given = arguments.vectors("values", values, self.eigenvalues.size)
        return np.asarray(given @ self.eigenvectors)

    def eigenspaces(self) -> tuple[slice, ...]:
        """Runs of eigenvalues that are equal to rounding, 8 n eps max |λ|, ascending.

        The basis within such a run is arbitrary; only the space it spans has a meaning.
        """
        largest = float(np.abs(self.eigenvalues).max())
        width = 8 * self.eigenvalues.size * float(np.finfo(float).eps) * largest
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
            labels: shape (n,) or (n, 1), not zero.
            factor: at least 1; with 1 each eigenspace is a band if it holds enough.
            least: in [0, 1].

        Raises:
            ValueError: for labels of another shape or all zero, or arguments out of range.
        """
        factor = arguments.real(
            "factor", factor, "be at least 1, and finite", lambda x: 1 <= x < np.inf
        )
        least = arguments.real(
            "least", least, "lie in [0, 1]", lambda x: 0 <= x <= 1, why="a share of ‖labels‖²"
        )
        energy = self.project(_labels(labels, self.eigenvalues.size)) ** 2
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

    def _checked(self, rank: int) -> int:
        return arguments.whole("rank", rank, least=0, most=self.eigenvalues.size)


def eigendecomposition(gram: ArrayLike) -> Spectrum:
    """Full eigendecomposition of a symmetric Gram matrix, shape (n, n).

    >>> from ntk_theory import data, kernels
    >>> clusters = data.equicorrelated_clusters(3, 4, ratio=10.0)
    >>> spectrum = eigendecomposition(kernels.ntk_limit(clusters.inputs))
    >>> spectrum.largest_gap(), (spectrum.eigenvalues / spectrum.eigenvalues[0]).round(6)
    (3, array([ 1.,  1.,  1.,  1.,  1.,  1.,  1.,  1.,  1., 10., 10., 10.]))
    """
    # Divide and conquer keeps eigenvectors of nearly equal eigenvalues orthogonal; the default
    # driver does not.
    values, vectors = eigh(arguments.gram_matrix("gram", gram), driver="evd")
    return Spectrum(values, vectors)


def _generic_start(size: int) -> Array:
    """A fixed vector: a constant one would be orthogonal to every contrast."""
    return np.random.default_rng(0).standard_normal(size)


def _factor(matrix: Array, shift: float) -> Array:
    """Upper Cholesky factor of a matrix minus a shift; raises LinAlgError if it has none."""
    shifted = matrix.copy(order="F")
    shifted[np.diag_indices_from(shifted)] -= shift
    return np.asarray(cholesky(shifted, overwrite_a=True, check_finite=False))


def _smallest_above(matrix: Array, shift: float, margin: float) -> float | None:
    """The smallest eigenvalue, if a Cholesky factorisation shows that all are above the shift.

    That none is smaller by a margin than the one found is shown in the same way.
    """
    try:
        factor = _factor(matrix, shift)
        inverse = LinearOperator(
            matrix.shape, lambda v: dtrsv(factor, dtrsv(factor, v, trans=1)), dtype=float
        )
        start = _generic_start(len(matrix))
        (value,) = eigsh(
            matrix, k=1, sigma=shift, OPinv=inverse, v0=start, return_eigenvectors=False, tol=_EXACT
        )
        _factor(matrix, float(value) - margin)
    except _FAILURES:
        return None
    return float(value)


def lambda_min(gram: ArrayLike) -> float:
    """Smallest eigenvalue of a symmetric matrix; fast where it is positive semi-definite.

    Shift-invert Lanczos, at zero or just below it, with the Cholesky factorisation that shows that
    all eigenvalues lie above the shift; a second one shows that none lies below the result. An
    indefinite matrix has neither and falls back to a dense solver, which takes some four times as
    long. The result is within about n eps max |λ| of the true value.

    Args:
        gram: shape (n, n), of either sign.

    Raises:
        ValueError: for a matrix that is not square, finite and symmetric.

    >>> round(lambda_min([[0.0, 2.0], [2.0, 0.0]]), 12)
    -2.0
    """
    matrix = arguments.gram_matrix("gram", gram)
    if len(matrix) > 2:
        margin = len(matrix) * float(np.finfo(float).eps * np.abs(matrix).sum(axis=0).max())
        for shift in (0.0, -margin):
            value = _smallest_above(matrix, shift, margin)
            if value is not None:
                return value
    (smallest,) = eigvalsh(matrix, subset_by_index=(0, 0))
    return float(smallest)


def eigenvalue_nearest_zero(gram: ArrayLike) -> float:
    """Eigenvalue of the least size of a symmetric matrix, with its sign.

    Shift-invert Lanczos at zero; a singular matrix, on which the inversion fails, falls back to a
    dense solver. Of two that are equally near it is either.

    Args:
        gram: shape (n, n), of either sign.

    Raises:
        ValueError: for a matrix that is not square, finite and symmetric.

    >>> round(eigenvalue_nearest_zero(np.diag([-3.0, 0.5, 2.0])), 12)
    0.5
    """
    matrix = arguments.gram_matrix("gram", gram)
    if len(matrix) > 2:
        start = _generic_start(len(matrix))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", LinAlgWarning)
                (value,) = eigsh(matrix, k=1, sigma=0.0, v0=start, return_eigenvectors=False)
            if np.isfinite(value):
                return float(value)
        except _FAILURES:
            pass  # singular to rounding: the inverse does not exist
    values = eigvalsh(matrix)
    return float(values[np.argmin(np.abs(values))])


@np.errstate(under="ignore")
def retrieved_share(
    spectrum: Spectrum, learning_rate: float, steps: ArrayLike, labels: ArrayLike
) -> Array:
    """Share R_t(z) = zᵀ(I − (I − ηH)^t) z / ‖z‖² of labels z that t steps retrieve.

    Args:
        spectrum: of the Gram matrix H.
        learning_rate: η > 0.
        steps: t >= 0, shape (k,); whole numbers where η λ_max > 1.
        labels: z, shape (n,) or (n, 1), not zero.

    Returns:
        Shape (k,); within [0, 1] for η λ_max <= 1.

    Raises:
        ValueError: for an argument of another shape or out of range.

    Reference: docs/theory.md, section 6.1.

    >>> spectrum = eigendecomposition([[1.0, 0.5], [0.5, 1.0]])
    >>> for labels in ([1.0, 1.0], [1.0, -1.0]):
    ...     print(retrieved_share(spectrum, 0.5, [1, 2, 4], labels).round(3))
    [0.75  0.938 0.996]
    [0.25  0.438 0.684]
    """
    if not isinstance(spectrum, Spectrum):
        raise TypeError(
            f"spectrum must be a Spectrum; got {type(spectrum).__name__}; "
            "give spectrum.eigendecomposition(gram)"
        )
    learning_rate = arguments.positive("learning_rate", learning_rate)
    times = arguments.array("steps", steps, ("k",), do="give a list of times")
    if (times < 0).any():
        raise ValueError(f"steps must not be negative; got {times.min():g}; count them from 0 on")
    wanted = _labels(labels, spectrum.eigenvalues.size)
    energy = spectrum.project(wanted / np.abs(wanted).max()) ** 2
    left = 1 - learning_rate * spectrum.eigenvalues
    if left.min() < 0 and (times % 1).any():
        raise ValueError(
            "steps must be whole numbers where learning_rate is above 1/lambda_max: an overshoot "
            f"changes its sign at every step; got {times[times % 1 > 0][0]:g}; round them"
        )
    kept = left ** times[:, None]
    return np.asarray(1 - kept @ energy / energy.sum())

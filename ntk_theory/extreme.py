"""Eigenpairs at one end of a spectrum, from products alone."""

from __future__ import annotations

__all__ = ["Eigenpairs", "SymmetricOperator", "extreme_eigenpairs"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, qr

from ntk_theory import arguments
from ntk_theory.arguments.foreign import is_tensor

Array = NDArray[np.float64]
End = Literal["largest", "smallest"]

_SHAKE = 0.01
"""What is random in a guess."""

_PROBE = 32
"""Lanczos steps of the search for what has been overlooked."""

_BASIS, _LEAST_BASIS = 8, 32
"""Vectors kept for each eigenpair that is looked for, and at least."""

_ASYMMETRY = 1e-4
"""Of products, in units of their norms: float32 leaves some 1e-7."""


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


def _product(operator: SymmetricOperator, vectors: Array) -> Array:
    product = operator @ vectors
    if np.iscomplexobj(product):
        raise TypeError("operator must give real products; got complex ones; take its real part")
    image = np.asarray(product, dtype=float)
    if image.shape != vectors.shape:
        raise ValueError(
            f"operator must map vectors of shape {vectors.shape} to as many; got {image.shape}"
        )
    if not np.isfinite(image).all():
        raise ValueError("operator must give finite products; one holds NaN or infinity")
    return image


def _starting_block(
    size: int, count: int, guess: ArrayLike | None, rng: np.random.Generator
) -> Array:
    """Orthonormal columns in general position, one more than asked for, near a guess."""
    start = rng.standard_normal((size, count + 1)) / np.sqrt(size)
    if guess is not None:
        known = arguments.columns("guess", guess, size, count)
        largest = np.abs(known).max(axis=0, initial=0)
        known = known / np.where(largest > 0, largest, 1)
        norms = np.linalg.norm(known, axis=0)
        columns = start[:, : known.shape[1]]
        columns *= np.where(norms > 0, _SHAKE, 1)
        columns += known / np.where(norms > 0, norms, 1)
    return np.asarray(np.linalg.qr(start)[0])


def _orthonormal(columns: Array, basis: Array) -> Array:
    """Orthonormal basis of what the columns, none of them zero, have outside the span of a basis.

    What is less than 1e-10 of a column is rounding.
    """
    if not columns.size:
        return columns
    rest = columns / np.linalg.norm(columns, axis=0)
    for _ in range(2):
        rest = rest - basis @ (basis.T @ rest)
    vectors, triangle, _ = qr(rest, mode="economic", pivoting=True)
    vectors = vectors[:, np.abs(triangle.diagonal()) > 1e-10]
    return np.asarray(np.linalg.qr(vectors - basis @ (basis.T @ vectors))[0])


def _ritz(basis: Array, image: Array, sign: int) -> tuple[Array, Array]:
    """Ritz values, the most extreme first, and the rotation to their vectors."""
    products = basis.T @ image
    values, rotation = eigh((products + products.T) / 2)
    return values[::-sign], rotation[:, ::-sign]


def _overlooked(
    multiply: Callable[[Array], Array],
    found: Array,
    least: float,
    sign: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Vectors orthogonal to those found, of Rayleigh quotients that are beyond, and their products.

    Lanczos from an independent random vector, fully orthogonalised.
    """
    chain, images = found[:, :0], found[:, :0]
    vector = rng.standard_normal((len(found), 1))
    for _ in range(_PROBE):
        vector = _orthonormal(vector, np.hstack([found, chain])) if vector.any() else vector[:, :0]
        if not vector.size:
            break
        product = multiply(vector)
        chain, images = np.hstack([chain, vector]), np.hstack([images, product])
        vector = product
    if not chain.size:
        return chain, images
    values, rotation = _ritz(chain, images, sign)
    beyond = rotation[:, sign * values > sign * least][:, : found.shape[1]]
    return chain @ beyond, images @ beyond


def _size_of(operator: SymmetricOperator) -> int:
    shape = getattr(operator, "shape", None)
    if not isinstance(shape, tuple) or not hasattr(operator, "__matmul__"):
        raise TypeError(
            f"operator must have a shape and products; got {type(operator).__name__}; "
            "give an array, or a KernelOperator"
        )
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(
            f"operator must be square; got the shape {tuple(shape)}; "
            "give the kernel of points with themselves"
        )
    return int(shape[0])


def extreme_eigenpairs(
    operator: SymmetricOperator,
    count: int,
    *,
    end: End = "largest",
    rng: np.random.Generator,
    guess: ArrayLike | None = None,
    tolerance: float = 1e-8,
    iterations: int = 200,
) -> Eigenpairs:
    """Eigenpairs at one end of a spectrum, from products alone (block Lanczos, thick restarts).

    Where the iterations do not suffice, as at the lower end of a dense spectrum, the residuals say
    how near they have come. That a residual is small says only that there is such an eigenvalue;
    that it is the extreme one, two other things say. The search starts in general position: a guess
    gets a hundredth of random columns, so that no invariant subspace holds it. And before anything
    is returned, 32 steps of Lanczos from another random vector, orthogonal to what was found, look
    for a Rayleigh quotient that is more extreme by the tolerance; from one that is, the search goes
    on. An eigenvalue beyond the last one found by more than a tenth of the width of the spectrum is
    overlooked by these alone with a probability of at most 1.65 √n exp(−63/√10) < 4e-9 √n
    (Kuczyński and Woźniakowski 1992, theorem 4.1), whatever the operator and the guess.

    Args:
        operator: H, shape (n, n).
        count: how many, at most n/5.
        end: which.
        rng: draws where to start from, and where to look for what has been overlooked.
        guess: columns to start from, shape (n,) or (n, j) with j <= count, as far as known.
        tolerance: residual that is small enough, in units of the largest of the values.
        iterations: products with blocks of `count` vectors and with single ones, at most, but for
            those that look for what has been overlooked.

    Raises:
        ValueError: for an argument out of range or of another shape, and for an operator that is
            not symmetric or has products that are not finite.

    >>> found = extreme_eigenpairs(np.diag(np.arange(50.0)), 2, rng=np.random.default_rng(0))
    >>> found.values.round(6), bool(found.residuals.max() < 1e-6)
    (array([49., 48.]), True)
    """
    if isinstance(operator, list | tuple | np.ndarray) or is_tensor(operator):
        matrix = arguments.gram_matrix("operator", cast(ArrayLike, operator))
        operator = cast(SymmetricOperator, matrix)
    size = _size_of(operator)
    if size < 5:
        raise ValueError(
            f"operator must be of at least 5 dimensions; got {size}; take the eigendecomposition"
        )
    count = arguments.whole(
        "count",
        count,
        least=1,
        most=size // 5,
        why="a fifth of the matrix; for more, take the eigendecomposition",
    )
    sign = 1 if arguments.choice("end", end, get_args(End)) == "largest" else -1
    rng = arguments.generator("rng", rng)
    tolerance = arguments.positive("tolerance", tolerance)
    iterations = arguments.whole("iterations", iterations, least=1)
    limit = min(size, max(_BASIS * count, _LEAST_BASIS))

    def multiply(vectors: Array) -> Array:
        return _product(operator, vectors) / unit

    basis = _starting_block(size, count, guess, rng)
    image = _product(operator, basis)
    # In units of its size, so that no square is beyond the numbers; a power of two rounds nothing.
    unit = float(2.0 ** np.floor(np.log2(np.abs(image).max()))) if image.any() else 1.0
    image = image / unit
    scale = float(np.linalg.norm(image, axis=0).max())
    products = basis.T @ image
    if np.abs(products - products.T).max() > _ASYMMETRY * scale:
        raise ValueError("operator must be symmetric; u · Hv and v · Hu differ")
    used, ended = 1, False
    while True:
        values, rotation = _ritz(basis, image, sign)
        vectors, images = basis @ rotation[:, :count], image @ rotation[:, :count]
        if ended:
            break
        scale = max(scale, float(np.abs(values).max()))
        allowed = (tolerance + 8 * size * float(np.finfo(float).eps)) * scale
        apart = images - vectors * values[:count]
        fresh = _orthonormal(apart[:, np.linalg.norm(apart, axis=0) > allowed], basis)
        if fresh.size and used < iterations:
            product = multiply(fresh)
            used += 1
            if basis.shape[1] + fresh.shape[1] > limit:
                kept = rotation[:, : limit // 2]
                basis, image = basis @ kept, image @ kept
        else:
            least = values[count - 1] + sign * allowed
            fresh, product = _overlooked(multiply, vectors, least, sign, rng)
            if not fresh.size:
                break
            # They are orthogonal to the vectors found, not to the rest of the basis.
            basis, image, ended = vectors, images, used >= iterations
            used += 1  # else what only rounding puts beyond could keep it going
        basis, image = np.hstack([basis, fresh]), np.hstack([image, product])
    # Ritz values of an orthonormal basis, and residuals that owe nothing to the search.
    basis = np.linalg.qr(vectors)[0]
    image = multiply(basis)
    values, rotation = _ritz(basis, image, sign)
    vectors = basis @ rotation
    residuals = np.linalg.norm(image @ rotation - vectors * values, axis=0)
    return Eigenpairs(values * unit, vectors, residuals * unit)

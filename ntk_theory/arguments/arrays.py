"""Finite real arrays of the right shape, whatever layout they come in."""

from __future__ import annotations

__all__ = [
    "array",
    "columns",
    "fits",
    "gram_matrix",
    "in_precision",
    "numbers_of",
    "rows",
    "tensor",
    "vectors",
]

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.arguments.foreign import article, is_tensor, of_tensor

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
Rows = NDArray[np.floating]

_TOGETHER = 2**20
"""Numbers whose finiteness is looked at together: it takes a byte each."""

_SYMMETRIC = 1e-8
"""Difference of a Gram matrix from its transpose, over its largest entry, that may be rounding."""


def _plain(name: str, value: Any) -> Any:
    """The same without tensors and masks, before it is looked at."""
    if is_tensor(value):
        return of_tensor(name, value)
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise ValueError(
                f"{name} must hold a number everywhere; got masked entries; fill or drop them"
            )
        return value.data
    if isinstance(value, list | tuple) and any(
        isinstance(part, list | tuple | np.ma.MaskedArray) or is_tensor(part) for part in value
    ):
        return [_plain(name, part) for part in value]
    return value


def _kind_of(value: object) -> str:
    """In words, for what came."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return article(type(value).__name__)


def _of_objects(name: str, given: NDArray[Any]) -> Array:
    """Float64 from an array of Python's numbers, as pandas makes them."""
    values = np.empty(given.shape)
    for place, one in np.ndenumerate(given):
        if not isinstance(one, numbers.Real | np.number | np.bool_ | numbers.Number):
            where = f" at {place}" if place else ""
            raise TypeError(
                f"{name} must hold real numbers; got {_kind_of(one)}{where}; "
                "give an array or a list of numbers"
            )
        try:
            values[place] = float(one)  # type: ignore[arg-type]
        except OverflowError:
            values[place] = math.inf
        except TypeError:
            raise TypeError(
                f"{name} must hold real numbers; got the complex number {one}; take its real part"
            ) from None
    return values


def numbers_of(name: str, values: Any) -> NDArray[Any]:
    """An array of numbers of some kind, as it is."""
    try:
        given = np.asarray(_plain(name, values))
    except (ValueError, TypeError) as wrong:
        if str(wrong).startswith(f"{name} must "):
            raise
        raise ValueError(
            f"{name} must be an array of numbers; got parts of different lengths or kinds; give "
            "as many numbers in every row"
        ) from None
    if given.dtype.kind == "O":
        return _of_objects(name, given)
    if given.dtype.kind == "c":
        raise TypeError(
            f"{name} must hold real numbers; got complex ones ({given.dtype}); take .real"
        )
    if given.dtype.kind not in "biuf":
        what = "text" if given.dtype.kind in "US" else str(given.dtype)
        raise TypeError(f"{name} must hold real numbers; got {what}; convert it to numbers")
    return given


def _chunks(values: Rows) -> Iterator[Rows]:
    flat = values.reshape(-1)
    for start in range(0, flat.size, _TOGETHER):
        yield flat[start : start + _TOGETHER]


def _check_finite(name: str, values: Rows, unrounded: NDArray[Any] | None = None) -> None:
    """Refuse NaN and infinity; what was finite before it was rounded is out of range."""
    if all(np.isfinite(part).all() for part in _chunks(values)):
        return
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    came = values[place] if unrounded is None else unrounded[place]
    where = f" at {place}" if place else ""
    if unrounded is not None and np.isfinite(came):
        raise ValueError(
            f"{name} must be finite in {values.dtype}; got {came}{where}, beyond its largest number"
            f" {np.finfo(values.dtype).max:.3g}; scale {name} down"
        )
    raise ValueError(
        f"{name} must be finite; got {came}{where}; remove or replace NaN and infinity"
    )


def fits(shape: tuple[int, ...], wanted: Sequence[int | str]) -> bool:
    """Whether a shape is that: a number is a length, a word any length from 1 on."""
    return len(shape) == len(wanted) and all(
        size == one if isinstance(one, int) else size > 0
        for size, one in zip(shape, wanted, strict=True)
    )


def _written(wanted: Sequence[int | str]) -> str:
    return f"({', '.join(str(one) for one in wanted)}{',' if len(wanted) == 1 else ''})"


def array(
    name: str,
    values: ArrayLike,
    *shapes: Sequence[int | str],
    single: bool = False,
    do: str = "",
) -> Rows:
    """Finite real numbers of one of some shapes, in C order.

    Args:
        name: of the argument, for refusals.
        values: what came.
        shapes: the shapes that it may have; a number is a length, a word any length from 1 on.
        single: keep float32; everything else becomes float64.
        do: what to do about a wrong shape.

    Returns:
        float64, or float32; a view of `values` where nothing had to change. It may be read-only.

    Raises:
        TypeError: for what holds no real numbers.
        ValueError: for a wrong shape, NaN, infinity, masked entries, rows of different lengths.
    """
    given = numbers_of(name, values)
    if not any(fits(given.shape, wanted) for wanted in shapes):
        wished = " or ".join(_written(wanted) for wanted in shapes)
        what = "a number" if given.ndim == 0 else f"the shape {given.shape}"
        advice = do or ("give at least one" if 0 in given.shape else "reshape or cut it")
        raise ValueError(f"{name} must have the shape {wished}; got {what}; {advice}")
    is_single = given.dtype.kind == "f" and given.dtype.itemsize == 4
    precision = np.float32 if single and is_single else np.float64
    with np.errstate(all="ignore"):
        kept: Rows = np.require(given, precision, ["C_CONTIGUOUS", "ALIGNED"])
    if any(step < 0 for step in kept.strides):  # of an axis of length 1, which torch minds
        kept = kept.copy()
    _check_finite(name, kept, given)
    return kept


def rows(name: str, values: ArrayLike, features: int | None = None) -> Rows:
    """Points, one in each row: a finite matrix in float32, if it came so, or float64.

    Args:
        name: of the argument.
        values: what came, shape (points, features).
        features: how many there must be; any number when left out.
    """
    given = numbers_of(name, values)
    if given.ndim != 2 or 0 in given.shape:
        one = given.ndim == 1 and given.size > 0
        raise ValueError(
            f"{name} must be a non-empty matrix (points, features); got "
            f"{'a number' if given.ndim == 0 else f'the shape {given.shape}'}; "
            + (f"for a single point give {name}[None, :]" if one else "give a point in each row")
        )
    if features is not None and given.shape[1] != features:
        turned = given.shape[0] == features
        raise ValueError(
            f"{name} must have {features} features, the shape (points, {features}); "
            f"got the shape {given.shape}; give "
            + (f"its transpose {name}.T" if turned else "the features that the others have")
        )
    return array(name, given, ("points", "features"), single=True)


def in_precision(name: str, values: Rows, dtype: str) -> Rows:
    """Rows rounded to a precision that holds them; refused if it does not.

    Args:
        name: of the argument.
        values: finite rows, shape (n, d).
        dtype: "float32" or "float64".
    """
    if values.dtype == dtype:
        return values
    with np.errstate(all="ignore"):
        rounded = values.astype(dtype)
    _check_finite(name, rounded, values)
    if rounded.dtype.itemsize < values.dtype.itemsize:
        tiny = np.finfo(rounded.dtype).tiny
        sizes = np.maximum(values.max(axis=1), -values.min(axis=1))
        lost = np.flatnonzero((sizes > 0) & (sizes < tiny))
        if lost.size:
            raise ValueError(
                f"{name} must hold rows that {dtype} tells from zero; got entries of at most "
                f"{sizes[lost[0]]:.3g} in row {lost[0]}; scale {name} up"
            )
    return rounded


def vectors(name: str, values: ArrayLike, size: int) -> Array:
    """Finite vectors of one length in the last axis, however many, shape (..., n).

    Args:
        name: of the argument.
        values: what came.
        size: n.
    """
    given = numbers_of(name, values)
    if given.shape[-1:] != (size,):
        came = "a number" if given.ndim == 0 else f"the shape {given.shape}"
        turned = given.ndim == 2 and given.shape[0] == size
        raise ValueError(
            f"{name} must have the shape (..., {size}); got {came}; "
            + (f"give {name}.T" if turned else "give a number for each point in the last axis")
        )
    flat = given.reshape(-1, size)
    kept = array(name, flat, flat.shape) if flat.size else np.empty(flat.shape)
    return np.asarray(kept, dtype=float).reshape(given.shape)


def columns(name: str, values: ArrayLike, size: int, most: int) -> Array:
    """Finite columns, shape (n, j): a vector (n,) is one of them.

    Args:
        name: of the argument.
        values: what came.
        size: n.
        most: the largest j.
    """
    given = numbers_of(name, values)
    wide = given[:, None] if given.ndim == 1 else given
    if wide.ndim != 2 or wide.shape[0] != size or wide.shape[1] > most:
        came = "a number" if given.ndim == 0 else f"the shape {given.shape}"
        raise ValueError(
            f"{name} must hold columns, shape ({size}, j) with j <= {most}; got {came}; "
            "give a number for each point in each of them"
        )
    kept = array(name, wide, wide.shape) if wide.size else np.empty(wide.shape)
    return np.asarray(kept, dtype=float)


def gram_matrix(name: str, values: ArrayLike) -> Array:
    """A finite, symmetric matrix in float64, shape (n, n)."""
    given = numbers_of(name, values)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or given.size == 0:
        raise ValueError(
            f"{name} must be square and non-empty; got shape {given.shape}; "
            "give the kernel of the training points with themselves"
        )
    matrix = np.asarray(array(name, given, ("n", "n")), dtype=float)
    if _asymmetry(matrix) > _SYMMETRIC * float(max(matrix.max(), -matrix.min())):
        raise ValueError(
            f"{name} must be symmetric; got entries that differ from the transposed ones; "
            "use the train/train block"
        )
    return matrix


def _asymmetry(matrix: Array) -> float:
    """Largest difference from the transpose, a few rows at a time."""
    height = max(1, _TOGETHER // len(matrix))
    with np.errstate(all="ignore"):
        return max(
            float(np.abs(matrix[i : i + height] - matrix[:, i : i + height].T).max())
            for i in range(0, len(matrix), height)
        )


def tensor(
    values: NDArray[Any],
    dtype: torch.dtype | None = None,
    where: str | torch.device = "cpu",
) -> torch.Tensor:
    """A checked array as torch takes it; it shares memory where it can, and is then to be read.

    Args:
        values: what a function of this module returned.
        dtype: precision; that of the array when left out.
        where: device.
    """
    import torch

    if not values.flags.writeable:  # which torch would warn of
        values = values.copy()
    return torch.from_numpy(values).to(device=where, dtype=dtype)

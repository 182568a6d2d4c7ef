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
    "whole",
    "wholes",
]

import math
import numbers
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
Rows = NDArray[np.floating]
Integers = NDArray[np.int64]
TargetKind = Literal["any", "hard"]
"""Of targets: any numbers that are no class numbers, or ±1 and one-hot rows alone."""

_Word = TypeVar("_Word", bound=str)

_TOGETHER = 2**20
"""Numbers whose finiteness is looked at together: it takes a byte each."""

_SYMMETRIC = 1e-8
"""Difference of a Gram matrix from its transpose, over its largest entry, that may be rounding."""

# ---------------------------------------------------------------- arrays


def _is_tensor(value: object) -> bool:
    """Whether it is torch's, found without loading torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _of_tensor(name: str, value: Any) -> NDArray[Any]:
    """A tensor's numbers: off its device, off its graph."""
    if value.layout is not sys.modules["torch"].strided:
        raise TypeError(f"{name} must be dense; got a sparse tensor; give {name}.to_dense()")
    if value.is_meta:
        raise TypeError(f"{name} must hold numbers; got a tensor on the device 'meta', which none")
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if plain.is_floating_point() and plain.element_size() < 4:  # bfloat16 is none of numpy's
        plain = plain.double()
    return np.asarray(plain.numpy())


def _plain(name: str, value: Any) -> Any:
    """The same without tensors and masks, before it is looked at."""
    if _is_tensor(value):
        return _of_tensor(name, value)
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise ValueError(
                f"{name} must hold a number everywhere; got masked entries; fill or drop them"
            )
        return value.data
    if isinstance(value, list | tuple) and any(
        isinstance(part, list | tuple | np.ma.MaskedArray) or _is_tensor(part) for part in value
    ):
        return [_plain(name, part) for part in value]
    return value


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"


def _kind_of(value: object) -> str:
    """In words, for what came."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return _article(type(value).__name__)


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


def _numbers(name: str, values: Any) -> NDArray[Any]:
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


def _fits(shape: tuple[int, ...], wanted: Sequence[int | str]) -> bool:
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
    given = _numbers(name, values)
    if not any(_fits(given.shape, wanted) for wanted in shapes):
        wished = " or ".join(_written(wanted) for wanted in shapes)
        what = "a number" if given.ndim == 0 else f"the shape {given.shape}"
        advice = do or ("give at least one" if 0 in given.shape else "reshape or cut it")
        raise ValueError(f"{name} must have the shape {wished}; got {what}; {advice}")
    precision = np.float32 if single and given.dtype == np.float32 else np.float64
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
    given = _numbers(name, values)
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


def gram_matrix(name: str, values: ArrayLike) -> Array:
    """A finite, symmetric matrix in float64, shape (n, n)."""
    given = _numbers(name, values)
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


# ---------------------------------------------------------------- labels


def _as_columns(name: str, given: NDArray[Any], points: int | None, outputs: int | None) -> Any:
    """Targets as (n, C), if they fit."""
    if given.ndim == 1 and outputs not in (None, 1):
        raise ValueError(
            f"{name} must be rows of {outputs} numbers, one for each output; got one number a "
            f"point, the shape {given.shape}; of class numbers give np.eye({outputs})[{name}]"
        )
    columns = given[:, None] if given.ndim == 1 else given
    size, width = "n" if points is None else points, "C" if outputs is None else outputs
    if given.ndim not in (1, 2) or 0 in given.shape:
        fits = False
    else:
        fits = points in (None, len(columns)) and outputs in (None, columns.shape[1])
    if not fits:
        turned = given.ndim == 2 and _fits(given.T.shape, (size, width)) and points is not None
        wanted = f"({size},) or ({size}, 1)" if outputs == 1 else f"({size}, {width})"
        if outputs is None:
            wanted = f"({size},) or {wanted}"
        raise ValueError(
            f"{name} must give one label for each input, as wide as the output: the shape "
            f"{wanted}; got {'a number' if given.ndim == 0 else f'the shape {given.shape}'}; "
            + (f"give its transpose {name}.T" if turned else "give labels of these inputs")
        )
    return columns


def targets(
    name: str,
    values: ArrayLike,
    *,
    points: int | None = None,
    outputs: int | None = None,
    kind: TargetKind = "any",
) -> Array:
    """Labels of points, shape (n, C), with C = 1 for labels of shape (n,) or (n, 1).

    The rule: labels of one output are ±1, and any other real numbers are taken where outputs are
    fitted to them or compared with them, as a student's to a teacher's. What looks like class
    numbers is refused, since training would fit the numbers: truth values, and whole numbers >= 0
    of which two differ, as 0 and 1. Labels of C > 1 outputs are rows of C numbers, one-hot or soft.
    Where predictions are hardened ("hard"), labels must be hard, too: ±1, or one-hot rows.

    Args:
        name: of the argument.
        values: what came: (n,), (n, 1) or (n, C).
        points: n, if it is known.
        outputs: C, if it is known.
        kind: whether the labels must be hard.
    """
    given = _numbers(name, values)
    columns = np.asarray(
        array(name, _as_columns(name, given, points, outputs), ("n", "C")), dtype=float
    )
    if columns.shape[1] == 1:
        _check_signs(name, columns, given.dtype.kind == "b", kind)
    elif kind == "hard":
        _check_one_hot(name, columns)
    return columns


def _check_one_hot(name: str, columns: Array) -> None:
    wrong = ((columns != 0) & (columns != 1)).any(axis=1) | (columns.sum(axis=1) != 1)
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    raise ValueError(
        f"{name} must be one-hot rows, one 1 and else 0, as hard predictions are; "
        f"got {columns[row].tolist()} in row {row}; give np.eye(C)[classes]"
    )


def _check_signs(name: str, columns: Array, truth: bool, kind: TargetKind) -> None:
    """Refuse class numbers in place of ±1, and where labels must be hard whatever is not ±1."""
    low, high = float(columns.min()), float(columns.max())
    if truth or (low >= 0 and low < high and (columns == np.floor(columns)).all()):
        if high <= 1:
            way = f"give 2 * {name} - 1, or data.encode({name}, 2)"
        else:
            way = f"give data.encode({name}, classes) and a net with an output for each class"
        seen = "truth values" if truth else f"class numbers from {low:g} to {high:g}"
        raise ValueError(f"{name} must be +1 or -1 for one output; got {seen}; {way}")
    if kind == "hard" and not (np.abs(columns) == 1).all():
        other = float(columns[np.abs(columns) != 1][0])
        raise ValueError(
            f"{name} must be +1 or -1 for one output, as signs of predictions are; got {other}; "
            f"give np.sign({name}), of class numbers 2 * {name} - 1"
        )


def class_numbers(
    name: str, values: ArrayLike, *, classes: int | None = None, points: int | None = None
) -> Integers:
    """Class of each point, 0..C−1, shape (n,) as int64.

    Args:
        name: of the argument.
        values: what came, (n,) or (n, 1).
        classes: C; when left out, any number of classes.
        points: n, if it is known.
    """
    size: int | str = "n" if points is None else points
    given = _numbers(name, values)
    truth = given.dtype.kind == "b"
    numbers_ = array(name, given, (size,), (size, 1)).reshape(-1)
    bound = "..." if classes is None else f", ..., {classes - 1}"
    wrong = (numbers_ < 0) | (numbers_ != np.floor(numbers_))
    if classes is not None:
        wrong |= numbers_ >= classes
    if truth or wrong.any():
        signs = not truth and set(np.unique(numbers_)) <= {-1.0, 1.0}
        came = "truth values" if truth else f"{numbers_[wrong][0]:g}"
        way = "number the classes from 0 on"
        if signs:
            way = f"of labels +1 and -1 give ({name} < 0).astype(int): +1 is class 0, -1 class 1"
        elif truth:
            way = f"give {name}.astype(int)"
        raise ValueError(f"{name} must be class numbers 0, 1{bound}; got {came}; {way}")
    return numbers_.astype(np.int64)


# ---------------------------------------------------------------- numbers, one by one


def _dimensions(value: object) -> int:
    return int(getattr(value, "ndim", None) or 0)


def _index(value: object) -> int | None:
    """A whole number of any integer kind, or None: truth values and floats are none."""
    dtype = str(getattr(value, "dtype", ""))
    if isinstance(value, bool | np.bool_) or "bool" in dtype or _dimensions(value):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, RuntimeError, ValueError):
        return None


def _came(value: object) -> str:
    """What came, short enough for a line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{_article(type(value).__name__)} {text[:50]}..."


def whole(
    name: str, value: Any, *, least: int | None = None, most: int | None = None, why: str = ""
) -> int:
    """A whole number of any integer kind, within bounds; no truth value, no float.

    Args:
        name: of the argument.
        value: what came.
        least: smallest that is taken.
        most: largest that is taken.
        why: reason for the bounds, in words.
    """
    number = _index(value)
    if number is None:
        way = f"give int({name})" if isinstance(value, float | np.floating) else "give an int"
        raise TypeError(f"{name} must be a whole number; got {_came(value)}; {way}")
    if (least is not None and number < least) or (most is not None and number > most):
        if most is None:
            range_ = f"be at least {least}"
        else:
            range_ = f"lie in {'' if least is None else least}..{most}"
        reason = f" ({why})" if why else ""
        raise ValueError(f"{name} must {range_}{reason}; got {number}")
    return number


def wholes(
    name: str, values: Any, *, least: int | None = None, most: int | None = None, why: str = ""
) -> tuple[int, ...]:
    """Whole numbers of any integer kind, at least one: a list, range, array or tensor of them.

    Args:
        name: of the argument.
        values: what came.
        least: smallest that is taken.
        most: largest that is taken.
        why: reason for the bounds, in words.
    """
    if _index(values) is not None:
        raise TypeError(f"{name} must be several whole numbers; got {values}; give [{values}]")
    if _is_tensor(values):
        values = _of_tensor(name, values)
    if isinstance(values, str | bytes | dict) or (hasattr(values, "ndim") and values.ndim != 1):
        raise TypeError(
            f"{name} must be a list of whole numbers; got {_came(values)}; give a list of ints"
        )
    try:
        every = list(values)
    except TypeError:
        raise TypeError(
            f"{name} must be a list of whole numbers; got {_came(values)}; give a list of ints"
        ) from None
    if not every:
        raise ValueError(f"{name} must not be empty; got no number; give at least one")
    return tuple(whole(name, one, least=least, most=most, why=why) for one in every)


def seeds(name: str, values: Any) -> tuple[int, ...]:
    """Seeds of torch's generator on the processor: 0..2^32 − 1, it tells no more apart."""
    return wholes(
        name, values, least=0, most=2**32 - 1, why="torch's CPU generator tells no more apart"
    )


def real(
    name: str,
    value: Any,
    must: str = "be finite",
    holds: Callable[[float], bool] = math.isfinite,
    why: str = "",
) -> float:
    """A real number of any kind for which something holds; no truth value, no text.

    Args:
        name: of the argument.
        value: what came: a number, or an array or tensor of no dimension.
        must: what must hold, in words that go on "must".
        holds: whether it does; NaN is refused whatever it says.
        why: reason, in words.
    """
    found = number(name, value)
    if math.isnan(found) or not holds(found):
        reason = f", {why}" if why else ""
        raise ValueError(f"{name} must {must}{reason}; got {found}")
    return found


def _real(value: Any) -> float | None:
    dtype = str(getattr(value, "dtype", ""))
    if isinstance(value, bool | np.bool_ | str | bytes) or "bool" in dtype or "complex" in dtype:
        return None
    if _dimensions(value) or "U" in dtype:
        return None
    try:
        if _is_tensor(value):
            return float(value.detach())
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError, RuntimeError):
        return None


def number(name: str, value: Any) -> float:
    """A real number of any kind, NaN and infinity included, for a caller that looks at them."""
    found = _real(value)
    if found is None:
        raise TypeError(f"{name} must be a real number; got {_came(value)}; give a number, as 0.5")
    return found


def positive(name: str, value: Any) -> float:
    """A real number that is positive and finite."""
    return real(name, value, "be positive and finite", lambda x: 0 < x < math.inf)


def flag(name: str, value: Any) -> bool:
    """True or False, Python's or numpy's."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {_came(value)}")
    return bool(value)


# ---------------------------------------------------------------- choices


def choice(name: str, value: Any, allowed: Sequence[_Word]) -> _Word:
    """One of some words."""
    for word in allowed:
        if isinstance(value, str) and value == word:
            return word
    *others, last = (repr(word) for word in allowed)
    words = f"{', '.join(others)} or {last}" if others else last
    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"{name} must be {words}; got {_came(value)}")


def precision(name: str, value: Any) -> Literal["float32", "float64"]:
    """The name of a precision, of that name or of the dtype of torch or numpy."""
    word = value if isinstance(value, str) else str(value).removeprefix("torch.")
    if isinstance(value, type) and issubclass(value, np.floating):
        word = value.__name__
    for one in ("float32", "float64"):
        if word == one:
            return one
    raise ValueError(f"{name} must be 'float32' or 'float64'; got {_came(value)}; give one of them")


def generator(name: str, value: Any) -> np.random.Generator:
    """A random generator of numpy; a seed is none."""
    if isinstance(value, np.random.Generator):
        return value
    number = _index(value)
    way = f"np.random.default_rng({number if number is not None else 'seed'})"
    raise TypeError(f"{name} must be a numpy.random.Generator; got {_came(value)}; give {way}")


def device(name: str, value: Any) -> torch.device:
    """A device that torch knows and that is there."""
    import torch

    try:
        found = torch.device(value)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"{name} must be 'cpu' or 'cuda', the device of torch; got {_came(value)}; "
            "give 'cuda' for a GPU"
        ) from None
    if found.type == "cpu":
        return found
    if found.type != "cuda":
        raise ValueError(f"{name} must be 'cpu' or 'cuda'; got {_came(value)}; give one of these")
    if not torch.cuda.is_available():
        raise ValueError(
            f"{name} must be there; got {str(found)!r}, but torch finds no CUDA; give 'cpu'"
        )
    if found.index is not None and found.index >= torch.cuda.device_count():
        raise ValueError(
            f"{name} must be there; got {str(found)!r} of {torch.cuda.device_count()} GPUs; "
            "give a smaller number"
        )
    return found

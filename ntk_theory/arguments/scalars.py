"""Numbers one by one, and choices among words."""

from __future__ import annotations

__all__ = [
    "came",
    "choice",
    "device",
    "flag",
    "generator",
    "index",
    "number",
    "positive",
    "precision",
    "real",
    "seeds",
    "whole",
    "wholes",
]

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from ntk_theory.arguments.foreign import article, is_tensor, of_tensor

if TYPE_CHECKING:
    import torch

_Word = TypeVar("_Word", bound=str)


def _dimensions(value: object) -> int:
    return int(getattr(value, "ndim", None) or 0)


def index(value: object) -> int | None:
    """A whole number of any integer kind, or None: truth values and floats are none."""
    dtype = str(getattr(value, "dtype", ""))
    if isinstance(value, bool | np.bool_) or "bool" in dtype or _dimensions(value):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, RuntimeError, ValueError):
        return None


def came(value: object) -> str:
    """What came, short enough for a line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{article(type(value).__name__)} {text[:50]}..."


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
    number = index(value)
    if number is None:
        way = f"give int({name})" if isinstance(value, float | np.floating) else "give an int"
        raise TypeError(f"{name} must be a whole number; got {came(value)}; {way}")
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
    if index(values) is not None:
        raise TypeError(f"{name} must be several whole numbers; got {values}; give [{values}]")
    if is_tensor(values):
        values = of_tensor(name, values)
    if isinstance(values, str | bytes | dict) or (hasattr(values, "ndim") and values.ndim != 1):
        raise TypeError(
            f"{name} must be a list of whole numbers; got {came(values)}; give a list of ints"
        )
    try:
        every = list(values)
    except TypeError:
        raise TypeError(
            f"{name} must be a list of whole numbers; got {came(values)}; give a list of ints"
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
        if is_tensor(value):
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
        raise TypeError(f"{name} must be a real number; got {came(value)}; give a number, as 0.5")
    return found


def positive(name: str, value: Any) -> float:
    """A real number that is positive and finite."""
    return real(name, value, "be positive and finite", lambda x: 0 < x < math.inf)


def flag(name: str, value: Any) -> bool:
    """True or False, Python's or numpy's."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {came(value)}")
    return bool(value)


def choice(name: str, value: Any, allowed: Sequence[_Word]) -> _Word:
    """One of some words."""
    for word in allowed:
        if isinstance(value, str) and value == word:
            return word
    *others, last = (repr(word) for word in allowed)
    words = f"{', '.join(others)} or {last}" if others else last
    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"{name} must be {words}; got {came(value)}")


def precision(name: str, value: Any) -> Literal["float32", "float64"]:
    """The name of a precision, of that name or of the dtype of torch or numpy."""
    word = value if isinstance(value, str) else str(value).removeprefix("torch.")
    if isinstance(value, type) and issubclass(value, np.floating):
        word = value.__name__
    for one in ("float32", "float64"):
        if word == one:
            return one
    raise ValueError(f"{name} must be 'float32' or 'float64'; got {came(value)}; give one of them")


def generator(name: str, value: Any) -> np.random.Generator:
    """A random generator of numpy; a seed is none."""
    if isinstance(value, np.random.Generator):
        return value
    number = index(value)
    way = f"np.random.default_rng({number if number is not None else 'seed'})"
    raise TypeError(f"{name} must be a numpy.random.Generator; got {came(value)}; give {way}")


def device(name: str, value: Any) -> torch.device:
    """A device that torch knows and that is there."""
    import torch

    try:
        found = torch.device(value)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"{name} must be 'cpu' or 'cuda', the device of torch; got {came(value)}; "
            "give 'cuda' for a GPU"
        ) from None
    if found.type == "cpu":
        return found
    if found.type != "cuda":
        raise ValueError(f"{name} must be 'cpu' or 'cuda'; got {came(value)}; give one of these")
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

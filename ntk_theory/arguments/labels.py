"""Labels of points: targets of training, and class numbers."""

from __future__ import annotations

__all__ = ["TargetKind", "class_numbers", "targets"]

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.arguments.arrays import array, fits, numbers_of

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
TargetKind = Literal["any", "hard"]
"""Of targets: any numbers that are no class numbers, or ±1 and one-hot rows alone."""


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
        right = False
    else:
        right = points in (None, len(columns)) and outputs in (None, columns.shape[1])
    if not right:
        turned = given.ndim == 2 and fits(given.T.shape, (size, width)) and points is not None
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
    given = numbers_of(name, values)
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
    given = numbers_of(name, values)
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

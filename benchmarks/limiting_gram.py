"""Limiting Gram matrix of both layers in float32, against a symmetric product and scikit-ntk."""

from __future__ import annotations

__all__ = ["measure"]

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Contender, Entry, compare, whole
from ntk_theory import kernels

_SHAPES = ((2000, 64), (5000, 64), (2000, 3072))


def _near_parallel(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of which every other one is a copy of the one before, turned by 1e-4."""
    rng = np.random.default_rng(1)
    rows = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    other = rng.standard_normal(rows[::2].shape)
    other -= (other * rows[::2]).sum(axis=1, keepdims=True) * rows[::2]
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    rows[1::2] = np.cos(1e-4) * rows[::2] + np.sin(1e-4) * other
    return np.asarray(rows)


def _accuracy(inputs: NDArray[np.float64]) -> dict[str, float]:
    """Errors on the diagonal and between near-parallel rows, against half angles in long double."""
    rows = _near_parallel(inputs[:200])
    left, right = rows[::2].astype(np.longdouble), rows[1::2].astype(np.longdouble)
    sizes = [np.sqrt(np.square(part).sum(axis=1)) for part in (left, right)]
    units = left / sizes[0][:, None], right / sizes[1][:, None]
    apart, together = (
        np.sqrt(np.square(units[0] + sign * units[1]).sum(axis=1)) for sign in (-1, 1)
    )
    theta, opposite = 2 * np.arctan2(apart, together), 2 * np.arctan2(together, apart)
    pi = 4 * np.arctan(np.longdouble(1))
    exact = sizes[0] * sizes[1] * (2 * np.cos(theta) * opposite + np.sin(theta)) / (2 * pi)
    diagonal = np.square(rows.astype(np.longdouble)).sum(axis=1)
    errors = {}
    for dtype in ("float64", "float32"):
        gram = kernels.ntk_limit(rows, layers="both", dtype=dtype)
        pairs = gram[np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)]
        errors[f"{dtype} diagonal"] = float(np.abs(gram.diagonal() - diagonal).max())
        errors[f"{dtype} near-parallel"] = float(np.abs(pairs - exact).max())
    return errors


def _peer(rows: NDArray[np.float32]) -> Contender | None:
    if find_spec("skntk") is None:
        return None
    return whole(partial(import_module("skntk").NeuralTangentKernel(depth=1, bias=0.0), rows))


def measure(rounds: int) -> Iterator[Entry]:
    """One entry a shape."""
    for points, features in _SHAPES:
        inputs = np.random.default_rng(0).standard_normal((points, features))
        rows = inputs.astype(np.float32)
        yield compare(
            "limiting Gram matrix",
            {"n": points, "d": features},
            {
                "ours": whole(partial(kernels.ntk_limit, rows, layers="both", dtype="float32")),
                "floor": whole(partial(np.matmul, rows, rows.T)),
                "scikit-ntk": _peer(rows),
            },
            rounds=rounds,
            accuracy=_accuracy(inputs),
        )

"""Gram matrices: the limiting NTK and the empirical one of a given network.

Angles come from half-angle formulas, so entries near parallel inputs are right to the last digits,
where arccos of the cosine loses half of them (docs/theory.md, section 2).
"""

from __future__ import annotations

__all__ = ["Layers", "angles", "ntk_empirical", "ntk_limit"]

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from ntk_theory.network import TwoLayerReLU

Array = NDArray[np.float64]
Layers = Literal["first", "both"]


def _rows(name: str, values: ArrayLike) -> Array:
    rows = np.asarray(values, dtype=float)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name} must be a non-empty matrix (points, features); got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
    return rows


def _check_layers(layers: str) -> None:
    if layers not in ("first", "both"):
        raise ValueError(f"layers must be 'first' or 'both'; got {layers!r}")


def angles(inputs: ArrayLike, others: ArrayLike | None = None) -> Array:
    """Angles between rows, 2 arctan2(‖u − v‖, ‖u + v‖) of the unit vectors u, v.

    Args:
        inputs: rows, shape (n, d), none of them zero.
        others: rows, shape (k, d); `inputs` again when left out.

    Returns:
        Angles in [0, π], shape (n, k).

    Raises:
        ValueError: for a zero row or a wrong shape.
    """
    left = _rows("inputs", inputs)
    right = left if others is None else _rows("others", others)
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"inputs and others differ in features: {left.shape} and {right.shape}")
    units = []
    for name, rows in (("inputs", left), ("others", right)):
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if not norms.all():
            raise ValueError(f"{name} holds a zero row, which has no angle; remove it")
        units.append(rows / norms)
    return np.asarray(2 * np.arctan2(cdist(units[0], units[1]), cdist(units[0], -units[1])))


def ntk_limit(
    inputs: ArrayLike, others: ArrayLike | None = None, *, layers: Layers = "first"
) -> Array:
    """Limiting NTK of the two-layer ReLU net, ‖x‖‖x'‖ κ(θ).

    κ = cos θ (π − θ)/2π for the first layer; training both layers adds the order-1 arc-cosine
    kernel (sin θ + (π − θ) cos θ)/2π.

    Args:
        inputs: shape (n, d).
        others: shape (k, d) for the rows of test points against training points; `inputs` when
            left out.
        layers: "first" or "both".

    Returns:
        Shape (n, k); symmetric and positive semi-definite without `others`.

    Reference: docs/theory.md, section 2.

    >>> ntk_limit([[1.0, 0.0], [0.0, 1.0]])
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    _check_layers(layers)
    left = _rows("inputs", inputs)
    right = left if others is None else _rows("others", others)
    theta = angles(left, right)
    cosine = np.cos(theta)
    # cos(π/2) is 6e-17, not 0; the kernel of orthogonal rows should be.
    cosine[theta == np.pi / 2] = 0.0
    kernel = cosine * (np.pi - theta)
    if layers == "both":
        kernel = 2 * kernel + np.sin(theta)
    scales = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    return np.asarray(kernel * scales / (2 * np.pi))


def ntk_empirical(
    network: TwoLayerReLU,
    inputs: ArrayLike,
    others: ArrayLike | None = None,
    *,
    layers: Layers = "first",
) -> Array:
    """Empirical NTK ∇f(x)·∇f(x') of each net, in closed form through activation patterns.

    First layer: (x·x') Σ_r a_r² 1[w_r·x > 0] 1[w_r·x' > 0] / m. With a_r = ±1 the sums are integer
    counts, exact in every precision that holds the width. Several outputs c give one such matrix
    for each pair, with a_{cr} a_{c'r}.

    Args:
        network: S nets of width m with C outputs.
        inputs: shape (n, d).
        others: shape (k, d); `inputs` when left out.
        layers: "first" or "both"; both adds relu·relu / m for each output.

    Returns:
        Shape (S, n, k) for one output, (S, C, C, n, k) for more.

    Reference: docs/theory.md, section 2.
    """
    _check_layers(layers)
    left = _rows("inputs", inputs)
    right = left if others is None else _rows("others", others)
    gram = left @ right.T
    blocks = []
    for hidden, output in zip(network.hidden, network.output, strict=True):
        signs = output.double().numpy()
        z_left, z_right = (rows @ hidden.double().numpy().T for rows in (left, right))
        active_left, active_right = (z_left > 0).astype(float), (z_right > 0).astype(float)
        per_pair = [
            [gram * ((active_left * (a * b)) @ active_right.T) for b in signs] for a in signs
        ]
        if layers == "both":
            features = np.maximum(z_left, 0) @ np.maximum(z_right, 0).T
            for c in range(len(signs)):
                per_pair[c][c] = per_pair[c][c] + features
        blocks.append(np.asarray(per_pair) / network.width)
    stacked = np.asarray(blocks)
    return np.asarray(stacked[:, 0, 0] if network.outputs == 1 else stacked)

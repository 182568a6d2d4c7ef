"""Gram matrices: the limiting NTK and the empirical one of a given network.

Cosines come from one matrix product, symmetric where it can be. Between nearly parallel or opposite
rows a cosine does not hold the digits of the angle; there the half-angle formula takes it from the
difference of the rows, so every entry is right to its last digits (docs/theory.md, section 2).
"""

from __future__ import annotations

__all__ = ["Layers", "Precision", "UnitRows", "angles", "limit_of", "ntk_empirical", "ntk_limit"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from ntk_theory import ranks

if TYPE_CHECKING:
    from ntk_theory.network import TwoLayerReLU

Array = NDArray[np.float64]
Rows = NDArray[np.floating]
Layers = Literal["first", "both"]
Precision = Literal["float32", "float64"]

_STEEP = 0.95
"""Size of a cosine from which on the angle is taken from the rows: below it the kernel has at most
the cosine's own rounding error."""

_BLOCK_ENTRIES = 2**18
"""Entries of a kernel formed together: they stay in the cores' caches."""

_GATHERED = 2**22
"""Coordinates of rows that are subtracted together."""

_NEURONS = 2**12
"""Neurons whose activations are held together."""


def _rows(name: str, values: ArrayLike) -> Rows:
    rows = np.asarray(values)
    if rows.dtype != np.float32:
        rows = rows.astype(float, copy=False)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name} must be a non-empty matrix (points, features); got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
    return rows


def _check_layers(layers: str) -> None:
    if layers not in ("first", "both"):
        raise ValueError(f"layers must be 'first' or 'both'; got {layers!r}")


def _check_features(left: Rows, right: Rows) -> None:
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"inputs and others differ in features: {left.shape} and {right.shape}")


def _norms(name: str, rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows.double(), dim=1)
    if not bool(norms.all()):
        raise ValueError(f"{name} holds a zero row, which has no angle; remove it")
    return norms


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
    _check_features(left, right)
    units = []
    for name, rows in (("inputs", left), ("others", right)):
        points = torch.as_tensor(rows, dtype=torch.float64)
        units.append((points / _norms(name, points)[:, None]).numpy())
    return np.asarray(2 * np.arctan2(cdist(units[0], units[1]), cdist(units[0], -units[1])))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Products of all pairs of rows, by numpy on the CPU: it halves a matrix times itself."""
    if left.device.type != "cpu":
        return left @ right.T
    return torch.from_numpy(left.numpy() @ right.numpy().T)


def _arc_cosine(
    cosines: Tensor, left: Tensor, right: Tensor, scales: tuple[Tensor, Tensor], layers: Layers
) -> None:
    """Turn cosines between unit rows into the kernel, in place.

    2π κ = cos θ (π − θ), and 2 cos θ (π − θ) + sin θ for both layers, with π − θ = π/2 + arcsin.
    """
    steep = (cosines.abs() > _STEEP).nonzero()
    opposite = cosines.clamp(-1, 1).asin_().add_(torch.pi / 2)
    if layers == "both":
        sine = cosines.square().neg_().add_(1).clamp_(min=0).sqrt_()
        cosines.mul_(opposite).mul_(2).add_(sine)
    else:
        cosines.mul_(opposite)
    for pairs in torch.split(steep, max(1, _GATHERED // left.shape[1])):
        i, j = pairs.unbind(1)
        apart, together = ((left[i] + sign * right[j]).norm(dim=1) for sign in (-1, 1))
        theta, opposite = 2 * torch.atan2(apart, together), 2 * torch.atan2(together, apart)
        value = theta.cos() * opposite
        cosines[i, j] = 2 * value + theta.sin() if layers == "both" else value
    cosines.mul_((scales[0] / (2 * torch.pi))[:, None]).mul_(scales[1])


@dataclass(frozen=True)
class UnitRows:
    """Rows of inputs, divided by their norms.

    Attributes:
        units: shape (n, d).
        norms: shape (n,).
    """

    units: Tensor
    norms: Tensor

    @classmethod
    def of(cls, name: str, rows: Rows, dtype: Precision, device: str) -> UnitRows:
        """Divide rows by their norms, in their own precision, and round.

        Args:
            name: of the argument that the rows came in, for the refusal of zero rows.
            rows: shape (n, d).
            dtype: what units and norms are rounded to.
            device: where they go.
        """
        points = torch.as_tensor(rows, device=device)
        norms = _norms(name, points)
        units = points / norms[:, None].to(points.dtype)
        precision = getattr(torch, dtype)
        return cls(units.to(precision), norms.to(precision))

    def __getitem__(self, rows: slice) -> UnitRows:
        return UnitRows(self.units[rows], self.norms[rows])


def limit_of(left: UnitRows, right: UnitRows, layers: Layers) -> Tensor:
    """Limiting NTK of rows with rows, shape (n, k), where they are."""
    kernel = _product(left.units, right.units)
    height = max(1, _BLOCK_ENTRIES // kernel.shape[1])
    for block, units, norms in zip(
        *(torch.split(part, height) for part in (kernel, left.units, left.norms)), strict=True
    ):
        _arc_cosine(block, units, right.units, (norms, right.norms), layers)
    return kernel


@overload
def ntk_limit(
    inputs: ArrayLike,
    others: ArrayLike | None = None,
    *,
    layers: Layers = "first",
    dtype: Literal["float64"] = "float64",
    device: str = "cpu",
) -> Array: ...


@overload
def ntk_limit(
    inputs: ArrayLike,
    others: ArrayLike | None = None,
    *,
    layers: Layers = "first",
    dtype: Literal["float32"],
    device: str = "cpu",
) -> NDArray[np.float32]: ...


def ntk_limit(
    inputs: ArrayLike,
    others: ArrayLike | None = None,
    *,
    layers: Layers = "first",
    dtype: Precision = "float64",
    device: str = "cpu",
) -> Rows:
    """Limiting NTK of the two-layer ReLU net, ‖x‖‖x'‖ κ(θ).

    κ = cos θ (π − θ)/2π for the first layer; training both layers adds the order-1 arc-cosine
    kernel (sin θ + (π − θ) cos θ)/2π.

    Args:
        inputs: shape (n, d).
        others: shape (k, d) for the rows of test points against training points; `inputs` when
            left out.
        layers: "first" or "both".
        dtype: "float64" or "float32": precision of products, angles and result.
        device: where it is computed.

    Returns:
        Shape (n, k); symmetric and positive semi-definite without `others`.

    Raises:
        ValueError: for a zero row or a wrong shape.

    Reference: docs/theory.md, section 2.

    >>> ntk_limit([[1.0, 0.0], [0.0, 1.0]])
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    _check_layers(layers)
    given = [_rows("inputs", inputs)]
    if others is not None:
        given.append(_rows("others", others))
    _check_features(given[0], given[-1])
    left, *right = (
        UnitRows.of(name, points, dtype, device)
        for name, points in zip(("inputs", "others"), given, strict=False)
    )
    return np.asarray(limit_of(left, right[0] if right else left, layers).cpu().numpy())


def _sum_of_products(left: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Σ_r weights_r left_ir right_jr in float64, exact for 0/1 entries and weights of one size."""
    size = float(weights[0].abs())
    if size and bool((weights.abs() == size).all()):
        signs = weights / size
        # Sums of ±1 over a block of neurons are integers that float32 holds.
        scaled = left if bool((signs == 1).all()) else left * signs.to(left.dtype)
        return _product(scaled, right).double().mul_(size)
    return (left.to(torch.float64) * weights) @ right.to(torch.float64).T


def ntk_empirical(
    network: TwoLayerReLU,
    inputs: ArrayLike,
    others: ArrayLike | None = None,
    *,
    layers: Layers = "first",
) -> Array:
    """Empirical NTK ∇f(x)·∇f(x') of each net, in closed form through activation patterns.

    First layer: (x·x') Σ_r a_r² 1[w_r·x > 0] 1[w_r·x' > 0] / m. With a_r = ±1 the sums are integer
    counts, exact at every width. Several outputs c give one such matrix for each pair, with
    a_{cr} a_{c'r}. It is computed where the net is and activations are those in its precision.

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
    hidden = network.hidden
    rows = [
        torch.as_tensor(points, dtype=hidden.dtype, device=hidden.device)
        for points in ([left] if others is None else [left, right])
    ]
    outputs = network.outputs
    kernels = np.empty((hidden.shape[0], outputs, outputs, *gram.shape))
    for kernel, weights, signs in zip(kernels, hidden, network.output.double(), strict=True):
        sums = torch.zeros(kernel.shape, dtype=torch.float64, device=hidden.device)
        features = torch.zeros(gram.shape, dtype=torch.float64, device=hidden.device)
        blocks = zip(
            torch.split(weights, _NEURONS), torch.split(signs, _NEURONS, dim=1), strict=True
        )
        for block, sign in ranks.own(blocks):
            z = [points @ block.T for points in rows]
            active = [(values > 0).to(torch.float32) for values in z]
            for c in range(outputs):
                for e in range(c + 1):
                    sums[c, e] += _sum_of_products(active[0], active[-1], sign[c] * sign[e])
            if layers == "both":
                positive = [values.clamp_(min=0) for values in z]
                features += _product(positive[0], positive[-1])
        # Counts are whole numbers: their sum is the same however many processes make it.
        ranks.total(sums)
        ranks.total(features)
        for c in range(outputs):
            for e in range(c + 1):
                kernel[c, e] = kernel[e, c] = gram * sums[c, e].cpu().numpy()
            if layers == "both":
                kernel[c, c] += features.cpu().numpy()
        kernel /= network.width
    return np.asarray(kernels[:, 0, 0] if outputs == 1 else kernels)

"""Gram matrices: the limiting NTK and the empirical one of a given network.

Cosines come from one matrix product, of every pair once. Between nearly parallel or opposite
rows a cosine does not hold the digits of the angle; there the half-angle formula takes it from the
difference of the rows, so every entry is right to its last digits (docs/theory.md, section 2).
"""

from __future__ import annotations

__all__ = [
    "Layers",
    "Precision",
    "UnitRows",
    "angles",
    "check_products",
    "diagonal_of",
    "limit_of",
    "ntk_empirical",
    "ntk_limit",
    "squares_of",
]

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from ntk_theory import arguments
from ntk_theory.machine import ranks
from ntk_theory.machine.precision import own_precision

if TYPE_CHECKING:
    from ntk_theory.network import TwoLayerReLU

Array = NDArray[np.float64]
Rows = NDArray[np.floating]
Powers = NDArray[np.int64]
Layers = Literal["first", "both"]
Precision = Literal["float32", "float64"]

_STEEP = 0.95
"""Size of a cosine from which on the angle is taken from the rows: below it the kernel has at most
the cosine's own rounding error."""

_TILE_ROWS, _TILE_COLUMNS = 2**8, 2**10
"""Entries of a kernel that are formed together: they stay in the cores' caches."""

_NORMED = 2**7
"""Rows whose norms are taken together."""

_GATHERED = 2**22
"""Coordinates of rows that are subtracted together."""

_NEURONS = 2**12
"""Neurons whose activations are held together."""

_PLAIN = {torch.float32: 2.0**60, torch.float64: 2.0**500}
"""Sizes up to this one, and down to one over it, whose products and squares are plain numbers. Rows
beyond are measured in units of a power of two."""


def _norms(rows: Tensor) -> Tensor:
    """In float64, a few rows at a time; 0 or infinity where they are beyond the numbers."""
    norms = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    exact = norms.new_empty(min(_NORMED, len(rows)), rows.shape[1])
    for part, out in zip(torch.split(rows, _NORMED), torch.split(norms, _NORMED), strict=True):
        torch.linalg.vector_norm(exact[: len(part)].copy_(part), dim=1, out=out)
    return norms


def _scaled(rows: Rows) -> tuple[Array, Powers]:
    """Rows over a power of two, exactly: in float64, their largest entry in [1/2, 1)."""
    exact = rows.astype(np.float64)
    powers = np.frexp(np.abs(exact).max(axis=1))[1].astype(np.int64)
    return _times_power(exact, -powers[:, None]), powers


def _times_power(values: Array, powers: Powers) -> Array:
    """Times 2^powers, in the precision of the values; infinite where that does not hold it."""
    with np.errstate(all="ignore"):
        return np.asarray(np.ldexp(values, powers))


def angles(inputs: ArrayLike, others: ArrayLike | None = None) -> Array:
    """Angles between rows, 2 arctan2(‖u − v‖, ‖u + v‖) of the unit vectors u, v.

    Args:
        inputs: rows, shape (n, d), none of them zero.
        others: rows, shape (k, d); `inputs` again when left out.

    Returns:
        Angles in [0, π], shape (n, k).

    Raises:
        ValueError: for a zero row or a wrong shape.

    >>> angles([[1.0, 0.0]], [[3.0, 1e-9], [0.0, 2.0]])
    array([[3.33333333e-10, 1.57079633e+00]])
    """
    left = UnitRows.of("inputs", arguments.rows("inputs", inputs)).units.numpy()
    right = left
    if others is not None:
        rows = arguments.rows("others", others, left.shape[1])
        right = UnitRows.of("others", rows).units.numpy()
    return np.asarray(2 * np.arctan2(cdist(left, right), cdist(left, -right)))


def _tiles(rows: int, columns: int, *, upper: bool) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of all tiles, or of those that reach the diagonal from above."""
    for top in range(0, rows, _TILE_ROWS):
        for start in range(top if upper else 0, columns, _TILE_COLUMNS):
            yield (
                slice(top, min(top + _TILE_ROWS, rows)),
                slice(start, min(start + _TILE_COLUMNS, columns)),
            )


def _upper_products(rows: Tensor, out: Tensor) -> None:
    """Products of all pairs of rows, on and above the diagonal of `out`, each of them once.

    By halves: the product of one half with the other, and then each half with itself. What lies
    below the diagonal is left as it was, anything, until `_mirror` overwrites it.
    """
    count = len(rows)
    if count <= _TILE_ROWS:
        torch.mm(rows, rows.T, out=out)
        return
    half = count // 2
    torch.mm(rows[:half], rows[half:].T, out=out[:half, half:])
    _upper_products(rows[:half], out[:half, :half])
    _upper_products(rows[half:], out[half:, half:])


def _mirror(matrix: Tensor, rows: slice, columns: slice) -> None:
    """Copy the part of a tile above the diagonal to the other side."""
    if columns.start < rows.stop:
        square = matrix[rows, rows]
        square.copy_(square.triu() + square.triu(1).T)
    beyond = slice(max(columns.start, rows.stop), columns.stop)
    if beyond.start < beyond.stop:
        matrix[beyond, rows] = matrix[rows, beyond].T


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Products of all pairs of rows; symmetric to the bit for the same rows twice."""
    if left is not right:
        return left @ right.T
    product = left.new_empty(len(left), len(left))
    _upper_products(left, product)
    for rows, columns in _tiles(len(left), len(left), upper=True):
        _mirror(product, rows, columns)
    return product


def _steep(cosines: Tensor) -> Tensor:
    """Rows and columns of entries near 1 or −1, shape (pairs, 2)."""
    low, high = torch.aminmax(cosines)
    if max(-float(low), float(high)) <= _STEEP:
        return torch.empty(0, 2, dtype=torch.long, device=cosines.device)
    return (cosines.abs() > _STEEP).nonzero()


def _arc_cosine(cosines: Tensor, layers: Layers) -> None:
    """Turn cosines into 2π κ, in place; not for steep ones.

    2π κ = cos θ (π − θ), and 2 cos θ (π − θ) + sin θ for both layers, with π − θ = π/2 + arcsin.
    """
    opposite = cosines.asin().add_(torch.pi / 2)
    if layers == "first":
        cosines.mul_(opposite)
        return
    one = torch.ones((), dtype=cosines.dtype, device=cosines.device)
    sine = torch.addcmul(one, cosines, cosines, value=-1).sqrt_()
    torch.addcmul(sine, cosines, opposite, value=2, out=cosines)


def _half_angle(left: Tensor, right: Tensor, layers: Layers) -> Tensor:
    """2π κ of pairs of unit rows, shapes (pairs, d), right to the last digits at any angle."""
    apart, together = ((left + sign * right).norm(dim=1) for sign in (-1, 1))
    theta, opposite = 2 * torch.atan2(apart, together), 2 * torch.atan2(together, apart)
    value = theta.cos() * opposite
    return value if layers == "first" else 2 * value + theta.sin()


@dataclass(frozen=True)
class UnitRows:
    """Rows of inputs, divided by their norms.

    Attributes:
        units: shape (n, d).
        norms: shape (n,); in units of 2^powers, if there are powers.
        powers: shape (n,), where some norm is far from 1, and else None.
    """

    units: Tensor
    norms: Tensor
    powers: Powers | None = None

    @classmethod
    def of(
        cls,
        name: str,
        rows: Rows,
        dtype: Precision = "float64",
        device: str | torch.device = "cpu",
    ) -> UnitRows:
        """Divide rows by their norms, in the higher precision of both, and round.

        A row has the right angles whatever its norm: where that is far from 1 the row is divided by
        a power of two first.

        Args:
            name: of the argument that the rows came in, for the refusal of zero rows.
            rows: finite, shape (n, d).
            dtype: what units and norms are rounded to.
            device: where they go.

        Raises:
            ValueError: for a zero row.
        """
        precision = getattr(torch, dtype)
        points = arguments.tensor(rows, where=device)
        points = points.double() if dtype == "float64" else points
        norms = _norms(points)
        units = (points / norms[:, None].to(points.dtype)).to(precision)
        odd = ~((norms > 1 / _PLAIN[precision]) & (norms < _PLAIN[precision])).cpu().numpy()
        if not odd.any():
            return cls(units, norms.to(precision))
        powers = np.zeros(len(rows), dtype=np.int64)
        for some in np.array_split(np.flatnonzero(odd), np.ceil(odd.sum() / _NORMED)):
            scaled, powers[some] = _scaled(rows[some])
            if not scaled.any(axis=1).all():
                row = some[~scaled.any(axis=1)][0]
                raise ValueError(
                    f"{name} must have an angle in every row; got zeros: {name} holds a zero row; "
                    f"remove row {row}"
                )
            part = arguments.tensor(scaled, points.dtype, points.device)
            places, lengths = torch.as_tensor(some, device=points.device), _norms(part)
            units[places] = (part / lengths[:, None].to(part.dtype)).to(precision)
            norms[places] = lengths
        return cls(units, norms.to(precision), powers)

    def __getitem__(self, rows: slice) -> UnitRows:
        powers = None if self.powers is None else self.powers[rows]
        return UnitRows(self.units[rows], self.norms[rows], powers)

    @property
    def exponents(self) -> Array:
        """Logarithms of the norms to base 2, shape (n,)."""
        logarithms = np.log2(self.norms.double().cpu().numpy())
        return np.asarray(logarithms if self.powers is None else logarithms + self.powers)


def check_products(left: UnitRows, right: UnitRows, names: str = "inputs") -> None:
    """Refuse rows whose kernel is beyond the numbers of their precision.

    Args:
        left: rows.
        right: rows.
        names: of the arguments that they came in.
    """
    if left.powers is None and right.powers is None:
        return
    numbers = np.finfo(str(left.units.dtype).removeprefix("torch."))
    low, high = (end(left.exponents) + end(right.exponents) for end in (np.min, np.max))
    if low - 1 >= numbers.minexp and high < numbers.maxexp:
        return
    raise ValueError(
        f"{names} must have norms whose products {numbers.dtype} holds, "
        f"{numbers.tiny:.1e} to {numbers.max:.1e}; got products from 10^{low * np.log10(2):.0f} to "
        f"10^{high * np.log10(2):.0f}; divide {names} by their size"
    )


@own_precision
def limit_of(left: UnitRows, right: UnitRows, layers: Layers) -> Tensor:
    """Limiting NTK of rows with rows, shape (n, k), where they are.

    Symmetric to the bit for the same rows twice, and then every pair is computed once.
    """
    same = left is right
    kernel = left.units.new_empty(len(left.units), len(right.units))
    if same:
        _upper_products(left.units, kernel)
    else:
        torch.mm(left.units, right.units.T, out=kernel)
    together = max(1, _GATHERED // left.units.shape[1])
    for rows, columns in _tiles(*kernel.shape, upper=same):
        tile, above, beside = kernel[rows, columns], left[rows], right[columns]
        pairs = _steep(tile)
        if same:
            pairs = pairs[pairs[:, 0] + rows.start < pairs[:, 1] + columns.start]
        _arc_cosine(tile, layers)
        for i, j in (part.unbind(1) for part in torch.split(pairs, together) if len(part)):
            tile[i, j] = _half_angle(above.units[i], beside.units[j], layers)
        tile.mul_((above.norms / (2 * torch.pi))[:, None]).mul_(beside.norms)
        if above.powers is not None or beside.powers is not None:
            _times_powers(tile, above.powers, beside.powers)
        if same:
            _mirror(kernel, rows, columns)
    if same:
        kernel.diagonal().copy_(squares_of(left) * diagonal_of(layers))
    return kernel


def _times_powers(kernel: Tensor, left: Powers | None, right: Powers | None) -> None:
    """Give the entries of a kernel of scaled rows their size, in place."""
    down = np.zeros((1, 1), np.int64) if left is None else left[:, None]
    across = np.zeros((1, 1), np.int64) if right is None else right[None, :]
    kernel.copy_(torch.from_numpy(_times_power(kernel.cpu().numpy(), down + across)))


def squares_of(rows: UnitRows) -> Tensor:
    """Squared norms in the precision of the rows, shape (n,)."""
    squares = rows.norms.square()
    if rows.powers is None:
        return squares
    sized = _times_power(squares.cpu().numpy(), 2 * rows.powers)
    return torch.from_numpy(sized).to(squares)


def diagonal_of(layers: Layers) -> float:
    """κ(0), what the kernel of a point with itself is over its squared norm."""
    return 0.5 if layers == "first" else 1.0


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
        ValueError: for a zero row, a wrong shape, or norms whose products the precision does not
            hold.

    Reference: docs/theory.md, section 2.

    >>> ntk_limit([[1.0, 0.0], [0.0, 1.0]])
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    arguments.choice("layers", layers, get_args(Layers))
    precision, where = arguments.precision("dtype", dtype), arguments.device("device", device)
    rows = arguments.rows("inputs", inputs)
    left = right = UnitRows.of("inputs", rows, precision, where)
    if others is not None:
        beside = arguments.rows("others", others, rows.shape[1])
        right = UnitRows.of("others", beside, precision, where)
    check_products(left, right, "inputs" if others is None else "inputs and others")
    return np.asarray(limit_of(left, right, layers).cpu().numpy())


def _sum_of_products(left: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Σ_r weights_r left_ir right_jr in float64, exact for 0/1 entries and weights of one size."""
    size = float(weights[0].abs())
    if size and bool((weights.abs() == size).all()):
        signs = weights / size
        # Sums of ±1 over a block of neurons are integers that float32 holds.
        scaled = left if bool((signs == 1).all()) else left * signs.to(left.dtype)
        return _products(scaled, right).double().mul_(size)
    return (left.to(torch.float64) * weights) @ right.to(torch.float64).T


def _activating(rows: Rows, dtype: torch.dtype) -> tuple[Rows, Powers | None]:
    """Rows as a net takes them, and powers of two that far too large or small ones are over.

    Neurons are active on a row whatever its size.
    """
    sizes = np.maximum(rows.max(axis=1), -rows.min(axis=1)).astype(np.float64)
    sizes = sizes[sizes > 0]
    if not sizes.size or (sizes.min() > 1 / _PLAIN[dtype] and sizes.max() < _PLAIN[dtype]):
        return rows, None
    return _scaled(rows)


def _sized(kernels: Array, left: Powers | None, right: Powers | None) -> Array:
    """Kernels of scaled rows in their size; refused where float64 does not hold it."""
    down = 0 if left is None else left[:, None]
    across = 0 if right is None else right[None, :]
    sized = _times_power(kernels, np.asarray(down + across))
    lost = (np.abs(sized) < np.finfo(float).tiny) & (kernels != 0)
    if lost.any() or not np.isfinite(sized).all():
        raise ValueError(
            "inputs must have products that float64 holds, 2e-308 to 2e308; got a kernel with "
            "entries beyond; divide inputs by their size"
        )
    return sized


@own_precision
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

    Raises:
        ValueError: for a wrong shape, or rows whose products are beyond float64.
        TypeError: for what is no net.

    Reference: docs/theory.md, section 2.

    >>> from ntk_theory.network import initialise
    >>> inputs = np.array([[1.0, 0.0], [0.6, 0.8]])
    >>> for width in (64, 16384):
    ...     found = ntk_empirical(initialise(width, 2, seeds=[0]), inputs)
    ...     print(round(float(abs(found - ntk_limit(inputs)).max()), 3))
    0.125
    0.012
    """
    arguments.choice("layers", layers, get_args(Layers))
    hidden = getattr(network, "hidden", None)
    if not isinstance(hidden, Tensor):
        raise TypeError(
            f"network must be a TwoLayerReLU; got {type(network).__name__}; "
            "of DrawnNets give network.keep()"
        )
    given = [arguments.rows("inputs", inputs, network.dimension)]
    if others is not None:
        given.append(arguments.rows("others", others, network.dimension))
    plain, powers = zip(*(_activating(part, hidden.dtype) for part in given), strict=True)
    points = [arguments.tensor(part, where=hidden.device) for part in plain]
    rows = [part.to(hidden.dtype) for part in points]
    exact = [part.double() for part in points]
    gram = _products(exact[0], exact[-1])
    outputs = network.outputs
    kernels = np.empty((hidden.shape[0], outputs, outputs, *gram.shape))
    for kernel, weights, signs in zip(kernels, hidden, network.output.double(), strict=True):
        sums = torch.zeros(kernel.shape, dtype=torch.float64, device=hidden.device)
        features = torch.zeros(gram.shape, dtype=torch.float64, device=hidden.device)
        blocks = zip(
            torch.split(weights, _NEURONS), torch.split(signs, _NEURONS, dim=1), strict=True
        )
        for block, sign in ranks.own(blocks):
            z = [part @ block.T for part in rows]
            active = [(values > 0).to(torch.float32) for values in z]
            for c in range(outputs):
                for e in range(c + 1):
                    sums[c, e] += _sum_of_products(active[0], active[-1], sign[c] * sign[e])
            if layers == "both":
                positive = [values.clamp_(min=0) for values in z]
                features += _products(positive[0], positive[-1])
        # Counts are whole numbers: their sum is the same however many processes make it.
        ranks.total(sums)
        ranks.total(features)
        for c in range(outputs):
            for e in range(c + 1):
                kernel[c, e] = kernel[e, c] = (gram * sums[c, e]).cpu().numpy()
            if layers == "both":
                kernel[c, c] += features.cpu().numpy()
        kernel /= network.width
    if any(part is not None for part in powers):
        kernels = _sized(kernels, powers[0], powers[-1])
    return np.asarray(kernels[:, 0, 0] if outputs == 1 else kernels)

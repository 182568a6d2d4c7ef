"""How far a wide net moves: the laws that kernel training obeys at width m, with their constants.

The first-order laws of docs/theory.md, section 9.5. With the kernel's own pulls r_t = η (z_t − u_t)
a neuron of sign a moves its pre-activation at point i by m^{-1/2} a Σ_j Γ_ij A_j r_j(t) a step;
only neurons within O(m^{-1/2}) of a point's hyperplane change their activation on it, and they
decide how many activations flip, how the empirical NTK changes, and how the net leaves its
linearisation.
"""

from __future__ import annotations

__all__ = [
    "BoundaryLayer",
    "boundary_layer",
    "cluster_matrix",
    "crossing_of_reach",
    "first_step_crossing",
    "kernel_fluctuation",
    "largest_movement",
    "linearised_distance",
    "movement_exponent",
]

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]

_DENSITY = 1 / np.sqrt(2 * np.pi)
"""Density of w · x at 0, for unit x and w ~ N(0, I)."""

_CELLS = 4
"""Distances from the hyperplane at which a drawn neuron is followed, on either side."""


def movement_exponent(output_exponent: float = 0.0) -> float:
    """Exponent in m of a neuron's movement if |a_r| = m^γ and the rate is η m^{−2γ}: −1/2 − γ.

    The NTK does not depend on γ then. γ = 0 is the net of this package, γ = −1/2 the mean-field
    scaling f = (1/m) Σ a relu, in which nothing shrinks. Flipped activations, the change of the
    empirical NTK and the deviation from the linearised net have the same exponent.

    Reference: docs/theory.md, section 9.5.

    >>> movement_exponent(), movement_exponent(-0.5)
    (-0.5, 0.0)
    """
    return -0.5 - output_exponent


def cluster_matrix(clusters: int, points: int, same: float, inside: float, across: float) -> Array:
    """Matrix with three values: of a point with itself, inside a cluster, across clusters.

    Reference: docs/theory.md, section 3.1.

    >>> cluster_matrix(2, 1, 1.0, 0.5, 0.0)
    array([[1., 0.],
           [0., 1.]])
    """
    cluster = np.repeat(np.arange(clusters), points)
    matrix = np.where(cluster[:, None] == cluster, float(inside), float(across))
    np.fill_diagonal(matrix, same)
    return matrix


def kernel_fluctuation(cosines: ArrayLike, *, pairs: bool = True) -> float:
    """Mean of m ‖H_m(0) − H‖_F², at every width: c Σ_ij cos²θ p (1 − p), p = (π − θ)/2π.

    c = 2 for antisymmetric pairs, of whose neurons only half are independent, and 1 for independent
    neurons.

    Args:
        cosines: x_i · x_j, shape (n, n).
        pairs: whether neurons come in pairs of equal w.

    Reference: docs/theory.md, section 2.
    """
    cosine = np.asarray(cosines, dtype=float)
    both_active = (np.pi - np.arccos(np.clip(cosine, -1, 1))) / (2 * np.pi)
    variance = cosine**2 * both_active * (1 - both_active)
    return float((2 if pairs else 1) * variance.sum())


def linearised_distance(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    mean_error: ArrayLike,
    information_error: ArrayLike,
    memorised_noise: ArrayLike,
    label_mean: float = 0.0,
) -> Array:
    """‖W_t − W_0‖_F = sqrt(uᵀ H^{-1} u) of the linearised net on clusters, at every width.

    n [ȳ² (1 + E_0)²/λ_0 + (1 − ȳ²) (1 + E_+)²/λ_+ + 4ρ(1 − ρ) q²/λ_−] is its square.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        mean_error: E_0(t).
        information_error: E_+(t).
        memorised_noise: q(t).
        label_mean: ȳ.

    Returns:
        Shape of the errors.

    Reference: docs/theory.md, section 9.4.
    """
    share = label_mean**2
    along = (1 + np.asarray(mean_error)), (1 + np.asarray(information_error))
    square = (
        share * along[0] ** 2 / spectrum.mean
        + (1 - share) * along[1] ** 2 / spectrum.information
        + 4 * noise_rate * (1 - noise_rate) * np.asarray(memorised_noise) ** 2 / spectrum.noise
    )
    return np.asarray(np.sqrt(spectrum.clusters * spectrum.points * square))


def first_step_crossing(gram: ArrayLike, pulls: ArrayLike, outputs: ArrayLike) -> float:
    """Coefficient c of a bound c/√m on the bias of a net's first outputs, along their prediction.

    Neurons that cross a hyperplane within the first step, from outputs 0, leave
    E⟨u_m, p⟩/‖p‖² − 1 within c/√m to leading order, with

        c = Σ_i |p_i| ‖x_i‖ |r_i| Σ_j |Γ_ij| |r_j| / (4 √(2π) ‖p‖²).

    Args:
        gram: Γ = X Xᵀ, shape (n, n).
        pulls: r = η z, the rate times the targets, shape (n,) or (n, C).
        outputs: p, shape of the pulls.

    Reference: docs/theory.md, section 9.5.
    """
    products = np.abs(np.asarray(gram, dtype=float))
    sizes = np.linalg.norm(np.asarray(pulls, dtype=float).reshape(len(products), -1), axis=1)
    return crossing_of_reach(np.sqrt(products.diagonal()) * sizes, products @ sizes, outputs)


def crossing_of_reach(sizes: ArrayLike, reach: ArrayLike, outputs: ArrayLike) -> float:
    """The coefficient of `first_step_crossing` where Γ is too large to be formed.

    Args:
        sizes: ‖x_i‖ |r_i|, shape (n,).
        reach: Σ_j |Γ_ij| |r_j|, shape (n,).
        outputs: p, shape (n,) or (n, C).

    Reference: docs/theory.md, section 9.5.
    """
    missed = _DENSITY / 4 * np.asarray(sizes, dtype=float) * np.asarray(reach, dtype=float)
    predicted = np.asarray(outputs, dtype=float).reshape(len(missed), -1)
    return float(np.abs(predicted).sum(axis=1) @ missed / np.square(predicted).sum())


def _root(covariance: Array) -> Array:
    """The symmetric square root V √D Vᵀ of a positive semi-definite matrix, of whatever rank.

    V √D would do for the distribution of what is drawn with it, but not for a single draw: in a
    degenerate eigenspace V is any basis, and another one on another kind of processor. Eigenvalues
    that are zero to rounding are zero, as their root would be half of the digits.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    return np.asarray((vectors * np.sqrt(np.where(kept, values, 0))) @ vectors.T)


@np.errstate(under="ignore")
def largest_movement(
    cosines: ArrayLike, pull: ArrayLike, neurons: int, rng: np.random.Generator
) -> float:
    """Mean of the largest √m ‖w_r(T) − w_r(0)‖ over so many independent neurons, as m → ∞.

    A neuron with initial activations A moves by m^{-1/2} ‖Xᵀ (A ∘ c)‖, c = Σ_t η (z_t − u_t). The
    mean of the largest of N such numbers is taken over 32 N draws, and some thousands at least.

    Args:
        cosines: Γ, shape (n, n).
        pull: c, shape (n,).
        neurons: N: half the width for antisymmetric pairs.
        rng: draws the activations.

    Reference: docs/theory.md, section 9.5.
    """
    gram, weight = np.asarray(cosines, dtype=float), np.asarray(pull, dtype=float)
    root = _root(gram)
    squares = []
    for _ in range(32):
        draws = rng.standard_normal((max(neurons, 512), len(gram)))
        active = (draws @ root.T > 0) * weight
        squares.append(((active @ gram) * active).sum(axis=1))
    ordered = np.sqrt(np.maximum(np.sort(np.concatenate(squares)), 0))
    below = (np.arange(ordered.size + 1) / ordered.size) ** neurons
    return float(ordered @ np.diff(below))


@dataclass(frozen=True)
class BoundaryLayer:
    """Constants of what happens near the hyperplanes of the points, as m → ∞.

    Attributes:
        flipped: limit of √m × share of (point, neuron) pairs that end on the other side.
        kernel_change: limit of √m E[H_m(T) − H_m(0)], shape (n, n).
        kernel_scatter: limit of m^{3/2} E‖H_m(T) − H_m(0) − its mean‖_F².
        deviation: limit of √m E δ_t, δ = u_m − outputs of the net linearised at its start, shape
            (T + 1, n).
        deviation_scatter: limit of m^{3/2} E‖δ_t − E δ_t‖², shape (T + 1,).

    Reference: docs/theory.md, section 9.5.
    """

    flipped: float
    kernel_change: Array
    kernel_scatter: float
    deviation: Array
    deviation_scatter: Array

    def kernel_change_norm(self, width: int) -> float:
        """Root mean square of ‖H_m(T) − H_m(0)‖_F: sqrt(‖mean‖²/m + scatter/m^{3/2})."""
        mean = float(np.square(self.kernel_change).sum())
        return float(np.sqrt(mean / width + self.kernel_scatter / width**1.5))

    def deviation_norm(self, width: int) -> Array:
        """Root mean square of δ_t over nets and points, shape (T + 1,)."""
        mean = np.square(self.deviation).sum(axis=1)
        square = mean / width + self.deviation_scatter / width**1.5
        return np.asarray(np.sqrt(square / self.deviation.shape[1]))


@dataclass(frozen=True)
class _Layer:
    """Neurons near the hyperplane of one point, in units of m^{-1/2}.

    Attributes:
        gained: E[A_i (length gained)] at each step, shape (T, n); i is the point itself: all of it.
        crossed: E[A_i (length that changed side)] at the end, shape (n,).
        kink: outputs of the point gained over the linearised net in each step, shape (T,).
    """

    gained: Array
    crossed: Array
    kink: Array


def _near(
    gram: Array, pulls: Array, point: int, draws: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Neurons that start near the hyperplane of a point.

    Only those change sides that start no farther than a neuron of their side, of either sign, would
    move if it stayed there: the cells of ξ end at that distance.

    Returns:
        What the other points do to a neuron of sign +1 in each step, (draws, T); the lengths of
        cells of ξ, and a ξ in each of them, (draws, 2 cells); activations, (draws, n), of which the
        point's own is 1.
    """
    along = gram[:, point]
    # The other pre-activations, given that the one at the point is 0.
    root = _root(gram - np.outer(along, along))
    active = (rng.standard_normal((draws, len(gram))) @ root.T > 0).astype(float)
    active[:, point] = 0
    others = (active * along) @ pulls.T
    active[:, point] = 1
    off = np.cumsum(others, axis=1)
    on = off + np.cumsum(pulls[:, point])
    ends = np.stack([np.abs(on).max(axis=1), -np.abs(off).max(axis=1)], axis=1) / _CELLS
    start = ends[:, :, None] * (np.arange(_CELLS) + rng.random((draws, 1, 1)))
    cell = np.repeat(np.abs(ends), _CELLS, axis=1)
    return others, cell, start.reshape(draws, -1), active


def _follow(gram: Array, pulls: Array, point: int, draws: int, rng: np.random.Generator) -> _Layer:
    """Follow neurons that start near the hyperplane of a point.

    Each draw of the other activations serves one neuron of either sign: what they gain and lose
    cancels but for their own activation's part, and so does most of the noise of the draws.
    """
    steps, n = pulls.shape
    others, cell, start, active = _near(gram, pulls, point, draws, rng)
    own, on = pulls[:, point], start > 0
    weight = active.T / (2 * draws)
    gained, crossed, kink = np.zeros((steps, n)), np.zeros(n), np.zeros(steps)
    for sign in (1.0, -1.0):
        at = start
        for t in range(steps):
            push = sign * others[:, t : t + 1]
            moved = at + push + sign * own[t] * (at > 0)
            linear = on * (push + sign * own[t])
            rise = np.maximum(moved, 0) - np.maximum(at, 0) - linear
            kink[t] += sign * float((cell * rise).sum()) / (2 * draws)
            at = moved
            gained[t] += weight @ (cell * ((at > 0).astype(float) - on)).sum(axis=1)
        crossed += weight @ (cell * ((at > 0) != on)).sum(axis=1)
    return _Layer(_DENSITY * gained, _DENSITY * crossed, _DENSITY * kink)


def _scatter(
    gram: Array, kernel: Array, pulls: Array, point: int, draws: int, rng: np.random.Generator
) -> Array:
    """Neurons near one hyperplane as independent contributions to δ_t: their sum of squares.

    A pair of neurons is one contribution, as both start at the same distance.
    """
    steps, n = pulls.shape
    others, cell, start, active = _near(gram, pulls, point, draws, rng)
    reached = active * gram[:, point]
    reached[:, point] = 0
    on = start > 0
    at = dict.fromkeys((1.0, -1.0), start)
    apart = np.zeros((*start.shape, n))
    square = np.zeros(steps + 1)
    for t in range(steps):
        changed, rise = np.zeros(start.shape), np.zeros(start.shape)
        for sign in at:
            push, own = sign * others[:, t : t + 1], sign * pulls[t, point]
            moved = at[sign] + push + own * (at[sign] > 0)
            linear = on * (push + own)
            rise += sign * (np.maximum(moved, 0) - np.maximum(at[sign], 0) - linear)
            changed += (at[sign] > 0).astype(float) - on
            at[sign] = moved
        apart = apart - apart @ kernel
        apart += (pulls[t, point] * changed)[..., None] * reached[:, None, :]
        apart[..., point] += rise
        square[t + 1] = float((cell * np.square(apart).sum(axis=2)).sum()) / (2 * draws)
    return np.asarray(_DENSITY * square)


def boundary_layer(
    cosines: ArrayLike,
    kernel: ArrayLike,
    pulls: ArrayLike,
    rng: np.random.Generator,
    draws: int = 250,
) -> BoundaryLayer:
    """First-order effect of activations that change in a net of width m, by Monte Carlo.

    A neuron at distance ξ/√m from the hyperplane of point i has the density φ(0) in ξ/√m, and ξ
    moves by a Σ_j Γ_ij A_j r_j(t) a step, where only its own activation A_i = 1[ξ > 0] changes.
    Lengths of ξ that change side give the flips; their mean over the activations at the other
    points, drawn under the condition w · x_i = 0, gives the change of the empirical NTK; and the
    outputs that the linearised net lacks are carried on by its own recursion, I − ηH.

    Args:
        cosines: Γ, shape (n, n), of unit inputs no two of which are parallel.
        kernel: ηH, the limiting NTK times the learning rate, shape (n, n).
        pulls: r_t = η (z_t − u_t) of the kernel recursion, shape (T, n).
        rng: draws neurons.
        draws: pairs of neurons of opposite sign drawn for each point.

    Returns:
        The constants, with a statistical error of the order of (n draws)^{-1/2}.

    Reference: docs/theory.md, section 9.5.
    """
    gram, pull = np.asarray(cosines, dtype=float), np.asarray(pulls, dtype=float)
    steps, n = pull.shape
    h = np.asarray(kernel, dtype=float)
    layers = [_follow(gram, pull, point, draws, rng) for point in range(n)]
    gained = np.stack([layer.gained for layer in layers], axis=2)  # (T, i, j)
    crossed = np.stack([layer.crossed for layer in layers], axis=1)
    own = np.eye(n, dtype=bool)
    change = np.where(own, gained[-1], gram * (gained[-1] + gained[-1].T))
    scatter = np.where(own, crossed, gram**2 * (crossed + crossed.T)).sum()
    deviation = np.zeros((steps + 1, n))
    for t in range(steps):
        # Activations of the other points that changed before this step pull differently.
        before = np.where(own, 0.0, gram * gained[t - 1]) if t else np.zeros((n, n))
        kink = np.array([layer.kink[t] for layer in layers])
        deviation[t + 1] = deviation[t] - h @ deviation[t] + before @ pull[t] + kink
    few = max(draws // 32, 2)
    squares = [_scatter(gram, h, pull, point, few, rng) for point in range(n)]
    return BoundaryLayer(
        float(np.diag(crossed).mean()), change, float(scatter), deviation, np.sum(squares, axis=0)
    )

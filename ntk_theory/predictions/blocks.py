"""Cluster by cluster: any labels, any signs that occur, any initial output."""

from __future__ import annotations

__all__ = [
    "block_filter",
    "block_recursion",
    "initial_output_samples",
    "initial_output_spread",
    "wrong_sign_share",
]

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


@np.errstate(under="ignore")
def block_filter(
    spectrum: ClusterSpectrum, vector: ArrayLike, factors: tuple[float, float, float]
) -> Array:
    """Multiply every eigenspace of clusters by a factor, through cluster means alone.

    φ_− v + (φ_+ − φ_−) P v + (φ_0 − φ_+) J v, with P the cluster means and J the overall mean. The
    eigenvalues as factors give H v; filters g_λ(t) give the outputs of a net taught v.

    Args:
        spectrum: eigenvalues of the clusters.
        vector: v, shape (..., n), the points of a cluster next to each other.
        factors: φ_−, φ_+ and φ_0, of the noise, the information and the mean.

    Returns:
        Shape (..., n).

    Reference: docs/theory.md, sections 3.1 and 8.

    >>> from ntk_theory.predictions import cluster_spectrum
    >>> spectrum = cluster_spectrum(clusters=2, points=2, angle=0.5)
    >>> block_filter(spectrum, [1.0, 0.0, 0.0, 0.0], (0.0, 1.0, 1.0))
    array([0.5, 0.5, 0. , 0. ])
    """
    v = np.asarray(vector, dtype=float)
    noise, information, mean = factors
    blocks = v.reshape(*v.shape[:-1], spectrum.clusters, spectrum.points)
    cluster_mean = np.broadcast_to(blocks.mean(axis=-1, keepdims=True), blocks.shape)
    product = (
        noise * blocks
        + (information - noise) * cluster_mean
        + (mean - information) * blocks.mean(axis=(-2, -1), keepdims=True)
    )
    return np.asarray(product.reshape(v.shape))


def block_recursion(
    spectrum: ClusterSpectrum,
    observed: ArrayLike,
    learning_rate: float,
    weights: ArrayLike,
    initial_outputs: ArrayLike | None = None,
) -> Array:
    """Hard self-distillation with whatever signs occur and from any initial output.

    u_{t+1} = u_t − η H (u_t − α_t ỹ − (1 − α_t) sign u_t), with H applied through averages.

    Args:
        spectrum: eigenvalues of the clusters.
        observed: ỹ, shape (n,), the points of a cluster next to each other.
        learning_rate: η.
        weights: α_t, shape (T,).
        initial_outputs: u_0, shape (..., n); zero when left out.

    Returns:
        u_T only, shape (..., n).

    Reference: docs/theory.md, section 8.

    >>> from ntk_theory.predictions import cluster_angle, cluster_spectrum
    >>> spectrum = cluster_spectrum(2, 5, cluster_angle(5, ratio=12.0))
    >>> observed = [-1.0, 1, 1, 1, 1, 1, -1, -1, -1, -1]
    >>> block_recursion(spectrum, observed, 0.9 / spectrum.mean, [1.0] * 2 + [0.0] * 200).round(3)
    array([ 1.,  1.,  1.,  1.,  1., -1., -1., -1., -1., -1.])
    """
    label = np.asarray(observed, dtype=float)
    eigenvalues = spectrum.noise, spectrum.information, spectrum.mean
    u = np.zeros_like(label) if initial_outputs is None else np.array(initial_outputs, dtype=float)
    for weight in np.asarray(weights, dtype=float):
        target = weight * label + (1 - weight) * np.sign(u)
        u = u - learning_rate * block_filter(spectrum, u - target, eigenvalues)
    return u


def _initial_covariance(angle: float, cross_cosine: float) -> tuple[float, float]:
    """κ_1 across clusters and inside one; κ_1(θ) = (sin θ + (π − θ) cos θ)/2π, 1/2 at θ = 0."""

    def covariance(theta: float) -> float:
        return float((np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi))

    return covariance(float(np.arccos(cross_cosine))), covariance(angle)


def initial_output_samples(
    clusters: int,
    points: int,
    angle: float,
    cross_cosine: float,
    scale: float,
    samples: int,
    rng: np.random.Generator,
) -> Array:
    """Draws of the initial outputs of a wide, plainly initialised net on clusters.

    Gaussian with covariance scale² κ_1, κ_1(θ) = (sin θ + (π − θ) cos θ)/2π, drawn as an overall,
    a cluster and a point part.

    Returns:
        Outputs, shape (samples, n), the points of a cluster next to each other.

    Reference: docs/theory.md, sections 2 and 8.
    """
    cross, inside = _initial_covariance(angle, cross_cosine)
    shape = (samples, clusters, points)
    draws = (
        np.sqrt(cross) * rng.standard_normal((samples, 1, 1))
        + np.sqrt(inside - cross) * rng.standard_normal((samples, clusters, 1))
        + np.sqrt(0.5 - inside) * rng.standard_normal(shape)
    )
    return np.asarray(scale * draws.reshape(samples, clusters * points))


@np.errstate(under="ignore")
def initial_output_spread(
    spectrum: ClusterSpectrum,
    angle: float,
    cross_cosine: float,
    learning_rate: float,
    steps: int,
    scale: float = 1.0,
) -> Array:
    """Standard deviation of what is left of a random initial output at a point, step by step.

    While the targets do not depend on it, (I − ηH)^t u_0 is added to the outputs. Its variance at a
    point is scale² [(1 − 1/s) μ_− X_−^{2t} + (1/s − 1/n) μ_+ X_+^{2t} + μ_0 X_0^{2t}/n] with
    X = 1 − ηλ and the eigenvalues of κ_1: μ_− = 1/2 − κ_1(θ), μ_+ = μ_− + s (κ_1(θ) − κ_1(a)) and
    μ_0 = μ_+ + n κ_1(a).

    Args:
        spectrum: eigenvalues of the clusters.
        angle: θ inside a cluster.
        cross_cosine: a, cosine between clusters.
        learning_rate: η.
        steps: T.
        scale: σ, standard deviation of the initial weights.

    Returns:
        Shape (T + 1,).

    Reference: docs/theory.md, section 8.1.
    """
    cross, inside = _initial_covariance(angle, cross_cosine)
    s, n = spectrum.points, spectrum.points * spectrum.clusters
    noise = 0.5 - inside
    information = noise + s * (inside - cross)
    parts = (
        ((1 - 1 / s) * noise, spectrum.noise),
        ((1 / s - 1 / n) * information, spectrum.information),
        ((information + n * cross) / n, spectrum.mean),
    )
    step = 2 * np.arange(steps + 1)
    variance = sum(share * (1 - learning_rate * level) ** step for share, level in parts)
    return np.asarray(scale * np.sqrt(variance))


@np.errstate(under="ignore")
def wrong_sign_share(margins: ArrayLike, spread: ArrayLike) -> Array:
    """Expected share of wrong signs if a centred Gaussian is added to every output: mean Φ(−M/σ).

    Exact for the kernel under plain training, hence at the end of a burn-in. Summed over the points
    and over the steps t >= B it bounds the probability that a wrong sign ever teaches.

    Args:
        margins: y_i u_i(t) from a zero start, shape (..., n).
        spread: σ(t), shape (...), as from `initial_output_spread`.

    Returns:
        Shape (...).

    Reference: docs/theory.md, section 8.1.
    """
    scaled = np.asarray(margins, dtype=float) / np.asarray(spread, dtype=float)[..., None]
    return np.asarray(ndtr(-scaled).mean(axis=-1))

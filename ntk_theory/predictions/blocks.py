"""Hard self-distillation with whatever signs occur and from any initial output."""

from __future__ import annotations

__all__ = ["block_recursion", "initial_output_samples"]

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


def _block_product(spectrum: ClusterSpectrum, vector: Array) -> Array:
    """H v from cluster means and the overall mean; `vector` is (..., n), clusters contiguous."""
    blocks = vector.reshape(*vector.shape[:-1], spectrum.clusters, spectrum.points)
    cluster_mean = np.broadcast_to(blocks.mean(axis=-1, keepdims=True), blocks.shape)
    product = (
        spectrum.noise * blocks
        + (spectrum.information - spectrum.noise) * cluster_mean
        + (spectrum.mean - spectrum.information) * blocks.mean(axis=(-2, -1), keepdims=True)
    )
    return np.asarray(product.reshape(vector.shape))


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
    """
    label = np.asarray(observed, dtype=float)
    u = np.zeros_like(label) if initial_outputs is None else np.array(initial_outputs, dtype=float)
    for weight in np.asarray(weights, dtype=float):
        target = weight * label + (1 - weight) * np.sign(u)
        u = u - learning_rate * _block_product(spectrum, u - target)
    return u


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

    def covariance(theta: float) -> float:
        return float((np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi))

    cross, inside = covariance(float(np.arccos(cross_cosine))), covariance(angle)
    shape = (samples, clusters, points)
    draws = (
        np.sqrt(cross) * rng.standard_normal((samples, 1, 1))
        + np.sqrt(inside - cross) * rng.standard_normal((samples, clusters, 1))
        + np.sqrt(0.5 - inside) * rng.standard_normal(shape)
    )
    return np.asarray(scale * draws.reshape(samples, clusters * points))

"""Outputs of every point under self-distillation while every prediction is right.

The targets are then y + α_t ξ, so the outputs are linear in the clean labels y and the noise ξ: a
closed form on clusters with any number of classes, one recursion on any other data.
"""

from __future__ import annotations

__all__ = ["Operator", "cluster_outputs", "gram_outputs", "label_gap"]

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


def label_gap(clean: ArrayLike, observed: ArrayLike, groups: ArrayLike) -> float:
    """δ: least lead of the right class over the best wrong one, among the groups.

    Shares of the observed labels in a group; 1 − 2ρ for two classes. A group whose δ is not
    positive has lost its right class.

    Args:
        clean: classes, shape (n,), constant in every group.
        observed: classes, shape (n,).
        groups: shape (n,).

    Reference: docs/theory.md, section 7.6.

    >>> round(label_gap([0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 2, 1, 1], [0, 0, 0, 0, 0, 1, 1]), 6)
    0.4
    """
    right, seen, group = np.asarray(clean), np.asarray(observed), np.asarray(groups)
    classes, leads = int(max(right.max(), seen.max())) + 1, []
    for name in np.unique(group):
        inside = group == name
        counts = np.bincount(seen[inside], minlength=classes) / inside.sum()
        own = right[inside][0]
        leads.append(counts[own] - np.delete(counts, own).max())
    return float(min(leads))


@np.errstate(under="ignore")
def _fractions(rate: float, weights: Array, epoch: int | None) -> tuple[Array, Array]:
    """Retrieved fractions of clean labels and of noise in a mode of η λ = `rate`."""
    clean, noise = np.zeros(weights.size + 1), np.zeros(weights.size + 1)
    for t, weight in enumerate(weights):
        fresh = epoch is not None and t % epoch == 0
        before = (0.0, 0.0) if fresh else (clean[t], noise[t])
        clean[t + 1] = (1 - rate) * before[0] + rate
        noise[t + 1] = (1 - rate) * before[1] + rate * weight
    return clean, noise


def cluster_outputs(
    spectrum: ClusterSpectrum,
    clean: ArrayLike,
    observed: ArrayLike,
    learning_rate: float,
    weights: ArrayLike,
    restart_epoch: int | None = None,
) -> Array:
    """Outputs on clusters: Σ over the three eigenspaces of c_λ(t) P_λ y + q_λ(t) P_λ ξ.

    c_{t+1} = (1 − ηλ) c_t + ηλ and q_{t+1} = (1 − ηλ) q_t + ηλ α_t, both from 0. Valid while every
    prediction that teaches is right.

    Args:
        spectrum: eigenvalues of the clusters.
        clean: targets y, shape (n,) or one-hot (n, C), the points of a cluster next to each other.
        observed: ỹ, in the same shape.
        learning_rate: η.
        weights: α_t, shape (T,).
        restart_epoch: steps after which the net starts again at zero output, if it does.

    Returns:
        u_t, shape (T + 1, n) or (T + 1, n, C).

    Reference: docs/theory.md, sections 7.6 and 7.7.
    """
    label = np.asarray(clean, dtype=float)
    y = label.reshape(len(label), -1)
    noise = np.asarray(observed, dtype=float).reshape(y.shape) - y

    def parts(vector: Array) -> tuple[Array, Array, Array]:
        blocks = vector.reshape(spectrum.clusters, spectrum.points, -1)
        inside = np.repeat(blocks.mean(axis=1), spectrum.points, axis=0)
        overall = np.broadcast_to(vector.mean(axis=0), vector.shape)
        return vector - inside, inside - overall, overall

    outputs = np.zeros((np.asarray(weights).size + 1, *y.shape))
    levels = (spectrum.noise, spectrum.information, spectrum.mean)
    for level, of_clean, of_noise in zip(levels, parts(y), parts(noise), strict=True):
        c, q = _fractions(learning_rate * level, np.asarray(weights, dtype=float), restart_epoch)
        outputs += c[:, None, None] * of_clean + q[:, None, None] * of_noise
    return outputs.reshape(-1, *label.shape)


class Operator(Protocol):
    """A matrix that is known by its products with vectors (n,) or (n, k)."""

    def __matmul__(self, vectors: Array) -> Array:
        """The product."""


def gram_outputs(
    gram: Operator,
    clean: ArrayLike,
    observed: ArrayLike,
    learning_rate: float,
    weights: ArrayLike,
) -> Array:
    """Outputs on any data: y + e_t with e_{t+1} = e_t − ηH(e_t − α_t ξ), e_0 = −y.

    Valid while every prediction that teaches is right.

    Args:
        gram: H, shape (n, n), positive definite; a matrix, or what multiplies like one.
        clean: targets y, shape (n,) or one-hot (n, C).
        observed: ỹ, in the same shape.
        learning_rate: η.
        weights: α_t, shape (T,).

    Returns:
        u_t, shape (T + 1, n) or (T + 1, n, C).

    Reference: docs/theory.md, section 7.1.

    >>> gram, weights = 0.45 + 0.05 * np.eye(3), [1.0] + [0.0] * 400
    >>> gram_outputs(gram, [1.0, 1.0, 1.0], [1.0, 1.0, -1.0], 0.5, weights)[[1, -1]].round(3)
    array([[0.25, 0.25, 0.2 ],
           [1.  , 1.  , 1.  ]])
    """
    label = np.asarray(clean, dtype=float)
    noise = np.asarray(observed, dtype=float) - label
    outputs = np.empty((np.asarray(weights).size + 1, *label.shape))
    outputs[0] = 0
    error = -label
    for t, weight in enumerate(np.asarray(weights, dtype=float)):
        error = error - learning_rate * (gram @ (error - weight * noise))
        outputs[t + 1] = label + error
    return outputs

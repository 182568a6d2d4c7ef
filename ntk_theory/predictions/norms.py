"""What norm and margin say of unseen points: their margin, the generalisation measure, a bound."""

from __future__ import annotations

__all__ = [
    "generalisation_measure",
    "information_ratio",
    "least_ratio",
    "margin_bound",
    "new_cluster_output",
    "unseen_margin",
]

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


def unseen_margin(
    spectrum: ClusterSpectrum,
    mean_error: ArrayLike,
    information_error: ArrayLike,
    label_mean: float = 0.0,
    label: ArrayLike | None = None,
) -> Array:
    """Y f(x) on fresh points of the training clusters: (1 − 1/r)(1 + E_+) for ȳ = 0.

    In general y f = (1 − λ_−/λ_0) ȳy (1 + E_0) + (1 − λ_−/λ_+)(1 − ȳy)(1 + E_+). The noise part of
    the outputs does not reach a fresh point.

    Args:
        spectrum: eigenvalues of the training points.
        mean_error: E_0(t).
        information_error: E_+(t).
        label_mean: ȳ.
        label: y of the points; the worse of both when left out.

    Returns:
        Shape of the errors, or of the labels.

    Reference: docs/theory.md, section 7.5.
    """
    along_mean = (1 - spectrum.noise / spectrum.mean) * (1 + np.asarray(mean_error))
    along_contrasts = (1 - spectrum.noise / spectrum.information) * (
        1 + np.asarray(information_error)
    )

    def of(sign: ArrayLike) -> Array:
        share = label_mean * np.asarray(sign)
        return np.asarray(share * along_mean + (1 - share) * along_contrasts)

    return np.asarray(np.minimum(of(1.0), of(-1.0)) if label is None else of(label))


def generalisation_measure(distance: ArrayLike, points: int) -> Array:
    """sqrt(2 uᵀH^{-1}u/n) of outputs u: √(2/n) times the distance that learns them, linearised.

    On balanced clusters sqrt(2/λ_+) for clean labels; the observed ones add 4ρ(1 − ρ)/λ_− under the
    root (and (1 − 2ρ)² to the first term).

    Args:
        distance: sqrt(uᵀH^{-1}u), see `linearised_distance`.
        points: n.

    Returns:
        Shape of `distance`.

    Reference: docs/theory.md, section 7.9; the measure is that of arXiv 1901.08584.
    """
    return np.asarray(np.sqrt(2 / points) * np.asarray(distance))


def margin_bound(
    measure: float, margin: float, points: int, below: float = 0.0, confidence: float = 0.95
) -> float:
    """Bound on the share of fresh points predicted wrong, by norm and margin.

    P(y f ≤ 0) ≤ (share of training points with y f ≤ γ) + measure/γ + sqrt(log(1/δ)/(2n)), for all
    functions of at most this norm at once. A value from 1 on says nothing.

    Args:
        measure: sqrt(2 B²/n), B the norm in the kernel's space; see `generalisation_measure`.
        margin: γ > 0.
        points: n independent training points.
        below: share of training points with a margin of at most γ.
        confidence: 1 − δ.

    Reference: docs/theory.md, section 7.9.

    >>> round(margin_bound(0.25, 0.5, 50, confidence=1 - math.exp(-1)), 12)
    0.6
    """
    return below + measure / margin + math.sqrt(-math.log(1 - confidence) / (2 * points))


def information_ratio(spectrum: ClusterSpectrum) -> float:
    """Squared measure of isotropic noise over that of the clean labels: (tr H^{-1}/n) λ_+, ȳ = 0.

    About r; (1 − 1/s) r and something for each of the K wide modes.

    Reference: docs/theory.md, section 7.10.
    """
    inverse_trace = sum(count / eigenvalue for eigenvalue, count in spectrum.levels())
    return spectrum.information * inverse_trace / (spectrum.clusters * spectrum.points)


def least_ratio(noise_rate: float, classes: int = 2) -> float:
    """Ratio λ_+/λ_− above which a correct stopping time exists: r* = 1 + 1/(1 − ρC/(C − 1)).

    Symmetric noise on balanced clusters; infinite from ρ = (C − 1)/C on, where the right class is
    no longer the most frequent one. For C = 2 the recoverability threshold, solved for r.

    Args:
        noise_rate: ρ.
        classes: C.

    Reference: docs/theory.md, section 7.10.

    >>> least_ratio(0.25)
    3.0
    """
    left = 1 - noise_rate * classes / (classes - 1)
    return 1 + 1 / left if left > 0 else math.inf


def new_cluster_output(
    spectrum: ClusterSpectrum, mean_error: ArrayLike, label_mean: float = 0.0
) -> Array:
    """Output on a point of a cluster that was not trained on: (1 − λ_+/λ_0) ȳ (1 + E_0).

    Zero for ȳ = 0: nothing is known about it.

    Args:
        spectrum: eigenvalues of the training points.
        mean_error: E_0(t).
        label_mean: ȳ.

    Returns:
        Shape of the error.

    Reference: docs/theory.md, section 7.5.
    """
    share = 1 - spectrum.information / spectrum.mean
    return np.asarray(share * label_mean * (1 + np.asarray(mean_error)))

"""Which part of the labels plain training has retrieved, and when."""

from __future__ import annotations

__all__ = [
    "cluster_gap",
    "energy_dominance",
    "half_time",
    "half_time_ratio",
    "random_label_spread",
    "retrieval_filter",
    "retrieval_gap",
]

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


@np.errstate(under="ignore")
def retrieval_filter(eigenvalues: ArrayLike, learning_rate: float, steps: int) -> Array:
    """Share of the labels' component along each eigenvector that t steps retrieve.

    g_λ(t) = 1 − (1 − ηλ)^t.

    Args:
        eigenvalues: λ, shape (k,).
        learning_rate: η.
        steps: T.

    Returns:
        Shape (T + 1, k); increasing in t and in λ for ηλ <= 1.

    Reference: docs/theory.md, section 6.1.

    >>> retrieval_filter([0.0, 1.0], 0.5, 2)
    array([[0.  , 0.  ],
           [0.  , 0.5 ],
           [0.  , 0.75]])
    """
    values = np.asarray(eigenvalues, dtype=float)
    return np.asarray(1 - (1 - learning_rate * values) ** np.arange(steps + 1)[:, None])


def half_time(eigenvalue: float, learning_rate: float) -> float:
    """Steps after which half of an eigenspace is retrieved: log 2 / −log(1 − ηλ), real-valued.

    Args:
        eigenvalue: λ > 0.
        learning_rate: η, with ηλ < 1.

    Reference: docs/theory.md, section 6.1.

    >>> half_time(1.0, 0.5)
    1.0
    """
    return float(np.log(2) / -np.log1p(-learning_rate * eigenvalue))


def half_time_ratio(information: float, noise: float, learning_rate: float) -> float:
    """Half-time of the noise over that of the information: log(1 − ηλ_+)/log(1 − ηλ_−).

    At least λ_+/λ_−, which it tends to as η → 0.

    Args:
        information: λ_+.
        noise: λ_−, in (0, λ_+].
        learning_rate: η, with ηλ_+ < 1.

    Reference: docs/theory.md, section 6.1.
    """
    return float(np.log1p(-learning_rate * information) / np.log1p(-learning_rate * noise))


def retrieval_gap(
    eigenvalues: ArrayLike, energy: ArrayLike, learning_rate: float, steps: int
) -> Array:
    """Retrieved share of the clean labels minus the expected one of isotropic noise.

    R_t(y) − E R_t(noise) = Σ_i (w_i − 1/n) g_{λ_i}(t), on any data.

    Args:
        eigenvalues: all n of them, shape (n,).
        energy: w_i, share of ‖y‖² along each eigenvector, shape (n,), adding up to 1.
        learning_rate: η.
        steps: T.

    Returns:
        Shape (T + 1,); not negative for ηλ_max <= 1 if `energy_dominance` is not.

    Reference: docs/theory.md, section 6.5.
    """
    share = np.asarray(energy, dtype=float)
    return retrieval_filter(eigenvalues, learning_rate, steps) @ (share - 1 / share.size)


def energy_dominance(energy: ArrayLike) -> float:
    """Least excess of the clean labels' energy in the top k eigenvectors over k/n, k = 1..n − 1.

    Not negative: the clean labels are ahead of isotropic noise at every step.

    Args:
        energy: w_i, shape (n,), eigenvalues ascending, adding up to 1.

    Reference: docs/theory.md, section 6.5.

    >>> energy_dominance([0.125, 0.125, 0.25, 0.5])
    0.125
    """
    share = np.asarray(energy, dtype=float)
    excess = np.cumsum(share[::-1] - 1 / share.size)
    return float(excess[:-1].min(initial=np.inf)) if share.size > 1 else 0.0


def cluster_gap(spectrum: ClusterSpectrum, learning_rate: float, steps: int) -> Array:
    """`retrieval_gap` of labels balanced over equicorrelated clusters, in closed form.

    g_+ − [(n − K) g_− + (K − 1) g_+ + g_0]/n, which for λ_0 = λ_+ is (1 − K/n)(g_+ − g_−).

    Args:
        spectrum: eigenvalues of the clusters.
        learning_rate: η.
        steps: T.

    Returns:
        Shape (T + 1,).

    Reference: docs/theory.md, section 6.5.
    """
    values, counts = (
        np.asarray(column, dtype=float) for column in zip(*spectrum.levels(), strict=True)
    )
    retrieved = retrieval_filter(values, learning_rate, steps)
    return np.asarray(retrieved[:, 1] - retrieved @ counts / counts.sum())


def random_label_spread(spectrum: ClusterSpectrum, learning_rate: float, steps: int) -> Array:
    """Standard deviation of the retrieved share R_t(z) of random signs z on clusters.

    Var zᵀAz = 2 Σ_{i≠j} A_ij² for independent signs; A = I − (I − ηH)^t has two values off the
    diagonal.

    Args:
        spectrum: eigenvalues of the clusters.
        learning_rate: η.
        steps: T.

    Returns:
        Shape (T + 1,). The mean of R_t(z) is that of the filter over all n eigenvalues.

    Reference: docs/theory.md, section 6.5.
    """
    n, s = spectrum.clusters * spectrum.points, spectrum.points
    noise, information, mean = retrieval_filter(
        [spectrum.noise, spectrum.information, spectrum.mean], learning_rate, steps
    ).T
    across = (mean - information) / n
    inside = (information - noise) / s + across
    squares = n * (s - 1) * inside**2 + n * (n - s) * across**2
    return np.asarray(np.sqrt(2 * squares) / n)

"""Thresholds and scales: when plain training memorises, what is recoverable, how wide is wide."""

from __future__ import annotations

__all__ = [
    "first_wrong_step",
    "lazy_width",
    "memorisation_time",
    "overshoot_error",
    "recoverability_threshold",
    "recoverable_share",
    "relative_margin",
    "retrieval_ratio",
    "whole_cluster_margin",
]

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


@np.errstate(under="ignore")
def _retrieved(learning_rate: float, eigenvalue: float, step: ArrayLike) -> Array:
    """g_λ(t) = 1 − (1 − ηλ)^t, without cancellation where ηλ is small."""
    steps, rate = np.asarray(step, dtype=float), learning_rate * eigenvalue
    if rate < 1:
        return np.asarray(-np.expm1(steps * np.log1p(-rate)))
    return np.asarray(1 - np.power(1 - rate, steps))


def memorisation_time(noise_rate: float, learning_rate: float, noise_eigenvalue: float) -> float:
    """Step at which plain training starts to output wrong labels: log(2(1−ρ)) / −log(1−ηλ_−).

    Taken at g_+ = 1; real-valued; 0 (at once) when ρ >= 1/2 or ηλ_− >= 1.

    Reference: docs/theory.md, section 6.4.

    >>> round(memorisation_time(noise_rate=0.2, learning_rate=1.0, noise_eigenvalue=0.01), 1)
    46.8
    """
    if noise_rate >= 0.5 or learning_rate * noise_eigenvalue >= 1:
        return 0.0
    return float(np.log(2 * (1 - noise_rate)) / -np.log1p(-learning_rate * noise_eigenvalue))


def relative_margin(
    spectrum: ClusterSpectrum, noise_rate: float, learning_rate: float, step: ArrayLike
) -> Array:
    """Least y_i u_i of plain training over the root mean square of its outputs, for ȳ = 0.

    [(1−2ρ) g_+ − 2(1−ρ) g_−] / sqrt((1−2ρ)² g_+² + 4ρ(1−ρ) g_−²): it falls strictly from step 1,
    where it depends on ρ and the ratio alone, to −1 (for ηλ_+ <= 1).

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ in (0, 1/2).
        learning_rate: η, at most 1/λ_+.
        step: t >= 1, any shape.

    Reference: docs/theory.md, section 6.4.
    """
    signal = (1 - 2 * noise_rate) * _retrieved(learning_rate, spectrum.information, step)
    noise = _retrieved(learning_rate, spectrum.noise, step)
    size = np.sqrt(signal**2 + 4 * noise_rate * (1 - noise_rate) * noise**2)
    return np.asarray((signal - 2 * (1 - noise_rate) * noise) / size)


def first_wrong_step(spectrum: ClusterSpectrum, noise_rate: float, learning_rate: float) -> int:
    """First step t >= 1 of plain training with (1−2ρ) g_+ <= 2(1−ρ) g_−, for ȳ = 0.

    From it on the flipped points show their wrong labels.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ in (0, 1/2).
        learning_rate: η, at most 1/λ_+.

    Reference: docs/theory.md, section 6.4.

    >>> from ntk_theory.predictions import cluster_angle, cluster_spectrum
    >>> spectrum = cluster_spectrum(4, 10, cluster_angle(10, ratio=12.0))
    >>> [first_wrong_step(spectrum, rho, 0.5 / spectrum.mean) for rho in (0.1, 0.3, 0.46)]
    [14, 8, 1]
    """

    def fallen(step: int) -> bool:
        return bool(relative_margin(spectrum, noise_rate, learning_rate, step) <= 0)

    last = 1
    while not fallen(last):
        last *= 2
    first = last // 2  # not fallen yet there, if it is a step at all
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (first, middle) if fallen(middle) else (middle, last)
    return last


def retrieval_ratio(
    spectrum: ClusterSpectrum, learning_rate: float, steps: int, label_mean: float = 0.0
) -> float:
    """Largest retrieved signal over retrieved noise, max_t [(1+|ȳ|) g_+ − |ȳ| g_0] / g_−.

    A noise rate has a correct stopping time among these steps exactly if it is below the
    recoverability threshold of this ratio. For ȳ = 0 it is λ_+/λ_−, reached at the first step.

    Args:
        spectrum: eigenvalues of the clusters.
        learning_rate: η, at most 1/λ_0.
        steps: T >= 1, the last step looked at.
        label_mean: ȳ.

    Reference: docs/theory.md, section 6.4.
    """
    step, share = np.arange(1, steps + 1), abs(label_mean)
    signal = (1 + share) * _retrieved(learning_rate, spectrum.information, step)
    signal = signal - share * _retrieved(learning_rate, spectrum.mean, step)
    return float((signal / _retrieved(learning_rate, spectrum.noise, step)).max())


def recoverability_threshold(ratio: float) -> float:
    """Largest noise rate with a correct stopping time: ρ* = (r − 2) / (2(r − 1)).

    Negative for r < 2: then no noise rate is recoverable.

    Reference: docs/theory.md, section 6.4.

    >>> [round(recoverability_threshold(ratio), 3) for ratio in (2.0, 4.0, 12.0, 100.0)]
    [0.0, 0.333, 0.455, 0.495]
    """
    return (ratio - 2) / (2 * (ratio - 1))


def recoverable_share(clusters: int, points: int, probability: float, threshold: float) -> float:
    """Probability that independent flips leave every orthogonal cluster below the threshold.

    P(Bin(s, p) < ρ* s)^K; as s grows it tends to 1 for p < ρ*, and to 0 beyond.

    Args:
        clusters: K.
        points: s per cluster.
        probability: p of a wrong label.
        threshold: ρ*.

    Reference: docs/theory.md, section 6.4.
    """
    # A count of exactly ρ* s, up to rounding, is not below it.
    most = math.ceil(threshold * points * (1 - 1e-12)) - 1
    below = (
        math.comb(points, wrong) * probability**wrong * (1 - probability) ** (points - wrong)
        for wrong in range(most + 1)
    )
    return math.fsum(below) ** clusters


def overshoot_error(ratio: float, noise_rate: float) -> float:
    """RMS error after one step at ηλ_+ = 1/(1−2ρ), for ȳ = 0: 2 sqrt(ρ(1−ρ)) / ((1−2ρ) r).

    That step retrieves the clean labels in full, so it can beat 2ρ; it is stable for ρ < 1/4.

    Reference: docs/theory.md, section 6.3.
    """
    return 2 * math.sqrt(noise_rate * (1 - noise_rate)) / ((1 - 2 * noise_rate) * ratio)


def whole_cluster_margin(spectrum: ClusterSpectrum, learning_rate: float, step: ArrayLike) -> Array:
    """Least y_i u_i where whole clusters are flipped, as many of either label: −g_+(t), for ȳ = 0.

    Such noise lies in the information's eigenspace, which retrieves it as fast as information.

    Reference: docs/theory.md, section 6.7.
    """
    return -_retrieved(learning_rate, spectrum.information, step)


def lazy_width(
    spectrum: ClusterSpectrum,
    angle: float,
    noise_rate: float,
    memorised_noise: float,
    scale: float = 1.0,
) -> float:
    """Width at which fitting the noise moves a neuron as far as two points of a cluster are apart.

    m = n 4ρ(1−ρ) q² / (λ_− θ² σ²), a heuristic scale: the m^{-1/2} law is seen well above it only.

    Args:
        spectrum: eigenvalues of the clusters.
        angle: θ inside a cluster.
        noise_rate: ρ.
        memorised_noise: the largest q(t) of the run.
        scale: σ, standard deviation of the initial weights.

    Reference: docs/theory.md, section 9.4.

    >>> from ntk_theory.predictions import cluster_angle, cluster_spectrum
    >>> angles = [cluster_angle(10, ratio) for ratio in (6.0, 12.0, 24.0)]
    >>> [round(lazy_width(cluster_spectrum(4, 10, angle), angle, 0.2, 0.5)) for angle in angles]
    [18, 43, 135]
    """
    energy = spectrum.clusters * spectrum.points * 4 * noise_rate * (1 - noise_rate)
    return energy * memorised_noise**2 / (spectrum.noise * (angle * scale) ** 2)

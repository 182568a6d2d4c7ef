"""Thresholds and scales: when plain training memorises, what is recoverable, how wide is wide."""

from __future__ import annotations

__all__ = ["lazy_width", "memorisation_time", "recoverability_threshold"]

import numpy as np

from ntk_theory.predictions.spectra import ClusterSpectrum


def memorisation_time(noise_rate: float, learning_rate: float, noise_eigenvalue: float) -> float:
    """Step at which plain training starts to output wrong labels: log(2(1−ρ)) / −log(1−ηλ_−).

    Taken at g_+ = 1; real-valued; 0 (at once) when ρ >= 1/2 or ηλ_− >= 1.

    Reference: docs/theory.md, section 6.
    """
    if noise_rate >= 0.5 or learning_rate * noise_eigenvalue >= 1:
        return 0.0
    return float(np.log(2 * (1 - noise_rate)) / -np.log1p(-learning_rate * noise_eigenvalue))


def recoverability_threshold(ratio: float) -> float:
    """Largest noise rate with a correct stopping time: ρ* = (r − 2) / (2(r − 1)).

    Negative for r < 2: then no noise rate is recoverable.

    Reference: docs/theory.md, section 6.
    """
    return (ratio - 2) / (2 * (ratio - 1))


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

    Reference: docs/theory.md, section 9.
    """
    energy = spectrum.clusters * spectrum.points * 4 * noise_rate * (1 - noise_rate)
    return energy * memorised_noise**2 / (spectrum.noise * (angle * scale) ** 2)

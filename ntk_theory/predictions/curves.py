"""Error curves of plain training and self-distillation on noisy clusters."""

from __future__ import annotations

__all__ = ["ErrorCurve", "plain_training", "self_distillation", "soft_self_distillation"]

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorCurve:
    """Three numbers a step describe every output on noisy clusters.

    Attributes:
        mean_error: E_0(t) along the constant vector, shape (T + 1,), starts at −1.
        information_error: E_+(t) along the clean contrasts, shape (T + 1,), starts at −1.
        memorised_noise: q(t), the retrieved share of the label noise, shape (T + 1,), starts at 0.
        noise_rate: ρ in (0, 1), the share of flipped labels in every cluster.
        label_mean: ȳ, the mean of the clean labels (0 when as many clusters are +1 as −1).

    Reference: docs/theory.md, sections 6.2 and 7.2.
    """

    mean_error: Array
    information_error: Array
    memorised_noise: Array
    noise_rate: float
    label_mean: float = 0.0

    @np.errstate(under="ignore")
    def rms_error(self) -> Array:
        """‖u_t − y‖/√n = sqrt(ȳ² E_0² + (1 − ȳ²) E_+² + 4ρ(1 − ρ) q²), shape (T + 1,)."""
        share = self.label_mean**2
        rho = self.noise_rate
        square = (
            share * self.mean_error**2
            + (1 - share) * self.information_error**2
            + 4 * rho * (1 - rho) * self.memorised_noise**2
        )
        return np.asarray(np.sqrt(square))

    @np.errstate(under="ignore")
    def _clean_part(self, label: float) -> Array:
        along_mean = self.label_mean * label
        return 1 + along_mean * self.mean_error + (1 - along_mean) * self.information_error

    def margin(self) -> Array:
        """min_i y_i u_i(t) = 1 + E − 2(1 − ρ) q, the least over both labels, shape (T + 1,)."""
        worst = np.minimum(self._clean_part(1.0), self._clean_part(-1.0))
        return worst - 2 * (1 - self.noise_rate) * self.memorised_noise

    def outputs(self, clean: ArrayLike, flipped: ArrayLike) -> Array:
        """Output of every point.

        Args:
            clean: labels y in {−1, +1}, shape (n,).
            flipped: whether the observed label is the wrong one, shape (n,).

        Returns:
            u_t, shape (T + 1, n).
        """
        label = np.asarray(clean, dtype=float)
        rho = self.noise_rate
        noise = np.where(np.asarray(flipped), -2 * (1 - rho), 2 * rho)
        parts = {sign: self._clean_part(sign) for sign in (-1.0, 1.0)}
        signal = np.where(label > 0, parts[1.0][:, None], parts[-1.0][:, None])
        return label * (signal + noise * self.memorised_noise[:, None])


@np.errstate(under="ignore")
def _retrieving(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    label_mean: float,
    retrieved: Callable[[float], Array],
) -> ErrorCurve:
    """Curve of a linear filter: E = −1 + (1 − 2ρ) R(λ) and q = R(λ_−) (section 6)."""
    clean = 1 - 2 * noise_rate
    return ErrorCurve(
        -1 + clean * retrieved(spectrum.mean),
        -1 + clean * retrieved(spectrum.information),
        retrieved(spectrum.noise),
        noise_rate,
        label_mean,
    )


def plain_training(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    learning_rate: float,
    steps: int,
    label_mean: float = 0.0,
) -> ErrorCurve:
    """Gradient descent on the observed labels retrieves g_λ(t) = 1 − (1 − ηλ)^t of them.

    The RMS error is at least 2ρ at every step when ηλ_0 <= 1, and ends at 2√ρ.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        learning_rate: η.
        steps: T.
        label_mean: ȳ.

    Reference: docs/theory.md, sections 6.2 and 6.3.

    >>> from ntk_theory.predictions import cluster_angle, cluster_spectrum
    >>> spectrum = cluster_spectrum(4, 10, cluster_angle(10, ratio=12.0))
    >>> error = plain_training(spectrum, 0.2, 0.5 / spectrum.mean, steps=400).rms_error()
    >>> int(error.argmin()), round(float(error.min()), 3), round(float(error[-1]), 3)
    (5, 0.446, 0.894)
    """
    step = np.arange(steps + 1)
    return _retrieving(
        spectrum,
        noise_rate,
        label_mean,
        lambda eigenvalue: np.asarray(1 - (1 - learning_rate * eigenvalue) ** step),
    )


def soft_self_distillation(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    learning_rate: float,
    weights: ArrayLike,
    label_mean: float = 0.0,
) -> ErrorCurve:
    """Soft targets: plain training with learning rate η α_t, which retrieves 1 − Π(1 − η α_t λ).

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        learning_rate: η.
        weights: α_t, shape (T,).
        label_mean: ȳ.

    Reference: docs/theory.md, section 5.

    >>> from ntk_theory.predictions import cluster_spectrum
    >>> spectrum = cluster_spectrum(4, 10, angle=0.5)
    >>> soft = soft_self_distillation(spectrum, 0.2, 0.2, [0.5] * 100)
    >>> plain = plain_training(spectrum, 0.2, 0.1, steps=100)
    >>> np.allclose(soft.rms_error(), plain.rms_error(), rtol=1e-12)
    True
    """
    alpha = np.asarray(weights, dtype=float)

    def retrieved(eigenvalue: float) -> Array:
        left = np.cumprod(1 - learning_rate * alpha * eigenvalue)
        return 1 - np.concatenate(([1.0], left))

    return _retrieving(spectrum, noise_rate, label_mean, retrieved)


@np.errstate(under="ignore")
def self_distillation(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    learning_rate: float,
    weights: ArrayLike,
    label_mean: float = 0.0,
) -> ErrorCurve:
    """Hard self-distillation while every sign is right from the first weight below 1 on.

    E_{t+1} = (1 − ηλ) E_t − 2ρ ηλ α_t and q_{t+1} = (1 − ηλ_−) q_t + ηλ_− α_t. The caller checks
    the premise: `margin()` positive at every step from the end of the burn-in on.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        learning_rate: η.
        weights: α_t, shape (T,).
        label_mean: ȳ.

    Reference: docs/theory.md, section 7.2.

    >>> from ntk_theory.predictions import cluster_angle, cluster_spectrum
    >>> spectrum = cluster_spectrum(4, 10, cluster_angle(10, ratio=12.0))
    >>> weights = [1.0] * 3 + [0.0] * 397
    >>> curve = self_distillation(spectrum, 0.2, 0.5 / spectrum.mean, weights)
    >>> bool(curve.margin()[3:].min() > 0), round(float(curve.rms_error()[-1]), 6)
    (True, 0.0)
    """
    alpha = np.asarray(weights, dtype=float)

    def recursion(start: float, eigenvalue: float, source: float) -> Array:
        rate = learning_rate * eigenvalue
        values = np.empty(alpha.size + 1)
        values[0] = start
        for t, weight in enumerate(alpha):
            values[t + 1] = (1 - rate) * values[t] + source * rate * weight
        return values

    return ErrorCurve(
        recursion(-1.0, spectrum.mean, -2 * noise_rate),
        recursion(-1.0, spectrum.information, -2 * noise_rate),
        recursion(0.0, spectrum.noise, 1.0),
        noise_rate,
        label_mean,
    )

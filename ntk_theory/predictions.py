"""Closed forms: what theory predicts, computed without any kernel matrix or network.

Nothing in this module is shared with the measuring side (`kernels`, `spectrum`, `network`,
`targets`, `training`); their agreement is therefore evidence. Every function names the section of
docs/theory.md that proves it.

Conventions: angles in radians; eigenvalues are those of the n x n Gram matrix (not divided by n);
curves are indexed by the step t = 0..T, and `weights[t]` is the weight of the observed labels in
the step from t to t + 1.
"""

from __future__ import annotations

__all__ = [
    "ClusterSpectrum",
    "ErrorCurve",
    "TreeSpectrum",
    "block_recursion",
    "circle_eigenvalues",
    "cluster_angle",
    "cluster_spectrum",
    "initial_output_samples",
    "lazy_width",
    "memorisation_time",
    "ntk_gap",
    "ntk_value",
    "plain_training",
    "recoverability_threshold",
    "self_distillation",
    "soft_self_distillation",
    "tree_angles",
    "tree_spectrum",
]

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]

# ---------------------------------------------------------------- the kernel of an angle


def ntk_value(angle: float) -> float:
    """Limiting first-layer NTK of two unit inputs: κ = cos θ (π − θ) / 2π.

    Args:
        angle: θ between the inputs, in [0, π].

    Reference: docs/theory.md, section 2.

    >>> ntk_value(0.0)
    0.5
    """
    return float(np.cos(angle) * (np.pi - angle) / (2 * np.pi))


def ntk_gap(angle: float) -> float:
    """Loss of kernel value with the angle, κ(0) − κ(θ), without cancellation.

    Equals [2π sin²(θ/2) + θ cos θ] / 2π, about θ/2π for small angles: linear, where a smooth
    activation would give a square.

    Reference: docs/theory.md, section 2.
    """
    return float((2 * np.pi * np.sin(angle / 2) ** 2 + angle * np.cos(angle)) / (2 * np.pi))


def _angle_of_gap(gap: float) -> float:
    """Angle θ in (0, π/2] at which `ntk_gap` equals `gap`; the gap increases there."""
    return float(brentq(lambda t: ntk_gap(t) - gap, 0.0, np.pi / 2, xtol=1e-17, rtol=1e-15))


# ---------------------------------------------------------------- spectra of the exact designs


@dataclass(frozen=True)
class ClusterSpectrum:
    """The three eigenvalues of equicorrelated clusters (docs/theory.md, section 3.1).

    Attributes:
        clusters: K, at least 2.
        points: s per cluster, at least 2.
        noise: λ_−, contrasts inside a cluster, multiplicity K(s − 1).
        information: λ_+, contrasts between clusters, multiplicity K − 1.
        mean: λ_0, the constant vector, multiplicity 1.
    """

    clusters: int
    points: int
    noise: float
    information: float
    mean: float

    @property
    def ratio(self) -> float:
        """λ_+ / λ_−."""
        return self.information / self.noise

    def levels(self) -> tuple[tuple[float, int], ...]:
        """Eigenvalues with their multiplicities, ascending; they add up to n."""
        return (
            (self.noise, self.clusters * (self.points - 1)),
            (self.information, self.clusters - 1),
            (self.mean, 1),
        )


def cluster_angle(points: int, ratio: float, cross_cosine: float = 0.0) -> float:
    """Angle inside a cluster that gives the spectrum the ratio λ_+/λ_−.

    κ(θ) = (s κ(a) + (r − 1) κ(1)) / (s + r − 1) is explicit; only the angle needs a root-find.

    Args:
        points: s per cluster.
        ratio: r > 1.
        cross_cosine: a in [0, 1), the cosine between points of different clusters.

    Reference: docs/theory.md, section 3.1.
    """
    cross_gap = ntk_gap(float(np.arccos(cross_cosine)))
    return _angle_of_gap(points * cross_gap / (points + ratio - 1))


def cluster_spectrum(
    clusters: int, points: int, angle: float, cross_cosine: float = 0.0
) -> ClusterSpectrum:
    """Eigenvalues of the limiting NTK on equicorrelated clusters.

    λ_− = κ(1) − κ(θ), λ_+ = λ_− + s (κ(θ) − κ(a)), λ_0 = λ_+ + n κ(a).

    Reference: docs/theory.md, section 3.1.
    """
    gap, cross_gap = ntk_gap(angle), ntk_gap(float(np.arccos(cross_cosine)))
    information = gap + points * (cross_gap - gap)
    mean = information + clusters * points * (0.5 - cross_gap)
    return ClusterSpectrum(clusters, points, gap, information, mean)


@dataclass(frozen=True)
class TreeSpectrum:
    """The four eigenvalues of a superclass > class > point tree (docs/theory.md, section 3.2)."""

    superclasses: int
    classes: int
    points: int
    noise: float
    class_: float
    super_: float
    mean: float

    def levels(self) -> tuple[tuple[float, int], ...]:
        """Eigenvalues with their multiplicities, ascending; they add up to n."""
        return (
            (self.noise, self.superclasses * self.classes * (self.points - 1)),
            (self.class_, self.superclasses * (self.classes - 1)),
            (self.super_, self.superclasses - 1),
            (self.mean, 1),
        )


def tree_angles(
    classes: int,
    points: int,
    class_ratio: float,
    super_ratio: float,
    cross_cosine: float = 0.0,
) -> tuple[float, float]:
    """Angles (inside a superclass, inside a class) that give λ_class/λ_− and λ_super/λ_−.

    Args:
        classes: c per superclass.
        points: s per class.
        class_ratio: r1 = λ_class/λ_− > 1.
        super_ratio: r2 = λ_super/λ_− > r1.
        cross_cosine: a in [0, 1), the cosine between superclasses.

    Reference: docs/theory.md, section 3.2.
    """
    cross_gap = ntk_gap(float(np.arccos(cross_cosine)))
    step = (super_ratio - class_ratio) / (points * classes)
    noise = points * cross_gap / (points + class_ratio - 1 + points * step)
    return _angle_of_gap(cross_gap - step * noise), _angle_of_gap(noise)


def tree_spectrum(
    superclasses: int,
    classes: int,
    points: int,
    super_angle: float,
    class_angle: float,
    cross_cosine: float = 0.0,
) -> TreeSpectrum:
    """Eigenvalues of the limiting NTK on a tree.

    Args:
        superclasses: number of superclasses.
        classes: c per superclass.
        points: s per class.
        super_angle: angle between classes of one superclass.
        class_angle: angle between points of one class.
        cross_cosine: cosine between superclasses.

    Reference: docs/theory.md, section 3.2.
    """
    noise, inside = ntk_gap(class_angle), ntk_gap(super_angle)
    cross_gap = ntk_gap(float(np.arccos(cross_cosine)))
    class_ = noise + points * (inside - noise)
    super_ = class_ + points * classes * (cross_gap - inside)
    mean = super_ + superclasses * classes * points * (0.5 - cross_gap)
    return TreeSpectrum(superclasses, classes, points, noise, class_, super_, mean)


def circle_eigenvalues(points: int) -> Array:
    """Eigenvalues of the limiting NTK on n equispaced points of the circle, ascending.

    The Gram matrix is circulant, so they are the FFT of its first row.

    Reference: docs/theory.md, section 3.3.
    """
    offset = np.arange(points)
    angle = 2 * np.pi * np.minimum(offset, points - offset) / points
    row = np.cos(angle) * (np.pi - angle) / (2 * np.pi)
    return np.sort(np.fft.fft(row).real)


# ---------------------------------------------------------------- error curves on clusters


@dataclass(frozen=True)
class ErrorCurve:
    """Three numbers a step describe every output on noisy clusters (docs/theory.md, section 7).

    Attributes:
        mean_error: E_0(t) along the constant vector, shape (T + 1,), starts at −1.
        information_error: E_+(t) along the clean contrasts, shape (T + 1,), starts at −1.
        memorised_noise: q(t), the retrieved share of the label noise, shape (T + 1,), starts at 0.
        noise_rate: ρ, the share of flipped labels in every cluster.
        label_mean: ȳ, the mean of the clean labels (0 when as many clusters are +1 as −1).
    """

    mean_error: Array
    information_error: Array
    memorised_noise: Array
    noise_rate: float
    label_mean: float = 0.0

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


def plain_training(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    learning_rate: float,
    steps: int,
    label_mean: float = 0.0,
) -> ErrorCurve:
    """Gradient descent on the observed labels: E = −1 + (1 − 2ρ) g_λ and q = g_{λ_−}.

    Its RMS error is at least 2ρ at every step when ηλ_0 <= 1, and ends at 2√ρ.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        learning_rate: η.
        steps: T.
        label_mean: ȳ.

    Reference: docs/theory.md, section 6.
    """
    step = np.arange(steps + 1)

    def retrieved(eigenvalue: float) -> Array:
        return np.asarray(1 - (1 - learning_rate * eigenvalue) ** step)

    clean = 1 - 2 * noise_rate
    return ErrorCurve(
        -1 + clean * retrieved(spectrum.mean),
        -1 + clean * retrieved(spectrum.information),
        retrieved(spectrum.noise),
        noise_rate,
        label_mean,
    )


def soft_self_distillation(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    learning_rate: float,
    weights: ArrayLike,
    label_mean: float = 0.0,
) -> ErrorCurve:
    """Soft targets: plain training with learning rate η α_t, so 1 − Π(1 − η α_t λ) is retrieved.

    Reference: docs/theory.md, section 5.
    """
    alpha = np.asarray(weights, dtype=float)

    def retrieved(eigenvalue: float) -> Array:
        left = np.cumprod(1 - learning_rate * alpha * eigenvalue)
        return 1 - np.concatenate(([1.0], left))

    clean = 1 - 2 * noise_rate
    return ErrorCurve(
        -1 + clean * retrieved(spectrum.mean),
        -1 + clean * retrieved(spectrum.information),
        retrieved(spectrum.noise),
        noise_rate,
        label_mean,
    )


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

    Reference: docs/theory.md, section 7.
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


# ---------------------------------------------------------------- thresholds and scales


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


# ---------------------------------------------------------------- any signs, any initial output


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

"""Eigenvalues of the limiting NTK on designs where they are known exactly."""

from __future__ import annotations

__all__ = [
    "ClusterSpectrum",
    "TreeSpectrum",
    "circle_eigenvalues",
    "cluster_angle",
    "cluster_spectrum",
    "feature_gap",
    "ntk_gap",
    "ntk_value",
    "tree_angles",
    "tree_spectrum",
]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
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


@np.errstate(under="ignore")
def ntk_gap(angle: float) -> float:
    """Loss of kernel value with the angle, κ(0) − κ(θ), without cancellation.

    Equals [2π sin²(θ/2) + θ cos θ] / 2π, about θ/2π for small angles: linear, where a smooth
    activation would give a square.

    Reference: docs/theory.md, section 2.
    """
    return float((2 * np.pi * np.sin(angle / 2) ** 2 + angle * np.cos(angle)) / (2 * np.pi))


def feature_gap(angle: float) -> float:
    """Loss of the order-1 arc-cosine kernel with the angle, κ_1(0) − κ_1(θ).

    Equals [2π sin²(θ/2) − (sin θ − θ cos θ)] / 2π; training both layers adds it to `ntk_gap`.

    Reference: docs/theory.md, section 2.
    """
    lost = 2 * np.pi * np.sin(angle / 2) ** 2 - (np.sin(angle) - angle * np.cos(angle))
    return float(lost / (2 * np.pi))


def _angle_of_gap(gap: float) -> float:
    """Angle θ in (0, π/2] at which `ntk_gap` equals `gap`; the gap increases there."""
    return float(brentq(lambda t: ntk_gap(t) - gap, 0.0, np.pi / 2, xtol=1e-17, rtol=1e-15))


# ---------------------------------------------------------------- designs


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

    >>> round(cluster_spectrum(4, 10, cluster_angle(10, 12.0)).ratio, 9)
    12.0
    """
    cross_gap = ntk_gap(float(np.arccos(cross_cosine)))
    return _angle_of_gap(points * cross_gap / (points + ratio - 1))


def cluster_spectrum(
    clusters: int,
    points: int,
    angle: float,
    cross_cosine: float = 0.0,
    *,
    both_layers: bool = False,
) -> ClusterSpectrum:
    """Eigenvalues of the limiting NTK on equicorrelated clusters.

    λ_− = κ(1) − κ(θ), λ_+ = λ_− + s (κ(θ) − κ(a)), λ_0 = λ_+ + n κ(a), with κ + κ_1 for κ where
    both layers are trained.

    Reference: docs/theory.md, section 3.1.

    >>> spectrum = cluster_spectrum(clusters=4, points=10, angle=0.3)
    >>> [(round(value, 4), count) for value, count in spectrum.levels()]
    [(0.0679, 36), (4.3885, 3), (4.3885, 1)]
    """
    cross_angle = float(np.arccos(cross_cosine))
    gap, cross_gap, whole = ntk_gap(angle), ntk_gap(cross_angle), 0.5
    if both_layers:
        gap, cross_gap, whole = gap + feature_gap(angle), cross_gap + feature_gap(cross_angle), 1.0
    information = gap + points * (cross_gap - gap)
    mean = information + clusters * points * (whole - cross_gap)
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

    >>> spectrum = tree_spectrum(2, 2, 3, *tree_angles(2, 3, class_ratio=4.0, super_ratio=12.0))
    >>> round(spectrum.class_ / spectrum.noise, 9), round(spectrum.super_ / spectrum.noise, 9)
    (4.0, 12.0)
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

"""0-1 recovery of clustered labels by early stopping: what is promised, with explicit constants.

The theorem of arXiv 1903.11680 is about points within ε_0 of unit centres C, labels of different
clusters δ apart, and a share ρ of wrong labels in each cluster. Where its constants are not known
they are 1 here, and the docstrings say so; what has no such constant is proved in docs/theory.md.
"""

from __future__ import annotations

__all__ = ["Centres", "cluster_centres", "recovery_error", "recovery_time", "tolerated_noise"]

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ntk_gap

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Centres:
    """What a theorem about clusters asks of their unit centres C (docs/theory.md, section 6.9).

    Attributes:
        count: K.
        radius: ε_0, the largest distance of a point from the centre of its cluster.
        norm: ‖C‖², the top eigenvalue of C Cᵀ.
        least: λ(C), the least eigenvalue of the kernel of the centres.
    """

    count: int
    radius: float
    norm: float
    least: float

    @property
    def steps(self) -> float:
        """‖C‖²/λ(C), the stopping time in steps of η = K/(n‖C‖²); both constants are 1 here."""
        return self.norm / self.least

    def steps_at(self, learning_rate: float, points: int) -> float:
        """The same training time in steps of another η: K/(n λ(C) η).

        Args:
            learning_rate: η.
            points: s per cluster.
        """
        return 1 / (points * self.least * learning_rate)

    @property
    def distance(self) -> float:
        """√(K/λ(C)): how far from its start a wide net learns balanced labels of the centres."""
        return math.sqrt(self.count / self.least)


def cluster_centres(clusters: int, points: int, angle: float, cross_cosine: float = 0.0) -> Centres:
    """The unit centres that are nearest to the points of equicorrelated clusters: their means.

    A point has the cosine √ω to its own, ω = (1 + (s − 1) cos θ)/s, so ε_0 = √(2 − 2√ω); centres
    have the cosine a/ω to each other, so ‖C‖² = 1 + (K − 1) a/ω and λ(C) = κ(1) − κ(a/ω).

    Args:
        clusters: K.
        points: s per cluster.
        angle: θ inside a cluster.
        cross_cosine: a in [0, 1).

    Reference: docs/theory.md, section 6.9.

    >>> round(cluster_centres(4, 10, 0.5).least, 12)
    0.5
    """
    # 1 − ω without cancellation; the square of the mean of a cluster has the length ω.
    short = (1 - 1 / points) * 2 * math.sin(angle / 2) ** 2
    cosine = cross_cosine / (1 - short)
    radius = math.sqrt(2 * short / (1 + math.sqrt(1 - short)))
    least = ntk_gap(math.acos(cosine))
    return Centres(clusters, radius, 1 + (clusters - 1) * cosine, least)


def tolerated_noise(separation: float) -> float:
    """Share of wrong labels that the theorem tolerates, δ/8: 4ρ ≤ δ/2, half the way to a label.

    Args:
        separation: δ, the least distance of the labels of two clusters of different classes.

    Reference: arXiv 1903.11680; docs/theory.md, section 6.9.

    >>> tolerated_noise(2.0)
    0.25
    """
    return separation / 8


def recovery_time(noise_rate: float, learning_rate: float, information: float) -> int:
    """First step T >= 1 at which at most 2ρ of the information is missing: (1 − ηλ_+)^T ≤ 2ρ.

    Args:
        noise_rate: ρ in (0, 1/2).
        learning_rate: η, at most 1/λ_+.
        information: λ_+.

    Reference: docs/theory.md, section 6.9.

    >>> recovery_time(0.1, 0.5, 1.0)
    3
    """
    left = 1 - learning_rate * information
    if left <= 2 * noise_rate:
        return 1
    # A power that is 2ρ up to rounding has reached it.
    return math.ceil(math.log(2 * noise_rate) / math.log(left) * (1 - 1e-12))


def recovery_error(noise_rate: float, memorised_noise: ArrayLike) -> Array:
    """Bound on |u_i − y_i| from the recovery time on: 4ρ(1 − ρ) + 2(1 − ρ) q, for ȳ = 0.

    Below 1, half the distance of two labels, every output rounds to the right one.

    Args:
        noise_rate: ρ in (0, 1/2).
        memorised_noise: q = g_{λ_−}(t).

    Reference: docs/theory.md, section 6.9.
    """
    wrong = 2 * (1 - noise_rate)
    return np.asarray(wrong * (2 * noise_rate + np.asarray(memorised_noise)))

"""Students of stopped teachers: what a net learns from another net's outputs on noisy clusters.

Every curve here is the triple (mean error, information error, memorised noise) that
`predictions.ErrorCurve` takes as its first three fields.
"""

from __future__ import annotations

__all__ = [
    "chain_margin",
    "chain_threshold",
    "hardened_student_training",
    "student_distance",
    "student_training",
]

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import ClusterSpectrum

Array = NDArray[np.float64]
Stage = tuple[float, float]
"""Learning rate and steps of one round of training."""


@np.errstate(under="ignore")
def _retrieved(eigenvalue: float, rate: float, steps: ArrayLike) -> Array:
    return np.asarray(1 - np.power(1 - rate * eigenvalue, np.asarray(steps, dtype=float)))


@np.errstate(under="ignore")
def student_training(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    teachers: Sequence[Stage],
    learning_rate: float,
    steps: int,
) -> tuple[Array, Array, Array]:
    """A student of a stopped teacher retrieves the product of both filters, g'_λ(t) g_λ(τ).

    So do longer chains, each net a student of the one before: E = −1 + (1 − 2ρ) Π g_λ and
    q = Π g_{λ_−}. As t → ∞ the student's own factor becomes 1 and it is its teacher.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        teachers: (η, τ) of every net before the student, the first one trained on the observed
            labels; without any, this is plain training.
        learning_rate: η' of the student.
        steps: T' of the student.

    Returns:
        E_0, E_+ and q at the student's steps t = 0..T', shape (T' + 1,) each.

    Reference: docs/theory.md, section 6.8.

    >>> from ntk_theory.predictions import ErrorCurve, cluster_angle, cluster_spectrum
    >>> spectrum = cluster_spectrum(4, 10, cluster_angle(10, ratio=12.0))
    >>> rate = 0.5 / spectrum.mean
    >>> student = ErrorCurve(*student_training(spectrum, 0.2, [(rate, 6)], rate, 1000), 0.2)
    >>> student.rms_error()[[0, 10, 1000]].round(3)
    array([1.   , 0.415, 0.447])
    """
    step = np.arange(steps + 1)

    def product(eigenvalue: float) -> Array:
        taught = np.prod([_retrieved(eigenvalue, *stage) for stage in teachers])
        return np.asarray(taught * _retrieved(eigenvalue, learning_rate, step))

    clean = 1 - 2 * noise_rate
    return (
        -1 + clean * product(spectrum.mean),
        -1 + clean * product(spectrum.information),
        product(spectrum.noise),
    )


def hardened_student_training(
    spectrum: ClusterSpectrum, learning_rate: float, steps: int
) -> tuple[Array, Array, Array]:
    """A student of sign(teacher) learns the clean labels, if the teacher has every sign right.

    E = −(1 − η'λ)^t and q = 0: no noise is left to memorise.

    Args:
        spectrum: eigenvalues of the clusters.
        learning_rate: η' of the student.
        steps: T' of the student.

    Returns:
        E_0, E_+ and q at the student's steps t = 0..T', shape (T' + 1,) each.

    Reference: docs/theory.md, section 6.8.
    """
    step = np.arange(steps + 1)
    return (
        _retrieved(spectrum.mean, learning_rate, step) - 1,
        _retrieved(spectrum.information, learning_rate, step) - 1,
        np.zeros(steps + 1),
    )


@np.errstate(under="ignore")
def student_distance(
    spectrum: ClusterSpectrum,
    noise_rate: float,
    teacher: Stage,
    learning_rate: float,
    steps: int,
    label_mean: float = 0.0,
) -> Array:
    """RMS distance of a student to its teacher, each mode (1 − η'λ)^t of what the teacher holds.

    Args:
        spectrum: eigenvalues of the clusters.
        noise_rate: ρ.
        teacher: its learning rate η and stopping time τ.
        learning_rate: η' of the student.
        steps: T' of the student.
        label_mean: ȳ.

    Returns:
        ‖student_t − teacher‖/√n at t = 0..T', shape (T' + 1,).

    Reference: docs/theory.md, section 6.8.
    """
    step = np.arange(steps + 1)

    def missing(eigenvalue: float) -> Array:
        left = (1 - learning_rate * eigenvalue) ** step
        return np.asarray(left * _retrieved(eigenvalue, *teacher))

    share, clean = label_mean**2, (1 - 2 * noise_rate) ** 2
    square = (
        clean * share * missing(spectrum.mean) ** 2
        + clean * (1 - share) * missing(spectrum.information) ** 2
        + 4 * noise_rate * (1 - noise_rate) * missing(spectrum.noise) ** 2
    )
    return np.asarray(np.sqrt(square))


def chain_threshold(ratio: float, rounds: int) -> float:
    """Largest noise rate that k stopped rounds can undo: ρ*_k = (r^k − 2) / (2(r^k − 1)).

    One round is plain training; every further one multiplies the ratio of the filters by up to r.

    Args:
        ratio: r = λ_+/λ_− > 1.
        rounds: k >= 1, the nets of the chain.

    Reference: docs/theory.md, section 6.8.

    >>> [round(chain_threshold(4.0, rounds), 3) for rounds in (1, 2, 3)]
    [0.333, 0.467, 0.492]
    """
    sharpened = ratio**rounds
    return (sharpened - 2) / (2 * (sharpened - 1))


def chain_margin(ratio: float, noise_rate: float, rounds: int) -> float:
    """Least y_i u_i over ‖u‖/√n after k rounds of one step each, the largest of all chains.

    [(1 − 2ρ) r^k − 2(1 − ρ)] / sqrt((1 − 2ρ)² r^{2k} + 4ρ(1 − ρ)), for ȳ = 0 at any learning rate:
    positive iff ρ < ρ*_k.

    Args:
        ratio: r = λ_+/λ_− > 1.
        noise_rate: ρ.
        rounds: k >= 1, the nets of the chain.

    Reference: docs/theory.md, section 6.8.
    """
    signal, noise = (1 - 2 * noise_rate) * ratio**rounds, 2 * (1 - noise_rate)
    return (signal - noise) / math.hypot(signal, math.sqrt(2 * noise_rate * noise))

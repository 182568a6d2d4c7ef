"""Constants of the m^{-1/2} laws (docs/theory.md, section 9.5), from the kernel's own residuals."""

from __future__ import annotations

__all__ = [
    "BATCHES",
    "DISTILLED",
    "PLAIN_TRAINING",
    "Theory",
    "lazy_width",
    "mean_with_error",
    "slope",
    "theories",
]

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.predictions import BoundaryLayer, ErrorCurve
from ntk_theory.problems import NoisyClusters

Array = NDArray[np.float64]

PLAIN_TRAINING, DISTILLED = "plain training", "self-distillation"
BATCHES = 8
"""Independent Monte Carlo estimates of the constants, which tell their own error."""

_THEORY_STREAM = 3
"""Keeps theory's draws apart from the seeds of nets (0), controls (1) and resampling (2)."""


def lazy_width(problem: NoisyClusters) -> float:
    """Lazy width of plain training, which memorises more than self-distillation does."""
    memorised = float(problem.plain.memorised_noise.max())
    return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, memorised)


@dataclass(frozen=True)
class Theory:
    """What is predicted of one way of training.

    Attributes:
        problem: what is trained.
        curve: its errors in the kernel limit.
        weights: α_t, shape (T,).
        draws: neurons for each point and batch.
        seed: of the draws.
        movements: predicted largest movements by width, once they are drawn.
    """

    problem: NoisyClusters
    curve: ErrorCurve
    weights: Array
    draws: int
    seed: int
    movements: dict[int, float] = field(default_factory=dict)

    def _rng(self, *key: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_THEORY_STREAM, *key))
        return np.random.default_rng(sequence)

    @cached_property
    def outputs(self) -> Array:
        """u_t, shape (T + 1, n)."""
        data = self.problem.dataset
        return self.curve.outputs(data.clean, data.flipped)

    @cached_property
    def pulls(self) -> Array:
        """η (z_t − u_t) with every sign right, shape (T, n)."""
        data, alpha = self.problem.dataset, self.weights[:, None]
        target = alpha * data.observed + (1 - alpha) * data.clean
        return np.asarray(self.problem.learning_rate * (target - self.outputs[:-1]))

    def _matrix(self, same: float, inside: float, across: float) -> Array:
        levels = self.problem.spectrum
        return predictions.cluster_matrix(levels.clusters, levels.points, same, inside, across)

    def fluctuation(self, *, pairs: bool = True) -> float:
        """Mean of m ‖H_m(0) − H‖_F²."""
        return predictions.kernel_fluctuation(self.cosines, pairs=pairs)

    @cached_property
    def cosines(self) -> Array:
        """Gram matrix of the inputs, shape (n, n)."""
        return self._matrix(1.0, math.cos(self.problem.angle), self.problem.cross_cosine)

    @cached_property
    def layers(self) -> tuple[BoundaryLayer, ...]:
        """Independent estimates of the constants."""
        value = predictions.ntk_value
        cross = math.acos(self.problem.cross_cosine)
        kernel = self._matrix(value(0.0), value(self.problem.angle), value(cross))
        scaled = self.problem.learning_rate * kernel
        return tuple(
            predictions.boundary_layer(
                self.cosines, scaled, self.pulls, self._rng(batch), self.draws
            )
            for batch in range(BATCHES)
        )

    @cached_property
    def kernel_change(self) -> Array:
        """Mean of √m (H_m(T) − H_m(0)), shape (n, n)."""
        return np.asarray(np.mean([layer.kernel_change for layer in self.layers], axis=0))

    def kernel_change_norm(self, width: int) -> float:
        """Root mean square of ‖H_m(T) − H_m(0)‖_F."""
        return float(np.mean([layer.kernel_change_norm(width) for layer in self.layers]))

    def deviation(self, width: int) -> float:
        """Root mean square over nets of sup_t ‖u_m − u_lin‖/√n."""
        parts = [layer.deviation_norm(width) for layer in self.layers]
        return float(np.mean(parts, axis=0).max())

    @cached_property
    def distance(self) -> float:
        """‖W_T − W_0‖_F."""
        curve = self.curve
        return float(
            predictions.linearised_distance(
                self.problem.spectrum,
                self.problem.noise_rate,
                curve.mean_error[-1],
                curve.information_error[-1],
                curve.memorised_noise[-1],
                self.problem.label_mean,
            )
        )

    def largest_movement(self, width: int) -> float:
        """Largest ‖w_r(T) − w_r(0)‖ of a net."""
        if width not in self.movements:
            drawn = predictions.largest_movement(
                self.cosines, self.pulls.sum(axis=0), width // 2, self._rng(BATCHES, width)
            )
            self.movements[width] = drawn / math.sqrt(width)
        return self.movements[width]


def theories(problem: NoisyClusters, draws: int, seed: int) -> dict[str, Theory]:
    """Theory of both ways of training."""
    alone = np.ones(problem.steps)
    return {
        PLAIN_TRAINING: Theory(problem, problem.plain, alone, draws, seed),
        DISTILLED: Theory(problem, problem.distilled, problem.weights, draws, seed),
    }


def mean_with_error(estimates: Sequence[float]) -> tuple[float, float]:
    """Mean of independent estimates, and its relative standard error."""
    values = np.asarray(estimates, dtype=float)
    mean = float(values.mean())
    return mean, float(values.std(ddof=1)) / math.sqrt(values.size) / mean


def slope(widths: Sequence[int], values: Sequence[float]) -> float:
    """Least-squares slope of log value on log width."""
    logs = np.log(np.asarray(widths, dtype=float))
    centred = logs - logs.mean()
    return float(centred @ np.log(values) / np.square(centred).sum())

"""Constants of the m^{-1/2} laws of wide nets (docs/theory.md, section 9.5)."""

from __future__ import annotations

__all__ = ["DISTILLED", "LEFT", "PLAIN", "LazyClusters", "Theory"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt

if TYPE_CHECKING:
    from ntk_theory.predictions import BoundaryLayer, ErrorCurve

Array = NDArray[np.float64]

PLAIN, DISTILLED = "plain training", "self-distillation"
LEFT = "deviation_from_linearisation"
_BATCHES = 8
"""Independent Monte Carlo estimates of the constants, whose scatter is their own error."""

_THEORY_STREAM = 3
"""Keeps theory's draws apart from the seeds of nets (0), controls (1) and resampling (2)."""


@dataclass(frozen=True)
class LazyClusters(nt.NoisyClusters):
    """Noisy clusters, with what theory draws of nets on them.

    Attributes:
        draws: neurons for each point and batch.
    """

    draws: int = 0

    @classmethod
    def of(cls, problem: nt.NoisyClusters, options: Any = None, /, **more: Any) -> LazyClusters:
        """The problem, with as many draws as a preset takes."""
        draws = {"quick": 60, "standard": 200, "thorough": 400}.get(options.preset, 200)
        return super().of(problem, draws=draws, **more)

    @property
    def lazy_width(self) -> float:
        """Lazy width of plain training, which memorises more than self-distillation does."""
        memorised = float(self.plain.memorised_noise.max())
        return nt.predictions.lazy_width(self.spectrum, self.angle, self.noise_rate, memorised)

    def premises(self) -> tuple[nt.Premise, ...]:
        """Only those that a net needs to move little and to teach right signs."""
        wanted = {"kernel positive definite", "stable learning rate", "signs right at every step"}
        return tuple(premise for premise in super().premises() if premise.name in wanted)

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        lazy = self.lazy_width if self.predictable else None
        return super().config() | {"draws": _BATCHES * self.draws, "lazy_width": lazy}

    def matrix(self, same: float, inside: float, across: float) -> Array:
        """A matrix with one value at a point, inside a cluster, and between clusters."""
        levels = self.spectrum
        return nt.predictions.cluster_matrix(levels.clusters, levels.points, same, inside, across)

    @cached_property
    def cosines(self) -> Array:
        """Gram matrix of the inputs, shape (n, n)."""
        return self.matrix(1.0, math.cos(self.angle), self.cross_cosine)

    def fluctuation(self, *, pairs: bool = True) -> float:
        """Mean of m ‖H_m(0) − H‖_F²."""
        return nt.predictions.kernel_fluctuation(self.cosines, pairs=pairs)

    @cached_property
    def theories(self) -> dict[str, Theory]:
        """Of both ways to train."""
        return {
            PLAIN: Theory(self, self.plain, np.ones(self.steps)),
            DISTILLED: Theory(self, self.distilled, self.weights),
        }


@dataclass(frozen=True, eq=False)
class Theory:
    """What is predicted of one way of training.

    Attributes:
        problem: what is trained.
        curve: its errors in the kernel limit.
        weights: α_t, shape (T,).
    """

    problem: LazyClusters
    curve: ErrorCurve
    weights: Array

    def _rng(self, *key: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.problem.seed, spawn_key=(_THEORY_STREAM, *key))
        return np.random.default_rng(sequence)

    @cached_property
    def pulls(self) -> Array:
        """η (z_t − u_t) with every sign right, shape (T, n)."""
        data, alpha = self.problem.dataset, self.weights[:, None]
        target = alpha * data.observed + (1 - alpha) * data.clean
        outputs = self.curve.outputs(data.clean, data.flipped)
        return np.asarray(self.problem.learning_rate * (target - outputs[:-1]))

    @cached_property
    def layers(self) -> tuple[BoundaryLayer, ...]:
        """Independent estimates of the constants."""
        problem, value = self.problem, nt.predictions.ntk_value
        angles = (0.0, problem.angle, math.acos(problem.cross_cosine))
        scaled = problem.learning_rate * problem.matrix(*map(value, angles))
        return tuple(
            nt.predictions.boundary_layer(
                problem.cosines, scaled, self.pulls, self._rng(batch), problem.draws
            )
            for batch in range(_BATCHES)
        )

    @cached_property
    def kernel_change(self) -> Array:
        """Mean of √m (H_m(T) − H_m(0)), shape (n, n)."""
        return np.asarray(np.mean([layer.kernel_change for layer in self.layers], axis=0))

    def laws(self, widths: Sequence[int]) -> dict[str, tuple[Array, float]]:
        """What nets of each width measure, (M, 1), and its relative standard error, by name.

        The largest movement is that of a net none of whose neurons leaves the half-space of a point
        and comes back. Under self-distillation, where the pulls change their sign, some do.
        """
        problem, curve, layers, root = self.problem, self.curve, self.layers, np.sqrt(widths)
        length = math.sqrt(float(np.square(self.kernel_change).sum()))
        along = [float((one.kernel_change * self.kernel_change).sum()) for one in layers]
        off = np.array([[one.deviation_norm(m) for m in widths] for one in layers])
        estimates = {
            "flipped_activations": [one.flipped / root for one in layers],
            "along_mean_change": [one / length / root for one in along],
            "kernel_change": [[one.kernel_change_norm(m) for m in widths] for one in layers],
            LEFT: off.max(axis=2),
        }
        found = {key: (np.mean(value, axis=0), np.std(value, axis=0, ddof=1)[-1])
                 for key, value in estimates.items()}  # fmt: skip
        found = {key: (law, float(error / law[-1]) / math.sqrt(_BATCHES))
                 for key, (law, error) in found.items()}  # fmt: skip
        found[LEFT] = (off.mean(axis=0).max(axis=1), found[LEFT][1])
        moved = [
            nt.predictions.largest_movement(
                problem.cosines, self.pulls.sum(axis=0), m // 2, self._rng(_BATCHES, m)
            )
            for m in widths
        ]
        errors = (curve.mean_error[-1], curve.information_error[-1], curve.memorised_noise[-1])
        distance = nt.predictions.linearised_distance(
            problem.spectrum, problem.noise_rate, *errors, problem.label_mean
        )
        found |= {"movement": (moved / root, 0.0), "distance": (distance * root**0, 0.0)}
        return {key: (np.asarray(law)[:, None], error) for key, (law, error) in found.items()}

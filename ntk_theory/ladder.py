"""A ladder of widths: nets against closed forms, and what narrower nets tell of wider ones."""

from __future__ import annotations

__all__ = ["Ladder"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.experiments import Rung, compare, net_seeds, train_nets
from ntk_theory.fitting import PowerLaw, fit_power_law
from ntk_theory.problems import Recipe
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_NETS_STREAM, _BOOTSTRAP_STREAM = 0, 2
"""Keep the seeds of nets and of resampling apart (controls have stream 1)."""


@dataclass
class Ladder:
    """Nets of growing width, trained in one or several ways that all start from the same nets.

    Attributes:
        clean: labels y that errors are taken against, shape (n,) or (n, C).
        widths: ascending.
        nets: how many at each width.
        seed: of all their randomness.
        dtype: their precision.
        device: where they are trained.
        rungs: for each way of training, the widths trained so far.
    """

    clean: Array
    widths: tuple[int, ...]
    nets: int
    seed: int
    dtype: str
    device: str
    rungs: dict[str, list[Rung]] = field(default_factory=dict)

    def seeds(self, width: int) -> list[int]:
        """Seeds of the nets of one width."""
        return net_seeds(self.seed, width, self.nets, _NETS_STREAM)

    def train(
        self,
        name: str,
        recipe: Recipe,
        width: int,
        predicted: ArrayLike,
        *,
        progress: Progress | None = None,
        keep_network: bool = False,
    ) -> Trajectory:
        """Train the nets of one width and add their rung.

        Args:
            name: of this way of training.
            recipe: this way of training.
            width: m.
            predicted: outputs of the infinitely wide net at the recorded steps, shape (k, n) or
                (k, n, C).
            progress: advanced as the nets train.
            keep_network: form the trained weights.
        """
        trajectory = train_nets(
            recipe,
            width,
            self.seeds(width),
            dtype=self.dtype,
            device=self.device,
            progress=progress,
            keep_network=keep_network,
        )
        rung = compare(trajectory, width, predicted, self.clean)
        self.rungs.setdefault(name, []).append(rung)
        return trajectory

    def rounding_error(self, recipe: Recipe, trajectory: Trajectory, width: int) -> float:
        """Largest RMS difference of the first net to the same one trained in float64."""
        if self.dtype == "float64":
            return 0.0
        exact = train_nets(recipe, width, self.seeds(width)[:1], device=self.device)
        length = min(exact.steps.size, trajectory.steps.size)
        difference = exact.outputs[0, :length] - trajectory.outputs[0, :length]
        axes = tuple(range(1, difference.ndim))
        square = np.square(difference).sum(axis=axes) / difference.shape[1]
        return float(np.sqrt(square).max())

    def rounding_allowance(self, width: int) -> float:
        """Rounding of an output, a sum of m terms: eps √m (docs/theory.md, section 11)."""
        return float(np.finfo(self.dtype).eps) * math.sqrt(width)

    def fit(self, name: str, value: Callable[[Rung], Array], rungs: int | None = None) -> PowerLaw:
        """Power law in the width of a positive quantity of each net.

        Args:
            name: way of training.
            value: the quantity, shape (S,).
            rungs: how many widths, from the narrowest on; all when left out.
        """
        chosen = self.rungs[name][:rungs]
        key = np.random.SeedSequence(self.seed, spawn_key=(_BOOTSTRAP_STREAM,))
        return fit_power_law(
            [rung.width for rung in chosen],
            [value(rung) for rung in chosen],
            rng=np.random.default_rng(key),
        )

    def allowance(
        self, name: str, value: Callable[[Rung], Array], confidence: float = 0.99
    ) -> float:
        """Bound that all narrower widths put on a deviation at the widest, with rounding."""
        widest = self.widths[-1]
        return self.fit(name, value, -1).upper(widest, confidence) + self.rounding_allowance(widest)

    def bound(self, value: Callable[[Rung], Array], width: int) -> float:
        """Bound on a deviation at any width in any way of training, with rounding."""
        fitted = [self.fit(name, value).upper(width) for name in self.rungs]
        return max(fitted) + self.rounding_allowance(width)

    def stopped(self) -> str | None:
        """Explanation of the first divergence, or None."""
        every = (rung for rungs in self.rungs.values() for rung in rungs)
        return next((rung.stopped for rung in every if rung.stopped), None)

    def metrics(self) -> tuple[Mapping[str, Any], ...]:
        """One row for each trained net."""
        return tuple(
            {
                "training": name,
                "width": rung.width,
                "net": net,
                "steps": rung.error.shape[1] - 1,
                "final_rms_error": float(rung.error[net, -1]),
                "best_rms_error": float(rung.error[net].min()),
                "largest_deviation": float(rung.largest_deviation[net]),
                "final_deviation": float(rung.deviation[net, -1]),
                "margin": float(rung.margin[net]),
                "zero_one_error": float(rung.zero_one[net]),
                "movement": float(rung.movement[net]),
                "distance": float(rung.distance[net]),
                "flipped_activations": float(rung.flipped_activations[net]),
            }
            for name, rungs in self.rungs.items()
            for rung in rungs
            for net in range(len(rung.error))
        )

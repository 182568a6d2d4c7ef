"""What training records."""

from __future__ import annotations

__all__ = ["Trajectory"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ntk_theory import arguments
from ntk_theory.network import TwoLayerReLU

Array = NDArray[np.float64]
_ARRAYS = ("steps", "outputs", "label_weights", "movement", "distance", "flipped_activations")


@dataclass(frozen=True)
class Trajectory:
    """What S nets did on one data set.

    Attributes:
        steps: recorded steps, ascending, shape (k,).
        outputs: u_t on the training inputs, shape (S, k, n), or (S, k, n, C) for C > 1.
        label_weights: α_t of every step made, shape (S, T).
        network: the trained nets, if they were to be kept.
        movement: max_r ‖w_r(T) − w_r(0)‖ of each net, shape (S,).
        distance: ‖W_T − W_0‖_F of each net, shape (S,).
        flipped_activations: share of (point, neuron) pairs whose activation changed, shape (S,).
        diverged: why training ended early, or None; then `steps` ends at the last good step.
    """

    steps: NDArray[np.int64]
    outputs: Array
    label_weights: Array
    network: TwoLayerReLU | None
    movement: Array
    distance: Array
    flipped_activations: Array
    diverged: str | None = None

    def _labels(self, values: ArrayLike, kind: arguments.TargetKind) -> Array:
        """In the shape of the outputs of a step, (n,) or (n, C)."""
        points, single = self.outputs.shape[2], self.outputs.ndim == 3
        outputs = 1 if single else self.outputs.shape[3]
        columns = arguments.targets("labels", values, points=points, outputs=outputs, kind=kind)
        return columns[:, 0] if single else columns

    def rms_error(self, labels: ArrayLike) -> Array:
        """ℓ2 error ‖u_t − y‖/√n, shape (S, k).

        Args:
            labels: y, shape (n,) or (n, 1) for one output, (n, C) for more; any numbers, as those
                of a teacher, but no class numbers.

        Raises:
            ValueError: for labels of another shape, NaN, class numbers.
        """
        difference = self.outputs - self._labels(labels, "any")
        axes = tuple(range(2, difference.ndim))
        return np.asarray(np.sqrt((difference**2).sum(axis=axes) / difference.shape[2]))

    def rescaled(self) -> Trajectory:
        """The same with outputs of mean size 1, but for those that are all 0."""
        size = np.abs(self.outputs).mean(axis=tuple(range(2, self.outputs.ndim)), keepdims=True)
        return replace(self, outputs=self.outputs / np.where(size > 0, size, 1.0))

    def margins(self, labels: ArrayLike) -> Array:
        """y_i u_i of each point, or right output minus the best wrong one, shape (S, k, n).

        Args:
            labels: ±1 of shape (n,) or (n, 1) for one output, one-hot rows (n, C) for more.

        Raises:
            ValueError: for any others.
        """
        label = self._labels(labels, "hard")
        if label.ndim == 1:
            return np.asarray(self.outputs * label)
        right = (self.outputs * label).sum(axis=-1)
        return np.asarray(right - np.where(label > 0, -np.inf, self.outputs).max(axis=-1))

    def zero_one_error(self, labels: ArrayLike) -> Array:
        """Share of points whose label is not predicted (margin <= 0), shape (S, k).

        Args:
            labels: as of `margins`.
        """
        return np.asarray((self.margins(labels) <= 0).mean(axis=-1))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values that `from_state` makes the trajectory of again."""
        arrays = {
            name: torch.from_numpy(np.ascontiguousarray(getattr(self, name))) for name in _ARRAYS
        }
        network = self.network and {"hidden": self.network.hidden, "output": self.network.output}
        return arrays | {"network": network, "diverged": self.diverged}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Trajectory:
        """Trajectory that was saved."""
        arrays = {name: state[name].numpy() for name in _ARRAYS}
        network = state["network"] and TwoLayerReLU(**state["network"])
        return cls(**arrays, network=network, diverged=state["diverged"])

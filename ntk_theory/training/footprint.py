"""What training takes, known beforehand: memory, operations, blocks."""

from __future__ import annotations

__all__ = ["Footprint", "matrix_rate"]

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ntk_theory.machine import ranks
from ntk_theory.machine.resources import memory_limit
from ntk_theory.training.dense import block_size, patterns_fit
from ntk_theory.training.forms import Form, cheapest, event_driven_bytes, event_driven_counts
from ntk_theory.training.points import moves_weights, shared_points
from ntk_theory.training.products import storage, tensor_cores

_DOUBLE = 8
"""Bytes."""

_SIZE = {"cpu": 1024, "gpu": 8192}
_TIMES = 3
"""Of the products that a machine's rate is measured by."""


@dataclass(frozen=True)
class Footprint:
    """One net in training.

    Attributes:
        points: n.
        features: d; inputs are taken to span it, or as much as n points can.
        width: m.
        precision: of the nets, one of `products.PRECISIONS`.
        device: where they are trained.
        sums_pulls: whether the pulls on neurons are summed beside their pre-activations, as for
            inputs that are nearly dependent.
        form: of a step; a dense one takes least memory.
        outputs: C.
    """

    points: int
    features: int
    width: int
    precision: str
    device: str = "cpu"
    sums_pulls: bool = False
    form: Form = "dense"
    outputs: int = 1

    @classmethod
    def of(
        cls,
        inputs: ArrayLike,
        width: int,
        precision: str,
        device: str = "cpu",
        *,
        rates: NDArray[np.float64],
        outputs: int = 1,
        both_layers: bool = False,
    ) -> Footprint:
        """That of nets on these inputs, which are looked at, in the form that is cheapest.

        Args:
            inputs: shape (n, d).
            width: m.
            precision: of the nets.
            device: where they are trained.
            rates: η of every step.
            outputs: C.
            both_layers: whether the output weights are trained too.
        """
        rows = torch.as_tensor(np.asarray(inputs), dtype=storage(precision), device=device)
        found, (points, features) = shared_points(rows, precision), rows.shape
        form = cheapest(
            found, width=width, outputs=outputs, rates=rates / width**0.5, both_layers=both_layers
        )
        return cls(points, features, width, precision, device, found.sums_pulls, form, outputs)

    @property
    def own(self) -> int:
        """Neurons that one of several processes holds, at most."""
        return math.ceil(self.width / ranks.size())

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return torch.finfo(storage(self.precision)).bits // 8

    @property
    def weights_move(self) -> bool:
        """Which form a step has."""
        return moves_weights(self.points, min(self.points, self.features))

    @property
    def block(self) -> int:
        """Neurons updated together."""
        return block_size(self.points, 1, self.width, self.itemsize, self.device)

    @property
    def patterns(self) -> int:
        """Bytes of activation patterns, if they are kept."""
        kept = self.weights_move and patterns_fit(self.points, self.own, 1)
        return self.points * self.own if kept else 0

    @property
    def growing(self) -> int:
        """Bytes that grow with the width."""
        if self.form == "event-driven":
            return event_driven_bytes(self.points, self.own)
        state = self.features if self.weights_move else self.points * (1 + self.sums_pulls)
        return state * self.own * self.itemsize + self.patterns

    @property
    def fixed(self) -> int:
        """Bytes that do not: inputs, a block and its activations, what a step takes of Γ.

        That is Γ, for one output once more with the residual, and in float64 Γ and its factor; for
        event-driven steps Γ once for each pair of outputs, in counts and in their sums.
        """
        if self.form == "event-driven":
            counts = event_driven_counts(self.points, self.outputs)
            return counts + self.points * (self.features + self.block) * _DOUBLE
        gram = 0 if self.weights_move else self.points**2
        numbers = self.points * self.features + 2 * gram + 2 * self.points * self.block
        return numbers * self.itemsize + 2 * gram * _DOUBLE

    @property
    def operations(self) -> float:
        """Of one dense step, by one process."""
        if not self.weights_move:
            return 2.0 * self.points**2 * self.own
        products = 2 if self.patterns else 3
        return 2.0 * products * self.points * self.features * self.own

    def check(self, beside: int = 0) -> None:
        """Raise ValueError, with the plan, if it does not fit the memory beside so many bytes."""
        wanted, limit = self.growing + self.fixed + beside, memory_limit()
        if wanted > limit:
            raise ValueError(
                f"width {self.width} needs about {wanted / 2**30:.1f} GiB of memory, more than the "
                f"{limit / 2**30:.1f} GiB that there are ({self}); use narrower nets"
            )

    def __str__(self) -> str:
        form = "weights" if self.weights_move else "pre-activations"
        return (
            f"{self.precision}, {form} in blocks of {self.block} neurons on all {self.points} "
            f"points, {self.growing / 2**20:.0f} MiB that grow with the width and "
            f"{self.fixed / 2**20:.0f} MiB that do not"
        )


def matrix_rate(precision: str, device: str) -> float:
    """Operations a second of matrix products, measured now."""
    size = _SIZE["cpu" if device.startswith("cpu") else "gpu"]
    factor = torch.ones(size, size, dtype=storage(precision), device=device)
    best = float("inf")
    with tensor_cores(precision):
        for _ in range(_TIMES + 1):
            started = time.perf_counter()
            (factor @ factor)[0, 0].item()  # waits for the device
            best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best

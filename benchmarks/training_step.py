"""A step of gradient descent in float32, against PyTorch autograd with SGD."""

from __future__ import annotations

__all__ = ["measure"]

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.timing import Entry, compare
from ntk_theory import network, training
from ntk_theory.targets import PLAIN

_SHAPES = (
    (60, 64, 8192),
    (60, 64, 16384),
    (200, 3072, 8192),
    (200, 3072, 16384),
    (1000, 64, 8192),
    (1000, 256, 8192),
    (1000, 256, 16384),
    (1000, 3072, 8192),
)
_STEPS = {60: 200, 200: 50, 1000: 20}
"""Steps a round, by the number of points: what forms and ends a run is spread over them."""


class _Problem:
    """Points with random labels, a net, and a stable rate."""

    def __init__(self, points: int, features: int, width: int, dtype: torch.dtype) -> None:
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((points, features))
        self.inputs = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.labels: NDArray[np.float64] = rng.choice([-1.0, 1.0], points)
        # The limiting NTK is at most Γ in the order of matrices.
        self.rate = 1 / float(np.linalg.norm(self.inputs, 2) ** 2)
        self.net = network.initialise(width, features, seeds=[0], dtype=dtype)

    def ours(self, steps: int) -> NDArray[np.float64]:
        """Outputs in the end."""
        trained = training.train(
            self.net,
            self.inputs,
            self.labels,
            PLAIN,
            learning_rate=self.rate,
            steps=steps,
            record=[steps],
            keep_network=False,
        )
        return np.asarray(trained.outputs[0, -1])

    def autograd(self, steps: int) -> NDArray[np.float64]:
        """The same by automatic differentiation."""
        dtype = self.net.hidden.dtype
        inputs = torch.as_tensor(self.inputs, dtype=dtype)
        labels = torch.as_tensor(self.labels, dtype=dtype)
        hidden = self.net.hidden[0].clone().requires_grad_()
        optimiser = torch.optim.SGD([hidden], lr=self.rate)

        def outputs() -> Tensor:
            summed = torch.relu(inputs @ hidden.T) @ self.net.output[0, 0]
            scaled: Tensor = summed / self.net.width**0.5
            return scaled

        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(0.5 * (outputs() - labels).square().sum())
            optimiser.step()
        return np.asarray(outputs().detach().double().numpy())

    def floor(self, steps: int) -> None:
        """The products of the cheaper of both exact forms."""
        points, features = self.inputs.shape
        dtype = self.net.hidden.dtype
        pattern = torch.ones(points, self.net.width, dtype=dtype)
        if points <= 2 * features:
            gram = torch.ones(points, points, dtype=dtype)
            for _ in range(steps):
                gram @ pattern
            return
        rows, weights = torch.ones(points, features, dtype=dtype), self.net.hidden[0]
        for _ in range(steps):
            pattern.T @ rows
            rows @ weights.T


def measure(rounds: int) -> Iterator[Entry]:
    """One entry a shape; seconds are those of all steps."""
    for points, features, width in _SHAPES:
        steps = _STEPS[points]
        problem = _Problem(points, features, width, torch.float32)
        exact = _Problem(points, features, 1024, torch.float64)
        yield compare(
            f"{steps} training steps",
            {"n": points, "d": features, "m": width},
            {
                "ours": partial(problem.ours, steps),
                "floor": partial(problem.floor, steps),
                "autograd + SGD": partial(problem.autograd, steps),
            },
            rounds=rounds,
            accuracy={
                "float64 trajectories": float(
                    np.abs(exact.ours(steps) - exact.autograd(steps)).max()
                )
            },
        )

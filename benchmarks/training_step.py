"""A step of gradient descent in float32, against PyTorch autograd with SGD."""

from __future__ import annotations

__all__ = ["autograd", "measure"]

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from benchmarks.timing import Contender, Entry, Watch, compare
from ntk_theory import network, training
from ntk_theory.network import TwoLayerReLU
from ntk_theory.targets import PLAIN
from ntk_theory.training.dense import block_size

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
"""Steps a round, by the number of points."""


def autograd(
    net: TwoLayerReLU, inputs: ArrayLike, labels: ArrayLike, rate: float, steps: int, watch: Watch
) -> NDArray[np.float64]:
    """Outputs after plain training of the first layer by automatic differentiation."""
    dtype = net.hidden.dtype
    rows, targets = (torch.as_tensor(part, dtype=dtype) for part in (inputs, labels))
    hidden = net.hidden[0].clone().requires_grad_()
    optimiser = torch.optim.SGD([hidden], lr=rate)

    def outputs() -> Tensor:
        summed = torch.relu(rows @ hidden.T) @ net.output[0, 0]
        scaled: Tensor = summed / net.width**0.5
        return scaled

    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(0.5 * (outputs() - targets).square().sum())
        optimiser.step()
        watch(step + 1)
    return np.asarray(outputs().detach().double().numpy())


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

    def ours(self, steps: int, watch: Watch) -> NDArray[np.float64]:
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
            on_step=watch,
        )
        return np.asarray(trained.outputs[0, -1])

    def autograd(self, steps: int, watch: Watch) -> NDArray[np.float64]:
        """The same by automatic differentiation."""
        return autograd(self.net, self.inputs, self.labels, self.rate, steps, watch)

    def floor(self, steps: int, watch: Watch) -> None:
        """The products of the cheaper exact dense form, in blocks that stay in the caches.

        A step that moves every neuron cannot do without them; an event-driven one can.
        """
        points, features = self.inputs.shape
        dtype = self.net.hidden.dtype
        size = block_size(points, 1, self.net.width, torch.finfo(dtype).bits // 8)
        gram, rows = (torch.ones(points, size, dtype=dtype) for size in (points, features))
        pattern, weights = torch.ones(size, points, dtype=dtype), self.net.hidden[0, :size]
        moved, change = torch.empty_like(pattern), torch.empty_like(weights)
        for step in range(steps):
            for _ in range(self.net.width // size):
                if points <= 2 * features:
                    torch.mm(pattern, gram, out=moved)
                else:
                    torch.mm(pattern, rows, out=change)
                    torch.mm(weights, rows.T, out=moved)
            watch(step + 1)


def _step(run: Callable[[int, Watch], object], steps: int) -> Contender:
    def timed() -> float:
        watch = Watch()
        run(steps, watch)
        return watch.seconds

    return timed


def measure(rounds: int) -> Iterator[Entry]:
    """One entry a shape; seconds are those of a step."""
    for points, features, width in _SHAPES:
        steps = _STEPS[points]
        problem = _Problem(points, features, width, torch.float32)
        exact = _Problem(points, features, 1024, torch.float64)
        yield compare(
            "training step",
            {"n": points, "d": features, "m": width},
            {
                "ours": _step(problem.ours, steps),
                "floor": _step(problem.floor, steps),
                "autograd + SGD": _step(problem.autograd, steps),
            },
            rounds=rounds,
            accuracy={
                "float64 trajectories": float(
                    np.abs(exact.ours(steps, Watch()) - exact.autograd(steps, Watch())).max()
                )
            },
        )

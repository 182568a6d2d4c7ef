"""One step of gradient descent: the pre-activation form against PyTorch autograd and SGD.

`python -m benchmarks.training_step` prints JSON: median milliseconds of either, taken in turn in
one run, and their ratio. Seconds depend on the machine and its load; ratios hold better.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ntk_theory import data, network, training
from ntk_theory.environment import describe_environment
from ntk_theory.targets import PLAIN


def _milliseconds(steps: Callable[[int], None], count: int) -> float:
    """Marginal time of a step: that of 2·count steps less that of count steps."""
    started = time.perf_counter()
    steps(count)
    middle = time.perf_counter()
    steps(2 * count)
    return ((time.perf_counter() - middle) - (middle - started)) / count * 1e3


def measure(width: int, dtype: torch.dtype, repeats: int, count: int) -> dict[str, float]:
    """Median times of both ways on 60 points of 67 features, in turn."""
    design = data.equicorrelated_clusters(6, 10, ratio=20.0)
    dataset = data.noisy_labels(design, noise_rate=0.3, rng=np.random.default_rng(0))
    rate = 0.25 / float(design.eigenvalues()[-1])
    net = network.initialise(width, design.inputs.shape[1], seeds=[0], dtype=dtype)
    inputs = torch.tensor(dataset.inputs, dtype=dtype)
    label = torch.tensor(dataset.observed, dtype=dtype)

    def ours(steps: int) -> None:
        training.train(
            net,
            dataset.inputs,
            dataset.observed,
            PLAIN,
            learning_rate=rate,
            steps=steps,
            keep_network=False,
        )

    def autograd(steps: int) -> None:
        hidden = net.hidden[0].clone().requires_grad_()
        output = net.output[0, 0]
        optimiser = torch.optim.SGD([hidden], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            prediction = torch.relu(inputs @ hidden.T) @ output / width**0.5
            (0.5 * (prediction - label).square().sum()).backward()
            optimiser.step()

    ours(count)
    autograd(count)
    pairs = [(_milliseconds(ours, count), _milliseconds(autograd, count)) for _ in range(repeats)]
    return {
        "pre_activation_ms": statistics.median(pair[0] for pair in pairs),
        "autograd_ms": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step")
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args(argv)
    results = {
        name: measure(arguments.width, getattr(torch, name), arguments.repeats, arguments.steps)
        for name in ("float32", "float64")
    }
    document = {"environment": describe_environment(), "points": 60, "width": arguments.width}
    print(json.dumps(document | results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

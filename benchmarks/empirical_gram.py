"""Empirical Gram matrix of a float32 net, both layers, against products of Jacobians by peers."""

from __future__ import annotations

__all__ = ["measure"]

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.timing import Contender, Entry, compare, whole
from ntk_theory import kernels, network

_POINTS, _FEATURES, _WIDTH = 1000, 64, 4096
_TOGETHER = 100
"""Rows of a Jacobian formed together by torch.func: more do not fit a laptop."""


def _torch_func(net: network.TwoLayerReLU, inputs: Tensor) -> Tensor:
    """Products of explicit Jacobians, rows of them at a time."""
    weights = {"hidden": net.hidden[0], "output": net.output[0, 0]}
    root = net.width**0.5

    def value(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        scaled: Tensor = torch.relu(parameters["hidden"] @ row) @ parameters["output"] / root
        return scaled

    jacobian = torch.func.vmap(torch.func.grad(value), in_dims=(None, 0))

    def rows(chunk: Tensor) -> Tensor:
        parts = jacobian(weights, chunk).values()
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    every = [rows(chunk) for chunk in torch.split(inputs, _TOGETHER)]
    return torch.cat([torch.cat([left @ right.T for right in every], dim=1) for left in every])


class _Module(torch.nn.Module):
    """The same net as a module, with trained weights of both layers."""

    def __init__(self, net: network.TwoLayerReLU) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(net.dimension, net.width, bias=False)
        self.output = torch.nn.Linear(net.width, 1, bias=False)
        self.root = net.width**0.5
        with torch.no_grad():
            self.hidden.weight.copy_(net.hidden[0])
            self.output.weight.copy_(net.output[0])

    def forward(self, rows: Tensor) -> Tensor:
        """Outputs, shape (n, 1)."""
        values: Tensor = self.output(torch.relu(self.hidden(rows))) / self.root
        return values


def _nngeometry(net: network.TwoLayerReLU, inputs: Tensor) -> Contender | None:
    if find_spec("nngeometry") is None:
        return None
    gram = import_module("nngeometry.gram").GramMatrix
    model = _Module(net)

    def outputs(rows: Tensor, *_: Tensor) -> Tensor:
        values: Tensor = model(rows)
        return values

    def call() -> NDArray[np.float32]:
        data = torch.utils.data.TensorDataset(inputs.clone(), torch.zeros(len(inputs)))
        loader = torch.utils.data.DataLoader(data, batch_size=len(inputs))
        found = gram(model=model, loader=loader, function=outputs).to_torch()
        return np.asarray(found.detach().numpy())[0, :, 0]

    return whole(call)


def _curvlinops(net: network.TwoLayerReLU, inputs: Tensor) -> Contender | None:
    if find_spec("curvlinops") is None:
        return None
    operators = import_module("curvlinops")
    model = _Module(net)
    data = [(inputs, torch.zeros(len(inputs), 1))]
    jacobian, transposed = (
        kind(model, list(model.parameters()), data, check_deterministic=False)
        for kind in (operators.JacobianLinearOperator, operators.TransposedJacobianLinearOperator)
    )

    def call() -> Tensor:
        columns = torch.split(torch.eye(len(inputs)), _TOGETHER, dim=1)
        return torch.cat([jacobian @ (transposed @ some) for some in columns], dim=1)

    return whole(call)


def _accuracy(net: network.TwoLayerReLU, inputs: NDArray[np.float32]) -> dict[str, float]:
    """Distance of activation counts to integers, and of the kernel to the one in float64."""
    gram = inputs.astype(float) @ inputs.T.astype(float)
    counts = kernels.ntk_empirical(net, inputs)[0] * net.width
    far = np.abs(gram) > 1e-3
    ratio = counts[far] / gram[far]
    double = network.TwoLayerReLU(net.hidden.double(), net.output.double())
    exact = kernels.ntk_empirical(double, inputs, layers="both")
    return {
        "counts, distance to integers": float(np.abs(ratio - np.round(ratio)).max()),
        "float32 net against float64": float(
            np.abs(kernels.ntk_empirical(net, inputs, layers="both") - exact).max()
        ),
    }


def measure(rounds: int) -> Iterator[Entry]:
    """One entry."""
    net = network.initialise(_WIDTH, _FEATURES, seeds=[0], dtype=torch.float32)
    inputs = np.random.default_rng(0).standard_normal((_POINTS, _FEATURES)).astype(np.float32)
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    rows = torch.from_numpy(inputs)
    features = (rows @ net.hidden[0].T).numpy()

    def floor() -> None:
        np.matmul(inputs, net.hidden[0].numpy().T)
        # Of activations and of features.
        np.matmul(features, features.T)
        np.matmul(features, features.T)

    yield compare(
        "empirical Gram matrix",
        {"n": _POINTS, "d": _FEATURES, "m": _WIDTH},
        {
            "ours": whole(partial(kernels.ntk_empirical, net, inputs, layers="both")),
            "floor": whole(floor),
            "nngeometry": _nngeometry(net, rows),
            "curvlinops": _curvlinops(net, rows),
            "torch.func": whole(partial(_torch_func, net, rows)),
        },
        rounds=rounds,
        accuracy=_accuracy(net, inputs),
    )

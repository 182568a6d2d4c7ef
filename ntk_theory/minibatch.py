"""Minibatch gradient descent on noisy class labels, as `losses` describes it; many nets at once."""

from __future__ import annotations

__all__ = ["Job", "Record", "train"]

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ntk_theory import arguments
from ntk_theory.losses import Descent, Mixing
from ntk_theory.machine.precision import own_precision
from ntk_theory.network import initialise

Array = NDArray[np.float64]

_GROWTH = 100.0
"""An output above this multiple of the largest label is a divergence of square loss."""


class Job(NamedTuple):
    """A net to train. Jobs that are trained together have data of one shape.

    Attributes:
        inputs: unit rows, shape (n, d).
        observed: labels that training sees: one-hot rows (n, C), or ±1 in one column (n, 1), for
            square loss.
        fresh: unit rows of other points, shape (k, d).
        mixing: targets.
        seed: of the start of the net, and of the order of the points.
    """

    inputs: Array
    observed: Array
    fresh: Array
    mixing: Mixing
    seed: int


class Record(NamedTuple):
    """What came of a job, after each epoch and at the start, E + 1 times.

    Attributes:
        trained: predictions on the training points, softmax or outputs, in the end, shape (n, C).
        seen: class predicted on training points, shape (E + 1, n); of one output its sign, 0 for +.
        fresh: on the others, shape (E + 1, k).
        weights: of the prediction in the targets, the mean over each epoch, shape (E,).
    """

    trained: Array
    seen: NDArray[np.int64]
    fresh: NDArray[np.int64]
    weights: Array


def train(
    jobs: Sequence[Job],
    descent: Descent,
    *,
    width: int,
    dtype: str = "float32",
    device: str = "cpu",
) -> list[Record]:
    """Train a net for each job; those of one seed start alike and see points in the same order.

    Args:
        jobs: with data of one shape.
        descent: how.
        width: m.
        dtype: of the nets.
        device: where they are trained.

    Raises:
        ValueError: for sizes that make no sense, or labels that the loss cannot take.
        RuntimeError: if a net diverges.

    >>> inputs, labels = np.repeat(np.eye(2), 8, axis=0), np.repeat(np.eye(2), 8, axis=0)
    >>> job = Job(inputs, labels, np.eye(2), Mixing(0.5, "hard", after=5), seed=0)
    >>> descent = Descent(epochs=8, batch=4, rate=0.5)
    >>> (record,) = train([job], descent, width=64)
    >>> record.fresh[-1], record.weights[[0, -1]].tolist()
    (array([0, 1]), [0.0, 0.5])
    """
    arguments.whole("epochs", descent.epochs, least=1, why="passes over the data")
    arguments.whole("batch", descent.batch, least=1, why="points of a minibatch")
    arguments.positive("rate", descent.rate)
    if descent.loss == "cross-entropy" and jobs[0].observed.shape[1] < 2:
        raise ValueError("cross-entropy needs one-hot rows (n, C); got one column")
    return _Run(jobs, descent, width, getattr(torch, dtype), device).complete()


def _classes(outputs: Tensor) -> Tensor:
    """Largest output, or of a single one whether it is below 0."""
    return outputs.argmax(dim=-1) if outputs.shape[-1] > 1 else (outputs[..., 0] < 0).long()


class _Run:
    """Training of J nets together: weights (J, m, d) and (J, C, m)."""

    def __init__(
        self, jobs: Sequence[Job], descent: Descent, width: int, dtype: torch.dtype, device: str
    ) -> None:
        self.jobs, self.descent, self.root = jobs, descent, math.sqrt(width)

        def stacked(name: str) -> Tensor:
            rows = np.stack([getattr(job, name) for job in jobs])
            return torch.from_numpy(rows).to(device=device, dtype=dtype)

        self.inputs, self.observed, self.fresh = map(stacked, ("inputs", "observed", "fresh"))
        shape: dict[str, Any] = {
            "outputs": self.observed.shape[2], "dtype": dtype, "device": device
        }  # fmt: skip
        dimension = self.inputs.shape[2]
        nets = [initialise(width, dimension, seeds=[job.seed], **shape) for job in jobs]
        self.weights = [torch.cat([getattr(n, of) for n in nets]) for of in ("hidden", "output")]
        self.moving = [torch.zeros_like(one) for one in self.weights]
        self.orders = [np.random.default_rng((job.seed, 1)) for job in jobs]

        def chosen(which: Callable[[Mixing], bool]) -> Tensor:
            return torch.tensor([which(job.mixing) for job in jobs], device=device)[:, None, None]

        self.hard = chosen(lambda mixing: mixing.prediction == "hard")
        self.held = chosen(lambda mixing: mixing.held)
        self.agreeing = chosen(lambda mixing: mixing.agreement is not None)[:, 0, 0]
        self.over_data = chosen(lambda mixing: mixing.agreement == "data")[:, 0, 0]
        self.heat = torch.tensor([job.mixing.temperature for job in jobs], dtype=torch.float64).to(
            self.inputs
        )

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (J, b, m) and outputs (J, b, C)."""
        hidden, output = self.weights
        active = torch.bmm(inputs, hidden.mT).relu_()
        return active, torch.bmm(active, output.mT) / self.root

    def predicted(self, outputs: Tensor) -> Tensor:
        """Soft predictions at temperature 1."""
        return outputs if self.descent.loss == "square" else outputs.softmax(dim=-1)

    def mixture(self, outputs: Tensor) -> Tensor:
        """What may teach: hard or soft predictions."""
        soft = outputs
        if self.descent.loss == "cross-entropy":
            soft = (outputs / self.heat[:, None, None]).softmax(dim=-1)
        if outputs.shape[-1] == 1:
            sharp = torch.where(outputs < 0, -1.0, 1.0).to(outputs)
        else:
            sharp = torch.zeros_like(outputs).scatter_(-1, outputs.argmax(-1, keepdim=True), 1.0)
        return torch.where(self.hard, sharp, soft)

    def agreement(self, outputs: Tensor, observed: Tensor) -> Tensor:
        """Share of labels that the hardened prediction agrees with, shape (J,)."""
        return (_classes(outputs) == _classes(observed)).to(outputs).mean(dim=1)

    def step(self, chosen: Tensor, held: Tensor, over_data: Tensor, rate: float) -> Tensor:
        """One minibatch, points (J, b) of each job; returns the weight of each prediction (J,)."""
        every, descent = torch.arange(len(self.jobs), device=chosen.device)[:, None], self.descent
        inputs, observed = self.inputs[every, chosen], self.observed[every, chosen]
        active, outputs = self.outputs(inputs)
        agreed = torch.where(self.over_data, over_data, self.agreement(outputs, observed))
        weight = self.mixed * torch.where(self.agreeing, agreed, 1.0)
        taught = torch.where(self.held, held[every, chosen], self.mixture(outputs))
        targets = observed + weight[:, None, None] * (taught - observed)
        pull = (self.predicted(outputs) - targets) / (self.root * chosen.shape[1])
        output = self.weights[1]
        back = torch.bmm(pull, output).mul_(active > 0)
        gradients = [torch.bmm(back.mT, inputs)]
        if descent.layers == "both":
            gradients.append(torch.bmm(pull.mT, active))
        for own, moving, gradient in zip(self.weights, self.moving, gradients, strict=False):
            if descent.decay:
                gradient.add_(own, alpha=descent.decay)
            moving.mul_(descent.momentum).add_(gradient)
            own.add_(moving, alpha=-rate)
        return weight

    @own_precision
    @torch.inference_mode()
    def complete(self) -> list[Record]:
        """Take all steps."""
        descent, points = self.descent, self.inputs.shape[1]
        parts = np.array_split(np.arange(points), math.ceil(points / descent.batch))
        outputs = self.outputs(self.inputs)[1]
        seen, fresh = [_classes(outputs)], [_classes(self.outputs(self.fresh)[1])]
        weights = []
        for epoch in range(descent.epochs):
            weight = [0.0 if epoch < j.mixing.after else j.mixing.weight for j in self.jobs]
            self.mixed = torch.tensor(weight, dtype=torch.float64).to(self.inputs)
            held, over_data = self.mixture(outputs), self.agreement(outputs, self.observed)
            order = np.stack([rng.permutation(points) for rng in self.orders])
            drawn, own = torch.from_numpy(order).to(self.inputs.device), []
            for place, part in enumerate(parts):
                done = (epoch + place / len(parts)) / descent.epochs
                chosen = drawn[:, part[0] : part[-1] + 1]
                rate = descent.rate * descent.schedule(done)
                own.append(self.step(chosen, held, over_data, rate))
            weights.append(torch.stack(own).mean(dim=0))
            outputs = self.outputs(self.inputs)[1]
            self.check(outputs, epoch)
            seen.append(_classes(outputs))
            fresh.append(_classes(self.outputs(self.fresh)[1]))
        found = [torch.stack(part, dim=1).cpu().numpy() for part in (seen, fresh, weights)]
        ends = self.predicted(outputs).double().cpu().numpy()
        return [Record(*one) for one in zip(ends, *found, strict=True)]

    def check(self, outputs: Tensor, epoch: int) -> None:
        """Raise RuntimeError for outputs that are no numbers, or that grow without end."""
        top = _GROWTH * float(self.observed.abs().max()) if self.descent.loss == "square" else 1e6
        if not bool((outputs.abs() <= top).all()):
            raise RuntimeError(
                f"training diverged in epoch {epoch + 1}; take a learning rate below "
                f"{self.descent.rate:g}"
            )

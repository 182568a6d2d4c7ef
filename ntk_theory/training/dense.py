"""Neurons in training all of which every step moves, in blocks and in one of two exact forms.

With Γ = X Xᵀ, Z = W Xᵀ (m × n) and A = 1[Z > 0], a step of gradient descent on ½‖f − z_t‖² reads
Z ← Z − (η/√m) (a ∘ A) diag(u − z_t) Γ: one product of m × n by n × n, whatever the dimension, and
the weights are formed once, at the end, from W_T − W_0 = (Z_T − Z_0) (X⁺)ᵀ. Of nearly dependent
inputs that would multiply the rounding of Z by 1/σ_min(X), so there the pulls are summed beside Z:
G = −Σ_t (η_t/√m) (a ∘ A) diag(u − z_t), and W_T − W_0 = G X. With more than two
points a dimension it is cheaper to move the weights, W ← W − (η/√m) a ∘ A diag(u − z_t) X, and to
take Z = W Xᵀ anew: two products of m × n by the rank of X, as gradients lie in the span of the
inputs (docs/theory.md, section 1). Neurons are rows: products of a block of them with the points
are a tenth faster than the other way round.
"""

from __future__ import annotations

__all__ = ["Block", "Blocks", "Pull", "Room", "block_size", "patterns_fit"]

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ntk_theory.machine.resources import memory_limit
from ntk_theory.training.neurons import Change, Drawn, Neurons
from ntk_theory.training.points import Points
from ntk_theory.training.products import tensor_cores

_PATTERNS = 0.25
"""Share of the memory that activation patterns may take."""

_BLOCK_BYTES = {"cpu": 2**21, "gpu": 2**30}
"""Pre-activations updated together: a processor keeps them in its caches, and on a GPU the products
take much longer than the calls that start them."""


def patterns_fit(points: int, width: int, nets: int) -> bool:
    """Whether activation patterns, a byte each, may be kept."""
    return points * width * nets <= _PATTERNS * memory_limit()


@dataclass(frozen=True)
class Pull:
    """What a step does to all neurons.

    Attributes:
        residual: u − z_t, shape (S, n, C).
        factor: Γ or X, shape (S, n, ·), for one output with rows scaled by the residual.
    """

    residual: Tensor
    factor: Tensor

    @classmethod
    def of(cls, points: Points, residual: Tensor) -> Pull:
        """What all blocks need of a step."""
        if residual.shape[-1] == 1:
            return cls(residual, points.as_factor(residual * points.factor))
        return cls(residual, points.factor_of_products.expand(len(residual), -1, -1))


class _Stretch:
    """Memory that is given out from its beginning on.

    In one piece: parts of their own would lie between what is drawn and thrown away again, which
    leaves holes that are never filled.
    """

    def __init__(self, flat: Tensor) -> None:
        self.left = flat

    def take(self, *shape: int) -> Tensor:
        """The next part."""
        size = math.prod(shape)
        part, self.left = self.left[:size], self.left[size:]
        return part.view(shape)


@dataclass(frozen=True)
class Room:
    """Memory of all blocks.

    Attributes:
        state: what the form moves.
        outputs: output weights.
        patterns: activations, or None if they are to be found anew.
    """

    state: _Stretch
    outputs: _Stretch
    patterns: _Stretch | None


class Block(ABC):
    """Some neurons of all nets.

    Attributes:
        a: their output weights, shape (S, C, neurons).
    """

    def __init__(
        self,
        points: Points,
        hidden: Tensor,
        output: Tensor,
        buffer: Tensor,
        room: Room,
    ) -> None:
        self.points = points
        shape = *hidden.shape[:2], points.inputs.shape[0]
        self.buffer = buffer[: math.prod(shape)].view(shape)
        self.a = room.outputs.take(*output.shape)
        self.take_room(room, hidden.shape[0], hidden.shape[1])
        self.start(hidden, output)

    @abstractmethod
    def take_room(self, room: Room, nets: int, neurons: int) -> None:
        """Take memory for what the form moves."""

    @staticmethod
    @abstractmethod
    def numbers(points: Points) -> int:
        """Of the state of a neuron."""

    @abstractmethod
    def start(self, hidden: Tensor, output: Tensor) -> None:
        """Take the initial weights, shapes (S, neurons, d) and (S, C, neurons)."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What changes in training; copying into these tensors sets the block to another state."""

    @abstractmethod
    def outputs(self) -> Tensor:
        """Σ_r a_r relu(z_r) over these neurons, shape (S, n, C)."""

    def weighted_patterns(self, pull: Pull) -> Tensor:
        """Turn the patterns in the buffer into what multiplies the factor of a pull."""
        one = pull.residual.shape[-1] == 1
        self.buffer.mul_(self.a.mT if one else self.a.mT @ pull.residual.mT)
        return self.points.as_factor(self.buffer)

    @abstractmethod
    def step(self, pull: Pull, rate: float, both_layers: bool) -> Tensor:
        """One gradient step; returns the new `outputs`, taken while the block is in the cache.

        Args:
            pull: of the step.
            rate: η/√m.
            both_layers: train the output weights too.
        """

    @abstractmethod
    def change(self, hidden: Tensor, keep: bool) -> Change:
        """How far the neurons have come from `hidden`; with their trained weights if `keep`."""


class _Preactivations(Block):
    """Neurons known by their pre-activations, and by the sum of their pulls where it is needed."""

    pulls: Tensor | None = None

    @staticmethod
    def numbers(points: Points) -> int:
        return points.inputs.shape[0] * (2 if points.sums_pulls else 1)

    def take_room(self, room: Room, nets: int, neurons: int) -> None:
        shape = nets, neurons, self.points.inputs.shape[0]
        self.z = room.state.take(*shape)
        if self.points.sums_pulls:
            self.pulls = room.state.take(*shape)

    def start(self, hidden: Tensor, output: Tensor) -> None:
        self.a.copy_(output)
        torch.matmul(hidden, self.points.inputs.mT, out=self.z)
        if self.pulls is not None:
            self.pulls.zero_()

    @property
    def state(self) -> dict[str, Tensor]:
        summed = {} if self.pulls is None else {"pulls": self.pulls}
        return {"a": self.a, "z": self.z, **summed}

    def outputs(self) -> Tensor:
        torch.clamp(self.z, min=0, out=self.buffer)
        return (self.a @ self.buffer).mT

    def step(self, pull: Pull, rate: float, both_layers: bool) -> Tensor:
        output_gradient = None
        if both_layers:
            torch.clamp(self.z, min=0, out=self.buffer)
            output_gradient = (self.buffer @ pull.residual).mT
        torch.gt(self.z, 0, out=self.buffer)
        patterns = self.weighted_patterns(pull)
        with tensor_cores(self.points.precision):
            self.z.baddbmm_(patterns, pull.factor, alpha=-rate)
        if self.pulls is not None:
            if pull.residual.shape[-1] == 1:
                self.pulls.addcmul_(self.buffer, pull.residual.mT, value=-rate)
            else:
                self.pulls.add_(self.buffer, alpha=-rate)
        if output_gradient is not None:
            self.a.add_(output_gradient, alpha=-rate)
        return self.outputs()

    def change(self, hidden: Tensor, keep: bool) -> Change:
        points, cholesky = self.points, self.points.cholesky
        start = hidden @ points.inputs.mT
        flips = ((self.z > 0) != (start > 0)).sum(dim=(1, 2))
        if self.pulls is not None:
            by, back = self.pulls.double(), points.inputs.double()
            move = by @ points.triangle
        else:
            by, back = (self.z - start).double(), points.inverse.mT
            if cholesky is None:
                move = by @ back
            else:
                # ‖X⁺ δ‖² = δᵀ (X Xᵀ)⁻¹ δ, without the way through d features.
                move = torch.linalg.solve_triangular(cholesky.mT, by, upper=True, left=False)
        trained = hidden + (by @ back).to(hidden.dtype) if keep else None
        return Change(move.square().sum(dim=2), flips, trained)


class _Weights(Block):
    """Neurons known by their weights in the span of the inputs.

    Which are active where is kept from one step to the next if there is room, and otherwise found
    anew, by a third product.
    """

    active: Tensor | None = None

    @staticmethod
    def numbers(points: Points) -> int:
        return points.coordinates.shape[1]

    def take_room(self, room: Room, nets: int, neurons: int) -> None:
        self.w = room.state.take(nets, neurons, self.numbers(self.points))
        if room.patterns is not None:
            self.active = room.patterns.take(nets, neurons, self.points.inputs.shape[0])

    def _in_span(self, weights: Tensor) -> Tensor:
        basis = self.points.basis
        return weights if basis is None else (weights.double() @ basis).to(weights.dtype)

    def start(self, hidden: Tensor, output: Tensor) -> None:
        self.a.copy_(output)
        self.w.copy_(self._in_span(hidden))
        self.outputs()  # fills the patterns

    @property
    def state(self) -> dict[str, Tensor]:
        return {"a": self.a, "w": self.w}

    def _preactivations(self) -> Tensor:
        """Taken anew, into the buffer."""
        points = self.points
        weights = points.as_factor(self.w)
        with tensor_cores(points.precision):
            torch.matmul(weights, points.factor_of_products.mT, out=self.buffer)
        return self.buffer

    def outputs(self) -> Tensor:
        self._preactivations()
        if self.active is not None:
            torch.gt(self.buffer, 0, out=self.active)
        self.buffer.clamp_(min=0)
        return (self.a @ self.buffer).mT

    def step(self, pull: Pull, rate: float, both_layers: bool) -> Tensor:
        output_gradient = None
        if both_layers or self.active is None:
            self._preactivations()
        if both_layers:
            output_gradient = (self.buffer.clamp_(min=0) @ pull.residual).mT
        if self.active is None:
            self.buffer.gt_(0)
        else:
            self.buffer.copy_(self.active)
        if pull.residual.shape[-1] == 1:
            # The output weight scales the few coordinates of a neuron, not all of its patterns.
            with tensor_cores(self.points.precision):
                gradient = self.buffer @ pull.factor
            self.w.addcmul_(gradient, self.a.mT, value=-rate)
        else:
            patterns = self.weighted_patterns(pull)
            with tensor_cores(self.points.precision):
                self.w.baddbmm_(patterns, pull.factor, alpha=-rate)
        if output_gradient is not None:
            self.a.add_(output_gradient, alpha=-rate)
        return self.outputs()

    def change(self, hidden: Tensor, keep: bool) -> Change:
        start = self._in_span(hidden)
        move = self.w.double() - start.double()
        rows = self.points.factor_of_products
        at_start = self.points.as_factor(start) @ rows.mT > 0
        active = self._preactivations() > 0 if self.active is None else self.active
        basis = self.points.basis
        back = move if basis is None else move @ basis.mT
        return Change(
            move.square().sum(dim=-1),
            (active != at_start).sum(dim=(1, 2)),
            hidden + back.to(hidden.dtype) if keep else None,
        )


def block_size(points: int, nets: int, width: int, itemsize: int, device: str = "cpu") -> int:
    """Neurons of all nets that are updated together.

    A power of two: matrix products are slower by half at odd sizes.

    Args:
        points: n.
        nets: S.
        width: m.
        itemsize: bytes of a number.
        device: where it is done.
    """
    together = _BLOCK_BYTES["cpu" if device.startswith("cpu") else "gpu"]
    fitting = max(256, together // (nets * points * itemsize))
    return int(min(width, 2 ** (fitting.bit_length() - 1)))


class Blocks(Neurons):
    """Neurons in the form that takes fewer operations on these inputs.

    Args:
        points: the inputs.
        drawn: initial weights, block by block.
        size: neurons of the largest.
        neurons: of all blocks together, for one block when left out.
        keeps: whether there is room for an array of n times all neurons, besides their weights.
        both_layers: train the output weights too.
    """

    def __init__(
        self,
        points: Points,
        drawn: Drawn,
        size: int,
        *,
        neurons: int | None = None,
        keeps: bool = True,
        both_layers: bool = False,
    ) -> None:
        inputs, form = points.inputs, _Weights if points.many else _Preactivations
        self.points, self.both_layers = points, both_layers
        self.blocks: list[Block] = []
        buffer = room = None
        for hidden, output in drawn:
            if buffer is None or room is None:
                count = hidden.shape[0]
                buffer = inputs.new_empty(count * size * inputs.shape[0])
                every = count * (neurons or size)
                patterns = every * inputs.shape[0] if keeps and points.many else 0
                room = Room(
                    _Stretch(inputs.new_empty(every * form.numbers(points))),
                    _Stretch(inputs.new_empty(every * output.shape[1])),
                    _Stretch(inputs.new_empty(patterns, dtype=torch.bool)) if patterns else None,
                )
            self.blocks.append(form(points, hidden, output, buffer, room))

    def start(self, drawn: Drawn) -> None:
        """Go to the initial weights, read once."""
        for block, weights in zip(self.blocks, drawn, strict=True):
            block.start(*weights)

    def outputs(self) -> Tensor:
        """Sums over these neurons, shape (S, n, C)."""
        return torch.stack([block.outputs().double() for block in self.blocks]).sum(dim=0)

    def step(self, residual: Tensor, rate: float) -> Tensor:
        """One gradient step; returns the new `outputs`."""
        pull = Pull.of(self.points, residual.to(self.points.inputs.dtype))
        summed = torch.zeros_like(residual)
        for block in self.blocks:
            summed += block.step(pull, rate, self.both_layers).double()
        return summed

    def changes(self, drawn: Drawn, keep: bool) -> Iterator[Change]:
        """How far the neurons of each block have come."""
        for block, (hidden, _) in zip(self.blocks, drawn, strict=True):
            yield block.change(hidden, keep)

    @property
    def output_weights(self) -> Sequence[Tensor]:
        """Those of each block, shape (S, C, neurons)."""
        return [block.a for block in self.blocks]

    @property
    def state(self) -> dict[str, Any]:
        """What changes in training."""
        return {"blocks": [dict(block.state) for block in self.blocks]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state."""
        for block, saved in zip(self.blocks, state["blocks"], strict=True):
            for name, values in block.state.items():
                values.copy_(saved[name])
            block.outputs()  # finds the activation patterns, which are not saved

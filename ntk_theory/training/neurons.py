"""Neurons in training: the gradient step on a block of them, in one of two exact forms.

With Γ = X Xᵀ, Z = W Xᵀ (m × n) and A = 1[Z > 0], a step of gradient descent on ½‖f − z_t‖² reads
Z ← Z − (η/√m) (a ∘ A) diag(u − z_t) Γ: one product of m × n by n × n, whatever the dimension, and
the weights are formed once, at the end, from W_T − W_0 = (Z_T − Z_0) (X⁺)ᵀ. With more than two
points a dimension it is cheaper to move the weights, W ← W − (η/√m) a ∘ A diag(u − z_t) X, and to
take Z = W Xᵀ anew: two products of m × n by the rank of X, as gradients lie in the span of the
inputs (docs/theory.md, section 1). Neurons are rows: products of a block of them with the points
are a tenth faster than the other way round.
"""

from __future__ import annotations

__all__ = [
    "Block",
    "Change",
    "Points",
    "Pull",
    "Room",
    "block_size",
    "form_for",
    "make_blocks",
    "moves_weights",
    "patterns_fit",
    "shared_points",
]

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ntk_theory.resources import memory_limit
from ntk_theory.training.products import rounded, tensor_cores

_PATTERNS = 0.25
"""Share of the memory that activation patterns may take."""

_CLEAR, _WELL_CONDITIONED = 1e-10, 1e-6
"""Squared singular values, over the largest, that are surely no rounding, and that leave ten digits
to the solution of a system."""

_BLOCK_BYTES = {"cpu": 2**21, "cuda": 2**30}
"""Pre-activations updated together: a processor keeps them in its caches, and on a GPU the products
take much longer than the calls that start them."""


def moves_weights(points: int, rank: int) -> bool:
    """Whether moving weights takes fewer operations than moving pre-activations: n > 2 rank."""
    return points > 2 * rank


def patterns_fit(points: int, width: int, nets: int) -> bool:
    """Whether activation patterns, a byte each, may be kept."""
    return points * width * nets <= _PATTERNS * memory_limit()


class Points:
    """The inputs, with what a step needs of them.

    Attributes:
        inputs: X, shape (n, d).
        precision: of products, one of `products.PRECISIONS`; that of the inputs when left out.
    """

    def __init__(self, inputs: Tensor, precision: str | None = None) -> None:
        self.inputs = inputs
        self.precision = precision or str(inputs.dtype).removeprefix("torch.")

    def as_factor(self, values: Tensor) -> Tensor:
        """As products take them."""
        return rounded(values, self.precision)

    @cached_property
    def gram_factor(self) -> Tensor:
        """Γ as products take it."""
        return self.as_factor(self.gram)

    @cached_property
    def coordinates_factor(self) -> Tensor:
        """The coordinates as products take them."""
        return self.as_factor(self.coordinates)

    @cached_property
    def gram(self) -> Tensor:
        """X Xᵀ, shape (n, n)."""
        return self._products.to(self.inputs.dtype)

    @cached_property
    def _products(self) -> Tensor:
        """The same in float64."""
        rows = self.inputs.double()
        return rows @ rows.mT

    @property
    def _rounding(self) -> float:
        """Share of the largest singular value below which one is rounding, and taken for none."""
        return float(max(self.inputs.shape) * torch.finfo(self.inputs.dtype).eps)

    @cached_property
    def _span(self) -> tuple[int, Tensor]:
        """Dimension of the span of the inputs, and an orthonormal basis, shape (d, rank)."""
        rows = self.inputs.double()
        if rows.shape[0] > 2 * rows.shape[1]:
            rows = torch.linalg.qr(rows, mode="r").R  # of the same span
        _, values, right = torch.linalg.svd(rows, full_matrices=False)
        kept = int((values > self._rounding * values[:1]).sum())
        return kept, right[:kept].mT

    @property
    def rank(self) -> int:
        """Dimension of the span of the inputs."""
        return self._span[0]

    @cached_property
    def basis(self) -> Tensor | None:
        """Orthonormal basis of the span, shape (d, rank); None where it is the whole space."""
        return None if self.rank == self.inputs.shape[1] else self._span[1]

    @cached_property
    def coordinates(self) -> Tensor:
        """X in that basis, shape (n, rank)."""
        if self.basis is None:
            return self.inputs
        return (self.inputs.double() @ self.basis).to(self.inputs.dtype)

    @cached_property
    def _squares(self) -> Tensor:
        """Squared singular values of X, ascending: small ones hold few digits, but cost little."""
        squares: Tensor = torch.linalg.eigvalsh(self._products)
        return squares

    @cached_property
    def cholesky(self) -> Tensor | None:
        """Cholesky factor of X Xᵀ in float64, or None where that is not well-conditioned."""
        if self._squares[0] <= _WELL_CONDITIONED * self._squares[-1]:
            return None
        factor: Tensor = torch.linalg.cholesky(self._products)
        return factor

    @cached_property
    def inverse(self) -> Tensor:
        """Pseudo-inverse of X in float64, shape (d, n)."""
        rows = self.inputs.double()
        if self.cholesky is not None:
            return torch.cholesky_solve(rows, self.cholesky).mT
        inverse: Tensor = torch.linalg.pinv(rows, rtol=self._rounding)
        return inverse

    @cached_property
    def many(self) -> bool:
        """Whether the weights are what a step moves."""
        points, features = self.inputs.shape
        # The rank is at most d, at least the number of clear singular values, and to find it takes
        # a decomposition.
        if moves_weights(points, min(points, features)):
            return True
        clear = int((self._squares > _CLEAR * self._squares[-1]).sum())
        return moves_weights(points, clear) and moves_weights(points, self.rank)


_shared: dict[str, Points] = {}
_sharing = Lock()


def shared_points(inputs: Tensor, precision: str) -> Points:
    """The inputs with what a step needs of them; those of the last run if they are the same."""
    digest = hashlib.sha256(np.ascontiguousarray(inputs.cpu().numpy()).data).hexdigest()
    key = f"{digest} {tuple(inputs.shape)} {inputs.dtype} {inputs.device} {precision}"
    with _sharing:
        if key not in _shared:
            _shared.clear()
            points = Points(inputs, precision)
            # What a step takes: nets of other threads wait for it, instead of making their own.
            _ = points.coordinates_factor if points.many else points.gram_factor
            _shared[key] = points
        return _shared[key]


@dataclass(frozen=True)
class Pull:
    """What a step does to all neurons.

    Attributes:
        residual: u − z_t, shape (S, n, C).
        factor: Γ or X, shape (S, n, ·), for one output with rows scaled by the residual.
    """

    residual: Tensor
    factor: Tensor


@dataclass(frozen=True)
class Change:
    """What training did to the neurons of a block.

    Attributes:
        squares: ‖w_r(T) − w_r(0)‖² in float64, shape (S, neurons).
        flips: how many (point, neuron) pairs changed their activation, shape (S,).
        hidden: trained w_r, shape (S, neurons, d), or None if not asked for.
    """

    squares: Tensor
    flips: Tensor
    hidden: Tensor | None


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

    @staticmethod
    @abstractmethod
    def pull(points: Points, residual: Tensor) -> Pull:
        """What all blocks need of a step.

        Args:
            points: the inputs.
            residual: u − z_t, shape (S, n, C).
        """

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
    """Neurons known by their pre-activations."""

    @staticmethod
    def numbers(points: Points) -> int:
        return points.inputs.shape[0]

    @staticmethod
    def pull(points: Points, residual: Tensor) -> Pull:
        if residual.shape[-1] == 1:
            return Pull(residual, points.as_factor(residual * points.gram))
        return Pull(residual, points.gram_factor.expand(len(residual), -1, -1))

    def take_room(self, room: Room, nets: int, neurons: int) -> None:
        self.z = room.state.take(nets, neurons, self.points.inputs.shape[0])

    def start(self, hidden: Tensor, output: Tensor) -> None:
        self.a.copy_(output)
        torch.matmul(hidden, self.points.inputs.mT, out=self.z)

    @property
    def state(self) -> dict[str, Tensor]:
        return {"a": self.a, "z": self.z}

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
        if output_gradient is not None:
            self.a.add_(output_gradient, alpha=-rate)
        return self.outputs()

    def change(self, hidden: Tensor, keep: bool) -> Change:
        start = hidden @ self.points.inputs.mT
        flips = ((self.z > 0) != (start > 0)).sum(dim=(1, 2))
        moved = (self.z - start).double()
        cholesky, trained = self.points.cholesky, None
        if cholesky is None:
            squares = (moved @ self.points.inverse.mT).square().sum(dim=2)
        else:
            # ‖X⁺ δ‖² = δᵀ (X Xᵀ)⁻¹ δ, without the way through d features.
            half = torch.linalg.solve_triangular(cholesky.mT, moved, upper=True, left=False)
            squares = half.square().sum(dim=2)
        if keep:
            trained = hidden + (moved @ self.points.inverse.mT).to(hidden.dtype)
        return Change(squares, flips, trained)


class _Weights(Block):
    """Neurons known by their weights in the span of the inputs.

    Which are active where is kept from one step to the next if there is room, and otherwise found
    anew, by a third product.
    """

    active: Tensor | None = None

    @staticmethod
    def numbers(points: Points) -> int:
        return points.coordinates.shape[1]

    @staticmethod
    def pull(points: Points, residual: Tensor) -> Pull:
        if residual.shape[-1] == 1:
            return Pull(residual, points.as_factor(residual * points.coordinates))
        return Pull(residual, points.coordinates_factor.expand(len(residual), -1, -1))

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
            torch.matmul(weights, points.coordinates_factor.mT, out=self.buffer)
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
        rows = self.points.coordinates_factor
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
    together = _BLOCK_BYTES[device.partition(":")[0]]
    fitting = max(256, together // (nets * points * itemsize))
    return int(min(width, 2 ** (fitting.bit_length() - 1)))


def form_for(points: Points) -> type[Block]:
    """The form of a step that takes fewer operations on these inputs."""
    return _Weights if points.many else _Preactivations


def make_blocks(
    points: Points,
    nets: Iterable[tuple[Tensor, Tensor]],
    size: int,
    *,
    neurons: int | None = None,
    keeps: bool = True,
) -> list[Block]:
    """Neurons in the form that takes fewer operations on these inputs.

    Args:
        points: the inputs.
        nets: initial first-layer and output weights of one block after the other; read, not
            changed.
        size: neurons of the largest.
        neurons: of all blocks together, for one block when left out.
        keeps: whether there is room for an array of n times all neurons, besides their weights.
    """
    inputs, form = points.inputs, form_for(points)
    blocks: list[Block] = []
    buffer = room = None
    for hidden, output in nets:
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
        blocks.append(form(points, hidden, output, buffer, room))
    return blocks

"""The two-layer ReLU net f(x) = m^{-1/2} Σ_r a_r relu(w_r · x), several seeds at once."""

from __future__ import annotations

__all__ = ["DrawnNets", "Nets", "TwoLayerReLU", "initialise"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory import arguments
from ntk_theory.machine.precision import own_precision

_PIECE = 2**20
"""Numbers of one net that are drawn together."""


@dataclass(frozen=True)
class TwoLayerReLU:
    """S nets of one width.

    Attributes:
        hidden: first-layer weights w_r, shape (S, m, d).
        output: output weights a_{cr}, shape (S, C, m), of the same precision and device.

    Raises:
        ValueError: for shapes, precisions or devices that do not fit each other.
        TypeError: for what are no tensors.
    """

    hidden: Tensor
    output: Tensor

    def __post_init__(self) -> None:
        for name, shape in (("hidden", "(S, m, d)"), ("output", "(S, C, m)")):
            weights = getattr(self, name)
            if not isinstance(weights, Tensor):
                raise TypeError(
                    f"{name} must be a tensor of torch; got {type(weights).__name__}; "
                    f"give torch.as_tensor({name})"
                )
            if weights.ndim != 3 or 0 in weights.shape:
                raise ValueError(
                    f"{name} must have the shape {shape}, none of them 0; "
                    f"got {tuple(weights.shape)}; for one net give {name}[None]"
                )
            arguments.precision(f"dtype of {name}", weights.dtype)
            arguments.device(f"device of {name}", weights.device)
            if weights.requires_grad:  # gradients are taken in closed form here
                object.__setattr__(self, name, weights.detach())
        hidden, output = self.hidden, self.output
        if (hidden.shape[0], hidden.shape[1]) != (output.shape[0], output.shape[2]):
            raise ValueError(
                f"output must have the shape ({hidden.shape[0]}, C, {hidden.shape[1]}) for hidden "
                f"of shape {tuple(hidden.shape)}, as many nets and neurons; "
                f"got {tuple(output.shape)}; give weights (S, m, d) and (S, C, m)"
            )
        if hidden.dtype != output.dtype or hidden.device != output.device:
            raise ValueError(
                f"output must be {hidden.dtype} on {hidden.device}, as hidden is; "
                f"got {output.dtype} on {output.device}; give output.to(hidden)"
            )

    @property
    def width(self) -> int:
        """Number m of hidden neurons."""
        return self.hidden.shape[1]

    @property
    def outputs(self) -> int:
        """Number C of outputs."""
        return self.output.shape[1]

    @property
    def dimension(self) -> int:
        """Number d of inputs."""
        return self.hidden.shape[2]

    @property
    def count(self) -> int:
        """Number S of nets."""
        return self.hidden.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.hidden.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.hidden.device

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """First-layer and output weights of `size` neurons at a time."""
        return zip(
            torch.split(self.hidden, size, dim=1),
            torch.split(self.output, size, dim=2),
            strict=True,
        )

    @property
    def antisymmetric(self) -> bool:
        """Whether neurons come in pairs of equal w and opposite a, so that f = 0 exactly."""
        half = self.width // 2
        return (
            self.width % 2 == 0
            and torch.equal(self.hidden[:, :half], self.hidden[:, half:])
            and torch.equal(self.output[..., :half], -self.output[..., half:])
        )

    @own_precision
    def __call__(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Outputs on rows of shape (n, d): (S, n) for one output, (S, n, C) for more.

        Raises:
            ValueError: for inputs that are no such matrix, or that the net's precision cannot hold.
        """
        given = arguments.rows("inputs", inputs, self.dimension)
        held = arguments.in_precision("inputs", given, str(self.dtype).removeprefix("torch."))
        rows = arguments.tensor(held, where=self.device)
        features = torch.relu(rows @ self.hidden.mT)
        values = (features @ self.output.mT / self.width**0.5).double().cpu().numpy()
        if self.antisymmetric:
            # Opposite terms cancel; a rounded sum would leave a sign where there is none.
            values = np.zeros_like(values)
        self._check_held(values)
        return np.asarray(values[..., 0] if self.outputs == 1 else values)

    def _check_held(self, outputs: NDArray[np.float64]) -> None:
        """Refuse outputs beyond the precision; those of a net that has diverged are what they are.

        Its weights are looked at where an output is not finite only.
        """
        if np.isfinite(outputs).all():
            return
        if bool(torch.isfinite(self.hidden).all()) and bool(torch.isfinite(self.output).all()):
            raise ValueError(
                f"inputs must be of a size whose sums {str(self.dtype).removeprefix('torch.')} "
                f"holds; got outputs that are not finite; divide inputs by their size, and "
                "multiply the outputs by it"
            )


class _Rows:
    """First-layer weights of one net in the order of its neurons, drawn as they are asked for."""

    def __init__(self, seed: int, neurons: int, dimension: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.begin = self.generator.get_state()
        self.neurons, self.dimension = neurons, dimension
        # The generator makes sixteen numbers at a time, the last ones of a draw apart: pieces of a
        # multiple of sixteen, and a last one that is no shorter, are what a single draw gives.
        self.piece = 16 * max(1, _PIECE // (16 * dimension))
        self.drawn, self.left = 0, torch.empty(0, dimension, dtype=torch.float64, device="cpu")

    def take(self, count: int) -> Tensor:
        """The next neurons in float64, shape (count, d); after the last comes the first."""
        parts = []
        while count:
            if not len(self.left):
                self.left = self._draw()
            part, self.left = self.left[:count], self.left[count:]
            parts.append(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def past_the_last(self) -> torch.Generator:
        """The generator as it is once all neurons are drawn."""
        while self.drawn < self.neurons:
            self._draw()
        return self.generator

    def _draw(self) -> Tensor:
        if self.drawn == self.neurons:
            self.generator.set_state(self.begin)
            self.drawn = 0
        rest = self.neurons - self.drawn
        count = rest if rest < 2 * self.piece else self.piece
        self.drawn += count
        shape, dtype = (count, self.dimension), torch.float64
        return torch.randn(shape, generator=self.generator, dtype=dtype, device="cpu")


@dataclass(frozen=True)
class DrawnNets:
    """Random nets whose first-layer weights are drawn when they are needed, and not kept.

    The fields are the arguments of `initialise`, which draws the same nets and keeps them.
    """

    width: int
    dimension: int
    seeds: tuple[int, ...]
    outputs: int = 1
    antisymmetric: bool = True
    scale: float = 1.0
    output_scale: float = 1.0
    dtype: torch.dtype = torch.float64
    device: str | torch.device = "cpu"

    def __post_init__(self) -> None:
        pairs = arguments.flag("antisymmetric", self.antisymmetric)
        width = arguments.whole("width", self.width, most=2**40)
        if width < 2 or (pairs and width % 2):
            raise ValueError(
                "width must be at least 2, and even for antisymmetric initialisation (neurons come "
                f"in pairs); got {width}"
            )
        checked = {
            "antisymmetric": pairs,
            "width": width,
            "dimension": arguments.whole("dimension", self.dimension, least=1),
            "outputs": arguments.whole("outputs", self.outputs, least=1),
            "seeds": arguments.seeds("seeds", self.seeds),
            "scale": self._size("scale"),
            "output_scale": self._size("output_scale"),
            "dtype": getattr(torch, arguments.precision("dtype", self.dtype)),
        }
        arguments.device("device", self.device)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def _size(self, name: str) -> float:
        """A scale of weights that their precision holds, with room for what is far out."""
        numbers = np.finfo(arguments.precision("dtype", self.dtype))
        low, high = 1e3 * float(numbers.tiny), 1e-3 * float(numbers.max)
        size = arguments.positive(name, getattr(self, name))
        must = f"lie in {low:.0e} to {high:.0e}, as {numbers.dtype} holds"
        return arguments.real(name, size, must, lambda value: low <= value <= high)

    @property
    def count(self) -> int:
        """Number S of nets."""
        return len(self.seeds)

    @property
    def _free(self) -> int:
        """Neurons that are drawn; with pairs, the others repeat them."""
        return self.width // 2 if self.antisymmetric else self.width

    @cached_property
    def output(self) -> Tensor:
        """Output weights, shape (S, C, m); drawn after the first layer, and kept."""
        drawn = []
        for seed in self.seeds:
            generator = _Rows(seed, self._free, self.dimension).past_the_last()
            shape = self.outputs, self._free
            signs = torch.randint(0, 2, shape, generator=generator, device="cpu").double()
            drawn.append(self.output_scale * (signs * 2 - 1))
        signs = torch.stack(drawn)
        if self.antisymmetric:
            signs = torch.cat([signs, -signs], dim=2)
        return signs.to(device=self.device, dtype=self.dtype)

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """First-layer and output weights of `size` neurons at a time."""
        nets = [_Rows(seed, self._free, self.dimension) for seed in self.seeds]
        for output in torch.split(self.output, size, dim=2):
            drawn = torch.stack([net.take(output.shape[2]) for net in nets])
            yield (self.scale * drawn).to(device=self.device, dtype=self.dtype), output

    def keep(self) -> TwoLayerReLU:
        """The same nets, with all their weights."""
        ((hidden, output),) = self.blocks(self.width)
        return TwoLayerReLU(hidden, output)


Nets = TwoLayerReLU | DrawnNets
"""Initial nets, as training takes them."""


def initialise(
    width: int,
    dimension: int,
    *,
    seeds: Sequence[int] | NDArray[np.integer],
    outputs: int = 1,
    antisymmetric: bool = True,
    scale: float = 1.0,
    output_scale: float = 1.0,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device = "cpu",
) -> TwoLayerReLU:
    """Random nets, one for each seed: w_r ~ N(0, scale² I), a = ±output_scale.

    Antisymmetric initialisation takes neurons in pairs with equal w and opposite a, so f = 0
    exactly at the start. Plain initialisation draws all independently, so f = O(scale). The
    first-layer NTK at initialisation does not depend on the scale.

    Args:
        width: m, even if antisymmetric.
        dimension: d.
        seeds: one for each net, 0..2^32 − 1, of any integer kind; a net depends on its own seed
            alone.
        outputs: C.
        antisymmetric: pairs of opposite neurons.
        scale: standard deviation of the weights.
        output_scale: size of the output weights. 1 is the NTK parametrisation; m^{-1/2}, with a
            learning rate m times as large, the mean-field one, f = (1/m) Σ ± relu.
        dtype: precision of the weights; they are drawn in float64 and rounded.
        device: where the weights live.

    Raises:
        ValueError: for a width that is odd or below 2, a scale that is not positive and finite, or
            anything else out of range.
        TypeError: for numbers of the wrong kind, as seeds that are floats.

    Reference: docs/theory.md, section 1.

    >>> nets = initialise(64, 3, seeds=[0, 1])
    >>> tuple(nets.hidden.shape), tuple(nets.output.shape), nets.antisymmetric
    ((2, 64, 3), (2, 1, 64), True)
    """
    return DrawnNets(
        width,
        dimension,
        seeds,  # type: ignore[arg-type]  # which makes a tuple of them
        outputs,
        antisymmetric,
        scale,
        output_scale,
        dtype,
        device,
    ).keep()

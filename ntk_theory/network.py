"""The two-layer ReLU net f(x) = m^{-1/2} Σ_r a_r relu(w_r · x), several seeds at once."""

from __future__ import annotations

__all__ = ["TwoLayerReLU", "initialise"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


@dataclass(frozen=True)
class TwoLayerReLU:
    """S nets of one width.

    Attributes:
        hidden: first-layer weights w_r, shape (S, m, d).
        output: output weights a_{cr}, shape (S, C, m).
    """

    hidden: Tensor
    output: Tensor

    @property
    def width(self) -> int:
        """Number m of hidden neurons."""
        return self.hidden.shape[1]

    @property
    def outputs(self) -> int:
        """Number C of outputs."""
        return self.output.shape[1]

    @property
    def antisymmetric(self) -> bool:
        """Whether neurons come in pairs of equal w and opposite a, so that f = 0 exactly."""
        half = self.width // 2
        return (
            self.width % 2 == 0
            and torch.equal(self.hidden[:, :half], self.hidden[:, half:])
            and torch.equal(self.output[..., :half], -self.output[..., half:])
        )

    def __call__(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Outputs on rows of shape (n, d): (S, n) for one output, (S, n, C) for more."""
        rows = torch.as_tensor(np.asarray(inputs), dtype=self.hidden.dtype)
        features = torch.relu(rows.to(self.hidden.device) @ self.hidden.mT)
        values = (features @ self.output.mT / self.width**0.5).double().cpu().numpy()
        if self.antisymmetric:
            # Opposite terms cancel; a rounded sum would leave a sign where there is none.
            values = np.zeros_like(values)
        return np.asarray(values[..., 0] if self.outputs == 1 else values)


def initialise(
    width: int,
    dimension: int,
    *,
    seeds: Sequence[int],
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
        seeds: one for each net; a net depends on its own seed alone.
        outputs: C.
        antisymmetric: pairs of opposite neurons.
        scale: standard deviation of the weights.
        output_scale: size of the output weights. 1 is the NTK parametrisation; m^{-1/2}, with a
            learning rate m times as large, the mean-field one, f = (1/m) Σ ± relu.
        dtype: precision of the weights; they are drawn in float64 and rounded.
        device: where the weights live.

    Raises:
        ValueError: for a width that is odd or below 2, or a scale that is not positive and finite.

    Reference: docs/theory.md, section 1.
    """
    if width < 2 or (antisymmetric and width % 2):
        raise ValueError(
            "width must be at least 2, and even for antisymmetric initialisation (neurons come in "
            f"pairs); got {width}"
        )
    for name, value in (("scale", scale), ("output_scale", output_scale)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite; got {value}")
    if any(not 0 <= seed < 2**32 for seed in seeds):
        raise ValueError(
            "seeds must lie in 0..2^32 − 1: torch's CPU generator tells no more apart; "
            f"got {list(seeds)}"
        )
    if dimension < 1 or outputs < 1 or not seeds:
        raise ValueError(
            "dimension and outputs must be at least 1 and seeds not empty; "
            f"got {dimension}, {outputs}, {list(seeds)}"
        )
    drawn = width // 2 if antisymmetric else width
    hidden, output = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        weights = scale * torch.randn(drawn, dimension, generator=generator, dtype=torch.float64)
        signs = torch.randint(0, 2, (outputs, drawn), generator=generator).double() * 2 - 1
        signs = output_scale * signs
        hidden.append(torch.cat([weights, weights]) if antisymmetric else weights)
        output.append(torch.cat([signs, -signs], dim=1) if antisymmetric else signs)
    return TwoLayerReLU(
        torch.stack(hidden).to(device=device, dtype=dtype),
        torch.stack(output).to(device=device, dtype=dtype),
    )

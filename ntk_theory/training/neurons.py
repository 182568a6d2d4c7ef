"""All neurons of a process in training: what every form of a step has to do."""

from __future__ import annotations

__all__ = ["Change", "Drawn", "Neurons"]

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Drawn = Iterable[tuple[Tensor, Tensor]]
"""Initial weights of one block after the other, shapes (S, neurons, d) and (S, C, neurons); read as
far as they are needed, and not changed."""


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


class Neurons(ABC):
    """The neurons of S nets that this process holds, as they are trained."""

    @abstractmethod
    def start(self, drawn: Drawn) -> None:
        """Go to the initial weights."""

    @abstractmethod
    def outputs(self) -> Tensor:
        """Σ_r a_r relu(z_r) over these neurons in float64, shape (S, n, C)."""

    @abstractmethod
    def step(self, residual: Tensor, rate: float) -> Tensor:
        """One gradient step; returns the new `outputs`.

        Args:
            residual: u − z_t in float64, shape (S, n, C).
            rate: η/√m.
        """

    @abstractmethod
    def changes(self, drawn: Drawn, keep: bool) -> Iterator[Change]:
        """How far the neurons of each block have come; with their trained weights if `keep`."""

    @property
    @abstractmethod
    def output_weights(self) -> Sequence[Tensor]:
        """Those of each block as they are now, shape (S, C, neurons)."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What changes in training."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state."""

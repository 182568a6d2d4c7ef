"""Noisy labels as information and noise, and how much of either a net has retrieved."""

from __future__ import annotations

__all__ = ["Labels"]

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """Observed labels ỹ = κ y + ζ with ζ ⟂ y (docs/theory.md, section 6.5).

    Attributes:
        clean: y, shape (n,) or (n, C).
        observed: ỹ, in the same shape.
    """

    clean: Array
    observed: Array

    @cached_property
    def kept(self) -> float:
        """κ: what is left of the clean labels."""
        return float((self.observed * self.clean).sum() / np.square(self.clean).sum())

    @cached_property
    def noise(self) -> Array:
        """ζ."""
        return np.asarray(self.observed - self.kept * self.clean)

    @property
    def _parts(self) -> tuple[Array, Array]:
        return self.kept * self.clean, self.noise

    def shares(self, outputs: Array) -> tuple[Array, Array]:
        """Retrieved shares of information and noise: coefficients along κ y and ζ.

        Args:
            outputs: shape (..., n) or (..., n, C).
        """
        information, noise = (
            np.asarray(np.tensordot(outputs, part, part.ndim) / np.square(part).sum())
            for part in self._parts
        )
        return information, noise

    @property
    def sensitivity(self) -> float:
        """By how much a difference of shares is off at most, over the RMS error of the outputs.

        By Cauchy and Schwarz a share along a vector v of ỹ is off by at most ‖δ‖/‖v‖.
        """
        points = len(self.clean)
        return sum(math.sqrt(points / float(np.square(part).sum())) for part in self._parts)

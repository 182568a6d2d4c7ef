"""What `convergence` trains at the size of an image data set, and what theory says of it.

The prediction is the recursion of section 7.1 with the measured kernel.
"""

from __future__ import annotations

__all__ = [
    "DISTILLED",
    "LEVEL",
    "PLAIN_TRAINING",
    "ScaledPlan",
]

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.convergence.variants import Units, Variant
from ntk_theory.image_size import CLASSES, ImageSize
from ntk_theory.problems import Recipe
from ntk_theory.targets import BurnIn, Constant, Distillation, Power, weights

Array = NDArray[np.float64]

DISTILLED, PLAIN_TRAINING = "self-distillation", "plain training"

LEVEL = 0.25
"""Constant weight of the observed labels, in the control."""


@dataclass(frozen=True)
class ScaledPlan(ImageSize):
    """Self-distillation and plain training on the same data."""

    ways: ClassVar[int] = 2

    @cached_property
    def units(self) -> Units:
        """Times in which the largest noise eigenvalue would memorise, at a rate of 1/λ_max."""
        gap = predictions.label_gap(
            self.dataset.clean_class, self.dataset.observed_class, self.dataset.design.groups
        )
        return Units.of(float(self.top.values[CLASSES]), float(self.top.values[0]), gap, 1.0)

    def _variant(self, name: str, policy: BurnIn | Constant, first: int) -> Variant:
        dataset, rate = self.dataset, self.units.learning_rate
        outputs = predictions.gram_outputs(
            self.kernel, dataset.clean, dataset.observed, rate, weights(policy, self.steps)
        )
        recipe = Recipe(
            inputs=dataset.inputs,
            observed=dataset.observed,
            distillation=Distillation(policy),
            learning_rate=rate,
            steps=self.steps,
        )
        return Variant(name, recipe, dataset.clean, outputs, np.arange(first, self.steps))

    @cached_property
    def distilled(self) -> Variant:
        """Hard self-distillation after a burn-in."""
        burn_in = self.units.burn_in
        return self._variant(DISTILLED, BurnIn(burn_in, Power(self.units.quarter)), burn_in)

    @cached_property
    def plain(self) -> Variant:
        """The observed labels alone."""
        return self._variant(PLAIN_TRAINING, Constant(1.0), self.steps)

    @property
    def first_outputs(self) -> Array:
        """Predicted outputs after one step, which is the same in all ways of training."""
        return np.asarray(self.plain.predicted[1])

    @cached_property
    def constant(self) -> Variant:
        """A weight of the observed labels that does not fade out."""
        burn_in = self.units.burn_in
        return self._variant("constant weight", BurnIn(burn_in, Constant(LEVEL)), burn_in)

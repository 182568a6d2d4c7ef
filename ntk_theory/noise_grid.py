"""Ways of training, with what the infinitely wide net does in them."""

from __future__ import annotations

__all__ = ["Broken", "LimitRun", "Way", "limit_run", "predicted_way", "worst_limit_row"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, training
from ntk_theory.predictions import ClusterSpectrum, ErrorCurve
from ntk_theory.problems import NoisyClusters, Recipe
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]

# ---------------------------------------------------------------- ways of training


@dataclass(frozen=True)
class Way:
    """One way to train the nets of a problem, and what it is predicted to lead to.

    Attributes:
        name: of this way.
        recipe: what the nets are trained on.
        outputs: predicted, shape (T + 1, n).
        error: predicted RMS error, shape (T + 1,).
    """

    name: str
    recipe: Recipe
    outputs: Array
    error: Array


def predicted_way(name: str, problem: NoisyClusters, recipe: Recipe, curve: ErrorCurve) -> Way:
    """A way whose outputs follow from a curve of the problem."""
    points = problem.dataset
    return Way(name, recipe, curve.outputs(points.clean, points.flipped), curve.rms_error())


# ---------------------------------------------------------------- the infinitely wide net


class LimitRun(NamedTuple):
    """The infinitely wide net, run on the measured kernel.

    Attributes:
        outputs: shape (T + 1, n).
        gap: its largest distance from the closed form.
        rounding: how large rounding may make that.
    """

    outputs: Array
    gap: float
    rounding: float


def limit_run(levels: ClusterSpectrum, way: Way) -> LimitRun:
    """Kernel limit of one way of training.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.

    Args:
        levels: eigenvalues of the clusters that are trained on.
        way: of training.
    """
    recipe = way.recipe
    gram = kernels.ntk_limit(recipe.inputs)
    outputs = training.train_kernel_limit(
        gram,
        recipe.observed,
        recipe.distillation,
        learning_rate=recipe.learning_rate,
        steps=recipe.steps,
    )
    rounding = len(gram) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return LimitRun(outputs, float(np.abs(outputs - way.outputs).max()), rounding)


def worst_limit_row(runs: Sequence[LimitRun], of: str = "") -> Measurement:
    """The run that is farthest from its closed form, in units of its rounding.

    Args:
        runs: kernel limits.
        of: what they are limits of, if not of the claim's own nets.
    """
    # NaN is the worst of all.
    worst = max(runs, key=lambda run: math.inf if math.isnan(run.gap) else run.gap / run.rounding)
    return Measurement(
        f"kernel limit{of}: outputs − closed form, largest", 0.0, worst.gap, worst.rounding
    )


# ---------------------------------------------------------------- controls


@dataclass(frozen=True)
class Broken:
    """A run with one premise broken.

    Attributes:
        levels: eigenvalues of its clusters.
        clean: their clean labels.
        way: what its nets are trained on, and what that leads to.
    """

    levels: ClusterSpectrum
    clean: Array
    way: Way

    def limit(self) -> LimitRun:
        """Its kernel limit."""
        return limit_run(self.levels, self.way)

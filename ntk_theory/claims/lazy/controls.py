"""`lazy` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["controls"]

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, network, predictions, training
from ntk_theory.claims.lazy.estimates import EXPONENT_TOLERANCE, fit, mean_square
from ntk_theory.claims.lazy.nets import (
    from_linearisation,
    initial_distances,
    recipes,
)
from ntk_theory.claims.lazy.plan import Plan
from ntk_theory.claims.lazy.theory import PLAIN_TRAINING
from ntk_theory.experiments import net_seeds
from ntk_theory.problems import Recipe
from ntk_theory.runs import judged_control
from ntk_theory.verdicts import Control, Measurement, Progress, Verdict

Array = NDArray[np.float64]

_STREAM = 1
"""Keeps the seeds of control nets apart from those of the claim's nets (0)."""


@dataclass(frozen=True)
class _Scale:
    """Output weights ±m^γ at the rate η m^{−2γ}: the same NTK, and another movement.

    Attributes:
        id: of the control.
        broken: what was changed.
        exponent: γ.
    """

    id: str
    broken: str
    exponent: float


_SCALES = (
    _Scale(
        "mean-field",
        "output scale m^{-1/2}: here f = (1/m) Σ a relu with the rate η m, the same NTK",
        -0.5,
    ),
    _Scale(
        "unscaled-outputs",
        "output scale m^{-1/2}: here f = Σ a relu with the rate η/m, the same NTK",
        0.5,
    ),
)


def _scaled_outputs(
    plan: Plan, recipe: Recipe, exponent: float, progress: Progress
) -> tuple[list[Array], list[Array]]:
    """Movement and deviation from linearisation of nets with |a_r| = m^γ, rate η m^{−2γ}.

    Both are empty after a divergence.
    """
    movement, deviation = [], []
    for width in plan.control_widths:
        start = network.initialise(
            width,
            recipe.inputs.shape[1],
            seeds=net_seeds(plan.nets.seed, width, plan.nets.count, _STREAM),
            output_scale=width**exponent,
            device=plan.nets.device,
        )
        rate = plan.problem.learning_rate * width ** (-2 * exponent)
        trajectory = training.train(
            start,
            recipe.inputs,
            recipe.observed,
            recipe.distillation,
            learning_rate=rate,
            steps=recipe.steps,
            keep_network=False,
        )
        if trajectory.stopped is not None:
            return [], []
        at_start = kernels.ntk_empirical(start, recipe.inputs)
        movement.append(trajectory.movement)
        deviation.append(from_linearisation(recipe, trajectory, at_start, rate))
        progress.advance(width * plan.nets.count * recipe.steps)
    return movement, deviation


def _scaling_control(plan: Plan, recipe: Recipe, scale: _Scale, progress: Progress) -> Control:
    """Another output scale at the same NTK: movement and deviation have another exponent.

    Where movement falls like 1/m, a point sees O(1) flips at any width, and the deviation that they
    make is a matter of chance: the movement alone is compared there.
    """
    law = predictions.movement_exponent()
    predicted = predictions.movement_exponent(scale.exponent)
    movement, deviation = _scaled_outputs(plan, recipe, scale.exponent, progress)
    alone = scale.exponent > 0
    compared = [movement] if alone else [movement, deviation]
    fits = [fit(plan.nets.seed, plan.control_widths, rows) for rows in compared if rows]
    # The exponent that lies farther from its prediction decides; a divergence has none.
    worst = max(fits, key=lambda fitted: abs(fitted.exponent - predicted), default=None)
    failure = Measurement(
        "exponent of movement"
        if alone
        else "exponents of movement and of the deviation from linearisation, the worse one",
        predicted,
        math.nan if worst is None else worst.exponent,
        EXPONENT_TOLERANCE,
        None if worst is None else worst.interval,
        whole_interval=True,
    )
    # Not `judged_control`: every exponent has to be another one than the claim's, not the worst.
    apart = all(abs(fitted.exponent - law) > EXPONENT_TOLERANCE for fitted in fits)
    return Control(
        scale.id,
        scale.broken,
        Verdict.VIOLATED,
        Verdict.VIOLATED if fits and apart else Verdict.SUPPORTED,
        failure,
        law,
        EXPONENT_TOLERANCE,
    )


def _unpaired_control(plan: Plan) -> Control:
    """Independent neurons: H_m(0) fluctuates half as much, in the square."""
    widths, theory = plan.nets.widths, plan.theories[PLAIN_TRAINING]
    distances = [initial_distances(plan, width, pairs=False) for width in widths]
    failure = mean_square(
        "mean of m ‖H_m(0) − H‖_F²", theory.fluctuation(pairs=False), widths, distances
    )
    return judged_control(
        "independent-neurons",
        "neurons come in pairs: here all are independent",
        failure,
        theory.fluctuation(),
        failure.tolerance,
    )


def controls(plan: Plan, progress: Progress) -> Iterator[Control]:
    """All controls, in the order in which the claim lists them."""
    recipe = recipes(plan.problem)[PLAIN_TRAINING]
    for scale in _SCALES:
        yield _scaling_control(plan, recipe, scale, progress)
    yield _unpaired_control(plan)

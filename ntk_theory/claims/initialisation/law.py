"""Distribution of what becomes of random initial outputs (docs/theory.md, section 8.1)."""

from __future__ import annotations

__all__ = ["Law", "law_of_scale"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.initialisation.plan import SAMPLES, Plan

Array = NDArray[np.float64]

_SAMPLE_STREAM = 3
"""Keeps the draws apart from all nets."""


@dataclass(frozen=True)
class Law:
    """Predicted distribution over random initial outputs, one row a draw.

    Attributes:
        error: final RMS error, shape (N,).
        recovered: whether every sign is right at the end, shape (N,).
        early: share of wrong signs at the end of the burn-in, shape (N,).
    """

    error: Array
    recovered: NDArray[np.bool_]
    early: Array


def law_of_scale(plan: Plan, scale: float, deviation: float = 0.0) -> Law:
    """Distribution that the block recursion makes of random initial outputs.

    Args:
        plan: the problem.
        scale: σ.
        deviation: of the nets from their limit at the end of the burn-in, added to the random
            part as if it were of the same kind; the draws are the same ones.
    """
    problem, spectrum, start = plan.problem, plan.problem.spectrum, plan.burn_in
    key = np.random.SeedSequence(plan.nets.seed, spawn_key=(_SAMPLE_STREAM,))
    draws = predictions.initial_output_samples(
        spectrum.clusters,
        spectrum.points,
        problem.angle,
        problem.cross_cosine,
        float(np.hypot(scale, deviation / plan.spread[start])),
        SAMPLES,
        np.random.default_rng(key),
    )

    def recursion(outputs: Array, weights: Array) -> Array:
        return predictions.block_recursion(
            spectrum, problem.dataset.observed, problem.learning_rate, weights, outputs
        )

    clean = problem.dataset.clean
    early = recursion(draws, problem.weights[:start])
    final = recursion(early, problem.weights[start:])
    return Law(
        np.sqrt(np.square(final - clean).mean(axis=1)),
        np.asarray((final * clean > 0).all(axis=1)),
        (early * clean <= 0).mean(axis=1),
    )

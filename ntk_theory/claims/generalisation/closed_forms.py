"""What theory says of both ways of training on the clusters: outputs, distance, measure."""

from __future__ import annotations

__all__ = [
    "DISTILLED",
    "PLAIN_TRAINING",
    "labels_distance",
    "measure_of",
    "predicted_distance",
    "predicted_measure",
    "soft_targets",
    "ways_of",
]

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory import predictions
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import NoisyClusters, Recipe
from ntk_theory.targets import PLAIN

Array = NDArray[np.float64]

DISTILLED, PLAIN_TRAINING = "self-distillation", "plain training"


def ways_of(problem: NoisyClusters) -> dict[str, tuple[Recipe, ErrorCurve]]:
    """Recipe and closed form of self-distillation and of plain training on clusters."""
    plain = replace(problem.recipe, distillation=PLAIN)
    return {DISTILLED: (problem.recipe, problem.distilled), PLAIN_TRAINING: (plain, problem.plain)}


def soft_targets(problem: NoisyClusters) -> tuple[Recipe, ErrorCurve]:
    """Recipe and closed form of self-distillation with soft targets, which a control trains on."""
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    soft = replace(problem.distillation, target="soft")
    return replace(problem.recipe, distillation=soft), curve


def predicted_distance(problem: NoisyClusters, curve: ErrorCurve, step: int = -1) -> float:
    """Predicted distance from initialisation on clusters."""
    return float(
        predictions.linearised_distance(
            problem.spectrum,
            problem.noise_rate,
            curve.mean_error[step],
            curve.information_error[step],
            curve.memorised_noise[step],
            problem.label_mean,
        )
    )


def measure_of(problem: NoisyClusters, distance: ArrayLike) -> Array:
    """Generalisation measure of a distance on the clusters."""
    return predictions.generalisation_measure(distance, len(problem.gram))


def labels_distance(problem: NoisyClusters, clean: bool) -> float:
    """Predicted sqrt(zᵀH^{-1}z) of the clean or the observed labels themselves."""
    error = 0.0 if clean else -2 * problem.noise_rate
    return float(
        predictions.linearised_distance(
            problem.spectrum,
            problem.noise_rate,
            error,
            error,
            0.0 if clean else 1.0,
            problem.label_mean,
        )
    )


def predicted_measure(problem: NoisyClusters, way: str, noise_rate: float) -> float:
    """Measure at the last step on the same clusters with any share of wrong labels, even none."""
    levels, rate, mean = problem.spectrum, problem.learning_rate, problem.label_mean
    if way == DISTILLED:
        curve = predictions.self_distillation(levels, noise_rate, rate, problem.weights, mean)
    else:
        curve = predictions.plain_training(levels, noise_rate, rate, problem.steps, mean)
    distance = predicted_distance(replace(problem, noise_rate=noise_rate), curve)
    return float(measure_of(problem, distance))

"""Self-distillation and the oracles it is held against: training that is stopped in hindsight."""

from __future__ import annotations

__all__ = ["DISTILLED", "PLAIN_TRAINING", "distilled_way", "oracles", "stopped_way"]

import math
from dataclasses import replace

from ntk_theory import predictions
from ntk_theory.noise_grid import Way, plain_way, predicted_way
from ntk_theory.problems import NoisyClusters
from ntk_theory.targets import Distillation, Geometric, Power, Schedule, weights

DISTILLED, PLAIN_TRAINING = "self-distillation", "plain training"


def distilled_way(problem: NoisyClusters) -> Way:
    """Self-distillation of the problem."""
    return predicted_way(DISTILLED, problem, problem.recipe, problem.distilled)


def stopped_way(problem: NoisyClusters, share: float | None = None) -> Way:
    """Plain training for half the time of self-distillation.

    Args:
        problem: what is trained on.
        share: ηλ_0; that of the problem when left out.
    """
    rate, name = problem.learning_rate, PLAIN_TRAINING
    if share is not None:
        rate, name = share / problem.spectrum.mean, f"{PLAIN_TRAINING}, ηλ_0 = {share:g}"
    steps = math.ceil(problem.steps / 2 * problem.learning_rate / rate)
    return plain_way(name, replace(problem, learning_rate=rate, steps=steps))


def _soft(problem: NoisyClusters, schedule: Schedule, name: str) -> Way:
    """Soft self-distillation at the problem's learning rate, for as long as plain training."""
    steps = math.ceil(problem.steps / 2)
    curve = predictions.soft_self_distillation(
        problem.spectrum, problem.noise_rate, problem.learning_rate, weights(schedule, steps)
    )
    recipe = replace(problem.recipe, distillation=Distillation(schedule, "soft"), steps=steps)
    return predicted_way(f"soft, {name}", problem, recipe, curve)


def oracles(problem: NoisyClusters) -> list[Way]:
    """Other learning rates, and soft schedules with an infinite and a finite sum of weights."""
    time = max(problem.memorisation_time, 1.0)
    return [
        stopped_way(problem, 1.0),
        stopped_way(problem, 0.25),
        _soft(problem, Power(time), "Σα = ∞"),
        _soft(problem, Power(time, 2.0), "Σα < ∞, power"),
        _soft(problem, Geometric(time / 2), "Σα < ∞, geometric"),
    ]

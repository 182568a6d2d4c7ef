"""Problems that break a premise of `convergence`, with the outputs that theory predicts for them.

Section numbers refer to docs/theory.md.
"""

from __future__ import annotations

__all__ = ["RATIO", "above_threshold", "kernel_limits", "late_burn_in", "soft_targets"]

import math
from dataclasses import replace

import numpy as np

from ntk_theory import predictions
from ntk_theory.claims.convergence.plan import Plan
from ntk_theory.noise_grid import Broken, LimitRun, Way, predicted_way
from ntk_theory.problems import NoisyClusters, noisy_clusters
from ntk_theory.targets import BurnIn

RATIO = 1.5
"""λ_+/λ_− at which no noise rate is recoverable."""


def _taught(problem: NoisyClusters) -> Broken:
    """Hard self-distillation on a problem, whatever its signs (section 8)."""
    clean, observed = problem.dataset.clean, problem.dataset.observed
    outputs = [np.zeros_like(observed)]
    for weight in problem.weights:
        outputs.append(
            predictions.block_recursion(
                problem.spectrum, observed, problem.learning_rate, [weight], outputs[-1]
            )
        )
    error = np.sqrt(np.square(np.stack(outputs) - clean).mean(axis=1))
    way = Way("hard targets", problem.recipe, np.stack(outputs), error)
    return Broken(problem.spectrum, clean, way)


def soft_targets(plan: Plan) -> Broken:
    """Soft targets on the schedule of the claim (section 5)."""
    problem = plan.problem
    recipe = replace(problem.recipe, distillation=replace(problem.distillation, target="soft"))
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    way = predicted_way("soft targets", problem, recipe, curve)
    return Broken(problem.spectrum, problem.dataset.clean, way)


def above_threshold(plan: Plan) -> tuple[NoisyClusters, Broken]:
    """The same clusters at a ratio that recovers nothing (sections 7 and 8).

    Schedule, learning rate and steps are the default ones of the new ratio: those of the old ratio
    are in units that it changes.
    """
    own = plan.problem
    problem = noisy_clusters(
        clusters=own.spectrum.clusters,
        points=own.spectrum.points,
        ratio=RATIO,
        noise_rate=own.noise_rate,
        seed=np.random.SeedSequence(plan.nets.seed),
        cross_cosine=own.cross_cosine,
    )
    return problem, _taught(problem)


def late_burn_in(plan: Plan) -> tuple[NoisyClusters, Broken]:
    """A burn-in of twice the memorisation time (sections 7 and 8)."""
    schedule = plan.problem.distillation.schedule
    assert isinstance(schedule, BurnIn)
    steps = math.ceil(2 * plan.problem.memorisation_time)
    problem = plan.problem.with_schedule(BurnIn(steps, schedule.then))
    return problem, _taught(problem)


def kernel_limits(plan: Plan) -> list[LimitRun]:
    """Runs on the measured kernel against the formulas that nothing but controls uses."""
    broken = soft_targets(plan), above_threshold(plan)[1], late_burn_in(plan)[1]
    return [one.limit() for one in broken]

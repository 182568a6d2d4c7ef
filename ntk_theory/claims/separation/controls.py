"""`separation` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["CONTROLS", "control_tolerance"]

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ntk_theory import predictions
from ntk_theory.claims.separation.oracles import DISTILLED, PLAIN_TRAINING
from ntk_theory.claims.separation.plan import Plan
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import ControlNets, control_width
from ntk_theory.problems import noisy_clusters
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.targets import PLAIN, BurnIn
from ntk_theory.verdicts import Control


def control_tolerance(plan: Plan, reference: Ladder) -> float:
    """Bound on the deviation of control nets, from the reference case."""
    width = control_width(plan.nets)
    bound = max(
        reference.fit(name, lambda rung: rung.largest_deviation).upper(width, plan.confidence)
        for name in (DISTILLED, PLAIN_TRAINING)
    )
    return bound + reference.rounding_allowance(width)


def _overshoot(plan: Plan, nets: ControlNets) -> Control:
    """One step at ηλ_+ = 1/(1−2ρ) retrieves the clean labels in full, and beats 2ρ (6.3)."""
    levels = plan.problems[0].spectrum
    rho = math.ceil(levels.points / 4 - 1) / levels.points  # stable below a quarter
    problem = noisy_clusters(
        clusters=levels.clusters,
        points=levels.points,
        ratio=plan.problems[0].ratio,
        noise_rate=rho,
        seed=np.random.SeedSequence(plan.nets.seed),
    )
    rate = 1 / ((1 - 2 * rho) * levels.information)
    recipe = replace(problem.recipe, distillation=PLAIN, learning_rate=rate, steps=1)
    failure = over_nets(
        "RMS error after one step",
        predictions.overshoot_error(levels.ratio, rho),
        nets.train(recipe).rms_error(problem.dataset.clean)[:, 1],
        nets.tolerance,
    )
    share = rate * levels.information
    return judged_control(
        "overshoot",
        f"ηλ_+ <= 1: here {share:.3g}, for one step, at ρ = {rho:g}",
        failure,
        2 * rho,
        nets.tolerance,
        unmet=share > 1,
    )


def _soft_targets(plan: Plan, nets: ControlNets) -> Control:
    """Soft targets on self-distillation's own schedule gain nothing (section 5)."""
    problem = plan.problems[plan.reference]
    curve = predictions.soft_self_distillation(
        problem.spectrum, problem.noise_rate, problem.learning_rate, problem.weights
    )
    recipe = replace(problem.recipe, distillation=replace(problem.distillation, target="soft"))
    failure = over_nets(
        "best RMS error at any step",
        float(curve.rms_error().min()),
        nets.train(recipe).rms_error(problem.dataset.clean).min(axis=1),
        nets.tolerance,
    )
    return judged_control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        failure,
        float(problem.distilled.rms_error()[-1]),
        nets.tolerance,
    )


def _late_burn_in(plan: Plan, nets: ControlNets) -> Control:
    """A burn-in past the memorisation time is plain training for ever (section 7.4)."""
    problem = plan.problems[plan.reference]
    schedule = problem.distillation.schedule
    assert isinstance(schedule, BurnIn)
    burn_in = math.ceil(2 * problem.memorisation_time)
    broken = problem.with_schedule(BurnIn(burn_in, schedule.then))
    failure = over_nets(
        "final RMS error",
        float(broken.plain.rms_error()[-1]),
        nets.train(broken.recipe).rms_error(broken.dataset.clean)[:, -1],
        nets.tolerance,
    )
    return judged_control(
        "late-burn-in",
        f"burn-in < t_mem: here it takes {burn_in} steps, twice t_mem",
        failure,
        float(problem.distilled.rms_error()[-1]),
        nets.tolerance,
        unmet=broken.burn_in >= broken.memorisation_time,
    )


CONTROLS: tuple[Callable[[Plan, ControlNets], Control], ...] = (
    _overshoot,
    _soft_targets,
    _late_burn_in,
)
"""In the order in which the claim lists them."""

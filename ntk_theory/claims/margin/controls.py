"""`margin` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["CONTROLS", "ControlSetting"]

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.margin.nets import (
    CONFIDENCE,
    DISTILLED,
    PLAIN_TRAINING,
    Margins,
    fresh_margins,
    ways,
)
from ntk_theory.claims.margin.plan import CONTROL_NETS, Plan, unseen_margin
from ntk_theory.problems import Recipe, noisy_clusters
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.targets import BurnIn, Constant
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Control, Progress

Array = NDArray[np.float64]

_LEVEL = 0.25
"""Constant weight of the observed labels."""

_CROSS_COSINE = 0.3
"""Between the clusters of the control about a new one, if the claim's have less."""


@dataclass(frozen=True)
class ControlSetting:
    """Trains control nets, and says how far they may lie from theory."""

    found: Margins
    progress: Progress

    def train(self, plan: Plan, recipe: Recipe) -> Trajectory:
        """Control nets of their own seeds."""
        return plan.nets.train_controls(
            recipe, plan.control_width, CONTROL_NETS, progress=self.progress, keep_network=True
        )

    def training_tolerance(self) -> float:
        """Largest deviation, at any step of any way, of a training output at this width."""
        ladder, width = self.found.ladder, self.found.plan.control_width
        laws = [
            ladder.fit(way, lambda rung: rung.worst_deviation.max(axis=1))
            for way in (DISTILLED, PLAIN_TRAINING)
        ]
        return max(law.upper(width, CONFIDENCE) for law in laws)

    def fresh_tolerance(self) -> float:
        """Largest RMS deviation on the fresh points at this width, in any way."""
        width = self.found.plan.control_width
        laws = [self.found.fit(way, lambda one: one.typical, None) for way in self.found.fresh]
        return max(law.upper(width, CONFIDENCE) for law in laws)


def _memorised(setting: ControlSetting) -> Control:
    """Plain training to the end keeps 1 − 2ρ of the margin on fresh points (section 7.5)."""
    plan = setting.found.plan
    recipe, curve = ways(plan)[PLAIN_TRAINING]
    tolerance = setting.fresh_tolerance()
    failure = over_nets(
        "mean margin on fresh points",
        unseen_margin(plan, curve, recipe.steps),
        fresh_margins(plan, setting.train(plan, recipe)).mean(axis=1),
        tolerance,
    )
    return judged_control(
        "plain-training",
        "the prediction teaches: here the observed labels do, to the end",
        failure,
        unseen_margin(plan, plan.problem.distilled, recipe.steps),
        tolerance,
    )


def _soft_targets(setting: ControlSetting) -> Control:
    """Soft targets are plain training with a smaller rate (section 5)."""
    plan = setting.found.plan
    problem, recipe = plan.problem, plan.recipe
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    soft = replace(recipe, distillation=replace(recipe.distillation, target="soft"))
    outputs = setting.train(plan, soft).outputs[:, -1]
    tolerance = setting.training_tolerance()
    failure = over_nets(
        "least training margin",
        float(curve.margin()[-1]),
        (outputs * problem.dataset.clean).min(axis=1),
        tolerance,
    )
    return judged_control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        failure,
        float(problem.distilled.margin()[-1]),
        tolerance,
    )


def _constant_weight(setting: ControlSetting) -> Control:
    """A constant weight α leaves the flipped points a margin of 1 − 2α (section 7.1)."""
    plan = setting.found.plan
    problem = plan.problem
    broken = problem.with_schedule(BurnIn(problem.burn_in, Constant(_LEVEL)))
    unmet = {premise.name for premise in broken.premises() if not premise.holds}
    recipe = replace(plan.recipe, distillation=broken.distillation)
    outputs = setting.train(plan, recipe).outputs[:, -1]
    tolerance = setting.training_tolerance()
    failure = over_nets(
        f"least training margin (limit 1 − 2α = {1 - 2 * _LEVEL:g})",
        float(broken.distilled.margin()[-1]),
        (outputs * problem.dataset.clean).min(axis=1),
        tolerance,
    )
    return judged_control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {_LEVEL} for ever",
        failure,
        float(problem.distilled.margin()[-1]),
        tolerance,
        unmet="observed labels fade out" in unmet,
    )


def _new_cluster(setting: ControlSetting) -> Control:
    """On a cluster that was not trained on a net outputs the part of all labels (section 7.5).

    Between orthogonal clusters, or with as many labels of either kind, that part is 0 by symmetry.
    So these clusters have a cosine, and their number is odd.
    """
    plan = setting.found.plan
    levels = plan.problem.spectrum
    problem = noisy_clusters(
        clusters=levels.clusters + 1 - levels.clusters % 2,
        points=levels.points,
        ratio=plan.problem.ratio,
        noise_rate=plan.problem.noise_rate,
        seed=np.random.SeedSequence(plan.nets.seed),
        cross_cosine=max(plan.problem.cross_cosine, _CROSS_COSINE),
    )
    plan = replace(plan, problem=problem)
    trained = setting.train(plan, plan.recipe)
    assert trained.network is not None
    predicted = predictions.new_cluster_output(
        problem.spectrum, problem.distilled.mean_error[-1], problem.label_mean
    )
    tolerance = setting.fresh_tolerance()
    failure = over_nets(
        "mean margin on fresh points",
        float(predicted),
        trained.network(plan.new_inputs).mean(axis=1),
        tolerance,
    )
    return judged_control(
        "new-cluster",
        "fresh points come from the training clusters: here from another one, labelled +1",
        failure,
        unseen_margin(plan, problem.distilled, problem.steps),
        tolerance,
    )


CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _memorised,
    _soft_targets,
    _constant_weight,
    _new_cluster,
)
"""In the order in which the claim lists them."""

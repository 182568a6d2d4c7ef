"""`initialisation` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["CONTROLS", "ControlSetting"]

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.initialisation.measurements import DEVIATES
from ntk_theory.claims.initialisation.nets import Found, rms, train_plain
from ntk_theory.claims.initialisation.plan import CONTROL_NETS, FAILURE, PAIRS, SAMPLES
from ntk_theory.problems import Recipe
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.verdicts import Control, Progress

Array = NDArray[np.float64]

_STREAM = 1
"""Keeps the plain nets of the controls apart from those of the scales."""


@dataclass(frozen=True)
class ControlSetting:
    """Trains control nets, and says what the claim predicts and how far they may lie off.

    Attributes:
        found: the claim's own nets.
        progress: advanced as nets train.
    """

    found: Found
    progress: Progress

    @property
    def zero_start(self) -> float:
        """Final error without an initial output."""
        return float(self.found.plan.problem.distilled.rms_error()[-1])

    @property
    def floor(self) -> float:
        """Predicted mean of the final error at the large scale."""
        return float(self.found.laws[1].error.mean())

    @property
    def sampling(self) -> float:
        """How far the mean over as many random nets, or over the draws, may lie from the floor."""
        error = float(self.found.laws[1].error.std())
        return DEVIATES * error * math.sqrt(1 / CONTROL_NETS + 1 / SAMPLES)

    def deviation(self, width: int) -> float:
        """Bound on the deviation of a net from its limit at any step."""
        return self.found.pairs.fit(PAIRS, lambda rung: rung.largest_deviation).upper(width)

    def ends(self, recipe: Recipe, width: int) -> Array:
        """Final errors of a few nets without a random part."""
        plan = self.found.plan
        trajectory = plan.nets.train_controls(
            recipe, width, CONTROL_NETS // 4, progress=self.progress
        )
        return np.asarray(trajectory.rms_error(plan.problem.dataset.clean)[:, -1])


def _large_scale(setting: ControlSetting) -> Control:
    """Where a wrong sign is likely, the premise of the small scale fails, and there is a floor."""
    plan = setting.found.plan
    width, clean = plan.control_width, plan.problem.dataset.clean
    tolerance = setting.deviation(width)
    nets = train_plain(plan, plan.large, width, CONTROL_NETS, _STREAM, setting.progress)
    failure = over_nets(
        "final RMS error", setting.floor, rms(nets.final - clean), setting.sampling + tolerance
    )
    return judged_control(
        "large-scale",
        f"a small initial output: here w ~ N(0, {plan.large:g}² I)",
        failure,
        setting.zero_start,
        tolerance,
        unmet=plan.failure_bound(plan.large) > FAILURE,
    )


def _antisymmetric_pairs(setting: ControlSetting) -> Control:
    """Without an initial output there is no floor at any scale."""
    plan = setting.found.plan
    width = plan.control_width
    failure = over_nets(
        "final RMS error",
        setting.zero_start,
        setting.ends(plan.problem.recipe, width),
        setting.deviation(width),
    )
    return judged_control(
        "antisymmetric-pairs",
        "a random initial output, hence a floor: here neurons come in pairs that cancel",
        failure,
        setting.floor,
        setting.sampling,
    )


def _soft_targets(setting: ControlSetting) -> Control:
    """Soft targets are plain training with a smaller rate (section 5)."""
    plan = setting.found.plan
    width = plan.small_widths[-1]
    recipe = replace(plan.problem.recipe, init_scale=plan.small, distillation=plan.soft_targets)
    tolerance = setting.deviation(width)
    failure = over_nets(
        "final RMS error",
        float(plan.softly_distilled.rms_error()[-1]),
        setting.ends(recipe, width),
        tolerance,
    )
    return judged_control(
        "soft-targets",
        f"hardened targets: here they are soft, at scale {plan.small:g}",
        failure,
        setting.zero_start,
        tolerance,
    )


CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _large_scale,
    _antisymmetric_pairs,
    _soft_targets,
)
"""In the order in which the claim lists them."""

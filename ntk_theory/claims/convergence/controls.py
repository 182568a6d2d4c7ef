"""`convergence` with one premise broken at a time: every run must fail, each in its predicted way.

A claim whose checks pass shows something only if the same checks can fail. Section numbers refer to
docs/theory.md.
"""

from __future__ import annotations

__all__ = ["CONTROLS", "ControlSetting"]

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions
from ntk_theory.claims.convergence.broken import (
    RATIO,
    above_threshold,
    late_burn_in,
    soft_targets,
)
from ntk_theory.claims.convergence.plan import CONTROL_NETS, Plan
from ntk_theory.claims.convergence.variants import variant_on_clusters
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import Broken
from ntk_theory.problems import NoisyClusters, Recipe
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.targets import BurnIn, Constant
from ntk_theory.verdicts import Control, Measurement, Progress, Relation

Array = NDArray[np.float64]

_STREAM = 1
"""Keeps what the controls draw apart from the nets of the claim."""

_SAMPLES = 400
"""Random initial outputs from which the failure of plain initialisation is predicted."""

_SPREAD = 4.0
"""Half-width, in standard errors, of the predicted range of that failure."""

_RANDOM_NETS = 16
"""Nets of that control: its failure is random, so its mean takes more of them."""

_LEVEL = 0.25
"""Constant weight of the observed labels."""

_NARROW = 2
"""Width of nets of one pair, which is inactive on half of all inputs."""


@dataclass(frozen=True)
class ControlSetting:
    """How the control nets are trained and judged.

    Attributes:
        plan: of the claim.
        tolerance: deviation from theory that nets of the control width may show.
        progress: advanced as the nets train.
    """

    plan: Plan
    tolerance: float
    progress: Progress

    @classmethod
    def of(cls, ladder: Ladder, plan: Plan, progress: Progress) -> ControlSetting:
        """Tolerance from the nets of the claim."""
        own = ladder.bound(lambda rung: rung.largest_deviation, plan.control_width)
        return cls(plan, own, progress)

    @property
    def claimed(self) -> float:
        """RMS error at the end if the claim held all the same."""
        return float(self.plan.problem.distilled.rms_error()[-1])

    def train_error(
        self, recipe: Recipe, clean: Array, nets: int = CONTROL_NETS, width: int | None = None
    ) -> Array:
        """RMS errors of control nets at the last step, shape (S,)."""
        width = self.plan.control_width if width is None else width
        trained = self.plan.nets.train_controls(recipe, width, nets, progress=self.progress)
        return np.asarray(trained.rms_error(clean)[:, -1])


def _unmet(problem: NoisyClusters, name: str) -> bool:
    return any(premise.name == name and not premise.holds for premise in problem.premises())


def _ends(setting: ControlSetting, broken: Broken) -> Measurement:
    """Where the nets end on a broken problem."""
    errors = setting.train_error(broken.way.recipe, broken.clean)
    return over_nets("final RMS error", float(broken.way.error[-1]), errors, setting.tolerance)


def _soft_targets(setting: ControlSetting) -> Control:
    """Soft targets retrieve the observed labels, however slowly (section 5)."""
    return judged_control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        _ends(setting, soft_targets(setting.plan)),
        setting.claimed,
        setting.tolerance,
    )


def _constant_weight(setting: ControlSetting) -> Control:
    """A constant weight α stops at 2α√ρ (section 7)."""
    problem = setting.plan.problem
    broken = problem.with_schedule(BurnIn(problem.burn_in, Constant(_LEVEL)))
    errors = setting.train_error(broken.recipe, broken.dataset.clean)
    predicted = float(broken.distilled.rms_error()[-1])
    return judged_control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {_LEVEL} for ever",
        over_nets("final RMS error", predicted, errors, setting.tolerance),
        setting.claimed,
        setting.tolerance,
        unmet=_unmet(broken, "observed labels fade out"),
    )


def _above_threshold(setting: ControlSetting) -> Control:
    """Beyond the recoverability threshold wrong labels are taught back (sections 7 and 8)."""
    problem, broken = above_threshold(setting.plan)
    return judged_control(
        "above-threshold",
        f"ρ < ρ*: here λ_+/λ_− = {RATIO}, at which no noise rate is recoverable",
        _ends(setting, broken),
        float(problem.distilled.rms_error()[-1]),
        setting.tolerance,
        unmet=_unmet(problem, "recoverable noise rate"),
    )


def _late_burn_in(setting: ControlSetting) -> Control:
    """A burn-in past the memorisation time locks the wrong labels in (sections 7 and 8)."""
    problem, broken = late_burn_in(setting.plan)
    return judged_control(
        "late-burn-in",
        f"burn-in < t_mem: here it takes {problem.burn_in} steps, twice t_mem",
        _ends(setting, broken),
        setting.claimed,
        setting.tolerance,
        unmet=_unmet(problem, "burn-in before memorisation"),
    )


def _pair_flips(setting: ControlSetting) -> Control:
    """More than half of every class is called the next one: that one is learned (section 7.6).

    Exchanging the two classes of every cluster turns it into a problem below one half, whose
    closed form tells where the nets end.
    """
    classes, points, rate = 4, 12, 2 / 3
    design = data.equicorrelated_clusters(classes, points, ratio=40.0)
    seed = np.random.SeedSequence(setting.plan.nets.seed, spawn_key=(_STREAM, classes))
    dataset = data.noisy_labels(
        design,
        noise_rate=rate,
        rng=np.random.default_rng(seed),
        classes=classes,
        noise="pair",
    )
    learned = replace(dataset, clean_class=(dataset.clean_class + 1) % classes)
    below = variant_on_clusters("pair flips as learned", learned)
    expected = np.square(below.predicted[-1] - dataset.clean).sum() / len(dataset.clean)
    failure = over_nets(
        "final RMS error",
        float(np.sqrt(expected)),
        setting.train_error(below.recipe, dataset.clean),
        setting.tolerance,
    )
    gap = predictions.label_gap(dataset.clean_class, dataset.observed_class, design.groups)
    return judged_control(
        "pair-flips-above-half",
        f"pair flips of less than one half: here {rate:.0%} of every class are called the next one",
        failure,
        float(below.rms_error[-1]),
        setting.tolerance,
        unmet=gap <= 0,
    )


def _random_failure(
    setting: ControlSetting, scale: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Predicted final RMS error of a plainly initialised net, and the spread of a mean of nets."""
    problem = setting.plan.problem
    samples = predictions.initial_output_samples(
        problem.spectrum.clusters,
        problem.spectrum.points,
        problem.angle,
        problem.cross_cosine,
        scale,
        _SAMPLES,
        rng,
    )
    final = predictions.block_recursion(
        problem.spectrum,
        problem.dataset.observed,
        problem.learning_rate,
        problem.weights,
        samples,
    )
    errors = np.sqrt(np.square(final - problem.dataset.clean).mean(axis=1))
    return float(errors.mean()), _SPREAD * float(errors.std()) / math.sqrt(_RANDOM_NETS)


def _plain_initialisation(setting: ControlSetting) -> Control:
    """An initial output of order one spoils signs, and a wrong sign is taught back (section 8)."""
    problem, claimed = setting.plan.problem, setting.claimed
    seed = np.random.SeedSequence(setting.plan.nets.seed, spawn_key=(_STREAM,))
    rng = np.random.default_rng(seed)
    scale, predicted, spread = 1.0, 0.0, 0.0
    for scale in (1.0, 2.0, 4.0, 8.0, 16.0):
        predicted, spread = _random_failure(setting, scale, rng)
        # A high ratio or few points leave the signs right at scale 1: then break it harder.
        if predicted - spread > claimed + 2 * setting.tolerance:
            break
    broken = replace(problem, init_scale=scale)
    failure = over_nets(
        "final RMS error",
        predicted,
        setting.train_error(broken.recipe, problem.dataset.clean, _RANDOM_NETS),
        setting.tolerance + spread,
    )
    return judged_control(
        "plain-initialisation",
        f"zero initial output: here w ~ N(0, {scale:g}² I) without pairs",
        failure,
        claimed,
        setting.tolerance,
        unmet=_unmet(broken, "zero initial output"),
    )


def _silent(setting: ControlSetting) -> tuple[float, float]:
    """Least final RMS error of a net of one pair, its mean, and the spread of that of one net.

    The outputs of a cluster on which the pair is inactive are 0, as are their gradients: where
    clusters are orthogonal they stay 0, at the distance 1 from the labels (section 10).
    """
    levels, inputs = setting.plan.problem.spectrum, setting.plan.problem.dataset.inputs
    seed = np.random.SeedSequence(setting.plan.nets.seed, spawn_key=(_STREAM, _NARROW))
    drawn = np.random.default_rng(seed).standard_normal((_SAMPLES, inputs.shape[1]))
    inactive = (drawn @ inputs.T <= 0).reshape(_SAMPLES, levels.clusters, levels.points)
    errors = np.sqrt(inactive.all(axis=2).mean(axis=1))
    return float(errors.mean()), float(errors.std())


def _narrow(setting: ControlSetting) -> Control:
    """A net of one pair of neurons learns nothing where that pair is inactive (section 10)."""
    problem, claimed = setting.plan.problem, setting.claimed
    predicted, scatter = _silent(setting)
    nets, spread = 0, 0.0
    for nets in (_RANDOM_NETS, 4 * _RANDOM_NETS, 16 * _RANDOM_NETS, 64 * _RANDOM_NETS):
        spread = _SPREAD * scatter / math.sqrt(nets)
        # Wide clusters are seldom inactive as a whole: then it takes more nets to tell.
        if predicted - spread > claimed + setting.tolerance:
            break
    failure = over_nets(
        "final RMS error",
        predicted,
        setting.train_error(problem.recipe, problem.dataset.clean, nets, _NARROW),
        spread,
        relation=Relation.AT_LEAST,
    )
    wanted = 4 * problem.lazy_width
    return judged_control(
        "width-2",
        f"a wide net, from {math.ceil(wanted)} neurons on: here the width is {_NARROW}",
        failure,
        claimed,
        setting.tolerance,
        unmet=True if wanted > _NARROW else None,
    )


CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _soft_targets,
    _constant_weight,
    _above_threshold,
    _late_burn_in,
    _plain_initialisation,
    _pair_flips,
    _narrow,
)
"""In the order in which the claim lists them."""

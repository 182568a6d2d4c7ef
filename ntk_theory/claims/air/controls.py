"""`air` on clusters with one premise broken at a time: no gap is left."""

from __future__ import annotations

__all__ = ["CONTROLS", "ControlSetting"]

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.air.labels import Labels
from ntk_theory.claims.air.plan import CONTROL_NETS, RANDOM_DRAWS, Plan
from ntk_theory.experiments import net_seeds, train_nets
from ntk_theory.problems import Recipe
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.verdicts import Control, Progress

Array = NDArray[np.float64]

_STREAM = 1
"""Of the random labels; the nets that they train have the streams from two further on."""

_SPREAD = 5.0
"""Half-width, in standard errors, of the range of a mean over random labels."""


@dataclass(frozen=True)
class ControlSetting:
    """Clusters with something changed, trained at one width.

    Attributes:
        plan: of the claim.
        deviation: bound on the RMS deviation of one net of this width from the kernel limit.
        progress: advanced as the nets train.
    """

    plan: Plan
    deviation: float
    progress: Progress

    @property
    def peak(self) -> int:
        """Step at which the claim's gap is largest."""
        return int(self.plan.gap.argmax())

    def outputs(self, recipe: Recipe) -> Array:
        """Outputs of control nets at that step, shape (S, n)."""
        plan = self.plan
        trajectory = plan.nets.train_controls(
            recipe, plan.control_width, CONTROL_NETS, progress=self.progress
        )
        return trajectory.outputs[:, self.peak]

    def control(
        self, id_: str, broken: str, predicted: float, gaps: Array, tolerance: float
    ) -> Control:
        """Control whose nets should have another gap than the claim's."""
        name = f"R(information) − R(noise) after {self.peak} steps"
        failure = over_nets(name, predicted, gaps, tolerance)
        return judged_control(id_, broken, failure, float(self.plan.gap[self.peak]), tolerance)

    def label_control(self, id_: str, broken: str, recipe: Recipe) -> Control:
        """A control in which both parts of the labels lie in one eigenspace: no gap."""
        labels = Labels(self.plan.clusters.dataset.clean, recipe.observed)
        information, noise = labels.shares(self.outputs(recipe))
        off = self.deviation * labels.sensitivity
        return self.control(id_, broken, 0.0, information - noise, off)


def _whole_clusters(setting: ControlSetting) -> Control:
    """Noise in the top eigenspace is retrieved as fast as the information."""
    case = setting.plan.clusters
    flipped = case.dataset.design.groups == 0
    observed = np.where(flipped, -case.dataset.clean, case.dataset.clean)
    return setting.label_control(
        "whole-clusters-flipped",
        "noise is spread over the eigenspaces: here one whole cluster is flipped",
        replace(case.recipe, observed=observed),
    )


def _random_labels(setting: ControlSetting) -> Control:
    """Clean labels without structure are retrieved like noise, on average."""
    plan, case = setting.plan, setting.plan.clusters
    nets, width = plan.nets, plan.control_width
    sequence = np.random.SeedSequence(nets.seed, spawn_key=(_STREAM,))
    signs = np.random.default_rng(sequence).choice(
        (-1.0, 1.0), (RANDOM_DRAWS, case.dataset.clean.size)
    )
    gaps = []
    for draw, labels in enumerate(signs):
        trajectory = train_nets(
            replace(case.recipe, observed=labels),
            width,
            net_seeds(nets.seed, width, 1, _STREAM + 2 + draw),
            dtype=nets.dtype,
            device=nets.device,
            progress=setting.progress,
        )
        gaps.append(float(np.mean(trajectory.outputs[0, setting.peak] * labels)))
    noise = float(case.filter[setting.peak].mean())
    spread = predictions.random_label_spread(plan.levels, case.learning_rate, case.steps)
    error = float(spread[setting.peak]) / math.sqrt(RANDOM_DRAWS)
    return setting.control(
        "random-labels",
        "clean labels lean to the top eigenspaces: here they are random signs",
        0.0,
        np.array(gaps) - noise,
        _SPREAD * error + setting.deviation,
    )


def _orthogonal(setting: ControlSetting) -> Control:
    """Without a spectrum there is no order: all of ½ I is retrieved at once."""
    case = setting.plan.clusters
    return setting.label_control(
        "orthogonal-inputs",
        "eigenvalues differ: here the inputs are orthogonal, H = ½ I, and ηλ = ½",
        replace(case.recipe, inputs=np.eye(case.dataset.clean.size), learning_rate=1.0),
    )


CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _whole_clusters,
    _random_labels,
    _orthogonal,
)
"""In the order in which the claim lists them."""

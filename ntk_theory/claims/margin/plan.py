"""What `margin` trains: a problem on clusters, fresh points of them, the nets."""

from __future__ import annotations

__all__ = ["CONTROL_NETS", "Plan", "make_plan", "planned_premises", "predict", "unseen_margin"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import NoisyClusters, Recipe, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

CONTROL_NETS = 3
_LEAST_WIDTHS, _LEAST_NETS = 4, 3
_SHARE = 0.5
"""ηλ_+ of the default learning rate: no overshoot, and few steps."""

_NOISE_TIMES = 6
"""Length of a default run in units of 1/(ηλ_−): plain training has memorised up to e^{-6}."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    fresh: int


_PRESETS = {
    "quick": _Preset((256, 512, 1024, 2048, 4096), 4, 6),
    "standard": _Preset(dyadic_widths(512, 2**17, 5), 6, 6),
    "wide": _Preset(dyadic_widths(1024, 2**20, 6), 4, 6),
    "paper": _Preset(dyadic_widths(512, 2**18, 10), 8, 6),
}


@dataclass(frozen=True)
class Plan:
    """A problem, fresh points of its clusters and of a new one, and the nets to train.

    Attributes:
        problem: self-distillation on noisy clusters.
        fresh: fresh points a cluster.
        nets: widths, how many nets, and their seeds.
    """

    problem: NoisyClusters
    fresh: int
    nets: NetPlan

    @property
    def best_step(self) -> int:
        """Step at which plain training has its largest margin: the oracle's stopping time."""
        return int(np.argmax(self.problem.plain.margin()))

    @property
    def control_width(self) -> int:
        """Width of control nets: a middle one, as their failures are large."""
        return self.nets.widths[(len(self.nets.widths) - 1) // 2]

    @cached_property
    def _design(self) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """Rows, cluster, and place in the cluster, of a design with more points and one cluster.

        Its angle is that of the training points: their ratio is the one asked for, and a further
        point of a cluster changes nothing about theirs.
        """
        problem = self.problem
        levels, size = problem.spectrum, problem.spectrum.points + self.fresh
        design = data.equicorrelated_clusters(
            levels.clusters + 1, size, angle=problem.angle, cross_cosine=problem.cross_cosine
        )
        return design.inputs, design.groups, np.arange(len(design.inputs)) % size

    @property
    def recipe(self) -> Recipe:
        """Self-distillation on the training rows of the larger design (same Gram matrix)."""
        rows, group, place = self._design
        levels = self.problem.spectrum
        trained = (group < levels.clusters) & (place < levels.points)
        return replace(self.problem.recipe, inputs=rows[trained])

    @property
    def fresh_inputs(self) -> Array:
        """Fresh points of the training clusters, shape (K fresh, d)."""
        rows, group, place = self._design
        levels = self.problem.spectrum
        return np.asarray(rows[(group < levels.clusters) & (place >= levels.points)])

    @property
    def fresh_labels(self) -> Array:
        """Right labels of the fresh points, shape (K fresh,)."""
        return np.repeat(self.problem.dataset.clean[:: self.problem.spectrum.points], self.fresh)

    @property
    def new_inputs(self) -> Array:
        """Points of a cluster that no net was trained on."""
        rows, group, _ = self._design
        return np.asarray(rows[group == self.problem.spectrum.clusters])

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = self.problem.steps
        ladder = sum(self.nets.widths) * self.nets.count * (2 * steps + self.best_step)
        return ladder + self.control_width * CONTROL_NETS * 4 * steps

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **self.nets.config(),
            **self.problem.config(),
            "best_step": self.best_step if self.problem.predictable else None,
            "fresh_points": self.fresh,
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
        }


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    problem = noisy_clusters(
        clusters=chosen(options.clusters, 6),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 8.0),
        noise_rate=chosen(options.noise_rate, 0.2),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        schedule=chosen(options.schedule, "power"),
        learning_rate=options.learning_rate,
        steps=options.steps,
    )
    if options.learning_rate is None:
        levels = problem.spectrum
        rate = min(_SHARE / levels.information, 1 / levels.mean)
        quarter = predictions.memorisation_time(problem.noise_rate, rate, levels.noise) / 4
        steps = max(math.ceil(_NOISE_TIMES / (rate * levels.noise)), 4 * (round(quarter) + 2))
        problem = noisy_clusters(
            clusters=levels.clusters,
            points=levels.points,
            ratio=problem.ratio,
            noise_rate=problem.noise_rate,
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=problem.cross_cosine,
            schedule=chosen(options.schedule, "power"),
            learning_rate=rate,
            steps=chosen(options.steps, steps),
        )
    preset = _PRESETS[options.preset]
    nets = plan_nets(
        options,
        preset.widths,
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=problem.dataset.inputs.shape,
    )
    return Plan(problem, preset.fresh, nets)


def unseen_margin(plan: Plan, curve: ErrorCurve, step: int) -> float:
    """Predicted margin on fresh points after so many steps."""
    problem = plan.problem
    return float(
        predictions.unseen_margin(
            problem.spectrum,
            curve.mean_error[step],
            curve.information_error[step],
            problem.label_mean,
        )
    )


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses that can be evaluated before any training."""
    problem = plan.problem
    premises = list(problem.premises())
    if not problem.predictable:
        return premises
    # No sign has to be right for plain training; its best step still has to be a step.
    best = float(problem.plain.margin()[plan.best_step])
    return [
        *premises,
        lazy_premise(problem.lazy_width, plan.nets.widths[0]),
        Premise("plain training has a margin at some step", best, best > 0, "best margin > 0"),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted margins, without training."""
    plan = make_plan(options)
    problem = plan.problem
    if not problem.predictable:
        return plan.config(), {}
    steps, best = problem.steps, plan.best_step
    predicted = {
        "self-distillation: least training margin": problem.distilled.margin()[-1],
        "plain training: best least margin at any step": problem.plain.margin().max(),
        "self-distillation: mean margin on fresh points": unseen_margin(
            plan, problem.distilled, steps
        ),
        f"plain training stopped at step {best}: mean margin on fresh points": unseen_margin(
            plan, problem.plain, best
        ),
        "memorised: mean margin on fresh points": unseen_margin(plan, problem.plain, steps),
    }
    return plan.config(), {name: float(value) for name, value in predicted.items()}

"""What `generalisation` trains: nets on clusters, and on families of data with fresh points."""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "CONTROL_STREAM",
    "DELTA",
    "DISTILLED",
    "PLAIN_TRAINING",
    "Plan",
    "labels_distance",
    "make_plan",
    "measure_of",
    "planned_premises",
    "predict",
    "predicted_distance",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory import predictions
from ntk_theory.claims.generalisation.families import FAMILIES, Task, draw_task
from ntk_theory.ladder import NetPlan, plan_nets
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import NoisyClusters, Recipe, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.targets import PLAIN
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

DISTILLED, PLAIN_TRAINING = "self-distillation", "plain training"
_LEAST_WIDTHS, _LEAST_NETS = 4, 3
CONTROL_NETS = 3
_SHARE, _NOISE_TIMES = 0.5, 4
"""ηλ_+ and the number of times 1/(ηλ_−) of a default run on the clusters."""

DELTA = 0.05
"""Probability with which the margin bound may fail."""

CONTROL_STREAM, _DATA_STREAM = 1, 4


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    fresh: int


_DATASETS = 24
"""Data sets of each family in the kernel limit, for every net."""

_PRESETS = {
    "quick": _Preset((128, 256, 512, 1024, 2048), 4, 60),
    "standard": _Preset((128, 256, 512, 1024, 2048, 4096), 6, 60),
    "paper": _Preset((256, 512, 1024, 2048, 4096, 8192, 16384), 8, 60),
}


@dataclass(frozen=True)
class Plan:
    """The clusters, the families, and the nets to train on them.

    Attributes:
        problem: self-distillation on noisy clusters.
        fresh: fresh points a group of a family.
        nets: widths, how many nets, and their seeds.
    """

    problem: NoisyClusters
    fresh: int
    nets: NetPlan

    @property
    def datasets(self) -> int:
        """Data sets of each family in the kernel limit; the first few have a net each."""
        return _DATASETS * self.nets.count

    @property
    def family_widths(self) -> tuple[int, ...]:
        """Widths of the nets on the families: up to a quarter of the ladder's."""
        top = self.nets.widths[-1] // 4
        return tuple(2 * (top // (2 * part)) for part in (8, 4, 2, 1))

    @property
    def control_width(self) -> int:
        """Width of control nets on the clusters: a middle one, as their failures are large."""
        return self.nets.widths[(len(self.nets.widths) - 1) // 2]

    @property
    def ways(self) -> dict[str, tuple[Recipe, ErrorCurve]]:
        """Recipe and closed form of both ways of training on the clusters."""
        recipe = self.problem.recipe
        return {
            DISTILLED: (recipe, self.problem.distilled),
            PLAIN_TRAINING: (replace(recipe, distillation=PLAIN), self.problem.plain),
        }

    def tasks(self, family: int) -> list[Task]:
        """Data sets of a family, each with its own points and noise."""
        root = np.random.SeedSequence(self.nets.seed, spawn_key=(_DATA_STREAM, family))
        return [draw_task(FAMILIES[family], self.fresh, seed) for seed in root.spawn(self.datasets)]

    def work(self) -> float:
        """Width times nets of everything trained, for the progress bar."""
        nets = self.nets
        families = 2 * sum(self.family_widths) * nets.count * len(FAMILIES)
        controls = self.control_width * CONTROL_NETS + 2 * nets.count * self.family_widths[-1]
        return float(2 * sum(nets.widths) * nets.count + families + controls)

    def config(self) -> dict[str, Any]:
        """Every number of the plan, under the names of the knobs."""
        return {
            **self.nets.config(),
            **self.problem.config(),
            "bound_confidence": 1 - DELTA,
            "families": [
                {
                    "name": family.name,
                    "groups": family.groups,
                    "points": family.points,
                    "classes": family.classes,
                    "dimension": family.dimension,
                    "radius" if family.kind == "gaussian" else "exponent": family.shape,
                    "noise_rate": family.noise_rate,
                }
                for family in FAMILIES
            ],
            "family_widths": list(self.family_widths),
            "datasets": self.datasets,
            "fresh_points": self.fresh,
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
        }


def _problem(options: Options) -> NoisyClusters:
    """Clusters large enough for the bound to say something, at a rate that takes few steps."""

    def built(learning_rate: float | None, steps: int | None) -> NoisyClusters:
        return noisy_clusters(
            clusters=chosen(options.clusters, 4),
            points=chosen(options.points, 20),
            ratio=chosen(options.ratio, 20.0),
            noise_rate=chosen(options.noise_rate, 0.2),
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=chosen(options.cross_cosine, 0.0),
            schedule=chosen(options.schedule, "power"),
            learning_rate=learning_rate,
            steps=steps,
        )

    problem = built(options.learning_rate, options.steps)
    if options.learning_rate is not None:
        return problem
    levels = problem.spectrum
    rate = min(_SHARE / levels.information, 1 / levels.mean)
    quarter = predictions.memorisation_time(problem.noise_rate, rate, levels.noise) / 4
    steps = max(math.ceil(_NOISE_TIMES / (rate * levels.noise)), 4 * (round(quarter) + 2))
    return built(rate, chosen(options.steps, steps))


def make_plan(options: Options) -> Plan:
    """Everything that follows from the options before any training.

    Raises:
        ValueError: for options that make no sense.
    """
    problem, preset = _problem(options), _PRESETS[options.preset]
    nets = plan_nets(
        options,
        preset.widths,
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=problem.dataset.inputs.shape,
    )
    if nets.widths[-1] < 256:
        raise ValueError(
            "widths must end at 256 or more: nets of a quarter of the last, down to one in 32, are "
            f"trained on the other data; got {nets.widths[-1]}"
        )
    return Plan(problem, preset.fresh, nets)


def predicted_distance(plan: Plan, curve: ErrorCurve, step: int = -1) -> float:
    """Predicted distance from initialisation."""
    problem = plan.problem
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


def measure_of(plan: Plan, distance: ArrayLike) -> Array:
    """Generalisation measure of a distance on the clusters."""
    return predictions.generalisation_measure(distance, len(plan.problem.gram))


def labels_distance(plan: Plan, clean: bool) -> float:
    """Predicted sqrt(zᵀH^{-1}z) of the clean or the observed labels themselves."""
    problem = plan.problem
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


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses that can be evaluated before any training."""
    problem = plan.problem
    premises = list(problem.premises())
    if not problem.predictable:
        return premises
    return [*premises, lazy_premise(problem.lazy_width, plan.nets.widths[0])]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted norms, without training."""
    plan = make_plan(options)
    if not plan.problem.predictable:
        return plan.config(), {}
    predicted = {}
    for way, (_, curve) in plan.ways.items():
        norm = predicted_distance(plan, curve)
        predicted[f"{way}: ‖W_T − W_0‖"] = norm
        predicted[f"{way}: measure of the outputs"] = float(measure_of(plan, norm))
    return plan.config(), predicted

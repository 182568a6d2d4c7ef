"""What `generalisation` trains: nets on clusters, and on families of data with fresh points."""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "CONTROL_STREAM",
    "DELTA",
    "RATE_NETS",
    "SWEEP_RATES",
    "SWEEP_TRAINED",
    "Plan",
    "make_plan",
    "planned_premises",
    "predict",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.generalisation.closed_forms import measure_of, predicted_distance, ways_of
from ntk_theory.claims.generalisation.families import (
    COUNTEREXAMPLE,
    FAMILIES,
    Family,
    Task,
    draw_task,
)
from ntk_theory.ladder import NetPlan, plan_nets
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import NoisyClusters, Recipe, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

_LEAST_WIDTHS, _LEAST_NETS = 4, 8
"""With 3 nets a width, a distance fails to come nearer in 6 % of all runs; with 8 in 0.5 %."""

_LEAST_FAMILY_NETS = 3
CONTROL_NETS = 3
RATE_NETS = 2
"""Nets on the clusters at each further noise rate."""

_SHARE, _NOISE_TIMES = 0.5, 4
"""ηλ_+ and the number of times 1/(ηλ_−) of a default run on the clusters."""

DELTA = 0.05
"""Probability with which the margin bound may fail."""

CONTROL_STREAM, _DATA_STREAM = 1, 4

_POINTS = FAMILIES[0].points
SWEEP_RATES = tuple(wrong / _POINTS for wrong in (0, 2, 3, 4, 5, 6, 7, 8))
"""Noise rates of the Gaussian clusters, shares that a group can have."""

SWEEP_TRAINED = (3 / _POINTS, 8 / _POINTS)
"""Those at which nets are trained, besides that of the family."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    fresh: int


_DATASETS = 48
"""Data sets of each family in the kernel limit, for every net of a width."""

_SIGNED, _OVER_RATES = 12, 4
"""For every net of a width: nets that sign the lead over the best stopping time, each on a data
set of its own; and data sets on which the noise rate is varied."""

_PRESETS = {
    "quick": _Preset((128, 256, 512, 1024, 2048), 12, 60),
    "standard": _Preset((128, 256, 512, 1024, 2048, 4096), 18, 60),
    "paper": _Preset((256, 512, 1024, 2048, 4096, 8192, 16384), 24, 60),
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
    def family_nets(self) -> int:
        """Nets of each width on a family: a third of the ladder's, which are faster to train."""
        return max(_LEAST_FAMILY_NETS, self.nets.count // 3)

    def datasets(self, family: Family) -> int:
        """Data sets of a family in the kernel limit; the first few have a net each."""
        return _DATASETS * self.family_nets * family.draws

    @property
    def signed_nets(self) -> int:
        """Nets that sign the lead over the best stopping time, on as many data sets."""
        return _SIGNED * self.family_nets

    @property
    def sweep_datasets(self) -> int:
        """Gaussian clusters on which the noise rate is varied."""
        return _OVER_RATES * self.family_nets

    @property
    def signed_width(self) -> int:
        """Width of the nets that are many: the last but one of a family."""
        return self.family_widths[-2]

    @property
    def cluster_rates(self) -> tuple[float, ...]:
        """Noise rates of the clusters: the claim's, and half as many wrong labels less and more."""
        points = self.problem.spectrum.points
        wrong = round(self.problem.noise_rate * points)
        few = max(1, wrong // 2)
        counts = {few, wrong, wrong + few}
        return tuple(count / points for count in sorted(counts) if count < points)

    def at_rate(self, noise_rate: float) -> NoisyClusters:
        """The clusters with another share of wrong labels, and nothing else changed."""
        problem = self.problem
        return noisy_clusters(
            clusters=problem.spectrum.clusters,
            points=problem.spectrum.points,
            ratio=problem.ratio,
            noise_rate=noise_rate,
            seed=np.random.SeedSequence(self.nets.seed),
            cross_cosine=problem.cross_cosine,
            schedule=problem.schedule_text,
            learning_rate=problem.learning_rate,
            steps=problem.steps,
        )

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
        return ways_of(self.problem)

    def tasks(self, index: int, family: Family | None = None, count: int = 0) -> list[Task]:
        """Data sets of a family, each with its own points and noise.

        Args:
            index: of the family.
            family: the same one with another noise rate; its points are the same then.
            count: how many of the data sets; all when left out.
        """
        root = np.random.SeedSequence(self.nets.seed, spawn_key=(_DATA_STREAM, index))
        chosen_family = family or FAMILIES[index]
        seeds = root.spawn(count or self.datasets(chosen_family))
        return [draw_task(chosen_family, self.fresh, seed) for seed in seeds]

    def work(self) -> float:
        """Width times nets of everything trained, for the progress bar."""
        nets = self.nets
        at_other_rates = RATE_NETS * (len(self.cluster_rates) - 1)
        clusters = sum(nets.widths) * nets.count + nets.widths[-1] * at_other_rates
        families = sum(self.family_widths) * self.family_nets * len(FAMILIES)
        rates = self.signed_nets + len(SWEEP_TRAINED) * self.sweep_datasets
        controls = self.control_width * CONTROL_NETS
        controls += 2 * self.family_nets * self.family_widths[-1]
        return float(2 * (clusters + families + rates * self.signed_width) + controls)

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
                    "datasets": self.datasets(family),
                }
                for family in (*FAMILIES, COUNTEREXAMPLE)
            ],
            "family_widths": list(self.family_widths),
            "family_seeds": self.family_nets,
            "signed_width": self.signed_width,
            "signed_seeds": self.signed_nets,
            "cluster_noise_rates": list(self.cluster_rates),
            "cluster_noise_rate_seeds": RATE_NETS,
            "sweep_noise_rates": list(SWEEP_RATES),
            "sweep_trained_noise_rates": list(SWEEP_TRAINED),
            "sweep_datasets": self.sweep_datasets,
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
        norm = predicted_distance(plan.problem, curve)
        predicted[f"{way}: ‖W_T − W_0‖"] = norm
        predicted[f"{way}: measure of the outputs"] = float(measure_of(plan.problem, norm))
    return plan.config(), predicted

"""What `separation` trains: a problem for each noise rate, ways to train it, the nets."""

from __future__ import annotations

__all__ = ["Plan", "make_plan", "planned_premises", "predict"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ntk_theory import predictions
from ntk_theory.claims.separation.oracles import distilled_way, oracles, stopped_way
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.noise_grid import (
    CONTROL_NETS,
    RISK,
    Way,
    balanced_premise,
    control_width,
    grid_config,
    small_movement_premise,
)
from ntk_theory.problems import NoisyClusters, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

_LEAST_WIDTHS, _LEAST_NETS = 4, 6
_SHARE = 0.5
"""ηλ_0 of self-distillation and of the plain training it is compared with."""

_NOISE_TIMES = 5
"""Length of self-distillation in units of 1/(ηλ_−); plain training takes half."""

_REFERENCE_RATE = 0.2
"""Its nets are also trained at other learning rates and on soft targets."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    clusters: int


_PRESETS = {
    "quick": _Preset((1024, 2048, 4096, 8192), 6, 4),
    "standard": _Preset(dyadic_widths(2048, 2**17, 4), 8, 4),
    "wide": _Preset(dyadic_widths(4096, 2**20, 5), 6, 4),
    "paper": _Preset(dyadic_widths(2048, 2**18, 8), 12, 4),
}
_RATES = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Plan:
    """A problem for each noise rate, and the nets to train.

    Attributes:
        problems: the same clusters with another share of wrong labels each.
        reference: place of the one that is trained in more ways.
        nets: widths, how many nets, and their seeds.
    """

    problems: tuple[NoisyClusters, ...]
    reference: int
    nets: NetPlan

    @property
    def predictable(self) -> bool:
        """Whether all problems have closed forms."""
        return all(problem.predictable for problem in self.problems)

    @property
    def confidence(self) -> float:
        """Of each bound: nets are held against some eight of them at each noise rate."""
        return 1 - RISK / (8 * self.nets.count * len(self.problems))

    def ways(self, index: int) -> list[Way]:
        """Self-distillation and plain training; in the reference case the other oracles too."""
        problem = self.problems[index]
        both = [distilled_way(problem), stopped_way(problem)]
        return both + (oracles(problem) if index == self.reference else [])

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = sum(way.recipe.steps for i in range(len(self.problems)) for way in self.ways(i))
        ladders = sum(self.nets.widths) * self.nets.count * steps
        controls = 2 * self.problems[self.reference].steps + 1
        return ladders + control_width(self.nets) * CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **grid_config(self.nets, self.problems),
            # The same at every noise rate.
            "ratio": self.problems[0].ratio,
            "learning_rate": self.problems[0].learning_rate,
            "schedule": [problem.schedule_text for problem in self.problems],
            "oracles": [way.name for way in self.ways(self.reference)[1:]]
            if self.predictable
            else [],
            "reference": self.reference,
            "confidence": self.confidence,
        }


def _problem(options: Options, noise_rate: float, clusters: int, points: int) -> NoisyClusters:
    """Clusters at ηλ_0 = 1/2, trained until the noise is retrieved."""
    ratio, rate = chosen(options.ratio, 12.0), options.learning_rate
    if rate is None and ratio > 1:
        angle = predictions.cluster_angle(points, ratio)
        rate = _SHARE / predictions.cluster_spectrum(clusters, points, angle).mean
    problem = noisy_clusters(
        clusters=clusters,
        points=points,
        ratio=ratio,
        noise_rate=noise_rate,
        seed=np.random.SeedSequence(options.seed),
        schedule=chosen(options.schedule, "power"),
        learning_rate=rate,
        steps=options.steps,
    )
    if options.steps is not None:
        return problem
    share = min(problem.learning_rate * problem.spectrum.noise, 1.0)
    steps = max(math.ceil(_NOISE_TIMES / share), 4 * (problem.burn_in + 1))
    return replace(problem, steps=steps)


def make_plan(options: Options) -> Plan:
    """Problems and nets for the options.

    Raises:
        ValueError: for options that make no sense.
    """
    preset = _PRESETS[options.preset]
    clusters, points = chosen(options.clusters, preset.clusters), chosen(options.points, 10)
    if points < 5:
        raise ValueError(
            "points must be at least 5, so that one wrong label a cluster is less than a quarter; "
            f"got {points}"
        )
    rates = _RATES if options.noise_rate is None else (options.noise_rate,)
    problems = tuple(_problem(options, rate, clusters, points) for rate in rates)
    reference = min(range(len(rates)), key=lambda i: abs(rates[i] - _REFERENCE_RATE))
    nets = plan_nets(
        options,
        preset.widths,
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=problems[0].dataset.inputs.shape,
    )
    return Plan(problems, reference, nets)


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses of all noise rates: each as it stands where it fails, or else at the first."""
    of_all = [problem.premises() for problem in plan.problems]
    premises = [
        next((premise for premise in same if not premise.holds), same[0])
        for same in zip(*of_all, strict=True)
    ]
    premises.append(balanced_premise(plan.problems))
    if not plan.predictable:
        return premises
    final = max(float(p.distilled.rms_error()[-1]) / (2 * p.noise_rate) for p in plan.problems)
    return [
        *premises,
        small_movement_premise(plan.problems, plan.nets.widths[0]),
        Premise("long enough run", final, final < 1, "predicted final error / 2ρ < 1"),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted errors, without training."""
    plan = make_plan(options)
    predicted: dict[str, float] = {}
    if not plan.predictable:
        return plan.config(), predicted
    for index, problem in enumerate(plan.problems):
        own, stopped = plan.ways(index)[:2]
        name = f"ρ = {problem.noise_rate:g}"
        best, final = float(stopped.error.min()), float(own.error[-1])
        predicted |= {
            f"best RMS error at any step, {name}": best,
            f"self-distilled RMS error, {name}": final,
            f"self-distilled / best stopped, {name}": final / best,
        }
    return plan.config(), predicted

"""What `lazy` trains: one problem, its nets of growing width."""

from __future__ import annotations

__all__ = ["INITIAL_NETS", "Plan", "make_plan", "planned_premises", "predict"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ntk_theory.claims.lazy.theory import BATCHES, PLAIN_TRAINING, Theory, lazy_width, theories
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.problems import NoisyClusters, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

INITIAL_NETS = 4
"""Nets at their start, for each trained one: they cost little, and their kernels scatter."""

_LEAST_WIDTHS, _LEAST_NETS = 4, 2

_STEP = 0.5
"""ηλ_+ of the default learning rate."""

_NOISE_TIMES = 2
"""Length of a run in units of 1/(ηλ_−): 86 % of the noise is memorised by plain training."""


class _Preset(NamedTuple):
    first: int
    last: int
    rungs: int
    nets: int
    draws: int


_PRESETS = {
    "quick": _Preset(512, 2**13, 5, 6, 60),
    "standard": _Preset(512, 2**17, 5, 12, 200),
    "wide": _Preset(1024, 2**20, 6, 6, 200),
    "paper": _Preset(512, 2**18, 10, 16, 400),
}


@dataclass(frozen=True)
class Plan:
    """A problem with the nets to train on it in two ways.

    Attributes:
        problem: self-distillation on noisy clusters.
        nets: widths, how many nets, and their seeds.
        draws: neurons for each point and batch of theory's draws.
    """

    problem: NoisyClusters
    nets: NetPlan
    draws: int

    @property
    def control_widths(self) -> tuple[int, ...]:
        """The narrowest widths, as few as a fit needs."""
        return self.nets.widths[:_LEAST_WIDTHS]

    @cached_property
    def theories(self) -> dict[str, Theory]:
        """What is predicted of each way of training."""
        return theories(self.problem, self.draws, self.nets.seed)

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        widths = 2 * sum(self.nets.widths) + 2 * sum(self.control_widths)
        return widths * self.nets.count * self.problem.steps

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        problem = self.problem
        return {
            **self.nets.config(),
            **problem.config(),
            "control_widths": list(self.control_widths),
            "initial_nets": INITIAL_NETS * self.nets.count,
            "draws": BATCHES * self.draws,
            "lazy_width": lazy_width(problem) if problem.predictable else None,
        }


def _problem(options: Options) -> NoisyClusters:
    def made(learning_rate: float | None) -> NoisyClusters:
        return noisy_clusters(
            clusters=chosen(options.clusters, 4),
            points=chosen(options.points, 5),
            ratio=chosen(options.ratio, 8.0),
            noise_rate=chosen(options.noise_rate, 0.2),
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=chosen(options.cross_cosine, 0.0),
            learning_rate=learning_rate,
            steps=options.steps,
        )

    problem = made(options.learning_rate)
    if options.learning_rate is None:
        levels = problem.spectrum
        problem = made(min(_STEP / levels.information, 1 / levels.mean))
    if options.steps is not None:
        return problem
    steps = math.ceil(_NOISE_TIMES / min(problem.learning_rate * problem.spectrum.noise, 1.0))
    return replace(problem, steps=max(steps, 4 * (problem.burn_in + 1)))


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    problem, preset = _problem(options), _PRESETS[options.preset]
    lazy = lazy_width(problem) if problem.predictable else 0.0
    nets = plan_nets(
        replace(options, dtype=None),  # the kernels at the start are those of float64 nets
        dyadic_widths(preset.first, preset.last, preset.rungs, lazy_width=lazy),
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=problem.dataset.inputs.shape,
    )
    return Plan(problem, nets, preset.draws)


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses that can be evaluated before any training."""
    problem = plan.problem
    wanted = {"kernel positive definite", "stable learning rate", "signs right at every step"}
    premises = [premise for premise in problem.premises() if premise.name in wanted]
    if problem.predictable:
        premises.append(lazy_premise(lazy_width(problem), plan.nets.widths[0]))
    return premises


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and those constants that take no draws."""
    plan = make_plan(options)
    if not plan.problem.predictable:
        return plan.config(), {}
    predicted = {"mean of m ‖H_m(0) − H‖_F²": plan.theories[PLAIN_TRAINING].fluctuation()}
    for name, theory in plan.theories.items():
        predicted[f"‖W_T − W_0‖_F, {name}"] = theory.distance
    return plan.config(), predicted

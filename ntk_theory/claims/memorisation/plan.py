"""What `memorisation` trains: a grid of noise rates and ratios, the nets."""

from __future__ import annotations

__all__ = ["Cell", "Plan", "make_plan", "planned_premises", "predict"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ntk_theory import predictions
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.noise_grid import (
    CONTROL_NETS,
    RISK,
    Way,
    control_width,
    grid_config,
    plain_premises,
    plain_way,
)
from ntk_theory.problems import NoisyClusters, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

_LEAST_WIDTHS, _LEAST_NETS = 4, 6
_SHARE = 0.5
"""ηλ_+ of every run: fine enough steps to see the margin fall, and no overshoot."""

_NOISE_TIMES = 5
"""Length of the reference run in units of 1/(ηλ_−): memorised to e^{-5}."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    rates: tuple[float, ...]
    ratios: tuple[float, ...]


_PRESETS = {
    "quick": _Preset((1024, 2048, 4096, 8192), 8, (0.1, 0.2, 0.3), (10.0, 20.0, 40.0)),
    "standard": _Preset(dyadic_widths(2048, 2**17, 4), 12, (0.1, 0.2, 0.3), (10.0, 20.0, 40.0)),
    "wide": _Preset(dyadic_widths(4096, 2**20, 5), 8, (0.1, 0.2, 0.3), (10.0, 20.0, 40.0)),
    "paper": _Preset(dyadic_widths(2048, 2**18, 8), 12, (0.1, 0.2, 0.3, 0.4), (10.0, 20.0, 40.0)),
}
_REFERENCE_RATE, _REFERENCE_RATIO = 0.3, 20.0


@dataclass(frozen=True)
class Cell:
    """One noise rate and ratio of the grid.

    Attributes:
        problem: data and learning rate; its steps are those of the run.
        first_wrong: predicted first step with a wrong sign.
    """

    problem: NoisyClusters
    first_wrong: int

    @property
    def name(self) -> str:
        """Noise rate and ratio."""
        return f"ρ = {self.problem.noise_rate:g}, r = {self.problem.ratio:g}"

    @cached_property
    def way(self) -> Way:
        """Plain training."""
        return plain_way(self.name, self.problem)


@dataclass(frozen=True)
class Plan:
    """A grid of noise rates and ratios, and the nets to train in each cell.

    Attributes:
        cells: of the grid.
        reference: place of the one whose whole curve is looked at.
        nets: widths, how many nets, and their seeds.
    """

    cells: tuple[Cell, ...]
    reference: int
    nets: NetPlan

    @property
    def problems(self) -> list[NoisyClusters]:
        """Of all cells."""
        return [cell.problem for cell in self.cells]

    @property
    def reference_cell(self) -> Cell:
        """The cell whose whole curve is looked at."""
        return self.cells[self.reference]

    @property
    def confidence(self) -> float:
        """Of each bound: every net is held against one in every cell, four in the reference."""
        return 1 - RISK / (self.nets.count * (len(self.cells) + 4))

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        ladders = sum(self.nets.widths) * self.nets.count * sum(p.steps for p in self.problems)
        reference = self.reference_cell
        controls = 2 * reference.problem.steps + reference.first_wrong
        return ladders + control_width(self.nets) * CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **grid_config(self.nets, self.problems),
            "reference": self.reference,
            "confidence": self.confidence,
        }


def _cell(options: Options, rate: float, ratio: float) -> Cell:
    """A cell that runs to twice its predicted first wrong step."""
    points, clusters = chosen(options.points, 20), chosen(options.clusters, 2)
    angle = predictions.cluster_angle(points, ratio) if ratio > 1 and points > 1 else 1.0
    learning_rate = options.learning_rate
    if learning_rate is None:
        learning_rate = _SHARE / predictions.cluster_spectrum(clusters, points, angle).information
    problem = noisy_clusters(
        clusters=clusters,
        points=points,
        ratio=ratio,
        noise_rate=rate,
        seed=np.random.SeedSequence(options.seed),
        learning_rate=learning_rate,
    )
    rho = problem.noise_rate
    first = 1
    if rho < 0.5 and learning_rate * problem.spectrum.information < 2:
        first = predictions.first_wrong_step(problem.spectrum, rho, learning_rate)
    return Cell(replace(problem, steps=2 * first + 2), first)


def _reference_steps(options: Options, problem: NoisyClusters) -> int:
    """Steps in which the reference case memorises its noise."""
    least = problem.steps
    memorised = math.ceil(_NOISE_TIMES / (problem.learning_rate * problem.spectrum.noise))
    steps = chosen(options.steps, max(least, memorised))
    if steps < least:
        raise ValueError(
            f"steps must be at least {least}, twice the first wrong step of the reference run; "
            f"got {steps}"
        )
    return steps


def make_plan(options: Options) -> Plan:
    """Grid and nets for the options.

    Raises:
        ValueError: for options that make no sense.
    """
    preset = _PRESETS[options.preset]
    rates = preset.rates if options.noise_rate is None else (options.noise_rate,)
    ratios = preset.ratios if options.ratio is None else (options.ratio,)
    grid = [(rate, ratio) for ratio in ratios for rate in rates]
    cells = [_cell(options, rate, ratio) for rate, ratio in grid]
    nearest = min(grid, key=lambda g: (abs(g[0] - _REFERENCE_RATE), abs(g[1] - _REFERENCE_RATIO)))
    reference = grid.index(nearest)
    problem = cells[reference].problem
    longer = replace(problem, steps=_reference_steps(options, problem))
    cells[reference] = replace(cells[reference], problem=longer)
    nets = plan_nets(
        options,
        preset.widths,
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=problem.dataset.inputs.shape,
    )
    return Plan(tuple(cells), reference, nets)


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses of every cell, each named by the cell that is nearest to breaking it."""
    spare = min(
        predictions.recoverability_threshold(problem.spectrum.ratio) - problem.noise_rate
        for problem in plan.problems
    )
    return [
        *plain_premises(plan.problems, plan.nets.widths[0]),
        Premise("recoverable noise rates", spare, spare > 0, "ρ* − ρ > 0 in every cell"),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted steps and errors, without training."""
    plan = make_plan(options)
    cell = plan.reference_cell
    if cell.problem.learning_rate * cell.problem.spectrum.mean >= 2:
        return plan.config(), {}
    error = cell.way.error
    predicted = {
        f"first wrong step, {c.name} (net farthest off)": float(c.first_wrong) for c in plan.cells
    }
    return plan.config(), predicted | {
        f"best RMS error, {cell.name} (bound 2ρ)": float(error.min()),
        f"step of the best RMS error, {cell.name}": float(error.argmin()),
        f"RMS error after {cell.problem.steps} steps, {cell.name} (limit 2√ρ)": float(error[-1]),
    }

"""What `threshold` trains: a grid of noise rates and ratios that straddles ρ*, the nets."""

from __future__ import annotations

__all__ = [
    "DISTILLED_NETS",
    "Cell",
    "Plan",
    "clustered_problem",
    "make_plan",
    "planned_premises",
    "predict",
    "trained_premises",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ntk_theory import predictions
from ntk_theory.ladder import Ladder, NetPlan, dyadic_widths, plan_nets
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

DISTILLED_NETS = 3
"""Of the widest ones in each cell, trained by self-distillation too."""

_LEAST_WIDTHS, _LEAST_NETS = 4, 6
_SHARE = 0.5
"""ηλ_+ of every run; the first step has the same signs at every rate."""

_NOISE_TIMES = 2
"""Length of a run in units of 1/(ηλ_−): 86 % of the noise is memorised, no label comes back."""

_NEAREST = 3
"""Noise rates on either side of the threshold, at each ratio."""

_DECIDED = 2 / 3
"""Share of cells that the widest nets have to decide."""

_CELL_STREAM = 3
"""Gives every cell of the grid nets of its own."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    ratios: tuple[float, ...]


_PRESETS = {
    "quick": _Preset((1024, 2048, 4096, 8192), 6, (4.0, 5.0, 8.0)),
    "standard": _Preset(dyadic_widths(2048, 2**17, 4), 8, (4.0, 5.0, 6.5, 8.0)),
    "wide": _Preset(dyadic_widths(4096, 2**20, 5), 6, (4.0, 5.0, 8.0)),
    "paper": _Preset(dyadic_widths(4096, 2**18, 7), 12, (3.5, 4.0, 5.0, 6.5, 8.0)),
}


@dataclass(frozen=True)
class Cell:
    """One noise rate and ratio of the grid; `problem.steps` are those of the run."""

    problem: NoisyClusters

    @cached_property
    def way(self) -> Way:
        """Plain training."""
        return plain_way("plain training", self.problem)

    @property
    def threshold(self) -> float:
        """ρ* of the ratio that the spectrum has."""
        return predictions.recoverability_threshold(self.problem.spectrum.ratio)

    @property
    def below(self) -> bool:
        """Whether the noise rate is below the threshold."""
        return self.problem.noise_rate < self.threshold

    @property
    def first_margin(self) -> float:
        """Predicted relative margin of the first step, the best of all (section 6.4)."""
        problem = self.problem
        margin = predictions.relative_margin(
            problem.spectrum, problem.noise_rate, problem.learning_rate, 1
        )
        return float(margin)

    def decided(self, deviation: float) -> bool:
        """Whether outputs that deviate by this share of their size have the predicted signs."""
        return abs(self.first_margin) > deviation


@dataclass(frozen=True)
class Plan:
    """A grid that straddles the threshold, and the nets to train in each cell.

    Attributes:
        cells: of the grid.
        ratios: of its rows.
        nets: widths, how many nets, and their seeds.
        options: that the problems of the controls follow, too.
    """

    cells: tuple[Cell, ...]
    ratios: tuple[float, ...]
    nets: NetPlan
    options: Options

    @property
    def problems(self) -> list[NoisyClusters]:
        """Of all cells."""
        return [cell.problem for cell in self.cells]

    @property
    def confidence(self) -> float:
        """Of the bound on the relative deviation: every net of every cell is held against it."""
        return 1 - RISK / (self.nets.count * len(self.cells))

    def of_ratio(self, ratio: float) -> list[int]:
        """Cells of one ratio, by ascending noise rate."""
        return [i for i, cell in enumerate(self.cells) if cell.problem.ratio == ratio]

    def nearest(self, ratio: float) -> tuple[int, int]:
        """The cells of one ratio next to its threshold, below and above it."""
        cells = self.of_ratio(ratio)
        return (
            max(i for i in cells if self.cells[i].below),
            min(i for i in cells if not self.cells[i].below),
        )

    def ladder(self, index: int) -> Ladder:
        """An empty ladder of a cell: its nets share nothing with those of another one."""
        key = np.random.SeedSequence(self.nets.seed, spawn_key=(_CELL_STREAM, index))
        seed = int(key.generate_state(1, np.uint32)[0])
        return self.nets.ladder(self.cells[index].problem.dataset.clean, seed)

    def work(self, control_steps: int) -> float:
        """Neuron-steps of the whole run, for the progress bar.

        Args:
            control_steps: steps of all controls together.
        """
        steps = sum(problem.steps for problem in self.problems)
        widths = sum(self.nets.widths) * self.nets.count + self.nets.widths[-1] * DISTILLED_NETS
        return widths * steps + control_width(self.nets) * CONTROL_NETS * control_steps

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **grid_config(self.nets, self.problems),
            "confidence": self.confidence,
            "distilled_seeds": DISTILLED_NETS,
        }


def _nearest_rates(points: int, threshold: float) -> list[float]:
    """Multiples of 1/s in (0, 1/2) next to the threshold, the same number on either side."""
    rates = [k / points for k in range(1, (points + 1) // 2)]
    below = [rate for rate in rates if rate < threshold - 1e-9]
    above = [rate for rate in rates if rate > threshold + 1e-9]
    return below[-_NEAREST:] + above[:_NEAREST]


def clustered_problem(
    options: Options, clusters: int, ratio: float, rate: float, cross_cosine: float = 0.0
) -> NoisyClusters:
    """Clusters at ηλ_0 = 1/2 (λ_0 = λ_+ where clusters are orthogonal)."""
    points = chosen(options.points, 20)
    learning_rate = options.learning_rate
    if learning_rate is None:
        angle = predictions.cluster_angle(points, ratio, cross_cosine)
        spectrum = predictions.cluster_spectrum(clusters, points, angle, cross_cosine)
        learning_rate = _SHARE / spectrum.mean
    problem = noisy_clusters(
        clusters=clusters,
        points=points,
        ratio=ratio,
        noise_rate=rate,
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=cross_cosine,
        learning_rate=learning_rate,
    )
    share = min(learning_rate * problem.spectrum.noise, 1.0)
    return replace(problem, steps=math.ceil(_NOISE_TIMES / share))


def make_plan(options: Options) -> Plan:
    """Grid and nets for the options.

    Raises:
        ValueError: for options that make no sense.
    """
    preset = _PRESETS[options.preset]
    ratios = preset.ratios if options.ratio is None else (options.ratio,)
    points = chosen(options.points, 20)
    if points < 4:
        raise ValueError(
            "points must be at least 4, so that some share of them lies on either side of a "
            f"threshold; got {points}"
        )
    if not all(math.isfinite(ratio) and ratio > 2 for ratio in ratios):
        raise ValueError(
            "ratio must be above 2 and finite: at a lower one no noise rate is recoverable; "
            f"got {ratios[0]}"
        )
    cells = tuple(
        Cell(clustered_problem(options, chosen(options.clusters, 2), ratio, rate))
        for ratio in ratios
        for rate in _nearest_rates(points, predictions.recoverability_threshold(ratio))
    )
    nets = plan_nets(
        options,
        preset.widths,
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=cells[0].problem.dataset.inputs.shape,
    )
    return Plan(cells, tuple(ratios), nets, options)


def _enough_points(thresholds: list[float]) -> int | None:
    """With s > 1/ρ* and s > 1/(1/2 − ρ*) points a multiple of 1/s lies on either side of ρ*."""
    room = min(min(threshold, 0.5 - threshold) for threshold in thresholds)
    # A threshold that is itself a multiple of 1/s must not round to either side.
    return math.floor((1 + 1e-9) / room) + 1 if room > 0 else None


def _straddling_premise(plan: Plan) -> Premise:
    """A noise rate on either side of ρ*, at every ratio."""
    sides = {}
    for ratio in plan.ratios:
        below = [plan.cells[i].below for i in plan.of_ratio(ratio)]
        sides[ratio] = min(sum(below), len(below) - sum(below))
    requirement = "points: a multiple of 1/points below 1/2 on either side of ρ*, at every ratio"
    missing = [ratio for ratio, cells in sides.items() if cells == 0]
    if missing:
        thresholds = [predictions.recoverability_threshold(ratio) for ratio in missing]
        listed = ", ".join(
            f"{threshold:.3g} at ratio {ratio:g}"
            for threshold, ratio in zip(thresholds, missing, strict=True)
        )
        points, enough = plan.cells[0].problem.spectrum.points, _enough_points(thresholds)
        advice = f"{enough} points are enough" if enough else "no number of points is enough"
        requirement += f"; got {points} points, with ρ* = {listed}; {advice}"
    return Premise(
        "the grid straddles the threshold", min(sides.values()), not missing, requirement
    )


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses of every cell, each named by the cell that is nearest to breaking it."""
    return [
        *plain_premises(plan.problems, plan.nets.widths[0]),
        _straddling_premise(plan),
    ]


def trained_premises(plan: Plan, deviation: float) -> list[Premise]:
    """The widest nets have to be wide enough for most of the grid, and for both sides of it."""
    decided = [cell.decided(deviation) for cell in plan.cells]
    share = sum(decided) / len(decided)
    sides = [
        min(
            sum(decided[i] and plan.cells[i].below is side for i in plan.of_ratio(ratio))
            for side in (True, False)
        )
        for ratio in plan.ratios
    ]
    bound = f"|relative margin of the first step| > {deviation:.3g}, what narrower nets allow"
    return [
        Premise("most cells decided", share, share >= _DECIDED, f"in 2/3 of the cells: {bound}"),
        Premise("both sides decided", min(sides), min(sides) > 0, f"at every ratio: {bound}"),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted thresholds, without training."""
    plan = make_plan(options)
    predicted = {
        f"boundary from the {margin}, r = {ratio:g}": plan.cells[plan.of_ratio(ratio)[0]].threshold
        for ratio in plan.ratios
        for margin in ("best margin of any step", "margin of the first step")
    }
    return plan.config(), predicted

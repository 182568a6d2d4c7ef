"""Several noisy problems side by side, with nets of their own: what claims on a grid share.

A grid has a problem for each noise rate, or for each noise rate and ratio. Its premises are those
of the problem that is nearest to breaking them; its bounds share one risk.
"""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "RISK",
    "Broken",
    "ControlNets",
    "LimitRun",
    "Way",
    "balanced_premise",
    "climb",
    "control_width",
    "grid_config",
    "grid_ladders",
    "limit_run",
    "plain_premises",
    "plain_way",
    "predicted_way",
    "small_movement_premise",
    "whole_clusters",
    "worst_limit_row",
]

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, jobs, kernels, predictions, spectrum, training
from ntk_theory.experiments import Rung
from ntk_theory.ladder import Ladder, NetPlan, control_width
from ntk_theory.predictions import ClusterSpectrum, ErrorCurve
from ntk_theory.problems import NoisyClusters, Recipe
from ntk_theory.runs import Evidence
from ntk_theory.targets import PLAIN
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Measurement, Premise, Progress

Array = NDArray[np.float64]

RISK = 1e-3
"""Probability that some bound of a run is exceeded by chance, if deviations are log-normal."""

_PROBLEM_STREAM = 3
"""Gives every problem of a grid nets of its own."""

CONTROL_NETS = 3


# ---------------------------------------------------------------- ways of training


@dataclass(frozen=True)
class Way:
    """One way to train the nets of a problem, and what it is predicted to lead to.

    Attributes:
        name: of this way.
        recipe: what the nets are trained on.
        outputs: predicted, shape (T + 1, n).
        error: predicted RMS error, shape (T + 1,).
    """

    name: str
    recipe: Recipe
    outputs: Array
    error: Array

    @property
    def size(self) -> Array:
        """Predicted root mean square of the outputs from step 1 on, shape (T,)."""
        return np.asarray(np.sqrt(np.square(self.outputs[1:]).mean(axis=1)))

    def relative_deviation(self, rung: Rung) -> Array:
        """ν: largest deviation of an output over the size of the outputs, shape (S,)."""
        return np.asarray((rung.worst_deviation[:, 1:] / self.size).max(axis=1))


def predicted_way(name: str, problem: NoisyClusters, recipe: Recipe, curve: ErrorCurve) -> Way:
    """A way whose outputs follow from a curve of the problem."""
    points = problem.dataset
    return Way(name, recipe, curve.outputs(points.clean, points.flipped), curve.rms_error())


def plain_way(name: str, problem: NoisyClusters) -> Way:
    """Plain training on the problem's observed labels, at its learning rate, for its steps."""
    return predicted_way(name, problem, replace(problem.recipe, distillation=PLAIN), problem.plain)


def grid_ladders(nets: NetPlan, problems: Sequence[NoisyClusters]) -> list[Ladder]:
    """An empty ladder for each problem: its nets share nothing with those of another one."""
    key = np.random.SeedSequence(nets.seed, spawn_key=(_PROBLEM_STREAM,))
    seeds = key.generate_state(len(problems), np.uint32)
    return [
        nets.ladder(problem.dataset.clean, int(seed))
        for problem, seed in zip(problems, seeds, strict=True)
    ]


def climb(
    ladder: Ladder,
    ways: Sequence[Way],
    evidence: Evidence,
    progress: Progress,
    look: Callable[[Trajectory], None] | None = None,
) -> bool:
    """Train a ladder in all ways; says whether its nets stayed finite.

    Args:
        ladder: empty.
        ways: of training; all start from the same nets.
        evidence: a divergence is recorded there, and ends the climb.
        progress: advanced as the nets train.
        look: is shown each trajectory.
    """
    for way in ways:
        ladder.rungs.setdefault(way.name, [])  # in this order, whichever is trained first
    for width in ladder.widths:
        trainings = (
            partial(ladder.train, way.name, way.recipe, width, way.outputs, progress=progress)
            for way in ways
        )
        for trajectory in jobs.side_by_side(trainings):
            if evidence.diverged(trajectory.stopped):
                return False
            if look is not None:
                look(trajectory)
    return True


# ---------------------------------------------------------------- configuration and premises


def grid_config(nets: NetPlan, problems: Sequence[NoisyClusters]) -> dict[str, Any]:
    """Every number of nets and problems; what differs between problems as a list."""
    return {
        **nets.config(),
        "clusters": problems[0].spectrum.clusters,
        "points": problems[0].spectrum.points,
        "noise_rate": [problem.noise_rate for problem in problems],
        "ratio": [problem.ratio for problem in problems],
        "learning_rate": [problem.learning_rate for problem in problems],
        "steps": [problem.steps for problem in problems],
        "control_width": control_width(nets),
        "control_seeds": CONTROL_NETS,
    }


def balanced_premise(problems: Sequence[NoisyClusters]) -> Premise:
    """As many clusters of either label; all problems of a grid have the same clusters."""
    mean = abs(problems[0].label_mean)
    return Premise("balanced labels", mean, mean == 0, "ȳ = 0: as many clusters of either label")


def small_movement_premise(problems: Sequence[NoisyClusters], width: int) -> Premise:
    """Plain training moves the narrowest nets little: it memorises more than self-distillation.

    Args:
        problems: of the grid; no width is enough where one has an unstable learning rate.
        width: m of the narrowest nets.
    """
    if any(problem.learning_rate * problem.spectrum.mean >= 2 for problem in problems):
        lazy, enough = math.inf, ""
    else:
        lazy = max(
            predictions.lazy_width(
                problem.spectrum,
                problem.angle,
                problem.noise_rate,
                float(problem.plain.memorised_noise.max()),
            )
            for problem in problems
        )
        enough = f": widths from {math.ceil(4 * lazy)} on"
    moved = math.sqrt(lazy / width)
    return Premise(
        "narrowest nets move little",
        moved,
        moved <= 0.5,
        f"sqrt(m_lazy/m) <= 1/2 for every problem{enough}",
    )


def plain_premises(problems: Sequence[NoisyClusters], width: int) -> list[Premise]:
    """Hypotheses of section 6 about plain training of nets of this width and wider ones."""
    n, eps = len(problems[0].gram), float(np.finfo(float).eps)
    extremes = [spectrum.eigendecomposition(p.gram).eigenvalues[[0, -1]] for p in problems]
    condition = min(float(bottom / top) for bottom, top in extremes)
    overshoot = max(
        problem.learning_rate * float(top)
        for problem, (_, top) in zip(problems, extremes, strict=True)
    )
    return [
        Premise("kernel positive definite", condition, condition > n * eps, "λ_min > n eps λ_max"),
        balanced_premise(problems),
        Premise("no overshoot", overshoot, overshoot <= 1 + n * eps, "ηλ_max <= 1 everywhere"),
        small_movement_premise(problems, width),
    ]


# ---------------------------------------------------------------- the infinitely wide net


class LimitRun(NamedTuple):
    """The infinitely wide net, run on the measured kernel.

    Attributes:
        outputs: shape (T + 1, n).
        gap: its largest distance from the closed form.
        rounding: how large rounding may make that.
    """

    outputs: Array
    gap: float
    rounding: float


def limit_run(levels: ClusterSpectrum, way: Way) -> LimitRun:
    """Kernel limit of one way of training.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.

    Args:
        levels: eigenvalues of the clusters that are trained on.
        way: of training.
    """
    recipe = way.recipe
    gram = kernels.ntk_limit(recipe.inputs)
    outputs = training.train_kernel_limit(
        gram,
        recipe.observed,
        recipe.distillation,
        learning_rate=recipe.learning_rate,
        steps=recipe.steps,
    )
    rounding = len(gram) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return LimitRun(outputs, float(np.abs(outputs - way.outputs).max()), rounding)


def worst_limit_row(runs: Sequence[LimitRun], of: str = "") -> Measurement:
    """The run that is farthest from its closed form, in units of its rounding.

    Args:
        runs: kernel limits.
        of: what they are limits of, if not of the claim's own nets.
    """
    # NaN is the worst of all.
    worst = max(runs, key=lambda run: math.inf if math.isnan(run.gap) else run.gap / run.rounding)
    return Measurement(
        f"kernel limit{of}: outputs − closed form, largest", 0.0, worst.gap, worst.rounding
    )


# ---------------------------------------------------------------- controls


@dataclass(frozen=True)
class Broken:
    """A run with one premise broken.

    Attributes:
        levels: eigenvalues of its clusters.
        clean: their clean labels.
        way: what its nets are trained on, and what that leads to.
    """

    levels: ClusterSpectrum
    clean: Array
    way: Way

    def limit(self) -> LimitRun:
        """Its kernel limit."""
        return limit_run(self.levels, self.way)


def whole_clusters(points: int, ratio: float, learning_rate: float, steps: int) -> Broken:
    """Plain training on six clusters, of which one of either label is flipped whole (section 6.7).

    Args:
        points: s per cluster.
        ratio: λ_+/λ_−.
        learning_rate: η.
        steps: T.
    """
    clusters = 6
    design = data.equicorrelated_clusters(clusters, points, ratio=ratio)
    levels = predictions.cluster_spectrum(
        clusters, points, predictions.cluster_angle(points, ratio)
    )
    clean = data.encode(design.groups % 2, 2)
    observed = np.where(design.groups < 2, -clean, clean)
    retrieved = -predictions.whole_cluster_margin(levels, learning_rate, np.arange(steps + 1))
    outputs = np.outer(retrieved, observed)
    error = np.sqrt(np.square(outputs - clean).mean(axis=1))
    recipe = Recipe(design.inputs, observed, PLAIN, learning_rate, steps)
    return Broken(levels, clean, Way("whole clusters", recipe, outputs, error))


@dataclass(frozen=True)
class ControlNets:
    """Nets that controls are run on.

    Attributes:
        nets: of the claim.
        tolerance: how far nets of that width may lie from theory.
        progress: advanced as they train.
    """

    nets: NetPlan
    tolerance: float
    progress: Progress

    def train(self, recipe: Recipe) -> Trajectory:
        """Train them, with seeds of their own, on a recipe with a premise broken."""
        return self.nets.train_controls(
            recipe, control_width(self.nets), CONTROL_NETS, progress=self.progress
        )

    def least_margins(self, broken: Broken) -> Array:
        """Least y_i u_i(t) of each of them, shape (S, T + 1)."""
        trajectory = self.train(broken.way.recipe)
        return np.asarray(trajectory.margins(broken.clean).min(axis=2))

"""Tight and wide clusters at several noise rates, and what a theorem promises on them."""

from __future__ import annotations

__all__ = ["RATES", "SEPARATION", "WIDE_RATES", "Recovery", "clusterable", "clusters", "mixed"]

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.rows import Array

if TYPE_CHECKING:
    from ntk_theory.predictions import Centres

RATES, WIDE_RATES = (0.1, 0.2, 0.3, 0.4), (0.3, 0.4)
"""Noise rates of tight clusters, and of wide ones."""

SEPARATION = 2.0
"""δ: the labels are ±1."""

_SHARE = 0.25
"""ηλ_+: few enough steps, and several of them before the net is stopped."""


@dataclass(frozen=True)
class Recovery(nt.ClusterGrid):
    """Tight clusters at all noise rates, then wide ones at theirs."""

    @property
    def tight(self) -> tuple[nt.NoisyClusters, ...]:
        """Those that the theorem is about."""
        return self.problems[: len(RATES)]

    @property
    def wide(self) -> nt.NoisyClusters:
        """Wide clusters with the most wrong labels."""
        return self.problems[-1]

    @property
    def centres(self) -> Centres:
        """Of the tight clusters."""
        levels, angle = self.chosen.spectrum, self.chosen.angle
        return nt.predictions.cluster_centres(levels.clusters, levels.points, angle)

    @property
    def tolerated(self) -> float:
        """Noise rate that the theorem tolerates, δ/8."""
        return nt.predictions.tolerated_noise(SEPARATION)

    def time(self, problem: nt.NoisyClusters) -> int:
        """T, the step at which its nets are stopped."""
        rate, levels = problem.learning_rate, problem.spectrum
        return nt.predictions.recovery_time(problem.noise_rate, rate, levels.information)

    def bound(self, problem: nt.NoisyClusters) -> float:
        """What is promised of |u − y| at that step."""
        noise = problem.plain.memorised_noise[self.time(problem)]
        return float(nt.predictions.recovery_error(problem.noise_rate, noise))

    def premises(self) -> Iterator[nt.Premise]:
        """Tight clusters are those of the theorem, and noise rates lie on all sides of its limits.

        That a bound is below half the separation is a matter of how tight the clusters are.
        """
        yield from super().premises()
        tight, wide, most = self.chosen, self.wide, max(RATES)
        yield clusterable(tight.dataset.inputs, tight.dataset.clean, self.centres.radius)
        worst = max(self.bound(one) for one in self.tight if one.noise_rate <= self.tolerated)
        yield nt.Premise(
            "promised error", worst, worst < SEPARATION / 2, f"4ρ(1−ρ) + 2(1−ρ)q < {SEPARATION / 2}"
        )
        again = nt.predictions.chain_threshold(wide.spectrum.ratio, 2)
        for name, limit, (low, high) in (
            ("ρ* of tight clusters", tight.threshold, (most, 0.5)),
            ("ρ* of wide clusters", wide.threshold, WIDE_RATES),
            ("ρ* of two nets on wide clusters", again, (most, 0.5)),
        ):
            yield nt.Premise(name, limit, low < limit < high, f"{low} < ρ* < {high}")

    def config(self) -> dict[str, Any]:
        """Every number, and who promises what."""
        problem, centres = self.chosen, self.centres
        return super().config() | {
            "radius": centres.radius,
            "tolerated_noise": self.tolerated,
            "threshold": [problem.threshold, self.wide.threshold],
            "stopping_time": [self.time(one) for one in self.problems],
            "stopping_time_of_form": centres.steps_at(problem.learning_rate, len(problem.gram)
                                                      // centres.count),
            "first_wrong_step": problem.first_wrong_step(),
            "distance_of_form": centres.distance,
        }  # fmt: skip


def clusters(
    *, seed: int, clusters: int = 4, points: int = 10, ratio: float = 15.0, wide_ratio: float = 4.5
) -> Recovery:
    """Tight and wide clusters, stopped in time; a reference is trained on until it memorises.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        clusters: K.
        points: s per cluster, at least 10.
        ratio: r = λ_+/λ_− of the tight clusters.
        wide_ratio: r of the wide ones.
    """
    if points < 10:
        raise ValueError(f"points must be at least 10, of which one is wrong; got {points}")
    reference = RATES.index(0.2)
    problems = [
        nt.noisy_clusters(clusters=clusters, points=points, ratio=one, noise_rate=rate, seed=seed,
                          share=_SHARE)
        for one, rates in ((ratio, RATES), (wide_ratio, WIDE_RATES)) for rate in rates
    ]  # fmt: skip
    grid = Recovery(tuple(problems), seed, reference, taught=False, recoverable=False)
    steps = [grid.time(problem) for problem in problems]
    steps[reference] = max(steps[reference], math.ceil(2 * grid.chosen.memorisation_time))
    return replace(
        grid,
        problems=tuple(replace(one, steps=t) for one, t in zip(problems, steps, strict=True)),
    )


def clusterable(inputs: Array, labels: Array, radius: float) -> nt.Premise:
    """No two points of different labels fit in a ball around a centre.

    Args:
        inputs: unit rows, shape (n, d).
        labels: right ones, shape (n,).
        radius: ε_0.
    """
    apart = np.linalg.norm(inputs[:, None] - inputs[None], axis=-1)
    nearest = float(apart[labels[:, None] != labels].min())
    needed = f"2ε_0 < {nearest:.4g}, the nearest points of different labels"
    return nt.Premise("clusterable", 2 * radius, 2 * radius < nearest, needed)


def mixed(problem: nt.NoisyClusters, steps: int) -> tuple[nt.Training, nt.Premise]:
    """Half as many clusters of twice the size, in each of which one half has each label.

    Labels with the mean 0 in every cluster lie in the eigenspace of λ_− alone.

    Args:
        problem: gives labels, angle and rate.
        steps: T.

    Returns:
        Plain training, and the premise that such clusters break.
    """
    levels, data = problem.spectrum, problem.dataset
    count, points = levels.clusters // 2, 2 * levels.points
    design = nt.data.equicorrelated_clusters(count, points, angle=problem.angle)
    merged = nt.predictions.cluster_spectrum(count, points, problem.angle)
    retrieved = 1 - (1 - problem.learning_rate * merged.noise) ** np.arange(steps + 1)
    recipe = replace(problem.plain_recipe(steps), inputs=design.inputs)
    outputs = np.outer(retrieved, data.observed)
    radius = nt.predictions.cluster_centres(count, points, problem.angle).radius
    return (
        nt.Training("two labels a cluster", recipe, outputs, labels=data.clean),
        clusterable(design.inputs, data.clean, radius),
    )

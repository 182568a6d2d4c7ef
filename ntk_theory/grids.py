"""Several noisy problems side by side, each with nets of its own.

A grid has a problem for each noise rate, or for each noise rate and ratio. Its premises are those
of the problem that is nearest to breaking them.
"""

from __future__ import annotations

__all__ = ["ClusterGrid", "nearest", "whole_clusters"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.rows import Training
from ntk_theory.problems import NoisyClusters, Recipe
from ntk_theory.verdicts import Premise

_PROBLEM_STREAM = 3
"""Gives every problem of a grid nets of its own."""


@dataclass(frozen=True)
class ClusterGrid:
    """Noisy clusters at several noise rates or ratios, and otherwise alike.

    Attributes:
        problems: of the grid.
        seed: of the run.
        reference: place of the one that is looked at more closely.
        taught: whether predictions teach in it; the premises of plain training are fewer.
        recoverable: whether every noise rate has to lie below its threshold ρ*.
    """

    problems: tuple[NoisyClusters, ...]
    seed: int
    reference: int = 0
    taught: bool = False
    recoverable: bool = True

    @property
    def chosen(self) -> NoisyClusters:
        """The problem that is looked at more closely."""
        return self.problems[self.reference]

    @property
    def predictable(self) -> bool:
        """Whether all problems have closed forms."""
        if self.taught:
            return all(problem.predictable for problem in self.problems)
        return all(problem.learning_rate * problem.spectrum.mean < 2 for problem in self.problems)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Of the nets of each problem."""
        key = np.random.SeedSequence(self.seed, spawn_key=(_PROBLEM_STREAM,))
        return tuple(int(word) for word in key.generate_state(len(self.problems), np.uint32))

    @property
    def lazy_width(self) -> float:
        """m_lazy of the problem that needs most; plain training memorises all there is."""
        return max(
            nt.predictions.lazy_width(
                problem.spectrum,
                problem.angle,
                problem.noise_rate,
                float(problem.plain.memorised_noise.max()),
            )
            for problem in self.problems
        )

    def premises(self) -> Iterator[Premise]:
        """Each as it stands where it fails, or else where it is nearest to that."""
        mean = abs(self.problems[0].label_mean)
        if self.taught:
            for same in zip(*(problem.premises() for problem in self.problems), strict=True):
                yield next((premise for premise in same if not premise.holds), same[0])
        else:
            yield from self._plain_premises()
        yield Premise("balanced labels", mean, mean == 0, "ȳ = 0: as many clusters of either label")

    def _plain_premises(self) -> Iterator[Premise]:
        points, eps = len(self.problems[0].gram), float(np.finfo(float).eps)
        values = [nt.spectrum.eigendecomposition(p.gram).eigenvalues for p in self.problems]
        condition = min(float(one[0] / one[-1]) for one in values)
        overshoot = max(
            problem.learning_rate * float(one[-1])
            for problem, one in zip(self.problems, values, strict=True)
        )
        spare = min(
            nt.predictions.recoverability_threshold(p.spectrum.ratio) - p.noise_rate
            for p in self.problems
        )
        yield Premise(
            "kernel positive definite", condition, condition > points * eps, "λ_min > n eps λ_max"
        )
        yield Premise(
            "no overshoot", overshoot, overshoot <= 1 + points * eps, "ηλ_max <= 1 everywhere"
        )
        if self.recoverable:
            yield Premise(
                "recoverable noise rates", spare, spare > 0, "ρ* − ρ > 0 in every problem"
            )

    def config(self) -> dict[str, Any]:
        """What the problems share, and lists of what may differ between them."""
        listed = ("noise_rate", "ratio", "learning_rate", "steps")
        levels = self.problems[0].spectrum
        found: dict[str, Any] = {
            name: [problem.config()[name] for problem in self.problems] for name in listed
        }
        if self.taught:
            found["schedule"] = [problem.schedule_text for problem in self.problems]
            found["memorisation_time"] = [problem.memorisation_time for problem in self.problems]
        own = {"clusters": levels.clusters, "points": levels.points, "reference": self.reference}
        return own | found


def nearest(values: Sequence[tuple[float, ...]], to: tuple[float, ...]) -> int:
    """Place of the values that are nearest to some others, the first of them counting most."""
    return min(
        range(len(values)),
        key=lambda place: [abs(a - b) for a, b in zip(values[place], to, strict=True)],
    )


def whole_clusters(problem: NoisyClusters, steps: int, name: str = "whole clusters") -> Training:
    """Plain training on six clusters, of which one of either label is flipped whole (section 6.7).

    Args:
        problem: gives points, ratio and learning rate.
        steps: T.
        name: of the training.
    """
    clusters, points = 6, problem.spectrum.points
    design = nt.data.equicorrelated_clusters(clusters, points, ratio=problem.ratio)
    angle = nt.predictions.cluster_angle(points, problem.ratio)
    levels = nt.predictions.cluster_spectrum(clusters, points, angle)
    clean = nt.data.encode(design.groups % 2, 2)
    observed = np.where(design.groups < 2, -clean, clean)
    rate = problem.learning_rate
    retrieved = -nt.predictions.whole_cluster_margin(levels, rate, np.arange(steps + 1))
    recipe = Recipe(design.inputs, observed, nt.targets.PLAIN, rate, steps)
    return Training(name, recipe, np.outer(retrieved, observed), labels=clean)

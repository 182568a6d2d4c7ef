"""Several noisy problems side by side, each with nets of its own.

A grid has a problem for each noise rate, or for each noise rate and ratio. Its premises are those
of the problem that is nearest to breaking them.
"""

from __future__ import annotations

__all__ = ["ClusterGrid", "cluster_grid", "nearest", "whole_clusters"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.rows import Training
from ntk_theory.checking.verdicts import Premise
from ntk_theory.problems import NoisyClusters, Recipe, noisy_clusters

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

    @property
    def by_ratio(self) -> dict[float, list[int]]:
        """Places of the problems of each ratio, in their order."""
        places: dict[float, list[int]] = {}
        for place, problem in enumerate(self.problems):
            places.setdefault(problem.ratio, []).append(place)
        return places

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
        spare = min(problem.threshold - problem.noise_rate for problem in self.problems)
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


def cluster_grid(
    *,
    seed: int,
    clusters: int = 4,
    points: int = 10,
    ratio: float | None = None,
    noise_rate: float | None = None,
    learning_rate: float | None = None,
    schedule: str = "power",
    steps: int | None = None,
    ratios: Sequence[float] = (12.0,),
    rates: Sequence[float] = (0.1, 0.2, 0.3),
    reference: tuple[float, float] = (0.2, 12.0),
    taught: bool = True,
) -> ClusterGrid:
    """Clusters at several noise rates and ratios, at ηλ_+ = 1/2.

    Runs take until the noise is retrieved up to e^{-5}. Where nothing is taught, all of them but
    the one that is looked at more closely take twice the steps to their first wrong label and two.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−, the only one.
        noise_rate: ρ, the only one.
        learning_rate: η; 1/2 over λ_+ when left out.
        schedule: α_t, as NAME[:KEY=VALUE,...].
        steps: T of all that are taught, or of the one that is looked at more closely.
        ratios: r where none is given.
        rates: ρ where none is given.
        reference: noise rate and ratio that are looked at more closely.
        taught: whether predictions teach.

    >>> grid = cluster_grid(seed=0, ratios=(6.0, 12.0), rates=(0.2, 0.4))
    >>> [(problem.ratio, problem.noise_rate) for problem in grid.problems]
    [(6.0, 0.2), (6.0, 0.4), (12.0, 0.2), (12.0, 0.4)]
    """
    if points < 2 + 3 * taught:
        raise ValueError(
            f"points must be at least {2 + 3 * taught}, of which one wrong label in each cluster "
            f"is few enough; got {points}"
        )
    cells = [
        (rate, one)
        for one in (ratios if ratio is None else (ratio,))
        for rate in (rates if noise_rate is None else (noise_rate,))
    ]
    problems = [
        noisy_clusters(
            clusters=clusters, points=points, ratio=one, noise_rate=rate, seed=seed, share=0.5,
            learning_rate=learning_rate, schedule=schedule, steps=steps if taught else None,
            noise_times=5,
        )
        for rate, one in cells
    ]  # fmt: skip
    place = nearest(cells, reference)
    if not taught:
        short = [2 * problem.first_wrong_step() + 2 for problem in problems]
        asked = max(short[place], problems[place].steps) if steps is None else steps
        if asked < short[place]:
            raise ValueError(
                f"steps must be at least {short[place]}, twice the first wrong step of the "
                f"reference run; got {steps}"
            )
        short[place] = asked
        problems = [replace(one, steps=t) for one, t in zip(problems, short, strict=True)]
    return ClusterGrid(tuple(problems), seed, place, taught)


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

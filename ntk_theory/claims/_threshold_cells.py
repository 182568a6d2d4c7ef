"""Cells of `threshold`: their problems, what nets did in them, where their boundaries lie."""

from __future__ import annotations

__all__ = [
    "NARROW", "boundaries", "clustered", "first_margin", "independent_flips", "name_of",
    "narrow_problems", "nearest_rates", "pooled", "recovered", "room",
]  # fmt: skip

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import LabelledPoints, least_margin, mean_margin, size

if TYPE_CHECKING:
    from ntk_theory.checking.rows import Array

NARROW = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Widths of nets that show how the threshold emerges, at one ratio."""

_SURE = 1e-6
"""Probability that some net of a run is farther off than what decides cells."""

_DATA_SETS = 2000
"""Of each ratio, in the kernel limit."""

_STREAM, _DEVIATES = 5, 3.9
"""Keeps the draws apart from all nets; normal quantile of a probability of 1e-4, two-sided."""


def clustered(
    clusters: int, points: int, ratio: float, rate: float, seed: int,
    learning_rate: float | None = None, cross_cosine: float = 0.0,
) -> nt.NoisyClusters:  # fmt: skip
    """Clusters at ηλ_0 = 1/2; until 86 % of the noise is memorised, no label comes back.

    Self-distillation has its largest margin: its own labels alone teach it after one step.
    """
    angle = nt.predictions.cluster_angle(points, ratio, cross_cosine)
    levels = nt.predictions.cluster_spectrum(clusters, points, angle, cross_cosine)
    return nt.noisy_clusters(
        clusters=clusters, points=points, ratio=ratio, noise_rate=rate, seed=seed,
        cross_cosine=cross_cosine, noise_times=2, schedule="constant:burn_in=1,level=0",
        learning_rate=0.5 / levels.mean if learning_rate is None else learning_rate,
    )  # fmt: skip


def nearest_rates(points: int, threshold: float) -> list[float]:
    """Multiples of 1/s in (0, 1/2) next to the threshold, up to three on either side."""
    rates = [k / points for k in range(1, (points + 1) // 2)]
    below = [rate for rate in rates if rate < threshold - 1e-9]
    return below[-3:] + [rate for rate in rates if rate > threshold + 1e-9][:3]


def narrow_problems(grid: nt.ClusterGrid) -> list[nt.NoisyClusters]:
    """All noise rates below one half at the middle ratio."""
    ratios, like = list(grid.by_ratio), grid.problems[0].spectrum
    ratio, points = ratios[len(ratios) // 2], like.points
    return [clustered(like.clusters, points, ratio, k / points, grid.seed)
            for k in range(1, (points + 1) // 2)]  # fmt: skip


def name_of(problem: nt.NoisyClusters) -> str:
    """Noise rate and ratio."""
    return f"ρ = {problem.noise_rate:g}, r = {problem.ratio:g}"


def first_margin(problem: nt.NoisyClusters, rate: float) -> float:
    """Predicted relative margin of the first step, the best of all (section 6.4)."""
    eta = problem.learning_rate
    return float(nt.predictions.relative_margin(problem.spectrum, rate, eta, 1))


def recovered(outputs: Array, points: LabelledPoints) -> NDArray[np.bool_]:
    """Whether every label is right at some step, of each net."""
    return np.asarray(least_margin(outputs, points)[:, 1:].max(axis=1) > 0)


def pooled(run: nt.Run) -> list[Array]:
    """Relative deviations of nets for each width, shape (cells, S).

    Relative to the outputs, nets deviate by much the same in all cells; what differs adds to the
    scatter that a bound allows for.
    """
    return [np.stack(cells)
            for cells in zip(*map(run.deviations, run.declared.rows), strict=True)]  # fmt: skip


def room(run: nt.Run) -> Array:
    """What the best relative margin of any of the widest nets may be off by, for each cell."""
    each = [replace(row, nets="each") for row in run.declared.rows]
    return np.array([max(run.sides(row, run.nets.widths[-1], risk=_SURE)) for row in each])


def boundaries(
    run: nt.Run, rows: Sequence[nt.Row], problems: Sequence[nt.NoisyClusters]
) -> Iterator[nt.Measurement]:
    """The noise rate at which nets stop having every label right, interpolated in two ways.

    Both interpolate a quantity whose closed form is linear in ρ with root ρ*, between the two cells
    next to it, below and above: the root of the line through the closed forms is ρ* itself.

    The best relative margin of any step decides whether nets recover. Theory has its best at step
    1: times the size of that step, in units of ηλ_−, it is r − 2 − 2ρ(r − 1) (section 6.4). With
    best margins within ν_low and ν_high, the tolerances of their rows, a root with weight s of the
    upper rate is within [(1−s) ν_low a_low + s ν_high a_high] over the slope 2(r − 1) of ρ*, a
    being those sizes. The flipped points' mean margin after one step is without bias to leading
    order (section 6.7): its tolerance is that of the nets' scatter, by Student's law.

    A tolerance above half a step of the grid says no more than the signs of the cells do.
    """
    from scipy.special import stdtrit

    below, above = problems
    cells = [
        (row, row.training.points, problem) for row, problem in zip(rows, problems, strict=True)
    ]
    step, slope = above.noise_rate - below.noise_rate, 2 * (below.spectrum.ratio - 1)

    def found(how: str, values: Array, tolerance: Callable[[Array], float]) -> nt.Measurement:
        """Root of the line through two values; its tolerance follows from both rates' weights."""
        share = values[0] / (values[0] - values[1])
        return nt.Measurement(
            f"boundary from the {how}, r = {below.ratio:g}", below.threshold,
            float(below.noise_rate + share * step), float(tolerance(np.array([1 - share, share]))),
            resolution=step / 2,
        )  # fmt: skip

    sizes = np.array([size(points.predicted[1], points) / (one.learning_rate * one.spectrum.noise)
                      for _, points, one in cells])  # fmt: skip
    best = sizes * [run.measured(row).mean() for row in rows]
    off = sizes * [max(run.sides(row, run.nets.widths[-1])) for row in rows]
    yield found("best margin of any step", best, lambda weights: abs(weights) @ off / slope)
    first = np.array([
        mean_margin(one.dataset.flipped)(run.widest(row.training).outputs(), points)[:, 1]
        for row, points, one in cells
    ])  # fmt: skip
    mean, variance = first.mean(axis=1), first.var(axis=1, ddof=1) / run.nets.count
    quantile = stdtrit(run.nets.count - 1, run.confidence()) * step / abs(mean[1] - mean[0])
    yield found("margin of the first step", mean,
                lambda weights: quantile * math.sqrt(weights**2 @ variance))  # fmt: skip


def independent_flips(grid: nt.ClusterGrid) -> Iterator[nt.Measurement]:
    """Infinitely wide nets on labels of which each is wrong with the same probability.

    On orthogonal clusters each has its own threshold, so all labels are right at some step if and
    only if the noisiest cluster is below ρ*; how often that is, is a matter of binomials.
    """
    misplaced, total, shares = 0, 0, []
    flips = "kernel limit, independent flips"
    for index, (ratio, (place, *_)) in enumerate(grid.by_ratio.items()):
        problem = grid.problems[place]
        rng = np.random.default_rng(np.random.SeedSequence(grid.seed, spawn_key=(_STREAM, index)))
        threshold, levels, clean = problem.threshold, problem.spectrum, problem.dataset.clean
        probability = 0.75 * threshold  # many data sets are on either side
        draw = partial(
            nt.data.noisy_labels, problem.dataset.design, noise_rate=probability, rng=rng
        )
        observed = np.stack([draw(count="iid").observed for _ in range(_DATA_SETS)], axis=1)
        outputs = nt.training.train_kernel_limit(
            problem.gram, observed, nt.targets.PLAIN,
            learning_rate=problem.learning_rate, steps=problem.steps,
        )  # fmt: skip
        recovered = (outputs[1:] * clean[:, None] > 0).all(axis=1).any(axis=0)
        wrong = (observed != clean[:, None]).reshape(levels.clusters, levels.points, -1)
        highest = wrong.mean(axis=1).max(axis=0)
        clear = np.abs(highest - threshold) > 1e-9
        recovered &= clear  # at ρ* itself the margin is 0, of which rounding would make a sign
        misplaced += int((recovered != (highest < threshold))[clear].sum())
        total += int(clear.sum())
        expected = nt.predictions.recoverable_share(
            levels.clusters, levels.points, probability, threshold
        )
        error = math.sqrt(expected * (1 - expected) / _DATA_SETS)
        shares.append(nt.Measurement(
            f"{flips} with probability ¾ρ*, r = {ratio:g}: share of data sets recovered",
            expected, float(recovered.mean()), _DEVIATES * error + 1 / _DATA_SETS,
        ))  # fmt: skip
    yield nt.Measurement(
        f"{flips}: data sets of {total} that are not recovered exactly if every cluster is below "
        "ρ*", 0.0, misplaced, 0.0,
    )  # fmt: skip
    yield from shares

"""Claim C3: up to which noise rate wrong labels can be recognised (docs/theory.md, section 6.4).

Nets are trained on a grid of noise rates and eigenvalue ratios that straddles the recoverability
threshold ρ*(r): below it they have every label right at some step, above it at none.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import margins, relative_margin
from ntk_theory.claims._threshold_cells import (
    NARROW,
    boundaries,
    clustered,
    deviation,
    first_margin,
    independent_flips,
    name_of,
    narrow_problems,
    nearest_rates,
    recovered,
)
from ntk_theory.claims._threshold_pictures import (
    arrays,
    first_margins,
    recovery_over_ratio,
    recovery_over_width,
)  # fmt: skip

if TYPE_CHECKING:
    from ntk_theory.grids import ClusterGrid

CLAIM = nt.Claim(
    "threshold",
    statement=(
        "Wide nets have every label right at some step of training on labels of which the same "
        "share is wrong in every cluster exactly if this noise rate is below ρ* = "
        "(r − 2)/(2(r − 1)), r being the NTK's ratio of information to noise eigenvalue; "
        "self-distillation recovers the labels on the same side of ρ* only."
    ),
    formulas=(
        "ρ* = (r − 2) / (2(r − 1)),  r = λ_+/λ_−",
        "all right at step t iff g_+(t)/g_−(t) > 2(1−ρ)/(1−2ρ);  the ratio falls from r at t = 1",
        "independent flips: the noisiest cluster decides, P(all right) = P(Bin(s, p) < ρ* s)^K",
        "relative margin at t = 1: [(1−2ρ)r − 2(1−ρ)] / sqrt((1−2ρ)²r² + 4ρ(1−ρ))",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ of wrong labels in each",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
        "the relative margin exceeds the nets' relative deviation in most cells, and on both sides",
    ),
    derivation=(
        "A flipped point is right while the retrieved signal outweighs the retrieved noise, "
        "g_+/g_− > 2(1−ρ)/(1−2ρ). That ratio is r at the first step and falls strictly, so the "
        "first step decides, at any learning rate. Labels that are right there stay right when "
        "the net is taught its own; labels that are wrong there are taught for ever "
        "(docs/theory.md, sections 6.4, 6.7 and 7.4)."
    ),
    source="arXiv 1910.01255, abstract, claim C3; derivation: docs/theory.md, section 6.4",
    paper_claims={
        "C3": "when noisy labels can be refined at all; clusters with the same share of wrong "
        "labels, and with independent ones in the kernel limit",
    },
    presets={
        "quick": nt.Sweep(1024, 8192, 4, nets=6),
        "standard": nt.Sweep(2048, 2**17, 4, nets=8),
        "wide": nt.Sweep(4096, 2**20, 5, nets=6),
        "thorough": nt.Sweep(4096, 2**18, 7, nets=12),
    },
)
RATIOS = {
    "quick": (4.0, 5.0, 8.0),
    "standard": (4.0, 5.0, 6.5, 8.0),
    "wide": (4.0, 5.0, 8.0),
    "thorough": (3.5, 4.0, 5.0, 6.5, 8.0),
}
BEST = "best relative margin at any step"


@CLAIM.problem
def grid(
    *,
    seed: int,
    preset: str,
    clusters: int = 2,
    points: int = 20,
    ratio: float | None = None,
    learning_rate: float | None = None,
) -> ClusterGrid:
    """A problem for each ratio and each noise rate next to its threshold.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        preset: says which ratios.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−; several from 4 to 8 when left out.
        learning_rate: η; 1/2 over λ_+ when left out; the first step has the same signs at any.
    """
    from ntk_theory.grids import ClusterGrid

    if points < 4:
        raise ValueError(
            "points must be at least 4, so that some share of them lies on either side of a "
            f"threshold; got {points}"
        )
    ratios = RATIOS[preset] if ratio is None else (ratio,)
    if not all(math.isfinite(one) and one > 2 for one in ratios):
        raise ValueError(
            "ratio must be above 2 and finite: at a lower one no noise rate is recoverable; "
            f"got {ratios[0]}"
        )
    problems = tuple(
        clustered(clusters, points, one, rate, seed, learning_rate)
        for one in ratios
        for rate in nearest_rates(points, nt.predictions.recoverability_threshold(one))
    )
    return ClusterGrid(problems, seed, recoverable=False)


@CLAIM.trainings
def trainings(grid: ClusterGrid) -> Iterator[nt.Training]:
    """Plain training of every cell, self-distillation of its widest nets, and narrow nets."""
    for problem, seed in zip(grid.problems, grid.seeds, strict=True):
        yield problem.plain_training(name_of(problem), seed=seed)
    for problem, seed in zip(grid.problems, grid.seeds, strict=True):
        # Labels that are wrong after the first step are taught for ever: plain training.
        curve = problem.distilled if problem.noise_rate < problem.threshold else problem.plain
        name = f"self-distillation, {name_of(problem)}"
        yield problem.training(name, problem.recipe, curve, seed=seed, widths=(-1,))
    for place, problem in enumerate(narrow_problems(grid)):
        words = np.random.SeedSequence(grid.seed, spawn_key=(4, place)).generate_state(1)
        yield problem.plain_training(
            f"narrow, {name_of(problem)}", seed=int(words[0]), widths=NARROW
        )


@CLAIM.premises
def premises(grid: ClusterGrid) -> Iterator[nt.Premise]:
    """A noise rate on either side of ρ*, at every ratio."""
    sides = {}
    for ratio, places in grid.by_ratio.items():
        below = [grid.problems[i].noise_rate < grid.problems[i].threshold for i in places]
        sides[ratio] = min(sum(below), len(below) - sum(below))
    requirement = "points: a multiple of 1/points below 1/2 on either side of ρ*, at every ratio"
    threshold = nt.predictions.recoverability_threshold
    missing = {ratio: threshold(ratio) for ratio, few in sides.items() if few == 0}
    if missing:
        listed = ", ".join(f"{rho:.3g} at ratio {r:g}" for r, rho in missing.items())
        # With s > 1/ρ* and s > 1/(1/2 − ρ*) points there is one; ρ* must not round to either side.
        room = min(min(rho, 0.5 - rho) for rho in missing.values())
        enough = math.floor((1 + 1e-9) / room) + 1 if room > 0 else "no number of"
        requirement += (f"; got {grid.problems[0].spectrum.points} points, with ρ* = {listed}; "
                        f"{enough} points are enough")  # fmt: skip
    yield nt.Premise("the grid straddles the threshold", min(sides.values()), not missing,
                     requirement)  # fmt: skip


@CLAIM.rows
def rows(grid: ClusterGrid, *trainings: nt.Training) -> Iterator[nt.Row]:
    """The margin that decides whether nets recover, in every cell."""
    for problem, training in zip(grid.problems, trainings, strict=False):
        yield nt.Row(BEST, training, relative_margin, at=slice(1, None), reduce=np.max,
                     norm="relative", expect=first_margin(problem, problem.noise_rate))  # fmt: skip


@CLAIM.measure
def sides(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """On which side of ρ* nets have every label right, and where their own boundary lies."""
    grid, cells, nu = run.problem, run.declared.rows, deviation(run)
    below = np.array([problem.noise_rate < problem.threshold for problem in grid.problems])
    predicted = np.array([row.predicted for row in cells])
    decided, by_ratio = np.abs(predicted) > nu, grid.by_ratio
    least = min(np.sum(decided[of] & (below[of] == side))
                for of in by_ratio.values() for side in (True, False))  # fmt: skip
    bound = f"|relative margin of the first step| > {nu:.3g}, what narrower nets allow"
    most = nt.Premise("most cells decided", float(decided.mean()), bool(decided.mean() >= 2 / 3),
                      f"in 2/3 of the cells: {bound}")  # fmt: skip
    both = nt.Premise("both sides decided", int(least), bool(least > 0), f"at every ratio: {bound}")
    yield from (most, both)
    yield nt.Measurement("closed forms: cells on the wrong side of ρ*", 0.0,
                         int(sum((predicted > 0) != below)), 0.0)  # fmt: skip
    yield from independent_flips(grid)
    right, kept, off = [], [], []
    for row, problem in zip(cells, grid.problems, strict=True):
        outputs, points = run.widest(row.training).outputs(), row.training.points
        right.append(recovered(outputs, points).sum())
        own = run.widest(f"self-distillation, {row.training.name}").outputs()[:, -1]
        wrong = (margins(own, points) <= 0).mean(axis=1)
        kept.append(
            (
                np.abs(
                    wrong - (0 if problem.noise_rate < problem.threshold else problem.noise_rate)
                )
                > 1e-9
            ).sum()
        )
        off.append(np.abs(relative_margin(outputs, points)[:, 1] - row.predicted).max())
    for name, of, bad in (
        ("nets below ρ* with a wrong label at every step", below, run.nets.count - np.array(right)),
        ("nets above ρ* with every label right at some step", ~below, np.array(right)),
        ("self-distilled nets below ρ* that end with a wrong label", below, np.array(kept)),
        ("self-distilled nets above ρ* that end with another share of wrong labels than ρ",
         ~below, np.array(kept)),
    ):  # fmt: skip
        yield nt.Measurement(name, 0.0, int(bad[of & decided].sum()), 0.0)
    yield nt.Measurement("relative margin of the first step: distance of the net farthest off", 0.0,
                         float(max(off)), nu)  # fmt: skip
    for of in by_ratio.values() if most.holds and both.holds else ():
        next_ = (max(i for i in of if below[i]), min(i for i in of if not below[i]))
        yield from boundaries(run, [cells[i] for i in next_], [grid.problems[i] for i in next_])


@CLAIM.controls
def controls(grid: ClusterGrid) -> Iterator[nt.Control]:
    """Each breaks one premise, and its nets never have every label right."""
    from ntk_theory.grids import whole_clusters

    like = grid.problems[-1]
    ratio, points, seed = like.ratio, like.spectrum.points, grid.seed

    def row(training: nt.Training, rate: float) -> nt.Row:
        return nt.Row(BEST, training, relative_margin, at=slice(1, None), reduce=np.max,
                      norm="relative", claimed=first_margin(like, rate))  # fmt: skip

    # Three correlated clusters: the threshold moves down, and ρ lies between the two.
    probe = clustered(3, points, ratio, 0.499, seed, cross_cosine=0.5)
    moved = nt.predictions.retrieval_ratio(probe.spectrum, probe.learning_rate, probe.steps,
                                           probe.label_mean)  # fmt: skip
    middle = sum(nt.predictions.recoverability_threshold(r) for r in (moved, ratio)) / 2
    rate = min((k / points for k in range(1, points)), key=lambda rho: abs(rho - middle))
    odd = clustered(3, points, ratio, rate, seed, cross_cosine=0.5)
    yield nt.Control(
        "odd-clusters",
        "as many clusters of either label: here three, correlated, at a rate below ρ*",
        row(odd.plain_training(), rate),
    )
    yield nt.Control(
        "low-ratio",
        f"λ_+/λ_− > 2: here 1.5 in place of {ratio:g}, with the least noise there is",
        row(clustered(2, points, 1.5, 1 / points, seed).plain_training(), 1 / points),
    )
    yield nt.Control(
        "whole-clusters",
        "wrong labels are spread inside the clusters: here two of six clusters are flipped "
        f"whole, ρ = 1/3 at r = {ratio:g}",
        row(whole_clusters(like, like.steps), 1 / 3),
    )


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Boundaries, and cells that are too near the threshold."""
    start, nu = "boundary from the margin of the first step, ", deviation(run)
    listed = ", ".join(
        f"{m.measured:.3f} (ρ* = {m.predicted:.3f}) at {m.name.removeprefix(start)}"
        for m in run.evidence.measurements
        if m.name.startswith(start)
    )
    near = [row.training.name for row in run.declared.rows if abs(row.predicted) <= nu]
    return (
        f"{run.nets.count} nets of width {run.nets.widths[-1]} recover all labels in every decided "
        f"cell below ρ* and in none above; measured boundary {listed}. Too near the threshold for "
        f"this width: {'; '.join(near) or 'no cell'}"
    )


CLAIM.arrays(arrays)
CLAIM.panels = {
    "recovery-over-ratio": recovery_over_ratio,
    "recovery-over-width": recovery_over_width,
    "first-margins": first_margins,
}

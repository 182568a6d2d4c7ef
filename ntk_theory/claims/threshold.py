"""Claim C3: up to which noise rate wrong labels can be recognised (docs/theory.md, section 6.4).

Nets are trained on a grid of noise rates and eigenvalue ratios that straddles the recoverability
threshold ρ*(r): below it they have every label right at some step, above it at none.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import relative_margin, wrong_signs
from ntk_theory.claims import _threshold_cells as cells

if TYPE_CHECKING:
    from ntk_theory.checking.rows import Array

CLAIM = nt.Claim(
    "threshold",
    statement="""Wide nets have every label right at some step of training on labels of which the
    same share is wrong in every cluster exactly if this noise rate is below ρ* = (r − 2)/(2(r −
    1)), r being the NTK's ratio of information to noise eigenvalue; hard self-distillation from a
    net's own current outputs recovers the labels on the same side of ρ* only.""",
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
    derivation="""A flipped point is right while the retrieved signal outweighs the retrieved noise,
    g_+/g_− > 2(1−ρ)/(1−2ρ). That ratio is r at the first step and falls strictly, so the first step
    decides, at any learning rate. Labels that are right there stay right when the net is taught its
    own; labels that are wrong there are what its own hard targets teach from then on
    (docs/theory.md, sections 6.4, 6.7 and 7.4). The outputs of a chain of stopped nets have a
    larger threshold (section 6.8).""",
    source="arXiv 1910.01255, abstract, claim C3; derivation: docs/theory.md, section 6.4",
    paper_claims={
        "C3": "when hard targets of one net can refine noisy labels; clusters with the same share "
        "of wrong labels, and with independent ones in the kernel limit",
    },
    presets={
        "quick": nt.Sweep(1024, 8192, 4, nets=8),
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
) -> nt.ClusterGrid:
    """A problem for each ratio and each noise rate next to its threshold.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        preset: says which ratios.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−; several from 4 to 8 when left out.
        learning_rate: η; 1/2 over λ_+ when left out; the first step has the same signs at any.
    """
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
        cells.clustered(clusters, points, one, rate, seed, learning_rate=learning_rate)
        for one in ratios
        for rate in cells.nearest_rates(points, nt.predictions.recoverability_threshold(one))
    )
    return nt.ClusterGrid(problems, seed, recoverable=False)


@CLAIM.trainings
def trainings(grid: nt.ClusterGrid) -> Iterator[nt.Training]:
    """Plain training of every cell, self-distillation of its widest nets, and narrow nets."""
    every = list(zip(grid.problems, map(cells.name_of, grid.problems), grid.seeds, strict=True))
    for problem, name, seed in every:
        yield problem.plain_training(name, seed=seed)
    for problem, name, seed in every:
        # Labels that are wrong after the first step are taught for ever: plain training.
        curve = problem.distilled if problem.noise_rate < problem.threshold else problem.plain
        name = f"self-distillation, {name}"
        yield problem.training(name, problem.recipe, curve, seed=seed, widths=(-1,))
    for place, problem in enumerate(cells.narrow_problems(grid)):
        words = np.random.SeedSequence(grid.seed, spawn_key=(4, place)).generate_state(1)
        name = f"narrow, {cells.name_of(problem)}"
        yield problem.plain_training(name, seed=int(words[0]), widths=cells.NARROW)


@CLAIM.premises
def premises(grid: nt.ClusterGrid) -> Iterator[nt.Premise]:
    """A noise rate on either side of ρ*, at every ratio."""
    threshold, points = nt.predictions.recoverability_threshold, grid.problems[0].spectrum.points
    sides = {}
    for ratio, places in grid.by_ratio.items():
        below = sum(grid.problems[i].noise_rate < grid.problems[i].threshold for i in places)
        sides[ratio] = min(below, len(places) - below)
    requirement = "points: a multiple of 1/points below 1/2 on either side of ρ*, at every ratio"
    missing = {ratio: threshold(ratio) for ratio, few in sides.items() if few == 0}
    if missing:
        listed = ", ".join(f"{rho:.3g} at ratio {r:g}" for r, rho in missing.items())
        # With s > 1/ρ* and s > 1/(1/2 − ρ*) points there is one; ρ* must not round to either side.
        room = min(min(rho, 0.5 - rho) for rho in missing.values())
        enough = math.floor((1 + 1e-9) / room) + 1 if room > 0 else "no number of"
        requirement += f"; got {points} points, with ρ* = {listed}; {enough} points are enough"
    yield nt.Premise("the grid straddles the threshold", min(sides.values()), not missing,
                     requirement)  # fmt: skip


_best = partial(nt.Row, "best relative margin at any step", functional=relative_margin,
                at=slice(1, None), reduce=np.max, norm="relative")  # fmt: skip
"""The margin that decides whether nets recover."""


@CLAIM.rows
def rows(grid: nt.ClusterGrid, *trainings: nt.Training) -> Iterator[nt.Row]:
    """That margin in every cell."""
    for problem, training in zip(grid.problems, trainings, strict=False):
        yield _best(training=training, expect=cells.first_margin(problem, problem.noise_rate))


@CLAIM.measure
def sides(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """On which side of ρ* nets have every label right, and where their own boundary lies."""
    grid, rows, nu = run.problem, run.declared.rows, cells.room(run)
    below = np.array([problem.noise_rate < problem.threshold for problem in grid.problems])
    predicted = np.array([row.predicted for row in rows])
    decided, by_ratio = np.abs(predicted) > nu, grid.by_ratio
    least = min(np.sum(decided[of] & (below[of] == side))
                for of in by_ratio.values() for side in (True, False))  # fmt: skip
    bound = f"|relative margin of the first step| > what nets may be off by, {nu.max():.3g} at most"
    most = nt.Premise("most cells decided", float(decided.mean()), bool(decided.mean() >= 2 / 3),
                      f"in 2/3 of the cells: {bound}")  # fmt: skip
    both = nt.Premise("both sides decided", int(least), bool(least > 0), f"at every ratio: {bound}")
    yield from (most, both)
    yield nt.Measurement("closed forms: cells on the wrong side of ρ*", 0.0,
                         int(sum((predicted > 0) != below)), 0.0)  # fmt: skip
    yield from cells.independent_flips(grid)
    right, kept = np.zeros((2, len(rows)))
    for cell, (row, problem) in enumerate(zip(rows, grid.problems, strict=True)):
        outputs, points = run.widest(row.training).outputs(), row.training.points
        own = run.widest(f"self-distillation, {row.training.name}").outputs()[:, -1]
        left = 0 if below[cell] else problem.noise_rate
        right[cell] = cells.recovered(outputs, points).sum()
        kept[cell] = (np.abs(wrong_signs(own, points) - left) > 1e-9).sum()
    kind = "self-distilled nets"
    for name, of, bad in (
        ("nets below ρ* with a wrong label at every step", below, run.nets.count - right),
        ("nets above ρ* with every label right at some step", ~below, right),
        (f"{kind} below ρ* that end with a wrong label", below, kept),
        (f"{kind} above ρ* that end with another share of wrong labels than ρ", ~below, kept),
    ):
        yield nt.Measurement(name, 0.0, int(bad[of & decided].sum()), 0.0)
    first = [run.measure(replace(row, at=1, reduce=None, nets="each")) for row in rows]
    farthest = min(first, key=lambda one: one.slack)
    yield replace(farthest, name="relative margin of the first step, of the net farthest off")
    for of in by_ratio.values() if most.holds and both.holds else ():
        next_ = (max(i for i in of if below[i]), min(i for i in of if not below[i]))
        two = [rows[i] for i in next_], [grid.problems[i] for i in next_]
        yield from cells.boundaries(run, *two)


@CLAIM.controls
def controls(grid: nt.ClusterGrid) -> Iterator[nt.Control]:
    """Each breaks one premise, and its nets never have every label right."""
    like = grid.problems[-1]
    ratio, points, seed = like.ratio, like.spectrum.points, grid.seed

    # Three correlated clusters: the threshold moves down, and ρ lies between the two.
    probe = cells.clustered(3, points, ratio, 0.499, seed, cross_cosine=0.5)
    moved = nt.predictions.retrieval_ratio(probe.spectrum, probe.learning_rate, probe.steps,
                                           probe.label_mean)  # fmt: skip
    middle = sum(nt.predictions.recoverability_threshold(r) for r in (moved, ratio)) / 2
    rate = min((k / points for k in range(1, points)), key=lambda rho: abs(rho - middle))
    odd = cells.clustered(3, points, ratio, rate, seed, cross_cosine=0.5)
    flipped = "two of six clusters are flipped whole"
    for id_, broken, training, rho in (
        ("odd-clusters",
         "as many clusters of either label: here three, correlated, at a rate below ρ*",
         odd.plain_training(), rate),
        ("low-ratio",
         f"λ_+/λ_− > 2: here 1.5 in place of {ratio:g}, with the least noise there is",
         cells.clustered(2, points, 1.5, 1 / points, seed).plain_training(), 1 / points),
        ("whole-clusters",
         f"wrong labels are spread inside the clusters: here {flipped}, ρ = 1/3 at r = {ratio:g}",
         nt.whole_clusters(like, like.steps), 1 / 3),
    ):  # fmt: skip
        row = _best(training=training, claimed=cells.first_margin(like, rho))
        yield nt.Control(id_, broken, row)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Boundaries, and cells that are too near the threshold."""
    start, nu = "boundary from the margin of the first step, ", cells.room(run)
    listed = ", ".join(
        f"{m.measured:.3f} (ρ* = {m.predicted:.3f}) at {m.name.removeprefix(start)}"
        for m in run.evidence.measurements
        if m.name.startswith(start)
    )
    near = [row.training.name for row, off in zip(run.declared.rows, nu, strict=True)
            if abs(row.predicted) <= off]  # fmt: skip
    return (
        f"{run.nets.count} nets of width {run.nets.widths[-1]} recover all labels in every decided "
        f"cell below ρ* and in none above; measured boundary {listed}. Too near the threshold for "
        f"this width: {'; '.join(near) or 'no cell'}"
    )


def _edge(problem: nt.NoisyClusters, level: float) -> float:
    """Noise rate at which the predicted relative margin of step 1 has fallen to a level."""
    from scipy.optimize import brentq

    if cells.first_margin(problem, 1e-9) <= level:
        return 0.0
    if cells.first_margin(problem, 0.5) >= level:
        return 0.5
    return float(brentq(lambda rate: cells.first_margin(problem, rate) - level, 1e-9, 0.5))


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """Cells, and what the narrow nets do against what their deviation leads one to expect."""
    rows, narrow = run.declared.rows, cells.narrow_problems(run.problem)
    ratios = [problem.ratio for problem in run.problem.problems]
    curve = np.geomspace(min(ratios) / 1.3, max(ratios) * 1.3, 60)
    every = [(run.widest(row.training).outputs(), row.training.points) for row in rows]
    predicted, nu = np.array([row.predicted for row in rows]), cells.room(run)
    # That the power law of the claim's nets goes on down to these widths is a heuristic.
    law = run.fit([values.ravel() for values in cells.pooled(run)])
    levels = [law.at(width) for width in cells.NARROW]
    return {
        "ratio": np.array(ratios),
        "noise_rate": np.array([problem.noise_rate for problem in run.problem.problems]),
        "recovered": np.array([cells.recovered(*one).mean() for one in every]),
        "decided": np.abs(predicted) > nu,
        "relative_margin": np.array([relative_margin(*one)[:, 1] for one in every]),
        "predicted_margin": predicted,
        "narrow_ratio": np.array(narrow[0].ratio),
        "narrow_rate": np.array([problem.noise_rate for problem in narrow]),
        "narrow_width": np.array(cells.NARROW, dtype=float),
        "narrow_share": np.array([
            [cells.recovered(one.outputs(), run.trainings[name].points).mean() for one in nets]
            for name, nets in run.results.items() if name.startswith("narrow, ")
        ]),
        "narrow_surely": np.array([_edge(narrow[0], level) for level in levels]),
        "narrow_never": np.array([_edge(narrow[0], -level) for level in levels]),
        "curve_ratio": curve,
        "curve_threshold": np.array([nt.predictions.recoverability_threshold(r) for r in curve]),
    }  # fmt: skip


def _over_ratio(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """At which noise rates and ratios do nets have every label right at some step?"""
    arrays, drawing = result.arrays, nt.drawing
    if "recovered" not in arrays:
        return
    x, y, share = (arrays[name] for name in ("ratio", "noise_rate", "recovered"))
    decided = np.asarray(arrays["decided"], dtype=bool)
    for shown, colour, marker, label in (
        (share == 1, drawing.BLUE, "o", "all nets recover"),
        ((share > 0) & (share < 1), drawing.GREEN, "^", "some do"),
        (share == 0, drawing.ORANGE, "X", "none does"),
    ):
        if shown.any():
            sure, near, name = shown & decided, shown & ~decided, f"{label}, undecided"
            drawing.dots(axes, x[sure], y[sure], colour, label, marker, size=6)
            drawing.dots(axes, x[near], y[near], colour, name, marker, size=6, hollow=True,
                         show=False)  # fmt: skip
    if not decided.all():
        name = "hollow: undecided at this width"
        drawing.dots(axes, [], [], drawing.GREY, name, size=6, hollow=True)
    drawing.prediction(axes, arrays["curve_ratio"], arrays["curve_threshold"], r"$\rho^*$")
    axes.set(xscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    axes.set_xticks(np.unique(x), [f"{ratio:g}" for ratio in np.unique(x)])
    axes.minorticks_off()
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)


def _first_margins(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How does the margin that decides it cross zero at the threshold?"""
    arrays, drawing = result.arrays, nt.drawing
    if "relative_margin" not in arrays:
        return
    for index, ratio in enumerate(np.unique(arrays["ratio"])):
        own = arrays["ratio"] == ratio
        x, nets = arrays["noise_rate"][own], arrays["relative_margin"][own]
        drawing.dots(axes, x, nets, drawing.BLUE, "trained nets", show=index == 0)
        predicted = arrays["predicted_margin"][own]
        dashed = None if index else "closed form"
        drawing.prediction(axes, x, predicted, dashed, of=f"trained nets, r = {ratio:g}")
        axes.annotate(f"r = {ratio:g}", (x[0], predicted[0]), xytext=(-4, 0), ha="right",
                      va="center", textcoords="offset points", fontsize=7)  # fmt: skip
    drawing.bound(axes, 0.0, "0: a wrong label", show=False)
    rates = arrays["noise_rate"]
    axes.set(xlim=(rates.min() - 0.3 * np.ptp(rates), rates.max() + 0.02), xlabel="noise rate ρ")
    axes.set(ylabel="relative margin of the first step")
    axes.legend(loc="lower left")


def _over_width(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """From which width on do nets recover the noise rates below the threshold?"""
    arrays, drawing = result.arrays, nt.drawing
    if "narrow_share" not in arrays:
        return
    widths, rates = arrays["narrow_width"], arrays["narrow_rate"]
    places = np.log2(widths)
    drawing.heatmap(axes, places, rates, arrays["narrow_share"], "share of nets that recover")
    ends, ratio = axes.get_ylim(), float(arrays["narrow_ratio"])
    for key, label, name in (
        ("surely", "all below, none above", "the rate up to which all nets recover"),
        ("never", None, "the rate from which on none does"),
    ):
        drawing.prediction(axes, places, arrays[f"narrow_{key}"], label, of=name, over_map=True)
    threshold = nt.predictions.recoverability_threshold(ratio)
    drawing.bound(axes, threshold, rf"$\rho^*$ ($r$ = {ratio:g})")
    axes.set(xlabel="width $m$", ylabel="noise rate ρ", ylim=ends)
    axes.set_xticks(places[::2], [f"{width:g}" for width in widths[::2]])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


CLAIM.panels = {
    "recovery-over-ratio": _over_ratio,
    "recovery-over-width": _over_width,
    "first-margins": _first_margins,
}

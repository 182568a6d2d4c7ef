"""Claim C3: the noise rate up to which wrong labels can be told (docs/theory.md, section 6.4).

Nets are trained on a grid of noise rates and eigenvalue ratios that straddles the recoverability
threshold ρ*(r): below it they have every label right at some step, above it at none.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory.runs import Evidence, chosen, conduct, over_nets
from ntk_theory.verdicts import (
    Claim,
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.predictions import ErrorCurve
    from ntk_theory.problems import NoisyClusters, Recipe
    from ntk_theory.targets import Distillation
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_LEAST_WIDTHS = 4
_LEAST_NETS = 3
_CONTROL_NETS = 3
_DISTILLED_NETS = 3
_SHARE = 0.5
"""ηλ_+ of every run; the first step has the same signs at every rate."""

_NOISE_TIMES = 2
"""Length of a run in units of 1/(ηλ_−): 86 % of the noise is memorised, no label comes back."""

_NEAREST = 3
"""Noise rates on either side of the threshold, at each ratio."""

_DECIDED = 2 / 3
"""Share of cells that the widest nets have to decide."""

_RISK = 1e-3
"""Probability that some bound of the run is exceeded by chance, if deviations are log-normal."""

_CELL_STREAM = 3
"""Gives every cell of the grid nets of its own."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    ratios: tuple[float, ...]


_PRESETS = {
    "quick": _Preset((1024, 2048, 4096, 8192), 6, (4.0, 5.0, 8.0)),
    "standard": _Preset((2048, 4096, 8192, 16384), 8, (4.0, 5.0, 6.5, 8.0)),
    "paper": _Preset((4096, 8192, 16384, 32768), 12, (3.5, 4.0, 5.0, 6.5, 8.0)),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Cell:
    """One noise rate and ratio of the grid; `problem.steps` are those of the run."""

    problem: NoisyClusters

    @property
    def recipe(self) -> Recipe:
        from ntk_theory.targets import PLAIN

        return replace(self.problem.recipe, distillation=PLAIN)

    @property
    def threshold(self) -> float:
        """ρ* of the ratio that the spectrum has."""
        from ntk_theory import predictions

        return predictions.recoverability_threshold(self.problem.spectrum.ratio)

    @property
    def below(self) -> bool:
        return self.problem.noise_rate < self.threshold

    @property
    def first_margin(self) -> float:
        """Predicted relative margin of the first step, the best of all (section 6.4)."""
        from ntk_theory import predictions

        problem = self.problem
        margin = predictions.relative_margin(
            problem.spectrum, problem.noise_rate, problem.learning_rate, 1
        )
        return float(margin)

    @property
    def lazy_width(self) -> float:
        from ntk_theory import predictions

        problem = self.problem
        most = float(problem.plain.memorised_noise.max())
        return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, most)

    def decided(self, deviation: float) -> bool:
        """Whether outputs that deviate by this share of their size have the predicted signs."""
        return abs(self.first_margin) > deviation


@dataclass(frozen=True)
class _Plan:
    cells: tuple[_Cell, ...]
    ratios: tuple[float, ...]
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def control_width(self) -> int:
        return self.widths[-2]

    @property
    def confidence(self) -> float:
        """Of the bound on the relative deviation: every net of every cell is held against it."""
        return 1 - _RISK / (self.nets * len(self.cells))

    def of_ratio(self, ratio: float) -> list[int]:
        """Cells of one ratio, by ascending noise rate."""
        return [i for i, cell in enumerate(self.cells) if cell.problem.ratio == ratio]

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = sum(cell.problem.steps for cell in self.cells)
        controls = sum(
            broken.steps for broken in (_odd_clusters(self), _low_ratio(self), _whole(self))
        )
        return (
            sum(self.widths) + self.widths[-1]
        ) * self.nets * steps + self.control_width * _CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        problems = [cell.problem for cell in self.cells]
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": problems[0].spectrum.clusters,
            "points": problems[0].spectrum.points,
            "noise_rate": [p.noise_rate for p in problems],
            "ratio": [p.ratio for p in problems],
            "learning_rate": [p.learning_rate for p in problems],
            "steps": [p.steps for p in problems],
            "confidence": self.confidence,
            "distilled_seeds": _DISTILLED_NETS,
            "device": self.options.device,
            "dtype": self.dtype,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
        }


def _nearest_rates(points: int, threshold: float) -> list[float]:
    """Multiples of 1/s in (0, 1/2) next to the threshold, the same number on either side."""
    rates = [k / points for k in range(1, (points + 1) // 2)]
    below = [rate for rate in rates if rate < threshold - 1e-9]
    above = [rate for rate in rates if rate > threshold + 1e-9]
    return below[-_NEAREST:] + above[:_NEAREST]


def _problem(
    options: Options, clusters: int, ratio: float, rate: float, cross_cosine: float = 0.0
) -> NoisyClusters:
    """Clusters at ηλ_0 = 1/2 (λ_0 = λ_+ where clusters are orthogonal)."""
    from ntk_theory import predictions
    from ntk_theory.problems import noisy_clusters

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


def _plan(options: Options) -> _Plan:
    from ntk_theory import predictions
    from ntk_theory.experiments import check_memory, check_nets, check_widths

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
    cells = [
        _Cell(_problem(options, chosen(options.clusters, 2), ratio, rate))
        for ratio in ratios
        for rate in _nearest_rates(points, predictions.recoverability_threshold(ratio))
    ]
    widths = preset.widths
    if options.widths is not None:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), _LEAST_NETS)
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], cells[0].problem.dataset.inputs.shape, dtype)
    return _Plan(tuple(cells), tuple(ratios), widths, nets, dtype, options)


# ---------------------------------------------------------------- premises


def _planned_premises(plan: _Plan) -> list[Premise]:
    from ntk_theory import spectrum

    problems = [cell.problem for cell in plan.cells]
    eps, n = float(np.finfo(float).eps), len(problems[0].gram)
    extremes = [spectrum.eigendecomposition(p.gram).eigenvalues[[0, -1]] for p in problems]
    condition = min(float(bottom / top) for bottom, top in extremes)
    overshoot = max(p.learning_rate * float(e[1]) for p, e in zip(problems, extremes, strict=True))
    mean = abs(problems[0].label_mean)
    sides = [
        min(sum(cells), len(cells) - sum(cells))
        for cells in ([plan.cells[i].below for i in plan.of_ratio(r)] for r in plan.ratios)
    ]
    lazy = max(cell.lazy_width for cell in plan.cells) if overshoot < 2 else math.inf
    moved = math.sqrt(lazy / plan.widths[0])
    return [
        Premise("kernel positive definite", condition, condition > n * eps, "λ_min > n eps λ_max"),
        Premise("balanced labels", mean, mean == 0, "ȳ = 0: as many clusters of either label"),
        Premise("no overshoot", overshoot, overshoot <= 1 + n * eps, "ηλ_max <= 1 in every cell"),
        Premise(
            "the grid straddles the threshold",
            min(sides),
            min(sides) > 0,
            "a multiple of 1/s on either side of ρ*, at every ratio",
        ),
        Premise(
            "narrowest nets move little",
            moved,
            moved <= 0.5,
            "sqrt(m_lazy/m) <= 1/2 in every cell"
            + (f": widths from {math.ceil(4 * lazy)} on" if lazy < math.inf else ""),
        ),
    ]


def _trained_premises(plan: _Plan, deviation: float) -> list[Premise]:
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


# ---------------------------------------------------------------- measurements


@dataclass
class _Nets:
    """What the nets of every cell did; axes: cell, width, net.

    Attributes:
        relative_deviation: largest deviation of an output over the predicted RMS output.
        recovered: whether every label was right at some step.
        first: mean y_i u_i(1) over the flipped points.
        relative_margin: least y_i u_i(1) over the predicted RMS output.
        wrong: share of wrong labels at the end of self-distillation, widest nets: cell, net.
    """

    relative_deviation: list[Array] = field(default_factory=list)
    recovered: list[NDArray[np.bool_]] = field(default_factory=list)
    first: list[Array] = field(default_factory=list)
    relative_margin: list[Array] = field(default_factory=list)
    wrong: list[Array] = field(default_factory=list)

    def bound(self, plan: _Plan, rungs: int | None, width: int) -> float:
        """Relative deviation that nets of these widths let expect of a net of this width.

        Cells are pooled: relative to the outputs, nets deviate by much the same in all of them, and
        what differs adds to the scatter that the bound allows for.
        """
        from ntk_theory.fitting import fit_power_law

        values = np.stack(self.relative_deviation)[:, :rungs]
        fitted = fit_power_law(
            plan.widths[:rungs],
            [values[:, k].ravel() for k in range(values.shape[1])],
            rng=np.random.default_rng(plan.options.seed),
        )
        rounding = float(np.finfo(plan.dtype).eps) * math.sqrt(width)
        return fitted.upper(width, plan.confidence) + rounding


def _kernel_rows(plan: _Plan) -> list[Measurement]:
    """The infinitely wide net on the measured kernel: every cell on its side, and exact outputs.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.
    """
    from ntk_theory.training import train_kernel_limit

    misplaced, excess, difference, tolerance, margin = 0, 0.0, 0.0, math.inf, 0.0
    for cell in plan.cells:
        problem, recipe = cell.problem, cell.recipe
        data, levels = problem.dataset, problem.spectrum
        limit = train_kernel_limit(
            problem.gram,
            recipe.observed,
            recipe.distillation,
            learning_rate=problem.learning_rate,
            steps=problem.steps,
        )
        recovered = bool((limit[1:] * data.clean > 0).all(axis=1).any())
        misplaced += recovered is not cell.below
        size = math.sqrt(np.square(limit[1]).mean())
        margin = max(margin, abs((limit[1] * data.clean).min() / size - cell.first_margin))
        bound = data.clean.size * float(np.finfo(float).eps) * levels.mean / levels.noise
        apart = float(np.abs(limit - problem.plain.outputs(data.clean, data.flipped)).max())
        if not apart / bound < excess:
            excess, difference, tolerance = apart / bound, apart, bound
    return [
        Measurement("kernel limit: cells on the wrong side of ρ*", 0.0, misplaced, 0.0),
        Measurement("kernel limit: outputs − closed form, largest", 0.0, difference, tolerance),
        # Of one step: the rounding of one product, against outputs that are ηλ_− at least.
        Measurement(
            "kernel limit: relative margin of the first step − closed form, largest",
            0.0,
            margin,
            max(
                8 * len(p.gram) * float(np.finfo(float).eps) / (p.learning_rate * p.spectrum.noise)
                for p in (cell.problem for cell in plan.cells)
            ),
        ),
    ]


def _margin_row(plan: _Plan, nets: _Nets, deviation: float) -> Measurement:
    """Relative margin of the first step, in the cell whose nets are farthest from it."""
    off = [
        np.abs(margin[-1] - cell.first_margin).max()
        for cell, margin in zip(plan.cells, nets.relative_margin, strict=True)
    ]
    return Measurement(
        "relative margin of the first step: distance of the net farthest off",
        0.0,
        float(max(off)),
        deviation,
    )


def _side_rows(plan: _Plan, nets: _Nets, decided: list[bool]) -> list[Measurement]:
    """In every cell that the width decides, all nets recover all labels or none does, ever."""

    def count(below: bool, of: list[NDArray[np.bool_]]) -> int:
        sides = zip(plan.cells, of, decided, strict=True)
        return sum(int(bad.sum()) for cell, bad, ok in sides if ok and cell.below is below)

    recovered = [cell[-1] for cell in nets.recovered]
    kept = [
        np.abs(wrong - (0.0 if cell.below else cell.problem.noise_rate)) > 1e-9
        for cell, wrong in zip(plan.cells, nets.wrong, strict=True)
    ]
    return [
        Measurement(
            "nets below ρ* with a wrong label at every step",
            0.0,
            count(True, [~r for r in recovered]),
            0.0,
        ),
        Measurement(
            "nets above ρ* with every label right at some step", 0.0, count(False, recovered), 0.0
        ),
        Measurement(
            "self-distilled nets below ρ* that end with a wrong label", 0.0, count(True, kept), 0.0
        ),
        Measurement(
            "self-distilled nets above ρ* that end with another share of wrong labels than ρ",
            0.0,
            count(False, kept),
            0.0,
        ),
    ]


def _grid_boundary(plan: _Plan, nets: _Nets, decided: list[bool], ratio: float) -> Measurement:
    """Midway between the cells where all nets recover and those where none does, nearest to each.

    The true boundary is within half their distance; more than two steps of the grid are too many.
    """
    cells = [i for i in plan.of_ratio(ratio) if decided[i]]
    rates = {i: plan.cells[i].problem.noise_rate for i in cells}
    all_do = [rates[i] for i in cells if nets.recovered[i][-1].all()]
    none_does = [rates[i] for i in cells if not nets.recovered[i][-1].any()]
    low, high = max(all_do, default=math.nan), min(none_does, default=math.nan)
    return Measurement(
        f"boundary on the grid, r = {ratio:g}",
        plan.cells[plan.of_ratio(ratio)[0]].threshold,
        (low + high) / 2,
        (high - low) / 2,
        (low, high),
        resolution=2.001 / plan.cells[0].problem.spectrum.points,
    )


def _margin_boundary(plan: _Plan, nets: _Nets, ratio: float) -> Measurement:
    """Where the flipped points' mean margin after one step is zero, between two rates.

    It is linear in ρ (section 6.7), and nets have it without bias to leading order: the tolerance
    is that of the nets' scatter, by Student's law.
    """
    from scipy.stats import t as student_t

    cells = plan.of_ratio(ratio)
    low = max(i for i in cells if plan.cells[i].below)
    high = min(i for i in cells if not plan.cells[i].below)
    rate = {i: plan.cells[i].problem.noise_rate for i in (low, high)}
    value = {i: float(nets.first[i][-1].mean()) for i in (low, high)}
    error = {i: float(nets.first[i][-1].var(ddof=1)) / plan.nets for i in (low, high)}
    slope = (value[high] - value[low]) / (rate[high] - rate[low])
    root = rate[low] - value[low] / slope
    share = (root - rate[low]) / (rate[high] - rate[low])
    spread = math.sqrt((1 - share) ** 2 * error[low] + share**2 * error[high]) / abs(slope)
    quantile = student_t.ppf(1 - _RISK / (2 * len(plan.ratios)), plan.nets - 1)
    return Measurement(
        f"boundary from the margin of the first step, r = {ratio:g}",
        plan.cells[cells[0]].threshold,
        root,
        float(quantile * spread),
        resolution=(rate[high] - rate[low]) / 2,
    )


# ---------------------------------------------------------------- controls


@dataclass(frozen=True)
class _Broken:
    """A run with one premise broken.

    Attributes:
        recipe: what its nets are trained on.
        clean: their clean labels.
        predicted: predicted outputs, shape (T + 1, n).
        claimed: relative margin of the first step if the claim held all the same.
    """

    recipe: Recipe
    clean: Array
    predicted: Array
    claimed: float

    @property
    def steps(self) -> int:
        return self.recipe.steps

    def best_margin(self, outputs: Array) -> Array:
        """Largest relative margin at any step t >= 1, of outputs (..., T + 1, n)."""
        size = np.sqrt(np.square(self.predicted[1:]).mean(axis=1))
        margins = (outputs * self.clean).min(axis=-1)[..., 1:]
        return np.asarray((margins / size).max(axis=-1))


def _plain(problem: NoisyClusters, curve: ErrorCurve, claimed: float) -> _Broken:
    from ntk_theory.targets import PLAIN

    data = problem.dataset
    recipe = replace(problem.recipe, distillation=PLAIN)
    return _Broken(recipe, data.clean, curve.outputs(data.clean, data.flipped), claimed)


def _claimed(plan: _Plan, ratio: float, rate: float) -> float:
    """Relative margin that the claim gives to the first step at this ratio and rate."""
    return _Cell(_problem(replace(plan.options, clusters=None), 2, ratio, rate)).first_margin


def _odd_clusters(plan: _Plan) -> _Broken:
    """Three clusters, correlated: the threshold moves down, and ρ lies between the two."""
    from ntk_theory import predictions

    ratio = max(plan.ratios)
    probe = _problem(plan.options, 3, ratio, 0.499, _CROSS_COSINE)
    moved = predictions.retrieval_ratio(
        probe.spectrum, probe.learning_rate, probe.steps, probe.label_mean
    )
    thresholds = [predictions.recoverability_threshold(r) for r in (moved, ratio)]
    points = probe.spectrum.points
    rate = min(
        (k / points for k in range(1, points)), key=lambda rho: abs(rho - sum(thresholds) / 2)
    )
    problem = _problem(plan.options, 3, ratio, rate, _CROSS_COSINE)
    return _plain(problem, problem.plain, _claimed(plan, ratio, rate))


_CROSS_COSINE = 0.5


def _low_ratio(plan: _Plan) -> _Broken:
    """At a ratio of 1.5 even the least noise is retrieved too fast."""
    points = plan.cells[0].problem.spectrum.points
    problem = _problem(plan.options, 2, 1.5, 1 / points)
    return _plain(problem, problem.plain, _claimed(plan, max(plan.ratios), 1 / points))


def _whole(plan: _Plan) -> _Broken:
    """Two of six clusters flipped whole: their noise is in the information's eigenspace."""
    from ntk_theory import data, predictions
    from ntk_theory.problems import Recipe
    from ntk_theory.targets import PLAIN

    ratio = max(plan.ratios)
    points = plan.cells[0].problem.spectrum.points
    problem = _problem(plan.options, 6, ratio, 1 / points)
    design = problem.dataset.design
    clean = data.encode(design.groups % 2, 2)
    observed = np.where(design.groups < 2, -clean, clean)
    retrieved = -predictions.whole_cluster_margin(
        problem.spectrum, problem.learning_rate, np.arange(problem.steps + 1)
    )
    recipe = Recipe(design.inputs, observed, PLAIN, problem.learning_rate, problem.steps)
    return _Broken(recipe, clean, np.outer(retrieved, observed), _claimed(plan, ratio, 1 / 3))


def _control(
    id_: str, broken_premise: str, broken: _Broken, plan: _Plan, bound: float, progress: Progress
) -> Control:
    """A run whose nets never have every label right, although the claim says they do."""
    from ntk_theory.experiments import net_seeds, train_nets

    trajectory = train_nets(
        broken.recipe,
        plan.control_width,
        net_seeds(plan.options.seed, plan.control_width, _CONTROL_NETS, 1),
        dtype=plan.dtype,
        device=plan.options.device,
        progress=progress,
    )
    failure = over_nets(
        "best relative margin at any step",
        float(broken.best_margin(broken.predicted)),
        broken.best_margin(trajectory.outputs),
        bound,
    )
    recovers = failure.measured > 0
    verdict = Verdict.SUPPORTED if recovers else Verdict.VIOLATED
    return Control(id_, broken_premise, Verdict.VIOLATED, verdict, failure, broken.claimed, bound)


def _controls(plan: _Plan, bound: float, progress: Progress) -> list[Control]:
    ratio = max(plan.ratios)
    return [
        _control(
            "odd-clusters",
            "as many clusters of either label: here three, correlated, at a rate below ρ*",
            _odd_clusters(plan),
            plan,
            bound,
            progress,
        ),
        _control(
            "low-ratio",
            f"λ_+/λ_− > 2: here 1.5 in place of {ratio:g}, with the least noise there is",
            _low_ratio(plan),
            plan,
            bound,
            progress,
        ),
        _control(
            "whole-clusters",
            "wrong labels are spread inside the clusters: here two of six clusters are flipped "
            f"whole, ρ = 1/3 at r = {ratio:g}",
            _whole(plan),
            plan,
            bound,
            progress,
        ),
    ]


# ---------------------------------------------------------------- run


def _relabelling() -> Distillation:
    """Self-distillation with its largest margin: one step of burn-in, then its own labels alone."""
    from ntk_theory.targets import BurnIn, Constant, Distillation

    return Distillation(BurnIn(1, Constant(0.0)))


def _train_cell(
    plan: _Plan, index: int, nets: _Nets, evidence: Evidence, progress: Progress
) -> bool:
    """Train the ladder of one cell, and its widest nets by self-distillation too."""
    from ntk_theory.experiments import compare, net_seeds, train_nets

    problem, recipe = plan.cells[index].problem, plan.cells[index].recipe
    data = problem.dataset
    predicted = problem.plain.outputs(data.clean, data.flipped)
    size = np.sqrt(np.square(predicted[1:]).mean(axis=1))
    key = np.random.SeedSequence(plan.options.seed, spawn_key=(_CELL_STREAM, index))
    seed = int(key.generate_state(1, np.uint32)[0])

    def train(way: Recipe, width: int, nets: int) -> Trajectory:
        return train_nets(
            way,
            width,
            net_seeds(seed, width, nets, 0),
            dtype=plan.dtype,
            device=plan.options.device,
            progress=progress,
        )

    deviation, recovered, first, margin = [], [], [], []
    for width in plan.widths:
        trajectory = train(recipe, width, plan.nets)
        if evidence.diverged(trajectory.stopped):
            return False
        margins = trajectory.margins(data.clean)
        rung = compare(trajectory, width, predicted, data.clean)
        deviation.append((rung.worst_deviation[:, 1:] / size).max(axis=1))
        recovered.append(np.any(np.all(margins[:, 1:] > 0, axis=2), axis=1))
        first.append(margins[:, 1, data.flipped].mean(axis=1))
        margin.append(margins[:, 1].min(axis=1) / size[0])
    relabelled = replace(recipe, distillation=_relabelling())
    widest = train(relabelled, plan.widths[-1], _DISTILLED_NETS)
    if evidence.diverged(widest.stopped):
        return False
    nets.relative_deviation.append(np.stack(deviation))
    nets.recovered.append(np.stack(recovered))
    nets.first.append(np.stack(first))
    nets.relative_margin.append(np.stack(margin))
    nets.wrong.append(widest.zero_one_error(data.clean)[:, -1])
    evidence.metrics += [
        {
            "ratio": problem.ratio,
            "noise_rate": problem.noise_rate,
            "width": width,
            "net": net,
            "recovered": bool(recovered[k][net]),
            "relative_margin": float(margin[k][net]),
            "relative_deviation": float(deviation[k][net]),
        }
        for k, width in enumerate(plan.widths)
        for net in range(plan.nets)
    ]
    return True


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += _planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    nets = _Nets()
    progress.start(CLAIM.id, plan.work())
    for index in range(len(plan.cells)):
        if not _train_cell(plan, index, nets, evidence, progress):
            return ""
        evidence.progress_note = f"cells trained: {index + 1} of {len(plan.cells)}"
    deviation = nets.bound(plan, -1, plan.widths[-1])
    evidence.premises += _trained_premises(plan, deviation)
    evidence.arrays |= _arrays(plan, nets, deviation)
    decided = [cell.decided(deviation) for cell in plan.cells]
    evidence.measurements += _kernel_rows(plan) + _side_rows(plan, nets, decided)
    evidence.measurements.append(_margin_row(plan, nets, deviation))
    for ratio in plan.ratios if evidence.premises_hold else ():
        evidence.measurements += [
            _grid_boundary(plan, nets, decided, ratio),
            _margin_boundary(plan, nets, ratio),
        ]
    if evidence.sound:
        evidence.controls += _controls(plan, nets.bound(plan, None, plan.control_width), progress)
    return _finding(plan, evidence, decided)


def _arrays(plan: _Plan, nets: _Nets, deviation: float) -> dict[str, Array]:
    ratios = np.geomspace(min(plan.ratios) / 1.3, max(plan.ratios) * 1.3, 60)
    from ntk_theory import predictions

    return {
        "ratio": np.array([cell.problem.ratio for cell in plan.cells]),
        "noise_rate": np.array([cell.problem.noise_rate for cell in plan.cells]),
        "recovered": np.stack([cell[-1].mean() for cell in nets.recovered]),
        "relative_margin": np.stack([cell[-1] for cell in nets.relative_margin]),
        "predicted_margin": np.array([cell.first_margin for cell in plan.cells]),
        "deviation": np.array(deviation),
        "curve_ratio": ratios,
        "curve_threshold": np.array([predictions.recoverability_threshold(r) for r in ratios]),
    }


def _finding(plan: _Plan, evidence: Evidence, decided: list[bool]) -> str:
    boundaries = [m for m in evidence.measurements if m.name.startswith("boundary from")]
    listed = ", ".join(
        f"{m.measured:.3f} (ρ* = {m.predicted:.3f}) at {m.name.rpartition(', ')[2]}"
        for m in boundaries
    )
    undecided = [
        f"ρ = {cell.problem.noise_rate:g} at r = {cell.problem.ratio:g}"
        for cell, ok in zip(plan.cells, decided, strict=True)
        if not ok
    ]
    return (
        f"{plan.nets} nets of width {plan.widths[-1]} recover all labels in every decided cell "
        f"below ρ* and in none above; measured boundary {listed}. Too near the threshold for this "
        f"width: {'; '.join(undecided) or 'no cell'}"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the grid, compare with the closed forms, run the controls."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted thresholds, without training."""
    plan = _plan(options)
    predicted = {
        f"{name}, r = {ratio:g}": plan.cells[plan.of_ratio(ratio)[0]].threshold
        for ratio in plan.ratios
        for name in ("boundary on the grid", "boundary from the margin of the first step")
    }
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """The grid with the threshold, and margins of the first step; closed forms dashed."""
    from ntk_theory import drawing

    arrays = result.arrays
    left, right = figure.subplots(1, 2)
    undecided = np.abs(np.asarray(arrays["predicted_margin"])) <= arrays["deviation"]
    recovered = np.asarray(arrays["recovered"])
    sides = (
        (recovered == 1, drawing.BLUE, "o", "all nets recover"),
        (recovered == 0, drawing.ORANGE, "s", "no net does"),
        ((recovered > 0) & (recovered < 1), drawing.GREY, "^", "some do"),
    )
    for cells, colour, marker, label in sides:
        left.scatter(
            arrays["ratio"][cells],
            arrays["noise_rate"][cells],
            color=colour,
            marker=marker,
            label=label,
        )
    left.scatter(
        arrays["ratio"][undecided],
        arrays["noise_rate"][undecided],
        s=120,
        facecolors="none",
        edgecolors=drawing.GREY,
        label="undecided",
    )
    drawing.prediction(left, arrays["curve_ratio"], arrays["curve_threshold"], "ρ*")
    left.set(xscale="log", xlabel=r"ratio $\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    left.legend(frameon=False, loc="lower right", fontsize="small")
    low, high = arrays["noise_rate"].min(), arrays["noise_rate"].max()
    right.axhspan(-arrays["deviation"], arrays["deviation"], color=drawing.GREY, alpha=0.2, lw=0)
    for index, ratio in enumerate(np.unique(arrays["ratio"])):
        cells = arrays["ratio"] == ratio
        x, nets = arrays["noise_rate"][cells], arrays["relative_margin"][cells]
        right.plot(x, nets, color=drawing.BLUE, marker="o", ms=3.5, ls="", alpha=0.5)
        predicted = arrays["predicted_margin"][cells]
        drawing.prediction(right, x, predicted, None if index else "closed form")
        right.annotate(f"r = {ratio:g} ", (x[0], predicted[0]), ha="right", va="center")
    right.set(xlim=(low - 0.25 * (high - low), high), xlabel="noise rate ρ")
    right.set(ylabel="relative margin of the first step")
    right.legend(frameon=False)


CLAIM = Claim(
    id="threshold",
    statement=(
        "Wide nets have every label right at some step of training on noisy labels exactly if the "
        "noise rate is below ρ* = (r − 2)/(2(r − 1)), r being the NTK's ratio of information to "
        "noise eigenvalue; self-distillation recovers the labels on the same side of ρ* only."
    ),
    formulas=(
        "ρ* = (r − 2) / (2(r − 1)),  r = λ_+/λ_−",
        "all right at step t iff g_+(t)/g_−(t) > 2(1−ρ)/(1−2ρ);  the ratio falls from r at t = 1",
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
        "C3": "when noisy labels can be refined at all; symmetric noise, balanced clusters",
    },
    knobs=frozenset({"seeds", "widths", "clusters", "points", "ratio", "learning_rate", "dtype"}),
    controls=("odd-clusters", "low-ratio", "whole-clusters"),
    run=run,
    predict=predict,
    draw=draw,
)

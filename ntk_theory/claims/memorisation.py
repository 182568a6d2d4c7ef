"""Claims C1 and C2: plain training learns, then memorises (docs/theory.md, sections 6.2 to 6.7).

Nets are trained on the observed labels alone, for several noise rates and eigenvalue ratios. Their
first wrong sign and, in one reference case, their whole error curve are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

    from ntk_theory.experiments import Rung
    from ntk_theory.ladder import Ladder
    from ntk_theory.problems import NoisyClusters, Recipe

Array = NDArray[np.float64]

_LEAST_WIDTHS = 4
_LEAST_NETS = 3
_CONTROL_NETS = 3
_SHARE = 0.5
"""ηλ_+ of every run: fine enough steps to see the margin fall, and no overshoot."""

_NOISE_TIMES = 5
"""Length of the reference run in units of 1/(ηλ_−): memorised to e^{-5}."""

_RISK = 1e-3
"""Probability that some bound of the run is exceeded by chance, if deviations are log-normal."""

_CELL_STREAM = 3
"""Gives every cell of the grid nets of its own."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    rates: tuple[float, ...]
    ratios: tuple[float, ...]


_PRESETS = {
    "quick": _Preset((1024, 2048, 4096, 8192), 8, (0.1, 0.2, 0.3), (10.0, 20.0, 40.0)),
    "standard": _Preset((2048, 4096, 8192, 16384), 12, (0.1, 0.2, 0.3), (10.0, 20.0, 40.0)),
    "paper": _Preset(
        (2048, 4096, 8192, 16384, 32768), 12, (0.1, 0.2, 0.3, 0.4), (10.0, 20.0, 40.0)
    ),
}
_REFERENCE_RATE, _REFERENCE_RATIO = 0.3, 20.0


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Cell:
    """One noise rate and ratio of the grid.

    Attributes:
        problem: data and learning rate; its steps are those of the run.
        first_wrong: predicted first step with a wrong sign.
    """

    problem: NoisyClusters
    first_wrong: int

    @property
    def name(self) -> str:
        return f"ρ = {self.problem.noise_rate:g}, r = {self.problem.ratio:g}"

    @property
    def recipe(self) -> Recipe:
        from ntk_theory.targets import PLAIN

        return replace(self.problem.recipe, distillation=PLAIN)

    @property
    def lazy_width(self) -> float:
        """Of plain training for these steps: it memorises more than self-distillation."""
        from ntk_theory import predictions

        problem = self.problem
        most = float(problem.plain.memorised_noise.max())
        return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, most)

    def outputs(self) -> Array:
        """Predicted outputs, shape (T + 1, n)."""
        data = self.problem.dataset
        return self.problem.plain.outputs(data.clean, data.flipped)

    def relative_deviation(self, rung: Rung) -> Array:
        """ν: largest deviation of an output over the predicted RMS output, shape (S,)."""
        size = np.sqrt(np.square(self.outputs()[1:]).mean(axis=1))
        return np.asarray((rung.worst_deviation[:, 1:] / size).max(axis=1))


@dataclass(frozen=True)
class _Plan:
    cells: tuple[_Cell, ...]
    reference: int
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def reference_cell(self) -> _Cell:
        return self.cells[self.reference]

    @property
    def control_width(self) -> int:
        return self.widths[-2]

    @property
    def confidence(self) -> float:
        """Of each bound: every net is held against one in every cell, four in the reference."""
        return 1 - _RISK / (self.nets * (len(self.cells) + 4))

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = sum(cell.problem.steps for cell in self.cells)
        reference = self.reference_cell
        controls = 2 * reference.problem.steps + reference.first_wrong
        return sum(self.widths) * self.nets * steps + self.control_width * _CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        reference = self.reference_cell.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": reference.spectrum.clusters,
            "points": reference.spectrum.points,
            "noise_rate": [cell.problem.noise_rate for cell in self.cells],
            "ratio": [cell.problem.ratio for cell in self.cells],
            "learning_rate": [cell.problem.learning_rate for cell in self.cells],
            "steps": [cell.problem.steps for cell in self.cells],
            "reference": self.reference,
            "confidence": self.confidence,
            "device": self.options.device,
            "dtype": self.dtype,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
        }


def _cell(options: Options, rate: float, ratio: float) -> _Cell:
    """A cell that runs to twice its predicted first wrong step."""
    from ntk_theory import predictions
    from ntk_theory.problems import noisy_clusters

    points = chosen(options.points, 20)
    angle = predictions.cluster_angle(points, ratio) if ratio > 1 and points > 1 else 1.0
    clusters = chosen(options.clusters, 2)
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
    return _Cell(replace(problem, steps=2 * first + 2), first)


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths

    preset = _PRESETS[options.preset]
    rates = preset.rates if options.noise_rate is None else (options.noise_rate,)
    ratios = preset.ratios if options.ratio is None else (options.ratio,)
    cells = [_cell(options, rate, ratio) for ratio in ratios for rate in rates]
    grid = [(rate, ratio) for ratio in ratios for rate in rates]
    nearest = min(grid, key=lambda g: (abs(g[0] - _REFERENCE_RATE), abs(g[1] - _REFERENCE_RATIO)))
    reference = grid.index(nearest)
    problem = cells[reference].problem
    least = problem.steps
    steps = chosen(
        options.steps,
        max(least, math.ceil(_NOISE_TIMES / (problem.learning_rate * problem.spectrum.noise))),
    )
    if steps < least:
        raise ValueError(
            f"steps must be at least {least}, twice the first wrong step of the reference run; "
            f"got {steps}"
        )
    cells[reference] = replace(cells[reference], problem=replace(problem, steps=steps))
    widths = preset.widths
    if options.widths is not None:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), _LEAST_NETS)
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], problem.dataset.inputs.shape, dtype)
    return _Plan(tuple(cells), reference, widths, nets, dtype, options)


# ---------------------------------------------------------------- premises


def _premises(plan: _Plan) -> list[Premise]:
    """Hypotheses of every cell, each named by the cell that is nearest to breaking it."""
    from ntk_theory import predictions, spectrum

    problems = [cell.problem for cell in plan.cells]
    eps = float(np.finfo(float).eps)
    n = len(problems[0].gram)
    bottoms, tops = zip(
        *(spectrum.eigendecomposition(p.gram).eigenvalues[[0, -1]] for p in problems), strict=True
    )
    conditions = [float(b / t) for b, t in zip(bottoms, tops, strict=True)]
    overshoot = max(p.learning_rate * float(t) for p, t in zip(problems, tops, strict=True))
    spare = min(
        predictions.recoverability_threshold(p.spectrum.ratio) - p.noise_rate for p in problems
    )
    mean = abs(problems[0].label_mean)
    lazy = max(cell.lazy_width for cell in plan.cells) if overshoot < 2 else math.inf
    moved = math.sqrt(lazy / plan.widths[0])
    return [
        Premise(
            "kernel positive definite",
            min(conditions),
            min(conditions) > n * eps,
            "λ_min > n eps λ_max",
        ),
        Premise("balanced labels", mean, mean == 0, "ȳ = 0: as many clusters of either label"),
        Premise("no overshoot", overshoot, overshoot <= 1 + n * eps, "ηλ_max <= 1 in every cell"),
        Premise("recoverable noise rates", spare, spare > 0, "ρ* − ρ > 0 in every cell"),
        Premise(
            "narrowest nets move little",
            moved,
            moved <= 0.5,
            "sqrt(m_lazy/m) <= 1/2 in every cell"
            + (f": widths from {math.ceil(4 * lazy)} on" if lazy < math.inf else ""),
        ),
    ]


# ---------------------------------------------------------------- measurements


def _first_wrong(margins: ArrayLike) -> NDArray[np.int64]:
    """First step t >= 1 at which a margin is not positive; T + 1 if there is none.

    Args:
        margins: y_i u_i(t), shape (..., T + 1, n).
    """
    wrong = (np.asarray(margins)[..., 1:, :] <= 0).any(axis=-1)
    first = np.where(wrong.any(axis=-1), wrong.argmax(axis=-1) + 1, wrong.shape[-1] + 1)
    return np.asarray(first)


def _first_wrong_row(cell: _Cell, measured: NDArray[np.int64], deviation: float) -> Measurement:
    """First wrong step of the net that leaves least of the window.

    Outputs that deviate by at most ν of their size have their first wrong sign while the predicted
    relative margin is within ±ν (section 6.7). A window that reaches half or twice the predicted
    step tells nothing.
    """
    from ntk_theory import predictions

    problem, first = cell.problem, cell.first_wrong

    def fallen_to(margin: float) -> float:
        if margin <= -1:
            return math.inf
        return predictions.first_wrong_step(
            problem.spectrum, problem.noise_rate, problem.learning_rate, margin
        )

    below, above = first - fallen_to(deviation), fallen_to(-deviation) - first
    allowed = np.where(measured < first, below, above)
    worst = int(np.argmin(allowed - np.abs(measured - first)))
    tolerance, resolution = float(allowed[worst]), math.inf
    for side, limit in ((below, first / 2), (above, float(first))):
        if side > limit:
            tolerance, resolution = side, limit
    return Measurement(
        f"first wrong step, {cell.name} (net farthest off)",
        first,
        float(measured[worst]),
        tolerance,
        (float(measured.min()), float(measured.max())),
        resolution=resolution,
    )


def _kernel_rows(plan: _Plan) -> list[Measurement]:
    """The infinitely wide net, run on the measured kernel: exact steps, and exact outputs.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.
    """
    from ntk_theory.training import train_kernel_limit

    off, excess, difference, tolerance = 0, 0.0, 0.0, math.inf
    for cell in plan.cells:
        problem, recipe = cell.problem, cell.recipe
        limit = train_kernel_limit(
            problem.gram,
            recipe.observed,
            recipe.distillation,
            learning_rate=problem.learning_rate,
            steps=problem.steps,
        )
        step = int(_first_wrong(limit * problem.dataset.clean))
        off = max(off, abs(step - cell.first_wrong))
        levels = problem.spectrum
        bound = len(limit[0]) * float(np.finfo(float).eps) * levels.mean / levels.noise
        apart = float(np.abs(limit - cell.outputs()).max())
        if not apart / bound < excess:
            excess, difference, tolerance = apart / bound, apart, bound
    return [
        Measurement("kernel limit: first wrong step − closed form, largest", 0.0, off, 0.0),
        Measurement("kernel limit: outputs − closed form, largest", 0.0, difference, tolerance),
    ]


def _curve_rows(plan: _Plan, ladder: Ladder) -> list[Measurement]:
    """The whole error curve of the reference case, its best and its end.

    Every one of them is as far off as the curve is at most; narrower nets say how far that is.
    """
    cell = plan.reference_cell
    problem, rho = cell.problem, cell.problem.noise_rate
    predicted, widest = problem.plain.rms_error(), ladder.rungs[cell.name][-1]
    best, steps = int(predicted.argmin()), np.arange(len(predicted))
    others = steps != best

    def apart(rung: Rung) -> Array:
        return np.asarray(np.abs(rung.error - predicted).max(axis=1))

    def tilt(rung: Rung) -> Array:
        """Largest change of the curve's deviation from its best step on, a step, shape (S,)."""
        off = rung.error - predicted
        change = np.abs(off - off[:, [best]])[:, others] / np.abs(steps - best)[others]
        return np.asarray(change.max(axis=1))

    allowed = ladder.allowance(cell.name, apart, plan.confidence)
    # A net may be best where the curve has risen by no more than the net's own curve can fall
    # against it: by its tilt near the best step, by twice its distance anywhere. The mean net
    # stays within what 99 of 100 nets do.
    away = np.abs(steps - best)
    fall = np.minimum(ladder.allowance(cell.name, tilt) * away, 2 * allowed)
    window = float(away[predicted - predicted[best] <= fall].max())
    depth = min(1.0, 2 * math.sqrt(rho)) - float(predicted[best])
    return [
        over_nets(
            f"error curve, {cell.name}: largest distance", 0.0, apart(widest), allowed, depth / 2
        ),
        over_nets(
            f"best RMS error, {cell.name} (bound 2ρ)",
            float(predicted[best]),
            widest.error.min(axis=1),
            allowed,
            rho / 2,
        ),
        over_nets(
            f"step of the best RMS error, {cell.name}",
            best,
            widest.error.argmin(axis=1),
            window,
            best - 1,  # a window that reaches step 0, or twice the best step, tells nothing
        ),
        over_nets(
            f"RMS error after {problem.steps} steps, {cell.name} (limit 2√ρ)",
            float(predicted[-1]),
            widest.error[:, -1],
            allowed,
            math.sqrt(rho) - rho,
        ),
    ]


# ---------------------------------------------------------------- controls


def _violated(
    id_: str,
    broken: str,
    name: str,
    predicted: float,
    values: Array,
    claimed: float,
    tolerance: float,
) -> Control:
    """A control whose nets show another margin than the claim has."""
    failure = over_nets(name, predicted, values, tolerance)
    apart = abs(failure.measured - claimed) > tolerance
    verdict = Verdict.VIOLATED if apart else Verdict.SUPPORTED
    return Control(id_, broken, Verdict.VIOLATED, verdict, failure, claimed, tolerance)


@dataclass
class _Setting:
    """How control nets are trained and judged: `tolerance` bounds their largest deviation."""

    plan: _Plan
    tolerance: float
    progress: Progress

    def margins(self, recipe: Recipe, clean: Array) -> Array:
        """Least y_i u_i(t) of every net, shape (S, T + 1)."""
        from ntk_theory.experiments import net_seeds, train_nets

        plan = self.plan
        trajectory = train_nets(
            recipe,
            plan.control_width,
            net_seeds(plan.options.seed, plan.control_width, _CONTROL_NETS, 1),
            dtype=plan.dtype,
            device=plan.options.device,
            progress=self.progress,
        )
        return np.asarray(trajectory.margins(clean).min(axis=2))


def _hard_targets(setting: _Setting) -> Control:
    """Hard self-distillation does not memorise: its margin stays positive (section 7)."""
    problem = setting.plan.reference_cell.problem
    margins = setting.margins(problem.recipe, problem.dataset.clean)
    return _violated(
        "hard-self-distillation",
        "the labels are the observed ones at every step: here hardened predictions replace them",
        f"least margin from step {problem.first_taught} to {problem.steps}",
        problem.worst_margin,
        margins[:, problem.first_taught :].min(axis=1),
        float(problem.plain.margin()[-1]),
        setting.tolerance,
    )


def _whole_clusters(setting: _Setting) -> Control:
    """Whole flipped clusters lie in the information's eigenspace: no U, wrong from step 1 on."""
    from ntk_theory import data, predictions
    from ntk_theory.problems import Recipe
    from ntk_theory.targets import PLAIN

    cell = setting.plan.reference_cell
    problem = cell.problem
    points = problem.spectrum.points
    design = data.equicorrelated_clusters(6, points, ratio=problem.ratio)
    clean = data.encode(design.groups % 2, 2)
    observed = np.where(design.groups < 2, -clean, clean)  # one cluster of either label
    margin = problem.plain.margin()[: cell.first_wrong + 1]
    step = int(margin.argmax())
    levels = predictions.cluster_spectrum(6, points, problem.angle)
    rate = problem.learning_rate
    recipe = Recipe(design.inputs, observed, PLAIN, rate, cell.first_wrong)
    margins = setting.margins(recipe, clean)
    return _violated(
        "whole-clusters",
        "wrong labels are spread inside the clusters: here two of six clusters are flipped whole",
        f"margin at step {step}, where it was best",
        float(predictions.whole_cluster_margin(levels, rate, step)),
        margins[:, step],
        float(margin[step]),
        setting.tolerance,
    )


def _fading_soft_targets(setting: _Setting) -> Control:
    """Soft targets with a finite sum of weights stop before they memorise (section 5)."""
    from ntk_theory import predictions
    from ntk_theory.targets import Distillation, Geometric, weights

    cell = setting.plan.reference_cell
    problem = cell.problem
    schedule = Geometric(cell.first_wrong / 2)
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        weights(schedule, problem.steps),
    )
    recipe = replace(problem.recipe, distillation=Distillation(schedule, "soft"))
    margins = setting.margins(recipe, problem.dataset.clean)
    return _violated(
        "fading-soft-targets",
        "the observed labels keep their weight: here it fades out, in favour of soft predictions",
        f"margin after {problem.steps} steps",
        float(curve.margin()[-1]),
        margins[:, -1],
        float(problem.plain.margin()[-1]),
        setting.tolerance,
    )


# ---------------------------------------------------------------- run


@dataclass
class _Grid:
    """Nets of all cells: a ladder each, and the first wrong steps at every width, shape (M, S)."""

    ladders: list[Ladder] = field(default_factory=list)
    first_wrong: list[NDArray[np.int64]] = field(default_factory=list)


def _train(plan: _Plan, grid: _Grid, evidence: Evidence, progress: Progress) -> bool:
    """Train every cell's ladder; says whether all nets stayed finite."""
    from ntk_theory.ladder import Ladder

    key = np.random.SeedSequence(plan.options.seed, spawn_key=(_CELL_STREAM,))
    seeds = key.generate_state(len(plan.cells), np.uint32)
    for index, (cell, seed) in enumerate(zip(plan.cells, seeds, strict=True)):
        clean = cell.problem.dataset.clean
        ladder = Ladder(clean, plan.widths, plan.nets, int(seed), plan.dtype, plan.options.device)
        steps = []
        for width in plan.widths:
            trajectory = ladder.train(
                cell.name, cell.recipe, width, cell.outputs(), progress=progress
            )
            if evidence.diverged(trajectory.stopped):
                return False
            steps.append(_first_wrong(trajectory.margins(clean)))
        grid.ladders.append(ladder)
        grid.first_wrong.append(np.stack(steps))
        firsts = np.stack(steps).ravel()
        evidence.metrics += [
            {**row, "first_wrong_step": int(first)}
            for row, first in zip(ladder.metrics(), firsts, strict=True)
        ]
        evidence.progress_note = f"cells trained: {index + 1} of {len(plan.cells)}"
    return True


def _arrays(plan: _Plan, grid: _Grid) -> dict[str, Array]:
    cell = plan.reference_cell
    rung = grid.ladders[plan.reference].rungs[cell.name][-1]
    return {
        "noise_rate": np.array([c.problem.noise_rate for c in plan.cells]),
        "ratio": np.array([c.problem.ratio for c in plan.cells]),
        "predicted_first_wrong": np.array([float(c.first_wrong) for c in plan.cells]),
        "first_wrong": np.stack([steps[-1] for steps in grid.first_wrong]).astype(float),
        "predicted_error": cell.problem.plain.rms_error(),
        "error": rung.error,
    }


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += _premises(plan)
    if not evidence.premises_hold:
        return ""
    grid = _Grid()
    progress.start(CLAIM.id, plan.work())
    if not _train(plan, grid, evidence, progress):
        return ""
    evidence.arrays |= _arrays(plan, grid)
    evidence.measurements += _kernel_rows(plan)
    for cell, ladder, steps in zip(plan.cells, grid.ladders, grid.first_wrong, strict=True):
        deviation = ladder.allowance(cell.name, cell.relative_deviation, plan.confidence)
        evidence.measurements.append(_first_wrong_row(cell, steps[-1], deviation))
    ladder = grid.ladders[plan.reference]
    evidence.measurements += _curve_rows(plan, ladder)
    if evidence.sound:
        fitted = ladder.fit(plan.reference_cell.name, lambda rung: rung.worst_deviation.max(axis=1))
        bound = fitted.upper(plan.control_width, plan.confidence)
        setting = _Setting(plan, bound + ladder.rounding_allowance(plan.control_width), progress)
        for control in (_hard_targets, _whole_clusters, _fading_soft_targets):
            evidence.controls.append(control(setting))
    return _finding(plan, grid)


def _finding(plan: _Plan, grid: _Grid) -> str:
    cell = plan.reference_cell
    error = grid.ladders[plan.reference].rungs[cell.name][-1].error
    off = [
        np.abs(steps[-1] - c.first_wrong).max()
        for c, steps in zip(plan.cells, grid.first_wrong, strict=True)
    ]
    exact = sum(
        int((steps[-1] == c.first_wrong).sum())
        for c, steps in zip(plan.cells, grid.first_wrong, strict=True)
    )
    return (
        f"{exact} of {len(off) * plan.nets} nets of width {plan.widths[-1]} output their first "
        f"wrong label at the very step predicted, the others at most {max(off)} steps off; at "
        f"{cell.name} the error falls to {error.min(axis=1).mean():.4g} and rises to "
        f"{error[:, -1].mean():.4g} (2ρ = {2 * cell.problem.noise_rate:.4g}, "
        f"2√ρ = {2 * math.sqrt(cell.problem.noise_rate):.4g})"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the grid, compare with the closed forms, run the controls."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted steps and errors, without training."""
    plan = _plan(options)
    cell = plan.reference_cell
    if cell.problem.learning_rate * cell.problem.spectrum.mean >= 2:
        return plan.config(), {}
    error = cell.problem.plain.rms_error()
    predicted = {
        f"first wrong step, {c.name} (net farthest off)": float(c.first_wrong) for c in plan.cells
    }
    return plan.config(), predicted | {
        f"best RMS error, {cell.name} (bound 2ρ)": float(error.min()),
        f"step of the best RMS error, {cell.name}": float(error.argmin()),
        f"RMS error after {cell.problem.steps} steps, {cell.name} (limit 2√ρ)": float(error[-1]),
    }


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """The U-shaped error curve, and first wrong steps over the ratio; closed forms dashed."""
    from ntk_theory import drawing

    arrays, config = result.arrays, result.config
    left, right = figure.subplots(1, 2)
    rho = config["noise_rate"][config["reference"]]
    ratio = config["ratio"][config["reference"]]
    steps = np.arange(len(arrays["predicted_error"]))
    label = f"width {config['widths'][-1]}, ρ = {rho:g}, r = {ratio:g}"
    drawing.band(left, steps, arrays["error"], drawing.BLUE, label)
    drawing.prediction(left, steps, arrays["predicted_error"], "closed form")
    for level, name in ((2 * rho, "2ρ"), (2 * math.sqrt(rho), "2√ρ")):
        left.axhline(level, color=drawing.GREY, lw=1)
        left.annotate(name, (steps[-1], level), ha="right", va="bottom", color=drawing.GREY)
    left.set(xscale="log", xlim=(1, steps[-1]), xlabel="step $t$")
    left.set(ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    left.legend(frameon=False)
    rates = np.unique(arrays["noise_rate"])
    for index, rate in enumerate(rates):
        chosen_cells = arrays["noise_rate"] == rate
        x, nets = arrays["ratio"][chosen_cells], arrays["first_wrong"][chosen_cells]
        right.plot(x, nets, color=drawing.BLUE, marker="o", ms=3.5, ls="", alpha=0.5)
        predicted = arrays["predicted_first_wrong"][chosen_cells]
        drawing.prediction(right, x, predicted, None if index else "closed form")
        right.annotate(f" ρ = {rate:g}", (x[-1], predicted[-1]), va="center")
    right.set(xscale="log", yscale="log", xlabel=r"ratio $\lambda_+/\lambda_-$")
    right.set(ylabel="first wrong step")
    right.margins(x=0.15)
    right.legend(frameon=False)


CLAIM = Claim(
    id="memorisation",
    statement=(
        "Wide nets trained on noisy labels first approach the clean labels and then memorise the "
        "wrong ones: their error falls to one minimum and rises to 2√ρ, and the step of their "
        "first wrong output follows from the noise rate and the eigenvalues of the NTK."
    ),
    formulas=(
        "‖u_t − y‖²/n = (1 − (1−2ρ) g_+)² + 4ρ(1−ρ) g_−²,  g_λ(t) = 1 − (1 − ηλ)^t",
        "it falls to one minimum above (2ρ)² and rises to 4ρ",
        "first wrong step: least t ≥ 1 with (1−2ρ) g_+(t) ≤ 2(1−ρ) g_−(t)",
        "which is at most ⌈t_mem⌉, t_mem = log(2(1−ρ)) / −log(1−ηλ_−)",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ of wrong labels in each",
        "ρ < ρ* = (r − 2)/(2(r − 1)), so that there is a right step before the first wrong one",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "The kernel retrieves g_λ(t) of the labels along an eigenvector: the clean part of the "
        "observed labels along λ_+, the wrong labels' contrasts along λ_−. The margin of a flipped "
        "point over the size of the outputs falls strictly, so outputs within ν of theory go wrong "
        "first while the predicted relative margin is within ±ν; ν is what narrower nets let "
        "expect (docs/theory.md, sections 6.2, 6.4 and 6.7)."
    ),
    source="arXiv 1910.01255, abstract, claims C1 and C2; derivation: docs/theory.md, section 6.7",
    paper_claims={
        "C1": "information before noise, seen in the error and the signs of trained nets",
        "C2": "what a stopping time gains, and until when; the teacher itself, no student",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "noise_rate",
            "steps",
            "learning_rate",
            "dtype",
        }
    ),
    controls=("hard-self-distillation", "whole-clusters", "fading-soft-targets"),
    run=run,
    predict=predict,
    draw=draw,
)

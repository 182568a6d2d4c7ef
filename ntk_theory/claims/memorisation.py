"""Claims C1 and C2: plain training learns, then memorises (docs/theory.md, sections 6.2 to 6.7).

Nets are trained on the observed labels alone, for several noise rates and eigenvalue ratios. Their
first wrong sign and, in one reference case, their whole error curve are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import first_wrong, least_margin, rms_error
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import relative_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.grids import ClusterGrid
    from ntk_theory.verdicts import ClaimResult

Array = NDArray[np.float64]

CLAIM = nt.Claim(
    "memorisation",
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
        "first while the predicted relative margin is within ±ν; ν is what narrower nets lead one "
        "to expect (docs/theory.md, sections 6.2, 6.4 and 6.7)."
    ),
    source="arXiv 1910.01255, abstract, claims C1 and C2; derivation: docs/theory.md, section 6.7",
    paper_claims={
        "C1": "information before noise, seen in the error and the signs of trained nets",
        "C2": "what a stopping time gains, and until when; the teacher itself, no student",
    },
    presets={
        "quick": nt.Sweep(1024, 8192, 4, nets=8),
        "standard": nt.Sweep(2048, 2**17, 4, nets=12),
        "wide": nt.Sweep(4096, 2**20, 5, nets=8),
        "thorough": nt.Sweep(2048, 2**18, 8, nets=12),
    },
)


@CLAIM.problem
def grid(
    *,
    seed: int,
    clusters: int = 2,
    points: int = 20,
    ratio: float | None = None,
    noise_rate: float | None = None,
    learning_rate: float | None = None,
    steps: int | None = None,
) -> ClusterGrid:
    """A problem for each noise rate and ratio, which runs to twice its first wrong step.

    The reference case runs until it has memorised its noise up to e^{-5}.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−; 10, 20 and 40 when left out.
        noise_rate: ρ; 0.1, 0.2 and 0.3 when left out.
        learning_rate: η; 1/2 over λ_+ when left out, at which the margin falls in fine steps.
        steps: T of the reference case.
    """
    from ntk_theory.grids import ClusterGrid, nearest

    rates = (0.1, 0.2, 0.3) if noise_rate is None else (noise_rate,)
    ratios = (10.0, 20.0, 40.0) if ratio is None else (ratio,)
    cells = [(rate, r) for r in ratios for rate in rates]
    problems = []
    for rate, r in cells:
        problem = nt.noisy_clusters(
            clusters=clusters, points=points, ratio=r, noise_rate=rate, seed=seed,
            learning_rate=learning_rate, share=0.5, noise_times=5,
        )  # fmt: skip
        problems.append(replace(problem, steps=2 * _first(problem) + 2))
    reference = nearest(cells, (0.3, 20.0))
    least = problems[reference].steps
    longest = max(least, math.ceil(5 / (problems[reference].learning_rate
                                        * problems[reference].spectrum.noise)))  # fmt: skip
    if steps is not None and steps < least:
        raise ValueError(
            f"steps must be at least {least}, twice the first wrong step of the reference run; "
            f"got {steps}"
        )
    problems[reference] = replace(problems[reference], steps=longest if steps is None else steps)
    return ClusterGrid(tuple(problems), seed, reference)


def _first(problem: nt.NoisyClusters, margin: float = 0.0) -> int:
    """Predicted first step with a relative margin no larger than this; 1 where there is no rise."""
    if problem.noise_rate >= 0.5 or problem.learning_rate * problem.spectrum.information >= 2:
        return 1
    return nt.predictions.first_wrong_step(
        problem.spectrum, problem.noise_rate, problem.learning_rate, margin
    )


def _name(problem: nt.NoisyClusters) -> str:
    return f"ρ = {problem.noise_rate:g}, r = {problem.ratio:g}"


@CLAIM.trainings
def trainings(grid: ClusterGrid) -> Iterator[nt.Training]:
    """Plain training on each problem."""
    for problem, seed in zip(grid.problems, grid.seeds, strict=True):
        yield problem.plain_training(_name(problem), seed=seed)


def _window(problem: nt.NoisyClusters) -> Any:
    """How far from the prediction outputs within ν of their size may go wrong first.

    They do while the predicted relative margin is within ±ν (section 6.7).
    """
    first = _first(problem)

    def sides(deviation: float) -> tuple[float, float]:
        late = math.inf if deviation >= 1 else float(_first(problem, -deviation))
        return float(first - _first(problem, deviation)), late - first

    return sides


def _tilt(training: nt.Training, best: int) -> Any:
    """The largest change of an error curve against the predicted one per step from its best on."""
    away = np.abs(np.arange(len(training.predicted)) - best)
    predicted = rms_error(training.predicted, training.points)

    def tilt(difference: Array, outputs: Array) -> Array:
        off = rms_error(difference + outputs, training.points) - predicted
        return np.abs(off - off[:, [best]]) / np.where(away > 0, away, np.inf)

    return tilt


@CLAIM.rows
def rows(grid: ClusterGrid, *trainings: nt.Training) -> Iterator[nt.Row]:
    """First wrong steps of all problems, and the whole error curve of one."""
    for problem, training in zip(grid.problems, trainings, strict=True):
        first = _first(problem)
        size = np.sqrt(np.square(training.predicted).mean(axis=1))
        yield nt.Row(
            "first wrong step, of the net farthest off", training, least_margin, at=nt.ALL_STEPS,
            reduce=first_wrong, expect=first, nets="each", norm=relative_to(size),
            # A window that reaches half or twice the predicted step says nothing.
            tolerance=_window(problem), resolves=(first / 2, float(first)),
        )  # fmt: skip
    problem, training = grid.chosen, trainings[grid.reference]
    error, rho = problem.plain.rms_error(), problem.noise_rate
    best = int(error.argmin())
    away = np.abs(np.arange(len(error)) - best)

    def distance(outputs: Array, points: Any) -> Array:
        """From the predicted error curve."""
        return np.abs(rms_error(outputs, points) - rms_error(points.predicted, points))

    def reach(tilt: float) -> float:
        """How far from the predicted best step the curve first rises by more than it may tilt."""
        risen = error - error[best] > tilt * away
        before, after = np.flatnonzero(risen[:best]), np.flatnonzero(risen[best:])
        ends = (best - before[-1] if before.size else best + 1, after[0] if after.size else np.inf)
        return float(max(ends)) - 1

    every: dict[str, Any] = {"at": nt.ALL_STEPS, "norm": "own"}
    yield nt.Row("error curve: largest distance", training, distance, **every, reduce=np.max,
                 resolves=(min(1.0, 2 * math.sqrt(rho)) - float(error[best])) / 2)  # fmt: skip
    yield nt.Row("best RMS error (bound 2ρ)", training, rms_error, **every, reduce=np.min,
                 expect=float(error[best]), resolves=rho / 2)  # fmt: skip
    # A window that reaches step 0, or twice the best step, says nothing.
    yield nt.Row("step of the best RMS error", training, rms_error, at=nt.ALL_STEPS,
                 reduce=np.argmin, expect=best, norm=_tilt(training, best), tolerance=reach,
                 resolves=best - 1)  # fmt: skip
    yield nt.Row(f"RMS error after {problem.steps} steps (limit 2√ρ)", training, rms_error,
                 norm="own", expect=float(error[-1]), resolves=math.sqrt(rho) - rho)  # fmt: skip


@CLAIM.controls
def controls(grid: ClusterGrid) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    from ntk_theory.grids import whole_clusters

    problem = grid.chosen
    first, curve = _first(problem), problem.plain.margin()
    yield nt.Control(
        "hard-self-distillation",
        "the labels are the observed ones at every step: here hardened predictions replace them",
        nt.Row(
            f"least margin from step {problem.first_taught} to {problem.steps}",
            problem.distilled_training(), least_margin, at=slice(problem.first_taught, None),
            reduce=np.min, expect=problem.worst_margin, claimed=float(curve[-1]),
        ),
    )  # fmt: skip
    step = int(curve[: first + 1].argmax())
    yield nt.Control(
        "whole-clusters",
        "wrong labels are spread inside the clusters: here two of six clusters are flipped whole",
        nt.Row(f"margin at step {step}, where it was best", whole_clusters(problem, first),
               least_margin, at=step, claimed=float(curve[step])),
    )  # fmt: skip
    fading = nt.targets.Geometric(first / 2)
    yield nt.Control(
        "fading-soft-targets",
        "the observed labels keep their weight: here it fades out, in favour of soft predictions",
        nt.Row(f"margin after {problem.steps} steps", problem.soft_training(schedule=fading),
               least_margin, claimed=float(curve[-1])),
    )  # fmt: skip


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """How many nets go wrong at the very step, and the U of the error."""
    grid: ClusterGrid = run.problem
    steps = [row for row in run.declared.rows if row.nets == "each"]
    off = np.abs(np.concatenate([run.measured(row) - row.predicted for row in steps]))
    name, rho = _name(grid.chosen), grid.chosen.noise_rate
    error = rms_error(run.widest(name).outputs(), run.trainings[name].points)
    return (
        f"{(off == 0).sum()} of {off.size} nets of width {run.nets.widths[-1]} output their first "
        f"wrong label at the very step predicted, the others at most {off.max():g} steps off; at "
        f"{name} the error falls to {error.min(axis=1).mean():.4g} and rises to "
        f"{error[:, -1].mean():.4g} (2ρ = {2 * rho:.4g}, 2√ρ = {2 * math.sqrt(rho):.4g})"
    )


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """First wrong steps, for the second picture."""
    problems = run.problem.problems
    steps = [row for row in run.declared.rows if row.nets == "each"]
    return {
        "noise_rate": np.array([problem.noise_rate for problem in problems]),
        "ratio": np.array([problem.ratio for problem in problems]),
        "predicted_first_wrong": np.array([row.predicted for row in steps]),
        "first_wrong": np.stack([run.measured(row) for row in steps]),
    }


def _first_wrong_steps(axes: Axes, result: ClaimResult) -> None:
    """When does a net output its first wrong label, over noise rates and ratios?"""
    from matplotlib.ticker import NullLocator

    arrays, drawing = result.arrays, nt.drawing
    if "first_wrong" not in arrays:
        return
    ratios = np.unique(arrays["ratio"])
    for index, rate in enumerate(np.unique(arrays["noise_rate"])):
        cells = arrays["noise_rate"] == rate
        x, nets = arrays["ratio"][cells], arrays["first_wrong"][cells]
        drawing.dots(axes, x, nets, drawing.BLUE, "trained nets", show=index == 0)
        predicted = arrays["predicted_first_wrong"][cells]
        dashed = None if index else "closed form"
        drawing.prediction(axes, x, predicted, dashed, of=f"trained nets, ρ = {rate:g}")
        drawing.at_the_end(axes, x[-1], predicted[-1], f"ρ = {rate:g}")
    axes.set(xscale="log", yscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$")
    axes.set(ylabel="first wrong step", xlim=(ratios[0] / 1.15, ratios[-1] * 1.6))
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.set_yticks([10, 20, 40], ["10", "20", "40"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(loc="upper left")


def _reference_rate(config: Mapping[str, Any]) -> float:
    return float(config["noise_rate"][config["reference"]])


CLAIM.panels = {
    "error-curve": Curves(
        rms_error,
        of=lambda grid: [_name(grid.chosen)],
        ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$",
        bounds={"2ρ": lambda config: 2 * _reference_rate(config),
                "2√ρ": lambda config: 2 * math.sqrt(_reference_rate(config))},
        legend="lower left",
    ),
    "first-wrong-step": _first_wrong_steps,
}  # fmt: skip

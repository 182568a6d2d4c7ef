"""Claims C1 and C2: plain training learns, then memorises (docs/theory.md, sections 6.2 to 6.7).

Nets are trained on the observed labels alone, for several noise rates and eigenvalue ratios. Their
first wrong sign and, in one reference case, their whole error curve are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import first_wrong, least_margin, rms_error
from ntk_theory.checking.panels import Curves, Dots
from ntk_theory.checking.rows import relative_to

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


CLAIM.problem(
    nt.cluster_grid,
    defaults={"clusters": 2, "points": 20},
    fixed={"ratios": (10.0, 20.0, 40.0), "rates": (0.1, 0.2, 0.3), "reference": (0.3, 20.0),
           "taught": False, "schedule": "power"},
)  # fmt: skip


def _name(problem: nt.NoisyClusters) -> str:
    return f"ρ = {problem.noise_rate:g}, r = {problem.ratio:g}"


@CLAIM.trainings
def trainings(grid: nt.ClusterGrid) -> Iterator[nt.Training]:
    """Plain training on each problem."""
    for problem, seed in zip(grid.problems, grid.seeds, strict=True):
        yield problem.plain_training(_name(problem), seed=seed)


def _window(problem: nt.NoisyClusters) -> Any:
    """Outputs within ν of their size go wrong while the relative margin is within ±ν (6.7)."""
    first = problem.first_wrong_step()

    def sides(deviation: float) -> tuple[float, float]:
        late = math.inf if deviation >= 1 else float(problem.first_wrong_step(-deviation))
        return float(first - problem.first_wrong_step(deviation)), late - first

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
def rows(grid: nt.ClusterGrid, *trainings: nt.Training) -> Iterator[nt.Row]:
    """First wrong steps of all problems, and the whole error curve of one."""
    for problem, training in zip(grid.problems, trainings, strict=True):
        first = problem.first_wrong_step()
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
                 expect=float(error[best]), resolves=rho / 2, tell=True)  # fmt: skip
    # A window that reaches step 0, or twice the best step, says nothing.
    yield nt.Row("step of the best RMS error", training, rms_error, at=nt.ALL_STEPS,
                 reduce=np.argmin, expect=best, norm=_tilt(training, best), tolerance=reach,
                 resolves=best - 1, tell=True)  # fmt: skip
    yield nt.Row(f"RMS error after {problem.steps} steps (limit 2√ρ)", training, rms_error,
                 norm="own", expect=float(error[-1]), resolves=math.sqrt(rho) - rho,
                 tell=True)  # fmt: skip


@CLAIM.controls
def controls(grid: nt.ClusterGrid) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    problem = grid.chosen
    first, curve = problem.first_wrong_step(), problem.plain.margin()
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
        nt.Row(f"margin at step {step}, where it was best", nt.whole_clusters(problem, first),
               least_margin, at=step, claimed=float(curve[step])),
    )  # fmt: skip
    fading = nt.targets.Geometric(first / 2)
    yield nt.Control(
        "fading-soft-targets",
        "the observed labels keep their weight: here it fades out, in favour of soft predictions",
        nt.Row(f"margin after {problem.steps} steps", problem.soft_training(schedule=fading),
               least_margin, claimed=float(curve[-1])),
    )  # fmt: skip


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
    "first-wrong-step": Dots(
        {"trained nets": "*: first wrong step*"},
        over=lambda grid: [problem.ratio for problem in grid.problems],
        each=lambda grid: [f"ρ = {problem.noise_rate:g}" for problem in grid.problems],
        xlabel=r"ratio $r=\lambda_+/\lambda_-$",
        ylabel="first wrong step",
        more={"xscale": "log", "yscale": "log"},
        legend="upper left",
    ),
}  # fmt: skip

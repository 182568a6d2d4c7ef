"""Claims C1 and C2: plain training learns, then memorises (docs/theory.md, sections 6.2 to 6.7).

Nets are trained on the observed labels alone, for several noise rates and eigenvalue ratios. Their
first wrong sign and, in one reference case, their whole error curve are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import (
    LabelledPoints,
    first_wrong,
    least_margin,
    rms_error,
)
from ntk_theory.checking.panels import Curves, Dots
from ntk_theory.checking.rows import Array
from ntk_theory.checking.sweep import PRESETS, with_nets

CLAIM = nt.Claim(
    "memorisation",
    statement="""Wide nets trained on noisy labels first approach the clean labels and then memorise
    the wrong ones: their error falls to one minimum and rises to 2√ρ, and the step of their first
    wrong output follows from the noise rate and the eigenvalues of the NTK.""",
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
    derivation="""The kernel retrieves g_λ(t) along an eigenvector: the clean part of the observed
    labels along λ_+, the wrong labels' contrasts along λ_−. The margin of a flipped point over the
    size of the outputs falls strictly, so there is one first wrong step (section 6.7); how far from
    it that of a wide net may be, its law of finite width says (section 9.6).""",
    source="arXiv 1910.01255, abstract, claims C1 and C2; derivation: docs/theory.md, section 6.7",
    paper_claims={
        "C1": "information before noise, seen in the error and the signs of trained nets",
        "C2": "what a stopping time gains, and until when; the teacher itself, no student",
    },
    presets=with_nets(PRESETS, 8, 12, 8, 12),
)

CLAIM.problem(
    nt.cluster_grid,
    defaults={"clusters": 2, "points": 20},
    fixed={"ratios": (10.0, 20.0, 40.0), "rates": (0.1, 0.2, 0.3), "reference": (0.3, 20.0),
           "taught": False, "schedule": "power"},
)  # fmt: skip
CLAIM.on_data(by="ntk_theory.claims._memorisation_own_data:OWN_DATA")


def _name(problem: nt.NoisyClusters) -> str:
    return f"ρ = {problem.noise_rate:g}, r = {problem.ratio:g}"


@CLAIM.trainings
def trainings(grid: nt.ClusterGrid) -> Iterator[nt.Training]:
    """Plain training on each problem."""
    for problem, seed in zip(grid.problems, grid.seeds, strict=True):
        yield problem.plain_training(_name(problem), seed=seed)


@CLAIM.rows
def rows(grid: nt.ClusterGrid, *trainings: nt.Training) -> Iterator[nt.Row]:
    """First wrong steps of all problems, and the whole error curve of one."""
    for problem, training in zip(grid.problems, trainings, strict=True):
        first = problem.first_wrong_step()
        # A window that reaches half or twice the predicted step says nothing.
        yield nt.Row("first wrong step, of the net farthest off", training, least_margin,
                     at=nt.ALL_STEPS, reduce=first_wrong, expect=first, nets="each",
                     jumps=1, resolves=(first / 2, first))  # fmt: skip
    problem, training = grid.chosen, trainings[grid.reference]
    error, root = problem.plain.rms_error(), math.sqrt(problem.noise_rate)
    best = int(error.argmin())

    def distance(outputs: Array, points: LabelledPoints) -> Array:
        return np.abs(rms_error(outputs, points) - error)

    curve = partial(nt.Row, training=training, functional=rms_error, tell=True)
    yield curve("error curve: largest distance", functional=distance, at=nt.ALL_STEPS, tell=False,
                reduce=np.max, resolves=(min(1.0, 2 * root) - float(error[best])) / 2)  # fmt: skip
    yield curve("best RMS error (bound 2ρ)", at=nt.ALL_STEPS, reduce=np.min,
                expect=float(error[best]), resolves=problem.noise_rate / 2)  # fmt: skip
    # A window that reaches step 0, or twice the best step, says nothing.
    yield curve("step of the best RMS error", at=nt.ALL_STEPS, reduce=np.argmin, expect=best,
                jumps=1, resolves=best - 1)  # fmt: skip
    # Half-way up a wrong rate shows most.
    middle = best + int((error[best:] > (error[best] + error[-1]) / 2).argmax())
    yield curve(f"RMS error after {middle} steps", at=middle, expect=float(error[middle]),
                resolves=root - root**2, tell=False)  # fmt: skip
    yield curve(f"RMS error after {error.size - 1} steps (limit 2√ρ)", expect=float(error[-1]),
                resolves=root - root**2)  # fmt: skip


@CLAIM.controls
def controls(grid: nt.ClusterGrid) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    problem = grid.chosen
    first, curve = problem.first_wrong_step(), problem.plain.margin()
    yield nt.Control(
        "hard-self-distillation",
        "the labels are the observed ones at every step: here hardened predictions replace them",
        nt.Row(f"least margin from step {problem.first_taught} to {problem.steps}",
               problem.distilled_training(), least_margin, at=slice(problem.first_taught, None),
               reduce=np.min, expect=problem.worst_margin, claimed=float(curve[-1])),
    )  # fmt: skip
    step = int(curve[: first + 1].argmax())
    yield nt.Control(
        "whole-clusters",
        "wrong labels are spread inside the clusters: here two of six clusters are flipped whole",
        nt.Row(f"margin at step {step}, where it was best", nt.whole_clusters(problem, first),
               least_margin, at=step, claimed=float(curve[step])),
    )  # fmt: skip
    yield nt.Control(
        "fading-soft-targets",
        "the observed labels keep their weight: here it fades out, in favour of soft predictions",
        nt.Row(f"margin after {problem.steps} steps",
               problem.soft_training(schedule=nt.targets.Geometric(first / 2)), least_margin,
               claimed=float(curve[-1])),
    )  # fmt: skip


CLAIM.panels = {
    "error-curve": Curves(
        rms_error, of=lambda grid: [_name(grid.chosen)],
        legend="lower left",
        bounds={"2ρ": lambda config: 2 * config["noise_rate"][config["reference"]],
                "2√ρ": lambda config: 2 * config["noise_rate"][config["reference"]] ** 0.5},
    ),
    "first-wrong-step": Dots(
        {"trained nets": "*: first wrong step*"},
        over=lambda grid: [problem.ratio for problem in grid.problems],
        each=lambda grid: [f"ρ = {problem.noise_rate:g}" for problem in grid.problems],
        xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="first wrong step",
        more={"xscale": "log", "yscale": "log"}, legend="upper left",
    ),
}  # fmt: skip

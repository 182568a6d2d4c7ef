"""Claim C4: self-distillation gains what no stopping time does (docs/theory.md, section 6.3)."""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import rescaled_rms_error, rms_error
from ntk_theory.checking.panels import Curves, Dots

DISTILLED, PLAIN = "self-distillation", "plain training"
FINAL, BEST = "RMS error in the end", "best RMS error at any step"

CLAIM = nt.Claim(
    "separation",
    statement="""No stopping time of plain training, at any learning rate without overshoot or on
    its own current soft targets, brings the outputs of a net of width m closer to the clean labels
    than 2ρ − O(m^{-1/2}) (RMS); hard self-distillation of the same nets comes closer than 2ρ by the
    predicted factor. The bound is one of size: hardened, or divided by their mean size, the outputs
    of a stopped net are closer than 2ρ, too.""",
    formulas=(
        "min_t ‖u_t − y‖²/n = min_t (1 − (1−2ρ) g_+)² + 4ρ(1−ρ) g_−² > (2ρ)²",
        "soft targets: G_λ(t) = 1 − Π_{k<t} (1 − η α_k λ) for g_λ(t), and the same bound",
        "self-distillation: ‖u_T − y‖²/n = E_T² + 4ρ(1−ρ) q_T²",
        "rescaled: min_t ‖u_t/mean|u_t| − y‖/√n = 2 sqrt(ρ(1−ρ)) / ((1−2ρ) r), at t = 1",
        "factor: self-distilled / best stopped = sqrt(E_T² + 4ρ(1−ρ) q_T²) / min_t ‖u_t − y‖/√n",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ < ρ* of wrong labels in each",
        "a burn-in shorter than t_mem, weights α_t → 0, every sign right after the burn-in",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
        "2ρ itself bounds the infinitely wide net; how many wide nets pass it, `finite-width` says",
    ),
    derivation="""A filter with 0 ≤ g ≤ 1 shrinks the clean labels to at most 1 − 2ρ, because that
    is their weight in the observed ones: an error of 2ρ, to which the retrieved noise adds. Soft
    targets are such filters too (docs/theory.md, sections 5, 6.3 and 6.7). Hardened predictions
    have the full size of the labels, and remove both errors (section 7).""",
    source="arXiv 1910.01255, abstract, claim C4; derivation: docs/theory.md, section 6.3",
    paper_claims={
        "C2": "what early stopping gains at most; a net's own current soft targets gain no more",
        "C4": "ℓ2 error on the training inputs, against every stopping time in hindsight, which "
        "rescaled or hardened outputs of a stopped net pass as well",
    },
)

CLAIM.problem(nt.cluster_grid, fixed={"ratios": (12.0,), "rates": (0.1, 0.2, 0.3),
                                      "reference": (0.2, 12.0), "taught": True})  # fmt: skip
CLAIM.on_data(by="ntk_theory.claims._separation_own_data:OWN_DATA")


def _name(way: str, problem: nt.NoisyClusters) -> str:
    return f"{way}, ρ = {problem.noise_rate:g}"


@CLAIM.trainings
def trainings(grid: nt.ClusterGrid) -> Iterator[nt.Training]:
    """Self-distillation and plain training of all problems, and other oracles of one."""
    for problem, seed in zip(grid.problems, grid.seeds, strict=True):
        half = replace(problem, steps=math.ceil(problem.steps / 2))
        ways = [problem.distilled_training(DISTILLED), half.plain_training(PLAIN)]
        if problem is grid.chosen:
            ways += oracles(problem, half)
        yield from (replace(one, name=_name(one.name, problem), seed=seed) for one in ways)


def oracles(problem: nt.NoisyClusters, half: nt.NoisyClusters) -> Iterator[nt.Training]:
    """Two more learning rates, and soft schedules with an infinite and with a finite sum."""
    for share in (1.0, 0.25):
        rate = share / problem.spectrum.mean
        steps = math.ceil(problem.steps / 2 * problem.learning_rate / rate)
        other = replace(problem, learning_rate=rate, steps=steps)
        yield other.plain_training(f"{PLAIN}, ηλ_0 = {share:g}")
    time = max(problem.memorisation_time, 1.0)
    yield half.soft_training("soft, Σα = ∞", nt.targets.Power(time))
    yield half.soft_training("soft, Σα < ∞, power", nt.targets.Power(time, 2.0))
    yield half.soft_training("soft, Σα < ∞, geometric", nt.targets.Geometric(time / 2))


@CLAIM.premises
def premises(grid: nt.ClusterGrid) -> Iterator[nt.Premise]:
    """Self-distillation has passed the bound when it ends."""
    final = max(float(p.distilled.rms_error()[-1]) / (2 * p.noise_rate) for p in grid.problems)
    yield nt.Premise("long enough run", final, final < 1, "predicted final error / 2ρ < 1")


@CLAIM.rows
def rows(grid: nt.ClusterGrid, *trainings: nt.Training) -> Iterator[nt.Row]:
    """Errors at the end of self-distillation, and at the best step of every oracle."""
    for training in trainings:
        errors, plain = training.curves["rms_error"], training.name.startswith(f"{PLAIN}, ρ")
        row = partial(nt.Row, training=training, functional=rms_error)
        if training.name.startswith(DISTILLED):
            yield row(FINAL, expect=float(errors[-1]), resolves=errors[-1] / 2, tell=True)
            continue
        rho = float((training.recipe.observed != training.points.labels).mean())
        least = partial(row, at=nt.ALL_STEPS, reduce=np.min, resolves=rho)
        of_any: dict[str, Any] = {"nets": "each of every width", "bound": 2 * rho}
        yield least(BEST, expect=float(errors.min()), tell=plain)
        yield least("best RMS error of any net of any width (bound 2ρ)",
                    relation=nt.Relation.AT_LEAST, **of_any)  # fmt: skip
        if plain:
            # In a stopped net the noise beside the signal is least at the first step.
            first = nt.predictions.overshoot_error(grid.chosen.ratio, rho)
            rescaled = partial(row, functional=rescaled_rms_error, expect=first)
            yield rescaled("best RMS error, rescaled", at=slice(1, None), reduce=np.min,
                           resolves=2 * rho - first)  # fmt: skip
            yield rescaled("RMS error after one step, rescaled, of any net of any width", at=1,
                           relation=nt.Relation.AT_MOST, **of_any)  # fmt: skip


@CLAIM.measure
def gains(run: nt.Run) -> Iterator[nt.Measurement]:
    """Self-distillation against the best stopping time of the same net."""
    told = [row for row in run.declared.rows if row.tell]
    for problem, *both in zip(run.problem.problems, told[::2], told[1::2], strict=True):
        ended, stopped = ([row.read(one.outputs()) for one in run.results[row.training.name]]
                          for row in both)  # fmt: skip
        name = _name("self-distilled / best stopped, largest of any net of any width", problem)
        worst = float(np.divide(ended, stopped).max())
        yield nt.Measurement(name, 1.0, worst, relation=nt.Relation.AT_MOST)
    bounds = [row for row in run.declared.rows if row.relation is nt.Relation.AT_LEAST]
    least = min(row.of_predicted / row.predicted for row in bounds)
    name = "closed forms: least error of any oracle / 2ρ"
    yield nt.Measurement(name, 1.0, least, relation=nt.Relation.AT_LEAST)


@CLAIM.controls
def controls(grid: nt.ClusterGrid, _: Any, rows: Mapping[str, nt.Row]) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    problem, levels = grid.chosen, grid.chosen.spectrum
    rho = math.ceil(levels.points / 4 - 1) / levels.points  # stable below a quarter
    share = 1 / (1 - 2 * rho)
    other = replace(problem, learning_rate=share / levels.information, steps=1)
    yield nt.Control(
        "overshoot",
        f"ηλ_+ <= 1: here {share:.3g}, for one step, at ρ = {rho:g}",
        nt.Row("RMS error after one step", other.with_noise_rate(rho).plain_training(), rms_error,
               claimed=2 * rho, expect=nt.predictions.overshoot_error(levels.ratio, rho)),
        unmet=nt.Premise("no overshoot", share, share <= 1, "ηλ_+ <= 1"),
    )  # fmt: skip
    final = rows[f"{_name(DISTILLED, problem)}: {FINAL}"]
    yield nt.distilled.soft_targets(problem, final, name=BEST, at=nt.ALL_STEPS, reduce=np.min)
    yield nt.distilled.late_burn_in(problem, final)


CLAIM.panels = {
    "error-over-time": Curves(
        rms_error, of=lambda grid: [_name(way, grid.chosen) for way in (PLAIN, DISTILLED)],
        bounds={"2ρ": lambda config: 2 * config["noise_rate"][config["reference"]]},
        marks={r"$t_\mathrm{mem}$": lambda run: run["memorisation_time"][run["reference"]]},
        legend="lower left", more={"yscale": "log"},
    ),
    "best-errors": Dots(
        {"best stopped": f"{PLAIN}, ρ = *: {BEST}", "self-distilled": f"{DISTILLED}, *: {FINAL}"},
        over=lambda grid: [problem.noise_rate for problem in grid.problems],
        lines={"2ρ": lambda rate: 2 * rate}, more={"yscale": "log", "ylim": (None, 1.2)},
        xlabel="noise rate ρ", ylabel="RMS error",
    ),
}  # fmt: skip

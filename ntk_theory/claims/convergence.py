"""Claim C5: hard self-distillation converges in ℓ2 to the clean labels (docs/theory.md, section 7).

Nets of growing width are trained on noisy clusters by self-distillation and, from the same start,
on the observed labels alone; both are compared with their closed forms, step by step. Variants
change labels, schedule, layers, teacher or data; two presets have the size of an image data set.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import least_margin, rms_error, wrong_signs
from ntk_theory.checking.panels import Curves, OverWidth
from ntk_theory.checking.sweep import EARLY
from ntk_theory.checking.verdicts import deferred

DISTILLED, PLAIN = "self-distillation", "plain training"

CLAIM = nt.Claim(
    "convergence",
    statement="""A wide two-layer ReLU net that starts at zero output and is taught its own hardened
    prediction, while the weight of the noisy labels fades out, converges in ℓ2 to the clean labels;
    no stopping time of plain training does.""",
    formulas=(
        "u_{t+1} = u_t − η H (u_t − z_t),  z_t = α_t ỹ + (1 − α_t) sign u_t",
        "E_{t+1} = (1 − ηλ_+) E_t − 2ρ ηλ_+ α_t,  E_0 = −1",
        "q_{t+1} = (1 − ηλ_−) q_t + ηλ_− α_t,  q_0 = 0",
        "‖u_t − y‖²/n = E_t² + 4ρ(1−ρ) q_t² → 0,  plain training: ≥ (2ρ)² at every t",
    ),
    assumptions=(
        "H positive definite, η < 2/λ_max (for the 2ρ bound η ≤ 1/λ_max)",
        "ρ < ρ* = (r − 2)/(2(r − 1)) and a burn-in shorter than t_mem",
        "the weight α_t of the observed labels tends to 0 (by agreement: to ρ, error 2ρ^{3/2})",
        "the sign of every output is right at every step after the burn-in",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation="""While every sign is right the target is z_t = y + α_t ξ, so the error obeys
    e_{t+1} = (I − ηH) e_t + ηH α_t ξ: a contraction driven by a null sequence. On equicorrelated
    clusters it lives in three eigenspaces and reduces to the numbers E and q, which also decide
    whether the signs stay right. A net of width m follows the recursion up to O(m^{-1/2}) over a
    fixed number of steps (docs/theory.md, sections 7 and 9). Plain training is farther off than
    2ρ at every step (section 6.3).""",
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 7",
    paper_claims={
        "C3": "taught by the current prediction, or that of an epoch before, or with restarts",
        "C4": "ℓ2 error on the training inputs, against every stopping time",
        "C5": "from antisymmetric pairs, with weights that fade out (agreement weights end at "
        "2ρ^{3/2}); also with several classes, both layers, Gaussian clusters and a power law",
    },
    presets=EARLY,
)
CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 6, "points": 10, "ratio": 20.0, "noise_rate": 0.3},
    fixed={"share": None, "noise_times": 12, "held_out": 0},
)
CLAIM.preset("cifar-mini", "cifar", by="ntk_theory.claims._convergence_at_scale:SCALED")
CLAIM.on_data(by="ntk_theory.claims._convergence_own_data:OWN_DATA")
_PROBLEMS = "ntk_theory.claims._convergence_problems"
CLAIM.controls(deferred(f"{_PROBLEMS}:controls"))
CLAIM.work(deferred(f"{_PROBLEMS}:work"))
_variants = deferred(f"{_PROBLEMS}:variants")


@CLAIM.premises
def premises(problem: nt.NoisyClusters) -> Iterator[nt.Premise]:
    """Self-distillation has passed the bound when it ends, and no variant is taught wrongly."""
    final, bound = float(problem.distilled.rms_error()[-1]), 2 * problem.noise_rate
    yield nt.Premise(
        "long enough run", final, final < bound, f"predicted final error < 2ρ = {bound:.3g}"
    )
    least = {
        one.name: float(nt.distilled.least_taught(one, one.predicted[None])[0])
        for one in _variants(problem.seed)
    }
    worst = min(least, key=least.__getitem__)
    name = f"variants: every taught prediction right in the limit (least margin: {worst})"
    yield nt.Premise(name, least[worst], least[worst] > 0, "worst margin > 0")


@CLAIM.trainings
def trainings(problem: nt.NoisyClusters) -> Iterator[nt.Training]:
    """Self-distillation, plain training for half as long, and all variants."""
    yield problem.distilled_training(DISTILLED)
    yield problem.training(PLAIN, problem.plain_recipe(problem.steps // 2), problem.plain)
    yield from _variants(problem.seed)


def _after(steps: int) -> str:
    return f"RMS error after {steps} steps"


@CLAIM.rows
def rows(
    problem: nt.NoisyClusters, distilled: nt.Training, plain: nt.Training, *variants: nt.Training
) -> Iterator[nt.Row]:
    """Errors on the way, the margin, every stopping time, and where the variants end."""
    rho, curve, steps = problem.noise_rate, problem.distilled.rms_error(), problem.steps
    final = partial(nt.Row, functional=rms_error, norm="rms")
    # Half the predicted error distinguishes it from 0 and from its double.
    for t in (steps // 4, steps // 2, steps):
        error = float(curve[t])
        yield final(_after(t), distilled, at=t, expect=error, resolves=error / 2)
    # ρ distinguishes the margin of clean labels, 1, from that of the best stopping time, 1 − 2ρ.
    yield nt.Row("margin at the end", distilled, least_margin, resolves=rho,
                 expect=float(problem.distilled.margin()[-1]))  # fmt: skip
    memorised = float(problem.plain.rms_error()[plain.recipe.steps])
    yield final(f"{_after(plain.recipe.steps)} (limit 2√ρ)", plain, expect=memorised,
                resolves=math.sqrt(rho) - rho)  # fmt: skip
    yield final("best RMS error of any net of any width at any step (bound 2ρ)", plain,
                at=nt.ALL_STEPS, reduce=np.min, nets="each of every width", bound=2 * rho,
                relation=nt.Relation.AT_LEAST, resolves=rho)  # fmt: skip
    yield final("RMS error of any of the widest nets (below 2ρ)", distilled, nets="each",
                bound=2 * rho, relation=nt.Relation.AT_MOST, tolerance=lambda _: 0.0)  # fmt: skip
    half, last = problem.weights[steps // 2 - 1], problem.weights[-1]
    if last > 0:  # a schedule that underflows has no order
        fall = math.log(half / last)
        order = math.log(curve[steps // 2] / curve[steps]) / fall
        yield final(f"order of the error in α_t from {steps // 2} to {steps} steps", distilled,
                    at=slice(steps // 2, None), reduce=lambda errors, axis: np.log(
                        errors.take(0, axis) / errors.take(-1, axis)) / fall,
                    expect=order, resolves=order / 2)  # fmt: skip
    for variant in variants:
        row = final("final RMS error", variant)
        yield replace(row, resolves=row.predicted / 2)


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Exponent, order of the error, and signs of all nets."""
    problem, rows = run.problem, {row.title: row for row in run.declared.rows}
    half, end = (rows[f"{DISTILLED}: {_after(t)}"] for t in (problem.steps // 2, problem.steps))
    yield from run.rounding(DISTILLED)
    yield run.deviation_exponent(DISTILLED)
    ever = replace(end, at=nt.ALL_STEPS, reduce=np.max)
    memorised = next(row for row in rows.values() if row.training.name == PLAIN)
    for row, when in ((ever, "sup over t"), (half, f"after {half.at} steps"), (end, "at the end"),
                      (memorised, "at the end")):  # fmt: skip
        yield run.falls(row, f"{row.training.name}, {when}")
    taught, wrong = [], []
    for name, nets in run.results.items():
        training, outputs = run.trainings[name], np.concatenate([one.outputs() for one in nets])
        if name != PLAIN:
            wrong.append(float(wrong_signs(outputs[:, -1:], training.points).max()))
        if "taught" in training.curves:
            taught.append(bool((nt.distilled.least_taught(training, outputs) <= 0).any()))
        if training.curves.get("limit"):  # after 3/(ηλ_−) steps e^{-3} of the noise is missing
            yield nt.Measurement(
                f"{name}: closed form in the end, against its limit", training.curves["limit"],
                rows[f"{name}: final RMS error"].predicted,
                training.curves["limit"] * math.exp(-3), kind="formula",
            )  # fmt: skip
    yield nt.Measurement(
        "variants in which a net is taught a wrong prediction", 0.0, float(sum(taught)), 0.0
    )
    yield nt.Measurement("0-1 error at the end, worst net of all", 0.0, max(wrong), 0.0)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Where both ways of training lead."""
    problem, widest = run.problem, run.widest(DISTILLED)
    error = rms_error(widest.outputs(), run.trainings[DISTILLED].points)[:, -1].mean()
    plain = rms_error(run.widest(PLAIN).outputs(), run.trainings[PLAIN].points)
    return (
        f"{run.nets.count} nets of width {widest.width} end {error:.4g} (RMS) from the clean "
        f"labels, predicted {problem.distilled.rms_error()[-1]:.4g}; plain training with the best "
        f"stopping time ends at {plain.min(axis=1).mean():.4g}, bound {2 * problem.noise_rate:.4g}"
    )


def _bound(config: Mapping[str, Any]) -> float | None:
    """2ρ, which two classes have."""
    return None if "classes" in config else 2 * float(config["noise_rate"])


CLAIM.panels = {
    "error-over-time": Curves(
        rms_error,
        of=(PLAIN, DISTILLED),
        bounds={"2ρ: bound of stopping": _bound},
        more={"yscale": "log"},
        legend="lower left",
    ),
    "deviation-over-width": OverWidth(),
    "schedules": Curves(
        rms_error,
        of=("agreement schedule", "constant weight 1/4", "geometric schedule", "power schedule"),
        bounds={r"limit $2\rho\sqrt{\rho}$": lambda _: 2 * 0.3**1.5,
                r"limit $2\alpha\sqrt{\rho}$": lambda _: 0.5 * 0.3**0.5},
        more={"ylim": (0, 1.03)},
        legend="upper right",
    ),
}  # fmt: skip

"""A run of `convergence` at the size of an image data set."""

from __future__ import annotations

__all__ = ["run_at_scale"]

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.convergence import CLAIM
from ntk_theory.claims.convergence.scaled_plan import (
    DISTILLED,
    LEVEL,
    PLAIN_TRAINING,
    ScaledPlan,
)
from ntk_theory.claims.convergence.variants import Variant
from ntk_theory.experiments import Rung
from ntk_theory.image_size import CLASSES, FEATURES
from ntk_theory.ladder import Ladder, first_step_row
from ntk_theory.runs import Evidence, conduct, judged_control, over_nets
from ntk_theory.verdicts import (
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Relation,
)

Array = NDArray[np.float64]


def _premises(plan: ScaledPlan) -> list[Premise]:
    """Hypotheses that need no training."""
    distilled = plan.distilled
    return [
        *plan.spectral_premises(plan.units.learning_rate),
        Premise(
            "every taught prediction right in the limit",
            distilled.worst_margin,
            distilled.worst_margin > 0,
            "least margin of the recursion > 0 after the burn-in",
        ),
    ]


def _trained_premise(plan: ScaledPlan, narrowest: Rung) -> Premise:
    """Nets scatter less about their own mean than the margin that the recursion leaves."""
    # Either of two outputs may be off.
    spare = plan.distilled.margin - 2 * narrowest.scatter
    least = float(spare[:, plan.distilled.taught].min())
    return Premise(
        "margin above the scatter of the narrowest nets",
        least,
        least > 0,
        "predicted margin − twice the largest distance of an output to the nets' mean > 0",
    )


def _final_deviation(rung: Rung) -> Array:
    return rung.deviation[:, -1]


@dataclass
class _Seen:
    """What the rows need of the trajectories.

    Attributes:
        least: margin of a prediction that teaches, over all nets.
        first: outputs after one step over their prediction, a row for each width.
        rounding: RMS error of the widest nets by rounding.
    """

    least: float = math.inf
    first: list[Array] = field(default_factory=list)
    rounding: float = 0.0


def _train(
    plan: ScaledPlan, variant: Variant, ladder: Ladder, seen: _Seen, progress: Progress
) -> None:
    """Train the ladder in one way."""
    predicted = plan.first_outputs
    for width in ladder.widths:
        trained = ladder.train(
            variant.name, variant.recipe, width, variant.predicted, progress=progress
        )
        taught = variant.taught[variant.taught < trained.steps.size]
        if trained.stopped is not None:
            return
        if variant is plan.distilled and width == ladder.widths[0]:
            seen.rounding = plan.rounding(ladder, variant.recipe, trained)
        if taught.size:
            margins = trained.margins(plan.dataset.clean)[:, taught]
            seen.least = min(seen.least, float(margins.min()))
        if variant is plan.plain:
            along = (trained.outputs[:, 1] * predicted).sum(axis=(1, 2))
            seen.first.append(along / np.square(predicted).sum())


def _rows(plan: ScaledPlan, ladder: Ladder, seen: _Seen) -> list[Measurement]:
    distilled, plain = plan.distilled, plan.plain
    final, best = float(distilled.rms_error[-1]), float(plain.rms_error.min())
    nets, stopped = ladder.rungs[DISTILLED][-1], ladder.rungs[PLAIN_TRAINING][-1]
    half_way = (best - final) / 2  # tells stopping from self-distillation
    crossing = plan.crossing(plan.units.learning_rate, plan.first_outputs)
    room = ladder.allowance(DISTILLED, _final_deviation)
    room_of_plain = ladder.allowance(PLAIN_TRAINING, lambda rung: rung.largest_deviation)
    return [
        plan.ratio_row(),
        over_nets(
            "final RMS error",
            final,
            nets.error[:, -1],
            room + seen.rounding,
            min(final / 2, 2 * room),  # rounding may not take more than the width does
        ),
        over_nets(
            "best RMS error of plain training at any step",
            best,
            stopped.error.min(axis=1),
            room_of_plain + seen.rounding,
            min(half_way, 2 * room_of_plain),
        ),
        first_step_row(ladder.widths, np.array(seen.first), "plain training", crossing),
        ladder.falling_row(DISTILLED, "self-distillation, at the end", _final_deviation),
        ladder.falling_row(PLAIN_TRAINING, "plain training"),
        Measurement(
            "least margin of a taught prediction, any net",
            0.0,
            seen.least,
            0.0,
            relation=Relation.AT_LEAST,
        ),
        Measurement("0-1 error at the end, worst net", 0.0, float(nets.zero_one.max()), 0.0),
    ]


def _control(plan: ScaledPlan, ladder: Ladder, progress: Progress) -> Control:
    """A constant weight α does not converge (section 7.1)."""
    broken, width = plan.constant, plan.nets.widths[-2]
    trained = plan.nets.train_controls(broken.recipe, width, plan.nets.count, progress=progress)
    tolerance = ladder.bound(_final_deviation, width)
    return judged_control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {LEVEL:g} for ever",
        over_nets(
            "final RMS error",
            float(broken.rms_error[-1]),
            trained.rms_error(plan.dataset.clean)[:, -1],
            tolerance,
        ),
        float(plan.distilled.rms_error[-1]),
        tolerance,
    )


def _gather(plan: ScaledPlan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += _premises(plan)
    evidence.arrays |= {
        "predicted_distilled": plan.distilled.rms_error,
        "predicted_plain": plan.plain.rms_error,
        "eigenvalues": plan.pairs.values,
    }
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder, seen = plan.nets.ladder(plan.dataset.clean), _Seen()
    for variant in (plan.distilled, plan.plain):
        _train(plan, variant, ladder, seen, progress)
        evidence.metrics = list(ladder.metrics())
        evidence.progress_note = f"trained by {variant.name}"
        if evidence.diverged(ladder.stopped()):
            return ""
    nets, stopped = ladder.rungs[DISTILLED][-1], ladder.rungs[PLAIN_TRAINING][-1]
    evidence.arrays |= {"distilled_error": nets.error, "plain_error": stopped.error}
    evidence.premises.append(_trained_premise(plan, ladder.rungs[DISTILLED][0]))
    evidence.measurements += _rows(plan, ladder, seen)
    if evidence.sound:
        evidence.controls.append(_control(plan, ladder, progress))
    return (
        f"on {CLASSES * plan.points} points of {FEATURES} features {len(nets.error)} nets of "
        f"width {nets.width} end {nets.error[:, -1].mean():.4g} (RMS) from the clean labels, "
        f"predicted {plan.distilled.rms_error[-1]:.4g}; plain training with the best stopping time "
        f"ends at {stopped.error.min(axis=1).mean():.4g}; {ladder.dtype} products are off by "
        f"{seen.rounding:.1e}"
    )


def run_at_scale(options: Options, progress: Progress) -> ClaimResult:
    """Measure the spectrum, predict by the recursion, train the ladder, run the control."""
    plan = ScaledPlan.of(options)
    return conduct(
        CLAIM,
        options,
        plan.config(),
        lambda evidence: _gather(plan, evidence, progress),
        controls=("constant-weight",),
    )

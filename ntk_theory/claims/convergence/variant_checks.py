"""Trained nets against the predictions of the variants of self-distillation."""

from __future__ import annotations

__all__ = ["check_variants", "variant_premise"]

from collections.abc import Callable, Sequence

from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence, over_nets
from ntk_theory.variants import Variant
from ntk_theory.verdicts import Measurement, Premise, Progress


def variant_premise(variants: Sequence[Variant]) -> Premise:
    """In the kernel limit the prediction of every variant is right wherever it teaches."""
    worst = min(variants, key=lambda variant: variant.worst_margin)
    return Premise(
        f"variants: every taught prediction right in the limit (least margin: {worst.name})",
        worst.worst_margin,
        worst.worst_margin > 0,
        "worst margin > 0",
    )


def _rows(ladder: Ladder, variant: Variant) -> list[Measurement]:
    """Final error against the closed form, and against its limit where there is one.

    A tolerance of half the predicted error still tells it from 0 and from its double.
    """
    widest, predicted = ladder.rungs[variant.name][-1], float(variant.rms_error[-1])
    tolerance = ladder.allowance(variant.name, lambda rung: rung.deviation[:, -1])
    error = widest.error[:, -1]
    rows = [
        over_nets(f"{variant.name}: final RMS error", predicted, error, tolerance, predicted / 2)
    ]
    if variant.limit is not None:
        left = abs(predicted - variant.limit)
        name = f"{variant.name}: final RMS error against its limit"
        rows.append(over_nets(name, variant.limit, error, tolerance + left, variant.limit / 2))
    return rows


def _train(ladder: Ladder, variant: Variant, progress: Progress) -> float:
    """Train all widths; returns the least margin of a prediction that teaches."""
    margins = []
    for width in ladder.widths:
        trained = ladder.train(
            variant.name, variant.recipe, width, variant.predicted, progress=progress
        )
        made = variant.taught[variant.taught < trained.steps.size]
        margins.append(float(trained.margins(variant.clean)[:, made].min()))
    return min(margins)


def check_variants(
    variants: Sequence[Variant],
    evidence: Evidence,
    ladder_of: Callable[[Variant], Ladder],
    progress: Progress,
) -> None:
    """Train every variant and add its rows, premise and metrics to the evidence."""
    least, wrong = {}, [0.0]
    for variant in variants:
        evidence.progress_note = f"at the variant {variant.name!r}"
        ladder = ladder_of(variant)
        least[variant.name] = _train(ladder, variant, progress)
        evidence.metrics += [{"variant": variant.name} | dict(row) for row in ladder.metrics()]
        if evidence.diverged(ladder.stopped()):
            return
        wrong += [float(rung.zero_one.max()) for rung in ladder.rungs[variant.name]]
        evidence.measurements += _rows(ladder, variant)
    name = min(least, key=least.__getitem__)
    evidence.premises.append(
        Premise(
            f"variants: every taught prediction of every net right (least margin: {name})",
            least[name],
            least[name] > 0,
            "margin of the nets > 0",
        )
    )
    evidence.measurements.append(
        Measurement("variants: 0-1 error at the end, worst net of all", 0.0, max(wrong), 0.0)
    )

"""Trained nets against the predictions of the variants of self-distillation."""

from __future__ import annotations

__all__ = ["check_variants"]

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, spectrum, training
from ntk_theory.claims.convergence.plan import Plan
from ntk_theory.claims.convergence.variants import Variant
from ntk_theory.experiments import Rung
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence, over_nets
from ntk_theory.verdicts import Measurement, Progress

Array = NDArray[np.float64]

_SCHEDULES = {
    "power schedule": "power",
    "geometric schedule": "geometric",
    "constant weight 1/4": "constant",
    "agreement schedule": "agreement",
}
"""Names in the arrays of the variants that differ from each other in their schedule alone."""


def _kernel_limit(variants: Sequence[Variant]) -> Measurement:
    """Every variant, run step by step on the measured kernel, against its prediction.

    The difference is in units of rounding, n eps λ_max/λ_min, as for the problem of the claim.
    """
    largest = 0.0
    for variant in variants:
        recipe = variant.recipe
        gram = kernels.ntk_limit(recipe.inputs, layers=recipe.layers)
        limit = training.train_kernel_limit(
            gram,
            recipe.observed,
            recipe.distillation,
            learning_rate=recipe.learning_rate,
            steps=recipe.steps,
        )
        eigenvalues = spectrum.eigendecomposition(gram).eigenvalues
        rounding = len(gram) * np.finfo(float).eps * eigenvalues[-1] / eigenvalues[0]
        largest = max(largest, float(np.abs(limit - variant.predicted).max()) / rounding)
    return Measurement(
        "variants: kernel recursion − prediction in units of rounding, largest",
        0.0,
        largest,
        1.0,
    )


def _final_deviation(rung: Rung) -> Array:
    return rung.deviation[:, -1]


def _rows(ladder: Ladder, variant: Variant) -> Iterator[Measurement]:
    """Final error against the closed form, and against its limit where there is one.

    A tolerance of half the predicted error still tells it from 0 and from its double; that it does
    not hide an error of the prediction, the last row says, the deviation it is made from falling.
    """
    name = variant.name
    widest, predicted = ladder.rungs[name][-1], float(variant.rms_error[-1])
    tolerance = ladder.allowance(name, _final_deviation)
    error = widest.error[:, -1]
    yield over_nets(f"{name}: final RMS error", predicted, error, tolerance, predicted / 2)
    if variant.limit is not None:
        left = abs(predicted - variant.limit)
        yield over_nets(
            f"{name}: final RMS error against its limit",
            variant.limit,
            error,
            tolerance + left,
            variant.limit / 2,
        )
    yield ladder.falling_row(name, f"{name}, at the end", _final_deviation)


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


def _curves(ladder: Ladder, variant: Variant) -> dict[str, Array]:
    """Errors of the widest nets, their prediction and its limit, if a schedule is what varies."""
    if variant.name not in _SCHEDULES:
        return {}
    key = _SCHEDULES[variant.name]
    arrays = {
        f"{key}_error": ladder.rungs[variant.name][-1].error,
        f"{key}_predicted": variant.rms_error,
    }
    if variant.limit is not None:
        arrays[f"{key}_limit"] = np.array(variant.limit)
    return arrays


def check_variants(plan: Plan, evidence: Evidence, progress: Progress) -> None:
    """Train every variant and add its rows, premise and metrics to the evidence."""
    least, wrong = {}, [0.0]
    evidence.measurements.append(_kernel_limit(plan.variants))
    for variant in plan.variants:
        evidence.progress_note = f"at the variant {variant.name!r}"
        ladder = plan.variant_nets.ladder(variant.clean)
        least[variant.name] = _train(ladder, variant, progress)
        evidence.metrics += [{"variant": variant.name} | dict(row) for row in ladder.metrics()]
        if evidence.diverged(ladder.stopped()):
            return
        evidence.arrays |= _curves(ladder, variant)
        wrong += [float(rung.zero_one.max()) for rung in ladder.rungs[variant.name]]
        evidence.measurements += _rows(ladder, variant)
    evidence.measurements += [
        Measurement(
            "variants in which a net is taught a wrong prediction",
            0.0,
            sum(margin <= 0 for margin in least.values()),
            0.0,
        ),
        Measurement("variants: 0-1 error at the end, worst net of all", 0.0, max(wrong), 0.0),
    ]

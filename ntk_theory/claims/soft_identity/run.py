"""A run of `soft-identity`: pairs of runs, ladder, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.soft_identity import CLAIM
from ntk_theory.claims.soft_identity.controls import CONTROLS, control
from ntk_theory.claims.soft_identity.identity import (
    Pair,
    identity_premises,
    identity_rows,
    pairs_of,
)
from ntk_theory.claims.soft_identity.measurements import measurements
from ntk_theory.claims.soft_identity.nets import Wide, climb, noise_share
from ntk_theory.claims.soft_identity.plan import (
    ENTROPY,
    MEMORISING,
    STOPPING,
    Plan,
    make_plan,
    planned_premises,
)
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _arrays(wide: Wide) -> dict[str, Array]:
    arrays = {}
    for key, name in (("memorising", MEMORISING), ("stopping", STOPPING)):
        arrays[f"predicted_{key}"] = wide.theory.curve(name).rms_error()
        arrays[f"{key}_error"] = wide.ladders[name].rungs[name][-1].error
    return arrays


def _identity(plan: Plan, evidence: Evidence, progress: Progress) -> float | None:
    """Rows and premises of the identity; returns its largest bound, None after a divergence."""
    pairs: list[Pair] = []
    for pair in pairs_of(plan, progress):
        if evidence.diverged(pair.stopped):
            return None
        pairs.append(pair)
        evidence.metrics.append(
            {
                "training": f"{pair.case.loss}, {pair.case.layers}, {pair.case.outputs} outputs",
                "schedule": pair.schedule,
                "width": pair.width,
                "difference": pair.difference,
                "rounding_bound": pair.bound,
            }
        )
        evidence.arrays |= {
            "identity_widths": np.array([made.width for made in pairs]),
            "identity_difference": np.array([made.difference for made in pairs]),
            "identity_bound": np.array([made.bound for made in pairs]),
        }
    evidence.premises += identity_premises(pairs)
    evidence.measurements += identity_rows(pairs)
    return max(pair.bound for pair in pairs)


def _finding(wide: Wide, worst: float, rounding: float) -> str:
    plan, ends = wide.plan, wide.ends[-1]
    memorised = {
        name: 100 * noise_share(plan, ends[name]).mean() for name in (MEMORISING, STOPPING)
    }
    return (
        f"soft self-distillation and plain training with rates η α_t stay within {worst:.2g} of "
        f"their rounding bound ({rounding:.1g} at most) at widths "
        f"{plan.identity_widths[0]} to {plan.identity_widths[-1]}; with Σα = ∞ "
        f"{memorised[MEMORISING]:.3g} % of the noise is memorised after "
        f"{plan.steps} steps, with Σα < ∞ {memorised[STOPPING]:.3g} %"
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    rounding = _identity(plan, evidence, progress)
    if rounding is None:
        return ""
    worst = max(row.measured for row in evidence.measurements)
    wide = Wide.of(plan)
    for width in plan.nets.widths:
        evidence.progress_note = f"identity checked; next width {width} of {plan.nets.widths}"
        climb(wide, width, progress)
        if evidence.diverged(wide.stopped()):
            return ""
        evidence.arrays |= _arrays(wide)
    for ladder in (wide.ladders[STOPPING], wide.ladders[ENTROPY]):
        evidence.metrics += ladder.metrics()
    for row in measurements(wide, progress):
        evidence.measurements.append(row)
    if evidence.sound:
        for policy in CONTROLS:
            evidence.controls.append(control(wide, policy, rounding, evidence.arrays, progress))
    return _finding(wide, worst, rounding)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the identity, compare wide nets with the closed forms, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

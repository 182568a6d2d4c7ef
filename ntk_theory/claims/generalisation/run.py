"""A run of `generalisation`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.generalisation import CLAIM
from ntk_theory.claims.generalisation.closed_forms import (
    DISTILLED,
    PLAIN_TRAINING,
    labels_distance,
    measure_of,
    predicted_measure,
)
from ntk_theory.claims.generalisation.comparison import Comparison, compare, separation_premise
from ntk_theory.claims.generalisation.controls import CONTROLS, ControlSetting
from ntk_theory.claims.generalisation.families import COUNTEREXAMPLE, EVERY, FAMILIES, GRID
from ntk_theory.claims.generalisation.measurements import (
    counterexample_row,
    family_rows,
    measurements,
    signed_row,
)
from ntk_theory.claims.generalisation.nets import Norms, climb
from ntk_theory.claims.generalisation.noise_rates import Sweep, errors_over_rates, signed_errors
from ntk_theory.claims.generalisation.plan import SWEEP_RATES, Plan, make_plan, planned_premises
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]

_KEYS = {DISTILLED: "distilled", PLAIN_TRAINING: "plain"}
"""Names of the ways in the arrays."""


def _cluster_arrays(found: Norms) -> dict[str, Array]:
    """Measures over the noise rate: of nets, and dense ones of the closed forms."""
    plan = found.plan
    problem, few = plan.problem, found.over_rates
    dense = np.linspace(0, 1.1 * max(nets.problem.noise_rate for nets in few), 34)
    arrays: dict[str, Array] = {
        "cluster_rate": np.array([nets.problem.noise_rate for nets in few]),
        "predicted_rate": dense,
        "clean_measure": measure_of(plan.problem, labels_distance(plan.problem, clean=True)),
    }
    for way, key in _KEYS.items():
        curves = [predicted_measure(problem, way, float(rate)) for rate in dense]
        arrays[f"{key}_measure"] = measure_of(
            plan.problem, np.array([nets.distances[way] for nets in few])
        )
        arrays[f"{key}_predicted_measure"] = np.array(curves)
    return arrays


def _family_arrays(plan: Plan, compared: Comparison, sweep: Sweep) -> dict[str, Array]:
    """Test errors on Gaussian clusters, over the stopping time and over the noise rate."""
    nets = plan.family_nets
    steps = np.mean([task.steps for task in compared.tasks[:nets]])
    return {
        "time": np.geomspace(1 / steps, 1, GRID)[::EVERY],
        "plain_error": 1 - compared.plain,
        "plain_error_limit": 1 - compared.plain_limits[:nets],
        "distilled_error": 1 - compared.measured[:, 0],
        "distilled_error_limit": 1 - compared.paired[:, 0],
        "sweep_rate": np.array(SWEEP_RATES),
        "sweep_limit": sweep.limits,
        "sweep_trained_rate": sweep.trained,
        "sweep_error": sweep.measured,
    }


def _finding(found: Norms, compared: Sequence[Comparison]) -> str:
    distances = {way: float(found.distances(way)[-1].mean()) for way in (DISTILLED, PLAIN_TRAINING)}
    leads = "; ".join(
        f"{one.name} {one.measured[:, 1].mean():+.3f} and {one.measured[:, 2].mean():+.3f}"
        for one in compared
    )
    return (
        f"nets move {distances[DISTILLED]:.4g} from their start under self-distillation and "
        f"{distances[PLAIN_TRAINING]:.4g} when they memorise; lead in accuracy on fresh points "
        f"over the memorised net and over the best stopping time: {leads}"
    )


def _metrics(compared: Comparison, width: int) -> list[dict[str, Any]]:
    """One row for each of the widest nets on a family."""
    return [
        {
            "training": compared.name,
            "width": width,
            "net": net,
            "accuracy": float(accuracy),
            "lead_over_memorised": float(memorised),
            "lead_over_best_stopping": float(best),
        }
        for net, (accuracy, memorised, best) in enumerate(compared.measured)
    ]


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    found = Norms(plan, plan.nets.ladder(plan.problem.dataset.clean))
    climb(found, evidence, progress)
    evidence.metrics += found.ladder.metrics()
    if evidence.diverged(found.ladder.stopped()):
        return ""
    evidence.measurements += measurements(found)
    evidence.arrays |= _cluster_arrays(found)
    if not evidence.sound:  # the verdict is out
        return ""
    compared = []
    for index, family in enumerate(FAMILIES):
        evidence.progress_note = f"clusters done; at the family {family.name!r}"
        compared.append(compare(plan, index, progress))
        evidence.measurements += family_rows(compared[-1])
        evidence.metrics += _metrics(compared[-1], plan.family_widths[-1])
    evidence.measurements.append(counterexample_row(plan.tasks(len(FAMILIES), COUNTEREXAMPLE)))
    evidence.premises.append(separation_premise(compared[0]))
    first, width = compared[0], plan.signed_width
    evidence.progress_note = "families done; at the sign of the lead and at other noise rates"
    signed = signed_errors(plan, first, progress)
    if first.separated:
        evidence.measurements.append(signed_row(first, signed, width))
    sweep = errors_over_rates(plan, first, signed, progress)
    evidence.arrays |= _family_arrays(plan, first, sweep)
    if evidence.sound:
        evidence.progress_note = "at the controls"
        setting = ControlSetting(found, compared[0], progress)
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    return _finding(found, compared)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Measure norms on the clusters and accuracies on the families, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

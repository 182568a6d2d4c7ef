"""A run of `generalisation`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.generalisation import CLAIM
from ntk_theory.claims.generalisation.comparison import Comparison, compare, separation_premise
from ntk_theory.claims.generalisation.controls import CONTROLS, ControlSetting
from ntk_theory.claims.generalisation.families import EVERY, FAMILIES, GRID
from ntk_theory.claims.generalisation.measurements import family_rows, measurements
from ntk_theory.claims.generalisation.nets import Norms, climb
from ntk_theory.claims.generalisation.plan import (
    DISTILLED,
    PLAIN_TRAINING,
    Plan,
    make_plan,
    planned_premises,
    predicted_distance,
)
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _arrays(found: Norms, compared: Sequence[Comparison]) -> dict[str, Array]:
    plan, first = found.plan, compared[0]
    tasks = first.tasks[: plan.nets.count]
    return {
        "widths": np.array(plan.nets.widths),
        "distilled_distance": np.array(found.distances(DISTILLED)),
        "plain_distance": np.array(found.distances(PLAIN_TRAINING)),
        "predicted_distance": np.array(
            [predicted_distance(plan, curve) for _, curve in plan.ways.values()]
        ),
        "time": np.geomspace(1 / np.mean([task.steps for task in tasks]), 1, GRID)[::EVERY],
        "plain_accuracy": first.plain,
        "plain_limit": first.plain_limits[: plan.nets.count],
        "distilled_accuracy": first.measured[:, 0],
        "distilled_limit": first.paired[:, 0],
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
    if not evidence.sound:  # the verdict is out
        return ""
    compared = []
    for index, family in enumerate(FAMILIES):
        evidence.progress_note = f"clusters done; at the family {family.name!r}"
        compared.append(compare(plan, index, progress))
        evidence.measurements += family_rows(compared[-1])
        evidence.metrics += _metrics(compared[-1], plan.family_widths[-1])
    evidence.premises.append(separation_premise(compared[0]))
    evidence.arrays |= _arrays(found, compared)
    if evidence.sound:
        evidence.progress_note = "at the controls"
        setting = ControlSetting(found, compared[0], progress)
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    return _finding(found, compared)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Measure norms on the clusters and accuracies on the families, run the controls."""
    plan = make_plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))

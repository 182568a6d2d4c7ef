"""A run of `lazy`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.lazy import CLAIM
from ntk_theory.claims.lazy.controls import controls
from ntk_theory.claims.lazy.measurements import measurements
from ntk_theory.claims.lazy.nets import Nets, climb, initial_distances, recipes, signs_row
from ntk_theory.claims.lazy.plan import Plan, make_plan, planned_premises
from ntk_theory.claims.lazy.theory import DISTILLED, PLAIN_TRAINING
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _arrays(plan: Plan, nets: Mapping[str, Nets], distances: Sequence[Array]) -> dict[str, Array]:
    plain = nets[PLAIN_TRAINING]
    rows = len(nets[DISTILLED].widths)
    if not rows:
        return {}
    arrays = {
        "widths": np.array(plain.widths[:rows]),
        "initial_distance": np.stack(distances[:rows]),
        "predicted_initial_distance": np.sqrt(
            plan.theories[PLAIN_TRAINING].fluctuation() / np.array(plain.widths[:rows])
        ),
        "plain_predicted_movement": np.array(
            [plan.theories[PLAIN_TRAINING].largest_movement(width) for width in plain.widths[:rows]]
        ),
    }
    for key, name in (("plain", PLAIN_TRAINING), ("distilled", DISTILLED)):
        theory, found = plan.theories[name], nets[name]
        arrays |= {
            f"{key}_movement": np.stack(found.movement[:rows]),
            f"{key}_flipped": np.stack(found.flipped[:rows]),
            f"{key}_kernel_change": np.stack(found.kernel_change[:rows]),
            f"{key}_deviation": np.stack(found.deviation[:rows]),
            f"{key}_predicted_flipped": np.array(np.mean([x.flipped for x in theory.layers])),
            f"{key}_predicted_kernel_change": np.array(
                [theory.kernel_change_norm(width) for width in found.widths[:rows]]
            ),
            f"{key}_predicted_deviation": np.array(
                [theory.deviation(width) for width in found.widths[:rows]]
            ),
        }
    return arrays


def _finding(nets: Nets) -> str:
    return (
        f"at width {nets.widths[-1]} plain training moves no neuron by more than "
        f"{max(nets.movement[-1]):.3g}, flips {100 * nets.flipped[-1].mean():.2g} % of the "
        f"activations and leaves the net {nets.deviation[-1].mean():.2g} (RMS) from its "
        "linearisation; all fall as predicted, like m^{-1/2} to leading order"
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    ways = recipes(plan.problem)
    nets = {name: Nets() for name in ways}
    ladder = plan.nets.ladder(plan.problem.dataset.clean)
    distances: list[Array] = []
    progress.start(CLAIM.id, plan.work())
    for width in plan.nets.widths:
        evidence.progress_note = f"widths trained: {nets[DISTILLED].widths or 'none'}"
        distances.append(initial_distances(plan, width))
        for name, recipe in ways.items():
            climb(nets[name], ladder, name, recipe, plan.theories[name], width, progress)
        if evidence.diverged(ladder.stopped()):
            return ""
        evidence.metrics[:] = [row for name in ways for row in nets[name].metrics(name)]
        evidence.arrays |= _arrays(plan, nets, distances)
    evidence.measurements.append(signs_row(nets[DISTILLED]))
    evidence.measurements += measurements(plan, nets, distances)
    if evidence.sound:
        for control in controls(plan, progress):
            evidence.controls.append(control)
    return _finding(nets[PLAIN_TRAINING])


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladder, compare it with the laws, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

"""A run of `air`: nets on four designs, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.air import CLAIM
from ntk_theory.claims.air.controls import CONTROLS, ControlSetting
from ntk_theory.claims.air.designs import Case
from ntk_theory.claims.air.labels import Labels
from ntk_theory.claims.air.measurements import measurements
from ntk_theory.claims.air.nets import Climbed, climb
from ntk_theory.claims.air.plan import Plan, make_plan, planned_premises
from ntk_theory.claims.air.scaled import run_at_scale
from ntk_theory.image_size import AT_SCALE
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


def _spectrum(case: Case) -> dict[str, Array]:
    """Eigenvalues, and the energy of clean labels and of the noise along them, from the top.

    Flipping a share ρ of the labels shrinks them by 1 − 2ρ in the mean; the noise is what is left.
    """
    mean = (1 - 2 * case.dataset.noise_rate) * case.dataset.clean
    noise = case.spectrum.project(case.dataset.observed - mean) ** 2
    found = {
        "eigenvalues": case.spectrum.eigenvalues[::-1],
        "clean_energy": np.cumsum(case.clean_energy[::-1]),
        "noise_energy": np.cumsum(noise[::-1]) / noise.sum(),
    }
    if case.dataset.design.levels is not None:
        found["predicted_eigenvalues"] = case.eigenvalues[::-1]
    return found


def _arrays(plan: Plan, climbed: Sequence[Climbed]) -> dict[str, Array]:
    arrays: dict[str, Array] = {"predicted_gap": plan.gap}
    for one in climbed:
        name = one.case.name.replace(" ", "_")
        arrays[f"{name}_predicted_gap"] = one.case.predicted_gap
        shares = one.case.shares(one.outputs)
        arrays[f"{name}_gap"] = one.case.gap(shares)
        arrays |= {f"{name}_{key}": value for key, value in _spectrum(one.case).items()}
        if one.case.name == "tree":
            arrays["tree_shares"] = shares
            arrays["tree_predicted_shares"] = one.case.predicted_shares
            arrays["tree_levels"] = np.array(
                [one.case.eigenvalues[band].mean() for band in one.case.bands]
            )
    case = climbed[0].case
    labels = Labels(case.dataset.clean, case.dataset.observed)
    information, noise = labels.shares(climbed[0].outputs)
    predicted = labels.shares(case.outputs)
    return arrays | {
        "information": information,
        "noise": noise,
        "predicted_information": predicted[0],
        "predicted_noise": predicted[1],
    }


def _finding(plan: Plan, evidence: Evidence) -> str:
    rows = {row.name: row for row in evidence.measurements}
    factor = rows["clusters: half-time of noise over that of information"]
    return (
        f"nets of width {plan.nets.widths[-1]} take {factor.measured:.3g} times longer to "
        f"retrieve half of the noise than half of the information, predicted "
        f"{factor.predicted:.3g}; on all four designs the clean labels are ahead at every step"
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    """Train the ladders, compare with the filter, run the controls."""
    evidence.premises += planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    climbed: list[Climbed] = []
    for case in plan.cases:
        one = climb(case, plan, evidence, progress)
        if evidence.diverged(one.ladder.stopped()):
            return ""
        climbed.append(one)
        evidence.arrays |= _arrays(plan, climbed)
    evidence.measurements += measurements(plan, climbed)
    if evidence.sound:
        deviation = climbed[0].ladder.bound(lambda rung: rung.largest_deviation, plan.control_width)
        setting = ControlSetting(plan, deviation, progress)
        evidence.progress_note = "at the controls"
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    return _finding(plan, evidence)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladders, compare shares with the filter, run the controls."""
    if options.preset in AT_SCALE:
        return run_at_scale(options, progress)
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

"""A run of a claim: kernel limits first, then nets of growing width, rows, and controls."""

from __future__ import annotations

__all__ = ["Run", "WidthResult", "conducted", "run_claim"]

import numpy as np
from numpy.typing import NDArray

from ntk_theory.checking.claim import Claim
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.evidence import Evidence, conduct
from ntk_theory.checking.functionals import margins
from ntk_theory.checking.limits import kernel_limit_rows
from ntk_theory.checking.nets import WidthResult
from ntk_theory.checking.planting import Planted
from ntk_theory.checking.rows import Training
from ntk_theory.checking.run import Run
from ntk_theory.checking.verdicts import (
    ClaimResult,
    DeclarationError,
    Measurement,
    Options,
    Premise,
    Progress,
)

Array = NDArray[np.float64]


def _scatter_premise(one: Training, outputs: Array) -> Premise:
    """Nets learn from right predictions as long as they scatter less than the predicted margin.

    Scatter about their own mean is what a larger width takes away. The distance of that mean from
    the prediction is left to the rows: sharing a bias violates no premise.

    Args:
        one: a training in which predictions teach.
        outputs: of the narrowest nets, shape (S, k, n) or (S, k, n, C).
    """
    scatter = np.abs(outputs - outputs.mean(axis=0))
    scatter = scatter.reshape(*scatter.shape[:2], -1).max(axis=2)
    scatter *= outputs.ndim - 2  # of several outputs either of two may be off
    predicted = margins(one.predicted, one.points).min(axis=-1)
    spare = float((predicted - scatter)[:, one.signs_from :].min())
    return Premise(
        f"{one.name}: margin above the scatter of the narrowest nets",
        spare,
        spare > 0,
        f"predicted margin − {'twice the ' if outputs.ndim == 4 else ''}largest distance of an "
        f"output to the nets' mean > 0 from step {one.signs_from} on",
    )


def _predicted_signs_premise(one: Training, outputs: Array) -> Premise:
    """Nets have the predicted signs, right or wrong, if they scatter less than the outputs' size.

    Args:
        one: a training with steps whose signs are predicted.
        outputs: of the narrowest nets, shape (S, k, n).
    """
    steps = list(one.signs_at)
    scatter = np.abs(outputs - outputs.mean(axis=0))[:, steps].max()
    spare = float(np.abs(margins(one.predicted, one.points)[steps]).min() - scatter)
    return Premise(
        f"{one.name}: signs beyond the scatter of the narrowest nets",
        spare,
        spare > 0,
        "least predicted size of a margin − largest distance of an output to the nets' mean > 0 at "
        f"step {', '.join(map(str, steps))}",
    )


def _work(run: Run) -> float:
    """Neuron-steps of the whole run, controls included."""
    declared, nets = run.declared, run.nets
    own = sum(
        sum(one.widths_in(nets.widths)) * one.recipe.steps * one.nets_in(nets.count)
        for one in declared.trainings.values()
    )
    controls = [row.training for row in declared.broken_rows]
    teachers = {id(one.taught.by): one.taught.by for one in controls if one.taught is not None}
    broken = sum(one.recipe.steps for one in (*controls, *teachers.values()))
    more = sum(declared.claim.made("work", declared))
    if run.measures_rounding:
        more += nets.widths[0] * next(iter(declared.trainings.values())).recipe.steps
    return float(own + nets.control_width * declared.claim.control_nets * broken + more)


def _gather(run: Run, evidence: Evidence) -> str:
    declared, run.evidence = run.declared, evidence
    evidence.premises += declared.premises
    if hasattr(declared.problem, "lines"):
        evidence.about += declared.problem.lines()
    if hasattr(declared.problem, "arrays"):
        evidence.arrays |= declared.problem.arrays()
    if not evidence.premises_hold:
        return ""
    evidence.measurements += kernel_limit_rows(declared)
    if any(row.holds is not True for row in evidence.measurements):
        return ""  # a wrong formula costs no net
    run.foresee()
    run.progress.start(declared.claim.id, _work(run))
    try:
        finite = run.climb()
    finally:  # of an interrupted run, too
        evidence.metrics += run.metrics()
    if not finite:
        return ""
    for one in declared.trainings.values():
        if one.signs_from is not None:
            evidence.premises.append(_scatter_premise(one, run.results[one.name][0].outputs()))
        if one.signs_at:
            narrowest = run.results[one.name][0].outputs()
            evidence.premises.append(_predicted_signs_premise(one, narrowest))
    evidence.measurements += [run.measure(row) for row in declared.rows]
    evidence.measurements += run.parameters()
    measure = declared.claim.part("measure")
    for found in (measure and measure(run)) or ():  # one by one: it may look at the others
        if isinstance(found, Premise):
            evidence.premises.append(found)
        elif isinstance(found, Measurement):
            evidence.measurements.append(found)
        else:
            raise DeclarationError(
                f"measure of {declared.claim.id} must yield Measurements or Premises; got "
                f"{type(found).__name__}"
            )
    evidence.measurements += run.falling_rows()
    evidence.arrays |= run.arrays()
    if evidence.sound:
        evidence.progress_note = "at the controls"
        for control in declared.controls:
            evidence.controls.append(run.control(control))
        evidence.arrays |= run.arrays()  # again, as pictures may show controls
    return run.finding()


def conducted(run: Run) -> ClaimResult:
    """What comes of a run."""
    declared = run.declared
    return conduct(
        declared.claim,
        declared.options,
        declared.config,
        lambda evidence: _gather(run, evidence),
        lambda: [control.id for control in declared.controls],
    )


def run_claim(
    claim: Claim, options: Options, progress: Progress, planted: Planted | None = None
) -> ClaimResult:
    """Check a claim, on nets for which theory is wrong if an error is planted."""
    return conducted(Run(declare(claim, options), progress, planted=planted))

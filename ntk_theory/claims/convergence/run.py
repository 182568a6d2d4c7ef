"""A run of `convergence`: nets, rows, variants, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

from ntk_theory.claims.convergence import CLAIM
from ntk_theory.claims.convergence.controls import CONTROLS, ControlSetting
from ntk_theory.claims.convergence.measurements import measurements
from ntk_theory.claims.convergence.nets import DISTILLED, PLAIN_TRAINING, climb, trained_premises
from ntk_theory.claims.convergence.plan import Plan, make_plan, planned_premises
from ntk_theory.claims.convergence.scaled_run import run_at_scale
from ntk_theory.claims.convergence.variant_checks import check_variants
from ntk_theory.image_size import AT_SCALE
from ntk_theory.ladder import Ladder
from ntk_theory.problems import NoisyClusters
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

_TRAINED_ALL_THE_SAME = {"zero initial output", "narrowest net moves little"}
"""Premises without which the nets still show something worth seeing."""


def _finding(ladder: Ladder, problem: NoisyClusters) -> str:
    widest = ladder.rungs[DISTILLED][-1]
    best = ladder.rungs[PLAIN_TRAINING][-1].error.min(axis=1).mean()
    return (
        f"{len(widest.error)} nets of width {widest.width} end {widest.error[:, -1].mean():.4g} "
        f"(RMS) from the clean labels, predicted {problem.distilled.rms_error()[-1]:.4g}; plain "
        f"training with the best stopping time ends at {best:.4g}, bound "
        f"{2 * problem.noise_rate:.4g}"
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    problem = plan.problem
    evidence.premises += planned_premises(plan)
    if problem.predictable:
        evidence.arrays |= {
            "weights": problem.weights,
            "predicted_distilled": problem.distilled.rms_error(),
            "predicted_plain": problem.plain.rms_error()[: plan.plain_steps + 1],
        }
    unmet = {premise.name for premise in evidence.premises if not premise.holds}
    if not unmet <= _TRAINED_ALL_THE_SAME:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder = plan.nets.ladder(problem.dataset.clean)
    rounding_error = climb(ladder, plan, evidence, progress)
    if evidence.diverged(ladder.stopped()):
        return ""
    evidence.premises += trained_premises(ladder, problem, rounding_error)
    evidence.measurements += measurements(ladder, plan)
    if evidence.sound:
        check_variants(plan, evidence, progress)
    if evidence.sound:
        setting = ControlSetting.of(ladder, plan, progress)
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    return _finding(ladder, problem)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train ladder and variants, compare them with the closed forms, run the controls."""
    if options.preset in AT_SCALE:
        return run_at_scale(options, progress)
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )

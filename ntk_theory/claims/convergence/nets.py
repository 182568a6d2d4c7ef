"""The trained nets of `convergence`, taught by themselves and by the observed labels alone."""

from __future__ import annotations

__all__ = ["DISTILLED", "PLAIN_TRAINING", "climb", "trained_premises"]

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.convergence.plan import Plan
from ntk_theory.ladder import Ladder, margin_premise
from ntk_theory.problems import NoisyClusters
from ntk_theory.runs import Evidence
from ntk_theory.targets import PLAIN
from ntk_theory.verdicts import Premise, Progress

Array = NDArray[np.float64]

DISTILLED, PLAIN_TRAINING = "self-distillation", "plain training"


def climb(ladder: Ladder, plan: Plan, evidence: Evidence, progress: Progress) -> float:
    """Train all widths in both ways; returns the rounding error of the narrowest nets."""
    problem, widths = plan.problem, plan.nets.widths
    points = problem.dataset.clean, problem.dataset.flipped
    distilled = problem.distilled.outputs(*points)
    plain = problem.plain.outputs(*points)[: plan.plain_steps + 1]
    on_noisy_labels = replace(problem.recipe, distillation=PLAIN, steps=plan.plain_steps)
    rounding_error = 0.0
    for count, width in enumerate(widths):
        done = ", ".join(map(str, widths[:count])) or "none"
        evidence.progress_note = f"widths trained: {done} of {len(widths)}"
        trajectory = ladder.train(DISTILLED, problem.recipe, width, distilled, progress=progress)
        ladder.train(PLAIN_TRAINING, on_noisy_labels, width, plain, progress=progress)
        evidence.metrics[:] = ladder.metrics()
        evidence.arrays |= _arrays(ladder)
        if count == 0:
            rounding_error = ladder.rounding_error(problem.recipe, trajectory, width)
    return rounding_error


def _arrays(ladder: Ladder) -> dict[str, Array]:
    """Curves of the widths trained so far."""
    distilled, plain = ladder.rungs[DISTILLED], ladder.rungs[PLAIN_TRAINING]
    if ladder.stopped():
        return {}
    return {
        "widths": np.array([rung.width for rung in distilled]),
        "largest_deviation": np.stack([rung.largest_deviation for rung in distilled]),
        "distilled_error": distilled[-1].error,
        "plain_error": plain[-1].error,
    }


def trained_premises(
    ladder: Ladder, problem: NoisyClusters, rounding_error: float
) -> list[Premise]:
    """Hypotheses about the narrowest nets, step by step."""
    narrowest = ladder.rungs[DISTILLED][0]
    premises = [margin_premise([(problem, narrowest)])]
    if ladder.dtype != "float64":
        tenth = float(narrowest.largest_deviation.mean()) / 10
        premises.append(
            Premise(
                "rounding below the deviation",
                rounding_error,
                rounding_error < tenth,
                f"{ladder.dtype} − float64 < {tenth:.2g}, a tenth of the deviation",
            )
        )
    return premises

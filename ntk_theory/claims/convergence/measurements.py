"""Errors, signs and margins of the nets against the closed forms."""

from __future__ import annotations

__all__ = ["measurements"]

import math
from collections.abc import Iterator

import numpy as np

from ntk_theory import training
from ntk_theory.claims.convergence.broken import kernel_limits
from ntk_theory.claims.convergence.nets import DISTILLED, PLAIN_TRAINING
from ntk_theory.claims.convergence.plan import Plan
from ntk_theory.experiments import Rung
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import worst_limit_row
from ntk_theory.problems import NoisyClusters
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Relation


def _kernel_limit(problem: NoisyClusters) -> Measurement:
    """The infinitely wide net, run step by step on the measured kernel, against the closed form.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.
    """
    data, levels = problem.dataset, problem.spectrum
    limit = training.train_kernel_limit(
        problem.gram,
        data.observed,
        problem.distillation,
        learning_rate=problem.learning_rate,
        steps=problem.steps,
    )
    difference = float(np.abs(limit - problem.distilled.outputs(data.clean, data.flipped)).max())
    tolerance = len(data.inputs) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement("kernel recursion − closed form, largest", 0.0, difference, tolerance)


def _falling_error(
    ladder: Ladder, problem: NoisyClusters, checkpoints: tuple[int, int, int]
) -> list[Measurement]:
    """(b, c) The error at T/4, T/2 and T, and the order at which it falls with α_t.

    A tolerance of half the predicted value still tells the error from 0 and from its double.
    """
    widest = ladder.rungs[DISTILLED][-1]
    predicted = problem.distilled.rms_error()
    tolerance = {
        t: ladder.allowance(DISTILLED, lambda rung, t=t: rung.deviation[:, t])  # type: ignore[misc]
        for t in checkpoints
    }
    rows = [
        over_nets(
            f"RMS error after {t} steps",
            float(predicted[t]),
            widest.error[:, t],
            allowed,
            float(predicted[t]) / 2,
        )
        for t, allowed in tolerance.items()
    ]
    _, half, full = checkpoints
    if problem.weights[full - 1] == 0:
        return rows  # a schedule that underflows has no order
    fall = math.log(problem.weights[half - 1] / problem.weights[full - 1])
    order = math.log(predicted[half] / predicted[full]) / fall
    rows.append(
        over_nets(
            f"order of the error in α_t from {half} to {full} steps",
            order,
            np.log(widest.error[:, half] / widest.error[:, full]) / fall,
            # First-order propagation of both tolerances through the logarithm.
            sum(tolerance[t] / float(predicted[t]) for t in (half, full)) / fall,
            order / 2,
        )
    )
    return rows


def _signs_and_margin(ladder: Ladder, problem: NoisyClusters) -> list[Measurement]:
    """(d) No wrong sign at any width, and the predicted margin at the largest.

    A tolerance of ρ tells the margin of clean labels, 1, from that of the best stopping, 1 − 2ρ.
    """
    rungs = ladder.rungs[DISTILLED]
    return [
        Measurement(
            "0-1 error at the end, worst net of all widths",
            0.0,
            max(float(rung.zero_one.max()) for rung in rungs),
            0.0,
        ),
        over_nets(
            "margin at the end",
            float(problem.distilled.margin()[-1]),
            rungs[-1].margin,
            ladder.allowance(DISTILLED, lambda rung: rung.worst_deviation[:, -1]),
            problem.noise_rate,
        ),
    ]


def _separation(ladder: Ladder, problem: NoisyClusters, plain_steps: int) -> list[Measurement]:
    """(e) Plain training memorises; no stopping time beats 2ρ, and self-distillation does.

    Half the distance of 2√ρ and 2ρ tells the end from the best; ρ tells the best from 0.
    """
    plain = ladder.rungs[PLAIN_TRAINING]
    bound = 2 * problem.noise_rate
    # Without the widest nets, which would widen their own bound by breaking it.
    fitted = ladder.fit(PLAIN_TRAINING, lambda rung: rung.largest_deviation, -1)

    def slack(rung: Rung) -> float:
        return float(rung.error.min()) + fitted.upper(rung.width)

    worst = min(plain, key=slack)
    best = worst.error.min(axis=1)
    return [
        over_nets(
            f"plain training: RMS error after {plain_steps} steps (limit 2√ρ)",
            float(problem.plain.rms_error()[plain_steps]),
            plain[-1].error[:, -1],
            ladder.allowance(PLAIN_TRAINING, lambda rung: rung.deviation[:, -1]),
            math.sqrt(problem.noise_rate) - problem.noise_rate,
        ),
        Measurement(
            f"plain training: best RMS error at any step, width {worst.width} (bound 2ρ)",
            bound,
            float(best.min()),
            fitted.upper(worst.width),
            (float(best.min()), float(best.max())),
            Relation.AT_LEAST,
            resolution=problem.noise_rate,
        ),
        Measurement(
            "self-distillation: worst final RMS error of the widest nets (below 2ρ)",
            bound,
            float(ladder.rungs[DISTILLED][-1].error[:, -1].max()),
            0.0,
            relation=Relation.AT_MOST,
        ),
    ]


def _falling_deviation(ladder: Ladder) -> Iterator[Measurement]:
    """(f) Deviations fall with the width, as they would not from a prediction that is off.

    The supremum over t is the tolerance of the best step, the last step that of the final errors.
    """
    for way in (DISTILLED, PLAIN_TRAINING):
        yield ladder.falling_row(way, f"{way}, sup over t")
        yield ladder.falling_row(way, f"{way}, at the end", lambda rung: rung.deviation[:, -1])


def measurements(ladder: Ladder, plan: Plan) -> Iterator[Measurement]:
    """All rows of the claim but those of the variants."""
    problem = plan.problem
    yield _kernel_limit(problem)
    # Nets alone tell the formulas of the controls no better than to a tolerance.
    yield worst_limit_row(kernel_limits(plan), " of the controls")
    yield ladder.exponent_row(DISTILLED, "exponent of sup_t ‖u_m − u_∞‖/√n in m")
    yield from _falling_deviation(ladder)
    yield from _falling_error(ladder, problem, plan.checkpoints)
    yield from _signs_and_margin(ladder, problem)
    yield from _separation(ladder, problem, plan.plain_steps)

"""Retrieved shares, their half-times and their difference, of the nets against the filter."""

from __future__ import annotations

__all__ = ["measurements"]

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions, training
from ntk_theory.claims.air.designs import Case
from ntk_theory.claims.air.labels import Labels
from ntk_theory.claims.air.nets import TRAINING, Climbed, crossing
from ntk_theory.claims.air.plan import Plan
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]


def _kernel_limit(case: Case, labels: Array) -> Array:
    """Outputs of the infinitely wide net, step by step on the measured kernel."""
    return training.train_kernel_limit(
        case.gram,
        labels,
        case.recipe.distillation,
        learning_rate=case.learning_rate,
        steps=case.steps,
    )


def _kernel_gap(case: Case) -> Array:
    """R_t(y) − E R_t(noise) of the infinitely wide net, from its recursion on y and on I."""
    clean = case.dataset.clean
    limit = _kernel_limit(case, np.column_stack([clean, np.eye(clean.size)]))
    trace = np.trace(limit[:, :, 1:], axis1=1, axis2=2)
    return np.asarray((limit[:, :, 0] @ clean - trace) / clean.size)


def _rounding(case: Case) -> float:
    """Of outputs of the infinitely wide net: its recursion rounds by n eps a step.

    A measured eigenvalue is off by 8 n eps λ_max (solver and matrix), a filter by T η times that.
    """
    return 9 * len(case.gram) * case.steps * float(np.finfo(float).eps)


def _kernel_rows(plan: Plan) -> Iterator[Measurement]:
    """The infinitely wide nets, step by step on the measured kernels, against the closed forms.

    With less rounding than the least gap, information is ahead at every step.
    """
    off_filter, off_gap, allowed = 0.0, 0.0, 0.0
    least, expected = math.inf, math.inf
    for case in plan.cases:
        limit = _kernel_limit(case, case.recipe.observed)
        difference = np.sqrt(np.square(limit - case.outputs).mean(axis=1))
        gap = _kernel_gap(case)
        closed = predictions.retrieval_gap(
            case.eigenvalues, case.clean_energy, case.learning_rate, case.steps
        )
        off_filter = max(off_filter, float(difference.max()))
        off_gap = max(off_gap, float(np.abs(gap - closed).max()))
        allowed = max(allowed, _rounding(case))
        least, expected = min(least, float(gap[1:].min())), min(expected, float(closed[1:].min()))
    case = plan.clusters
    closed = predictions.cluster_gap(plan.levels, case.learning_rate, case.steps)
    off_closed = float(np.abs(_kernel_gap(case) - closed).max())
    for name, value in (
        ("kernel recursion − filter, RMS, worst design and step", off_filter),
        ("kernel limit: R(clean) − E R(noise) − formula, worst design and step", off_gap),
        ("kernel limit on clusters: R(clean) − E R(noise) − closed form, worst step", off_closed),
    ):
        yield Measurement(name, 0.0, value, allowed)
    yield Measurement(
        "kernel limit: least R(clean) − E R(noise) at any step, worst design",
        expected,
        least,
        allowed,
        resolution=expected,
    )


def _exponent(climbed: Climbed) -> Measurement:
    title = f"{climbed.case.name}: exponent of sup_t ‖u_m − u_∞‖/√n in m"
    return climbed.ladder.exponent_row(TRAINING, title)


def _kernel_half_times(plan: Plan) -> Measurement:
    """Half-times of the infinitely wide net, and their quotient, against the closed forms.

    Outputs that are off by δ (RMS) move a share along v by at most √n δ/‖v‖, and the logarithm of
    what is left, at least (1 − ηλ_+)/2 next to the crossing, by that over it. The interpolation
    adds up three such errors at most, over a slope that makes a half-time log 2; the quotient has
    those of both half-times.
    """
    case, levels, rate = plan.clusters, plan.levels, plan.clusters.learning_rate
    labels = Labels(case.dataset.clean, case.dataset.observed)
    shares = labels.shares(_kernel_limit(case, labels.observed))
    information, noise = (float(crossing(share)) for share in shares)
    relative = [
        information / predictions.half_time(levels.information, rate) - 1,
        noise / predictions.half_time(levels.noise, rate) - 1,
        noise / information / predictions.half_time_ratio(levels.information, levels.noise, rate)
        - 1,
    ]
    off = _rounding(case) / min(labels.kept, math.sqrt(1 - labels.kept**2))
    left = (1 - rate * levels.information) / 2
    return Measurement(
        "kernel limit on clusters: half-times and their quotient, largest relative error",
        0.0,
        max(map(abs, relative)),
        2 * 3 * off / left / math.log(2),
    )


def _half_time_rows(plan: Plan, climbed: Climbed) -> Iterator[Measurement]:
    """Half-times of information and noise, and by which factor they differ."""
    levels, rate = plan.levels, climbed.case.learning_rate
    information, noise = climbed.half_times[..., 0], climbed.half_times[..., 1]
    factor = predictions.half_time_ratio(levels.information, levels.noise, rate)
    early = predictions.half_time(levels.information, rate)
    late = predictions.half_time(levels.noise, rate)
    for name, expected, times, resolution in (
        ("half-time of information", early, information, early / 2),
        ("half-time of noise", late, noise, late / 2),
        ("half-time of noise over that of information", factor, noise / information, factor / 4),
    ):
        off = climbed.signed_allowance(np.log(times / expected))
        yield over_nets(
            f"clusters: {name}", expected, times[-1], expected * math.expm1(off), resolution
        )


def _design_rows(climbed: Climbed) -> Iterator[Measurement]:
    """Retrieved shares step by step, and information ahead of noise at every step.

    A share of ¼ off could be that of another eigenspace; half the gap tells it from none. The least
    gap is off by no more than the gap at some step; below the predicted one that leaves it positive
    at every step.
    """
    case = climbed.case
    shares = case.shares(climbed.outputs)
    gaps = case.gap(shares)
    peak, least = float(case.predicted_gap[case.peak]), float(case.predicted_gap[1:].min())
    allowed = climbed.allowance(climbed.gap_deviation)
    largest = np.abs(shares.mean(axis=0) - case.predicted_shares).max()
    yield Measurement(
        f"{case.name}: retrieved share − filter, worst eigenspace and step",
        0.0,
        float(largest),
        climbed.allowance(climbed.share_deviation),
        resolution=0.25,
    )
    yield over_nets(
        f"{case.name}: R(clean) − E R(noise) after {case.peak} steps, where it is largest",
        peak,
        gaps[:, case.peak],
        allowed,
        peak / 2,
    )
    yield over_nets(
        f"{case.name}: least R(clean) − E R(noise) at any step",
        least,
        gaps[:, 1:].min(axis=1),
        allowed,
        least,
    )


def _falling(climbed: Climbed) -> Iterator[Measurement]:
    """The deviation falls with the width, as it would not from a prediction that is off.

    Its supremum over t is mostly that of the slow eigenspaces, late in the run, where a wrong rate
    hardly shows. While the outputs rise a rate that is off by a factor moves them by that factor,
    to first order; so the deviation has to fall there as well, half way to the largest gap.
    """
    case, ladder = climbed.case, climbed.ladder
    yield ladder.falling_row(TRAINING, f"{case.name}, sup over t")
    rising = math.ceil(case.peak / 2)
    yield ladder.falling_row(
        TRAINING, f"{case.name}, after {rising} steps", lambda rung: rung.deviation[:, rising]
    )


def measurements(plan: Plan, climbed: Sequence[Climbed]) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield from _kernel_rows(plan)
    yield _kernel_half_times(plan)
    yield _exponent(climbed[0])
    yield from _half_time_rows(plan, climbed[0])
    for one in climbed:
        yield from _design_rows(one)
        yield from _falling(one)

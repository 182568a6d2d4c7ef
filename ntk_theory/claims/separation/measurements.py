"""Errors of stopped and of self-distilled nets against the closed forms."""

from __future__ import annotations

__all__ = ["measurements"]

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from ntk_theory import predictions
from ntk_theory.claims.separation.nets import final_deviation, relative_deviation
from ntk_theory.claims.separation.oracles import DISTILLED, PLAIN_TRAINING
from ntk_theory.claims.separation.plan import Plan
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import Way, limit_run, worst_limit_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Relation


def _kernel_rows(plan: Plan) -> list[Measurement]:
    """The infinitely wide net on the measured kernel, in all ways: closed forms, and the bound."""
    runs, least, rounding, rescaled = [], math.inf, 0.0, 0.0
    for index, problem in enumerate(plan.problems):
        for way in plan.ways(index):
            limit = limit_run(problem.spectrum, way)
            runs.append(limit)
            rounding = max(rounding, limit.rounding)
            clean = problem.dataset.clean
            if way.name != DISTILLED:
                error = np.sqrt(np.square(limit.outputs - clean).mean(axis=1))
                least = min(least, float(error.min()) / (2 * problem.noise_rate))
            if way.name == PLAIN_TRAINING:
                size = np.abs(limit.outputs[1:]).mean(axis=1, keepdims=True)
                error = np.sqrt(np.square(limit.outputs[1:] / size - clean).mean(axis=1))
                found = float(error.min())
                gap = found / predictions.overshoot_error(problem.ratio, problem.noise_rate) - 1
                rescaled = max(rescaled, abs(gap))
    return [
        worst_limit_row(runs),
        Measurement(
            "kernel limit: least error of any oracle / 2ρ",
            1.0,
            least,
            rounding,
            relation=Relation.AT_LEAST,
        ),
        Measurement(
            "kernel limit: best error of rescaled outputs / closed form − 1, largest",
            0.0,
            rescaled,
            # Outputs of the first step are smaller than 1, and so is the error.
            100 * rounding,
        ),
    ]


def _bound_row(name: str, ladder: Ladder, ways: list[Way], rho: float, plan: Plan) -> Measurement:
    """Best error of any net of any width: at least 2ρ, less the deviation at that width.

    All widths but the largest bound that deviation. A bound above ρ does not tell 2ρ from what
    self-distillation reaches.
    """
    found = []
    for way in ways:
        fitted = ladder.fit(way.name, partial(relative_deviation, way), -1)
        for rung in ladder.rungs[way.name]:
            share = fitted.upper(rung.width, plan.confidence)
            allowed = share * float(way.error.min()) + ladder.rounding_allowance(rung.width)
            best = rung.error.min(axis=1)
            found.append((float(best.min()) + allowed, allowed, best))
    _, allowed, best = min(found, key=lambda entry: entry[0])
    return Measurement(
        name,
        2 * rho,
        float(best.min()),
        allowed,
        (float(best.min()), float(best.max())),
        Relation.AT_LEAST,
        resolution=rho,
    )


def _rate_rows(plan: Plan, index: int, ladder: Ladder) -> list[Measurement]:
    """Oracle, self-distillation and their quotient at one noise rate, on the widest nets."""
    problem = plan.problems[index]
    own, plain = plan.ways(index)[:2]
    rho, name = problem.noise_rate, f"ρ = {problem.noise_rate:g}"
    best, final = float(plain.error.min()), float(own.error[-1])
    oracle = ladder.rungs[PLAIN_TRAINING][-1].error.min(axis=1)
    reached = ladder.rungs[DISTILLED][-1].error[:, -1]
    off_best = best * ladder.allowance(
        PLAIN_TRAINING, partial(relative_deviation, plain), plan.confidence
    )
    off_final = ladder.allowance(DISTILLED, final_deviation, plan.confidence)
    factor = final / best
    return [
        over_nets(f"best RMS error at any step, {name}", best, oracle, off_best, rho),
        _bound_row(f"best RMS error, every width, {name} (bound 2ρ)", ladder, [plain], rho, plan),
        over_nets(f"self-distilled RMS error, {name}", final, reached, off_final, final / 2),
        over_nets(
            f"self-distilled / best stopped, {name}",
            factor,
            reached / oracle,  # the same nets
            # First-order propagation of both tolerances through the quotient.
            (off_final + factor * off_best) / best,
            factor / 2,
        ),
        _rescaled_row(rho, ladder),
        Measurement(
            f"nets of any width that stopping serves better, {name}",
            0.0,
            sum(
                int((d.error[:, -1] >= p.error.min(axis=1)).sum())
                for d, p in zip(ladder.rungs[DISTILLED], ladder.rungs[PLAIN_TRAINING], strict=True)
            ),
            0.0,
        ),
    ]


def _rescaled_row(rho: float, ladder: Ladder) -> Measurement:
    """Nets stopped after one step pass the bound once outputs are divided by their mean size.

    That takes no label. 2ρ bounds what a stopping time gives, not what can be read off a stopped
    net, in which the noise next to the signal is least at the first step.
    """
    errors = [rung.rescaled_error[:, 1] for rung in ladder.rungs[PLAIN_TRAINING]]
    return Measurement(
        f"RMS error after one step, rescaled to mean size 1, every width, ρ = {rho:g}",
        2 * rho,
        float(max(error.max() for error in errors)),
        0.0,
        (float(min(error.min() for error in errors)), float(max(error.max() for error in errors))),
        Relation.AT_MOST,
    )


def _oracle_rows(plan: Plan, ladder: Ladder) -> list[Measurement]:
    """Other learning rates and soft schedules in the reference case: no oracle beats 2ρ."""
    rho = plan.problems[plan.reference].noise_rate
    ways = plan.ways(plan.reference)[2:]
    rates = [way for way in ways if way.name.startswith(PLAIN_TRAINING)]
    soft = [way for way in ways if way not in rates]
    rows = [
        _bound_row(
            f"best RMS error at other learning rates, ρ = {rho:g}", ladder, rates, rho, plan
        ),
        _bound_row(f"best RMS error on soft targets, ρ = {rho:g}", ladder, soft, rho, plan),
    ]
    for way in ways:
        best = float(way.error.min())
        allowed = best * ladder.allowance(
            way.name, partial(relative_deviation, way), plan.confidence
        )
        rows.append(
            over_nets(
                f"best RMS error, {way.name}",
                best,
                ladder.rungs[way.name][-1].error.min(axis=1),
                allowed,
                rho,
            )
        )
    return rows


def _falling(plan: Plan, index: int, ladder: Ladder) -> Iterator[Measurement]:
    """The deviations that set the tolerances fall with the width, in every way of training."""
    for way in plan.ways(index):
        title = f"{way.name}, ρ = {plan.problems[index].noise_rate:g}"
        own = final_deviation if way.name == DISTILLED else partial(relative_deviation, way)
        yield ladder.falling_row(way.name, title, own)


def measurements(plan: Plan, ladders: list[Ladder]) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield from _kernel_rows(plan)
    for index, ladder in enumerate(ladders):
        yield from _rate_rows(plan, index, ladder)
    yield from _oracle_rows(plan, ladders[plan.reference])
    for index, ladder in enumerate(ladders):
        yield from _falling(plan, index, ladder)

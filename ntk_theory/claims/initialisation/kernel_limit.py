"""The closed forms of `initialisation` against the measured kernels, to rounding."""

from __future__ import annotations

__all__ = ["kernel_rows"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, training
from ntk_theory.claims.initialisation.nets import Found, from_own_start
from ntk_theory.claims.initialisation.plan import Plan
from ntk_theory.predictions import ErrorCurve
from ntk_theory.runs import over_nets
from ntk_theory.targets import Distillation
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]

_DRAW_STREAM, _DRAWS = 6, 200
"""Random initial outputs at a larger ratio, kept apart from all other draws."""


def _rounding(plan: Plan) -> float:
    """Of outputs of size 1: n eps λ_max a step, over the 1/(ηλ_−) steps of the slowest mode."""
    levels, points = plan.problem.spectrum, len(plan.problem.gram)
    return points * float(np.finfo(float).eps) * levels.mean / levels.noise


def _limit(plan: Plan, distillation: Distillation, curve: ErrorCurve) -> float:
    """Largest distance of the kernel recursion from zero to a closed form, at any step."""
    problem = plan.problem
    outputs = training.train_kernel_limit(
        problem.gram,
        problem.dataset.observed,
        distillation,
        learning_rate=problem.learning_rate,
        steps=problem.steps,
    )
    predicted = curve.outputs(problem.dataset.clean, problem.dataset.flipped)
    return float(np.abs(outputs - predicted).max())


def _from_zero(plan: Plan) -> Iterator[Measurement]:
    """Outputs from a zero start on hard targets, and on the soft ones of a control.

    Soft targets forget ever more slowly: each of T steps rounds by η λ_max n eps.
    """
    problem = plan.problem
    steps = problem.steps * problem.learning_rate * problem.spectrum.noise
    yield Measurement(
        "kernel limit from zero − closed form, largest",
        0.0,
        _limit(plan, problem.distillation, problem.distilled),
        _rounding(plan),
    )
    yield Measurement(
        "kernel limit on soft targets − closed form, largest",
        0.0,
        _limit(plan, plan.soft_targets, plan.softly_distilled),
        max(1.0, steps) * _rounding(plan),
    )


def _spread(plan: Plan) -> Measurement:
    """Variance of (I − ηH)^t u_0 at a point, for u_0 of covariance κ_1, at every step.

    κ_1 is what training the output weights adds to the NTK. A product with a covariance that is at
    most 1/2 at a point rounds like one with outputs of size 1, and there are two of them a step.
    """
    problem, inputs = plan.problem, plan.problem.dataset.inputs
    covariance = kernels.ntk_limit(inputs, layers="both") - kernels.ntk_limit(inputs)
    step = np.eye(len(inputs)) - problem.learning_rate * problem.gram
    largest = 0.0
    for spread in plan.spread:
        difference = np.diag(covariance) - np.square(spread)
        largest = max(largest, float(np.abs(difference).max()))
        covariance = step @ covariance @ step
    return Measurement(
        "kernel limit: variance of what is left of an initial output − closed form, largest",
        0.0,
        largest,
        2 * _rounding(plan),
    )


def _from_own_starts(found: Found) -> Measurement:
    """The recursion on the measured kernel from every net's initial output, to the end.

    Signs that differ would be the end of the agreement: rounding makes one only where an output
    passes 0 by less than itself.
    """
    plan = found.plan
    problem = plan.problem
    start = np.concatenate([one.initial for one in (*found.plain, *found.smallest)])
    outputs = start
    for weight in problem.weights:
        target = weight * problem.dataset.observed + (1 - weight) * np.sign(outputs)
        outputs = outputs - problem.learning_rate * (outputs - target) @ problem.gram
    predicted = from_own_start(plan, start, problem.steps)
    return Measurement(
        "kernel limit from nets' own starts − recursion over clusters, largest",
        0.0,
        float(np.abs(outputs - predicted).max()),
        max(1.0, float(np.abs(start).max())) * _rounding(plan),
    )


def _easier(plan: Plan, easier: Plan) -> Measurement:
    """At a larger ratio random initial outputs of the large scale end where the zero start does.

    Their covariance is that of the measured kernels. The union bound says how many may fail, and
    what is left of the others' start is σ s(T). Half the error tells it from its double.
    """
    problem, scale = easier.problem, plan.large
    inputs, clean = problem.dataset.inputs, problem.dataset.clean
    covariance = kernels.ntk_limit(inputs, layers="both") - kernels.ntk_limit(inputs)
    key = np.random.SeedSequence(plan.nets.seed, spawn_key=(_DRAW_STREAM,))
    draws = np.random.default_rng(key).standard_normal((_DRAWS, clean.size))
    outputs = scale * draws @ np.linalg.cholesky(covariance).T
    for weight in problem.weights:
        target = weight * problem.dataset.observed + (1 - weight) * np.sign(outputs)
        outputs = outputs - problem.learning_rate * (outputs - target) @ problem.gram
    predicted = float(problem.distilled.rms_error()[-1])
    return over_nets(
        f"kernel limit at r = {problem.ratio:g}, scale {scale:g}: final RMS error",
        predicted,
        np.sqrt(np.square(outputs - clean).mean(axis=1)),
        scale * float(easier.spread[-1]) + easier.failure_bound(scale),
        predicted / 2,
    )


def kernel_rows(found: Found) -> Iterator[Measurement]:
    """Everything that deviations of nets are taken from; a wrong rate shows here at once."""
    yield from _from_zero(found.plan)
    yield _spread(found.plan)
    yield _from_own_starts(found)
    if found.plan.easier is not None:
        yield _easier(found.plan, found.plan.easier)

"""Norms on the clusters against closed forms, accuracies on the families against the limit."""

from __future__ import annotations

__all__ = ["family_rows", "measurements"]

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from ntk_theory import predictions
from ntk_theory.claims.generalisation.comparison import Comparison
from ntk_theory.claims.generalisation.nets import Norms, quadratic
from ntk_theory.claims.generalisation.plan import (
    DELTA,
    DISTILLED,
    PLAIN_TRAINING,
    Plan,
    labels_distance,
    measure_of,
    predicted_distance,
)
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Relation

Array = NDArray[np.float64]

_SIGN = 0.99
"""Confidence with which a lead over the best stopping time has to have its sign."""

_RESOLVED = 0.15
"""Relative tolerance that still tells a norm from √2 times it: half of the way."""


def _kernel_measures(plan: Plan) -> Measurement:
    """The measure with the measured Gram matrix against the closed forms, clean and observed.

    A solve with condition number λ_max/λ_min loses n eps times that, relative to the norm.
    """
    problem = plan.problem
    pairs = ((problem.dataset.clean, True), (problem.dataset.observed, False))
    relative = [
        abs(math.sqrt(float(quadratic(problem, labels)[0])) / labels_distance(plan, clean) - 1)
        for labels, clean in pairs
    ]
    levels, points = problem.spectrum, len(problem.gram)
    tolerance = points * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement(
        "measure of clean and observed labels, kernel − closed form, relative",
        0.0,
        max(relative),
        tolerance,
    )


def _norm_rows(found: Norms) -> list[Measurement]:
    """Distances of the trained weights, and measures of the trained outputs."""
    plan = found.plan
    rows = []
    for way, (_, curve) in plan.ways.items():
        predicted = predicted_distance(plan, curve)
        for name, values, scale in (
            ("‖W_T − W_0‖", found.distances(way), 1.0),
            ("measure of the outputs", found.from_outputs(way), float(measure_of(plan, 1.0))),
        ):
            rows.append(
                over_nets(
                    f"{way}: {name}",
                    predicted * scale,
                    values[-1] * scale,
                    found.allowance(values, predicted) * scale,
                    _RESOLVED * predicted * scale,
                )
            )
    return rows


def _bound_rows(found: Norms) -> list[Measurement]:
    """The margin bound at the nets' own norm and margin, and its slack on fresh points.

    First-order propagation: the norm enters linearly, the margin γ as 1/γ.
    """
    plan = found.plan
    problem, points = plan.problem, len(plan.problem.gram)
    flipped = problem.dataset.flipped
    rows = []
    for way, (_, curve) in plan.ways.items():
        learnt = ~flipped if way == PLAIN_TRAINING else np.ones(points, dtype=bool)
        below = 1 - float(learnt.mean())
        atoms = curve.outputs(problem.dataset.clean, flipped)[-1] * problem.dataset.clean
        margin, norm = float(atoms[learnt].min()), predicted_distance(plan, curve)
        distances, margins = found.distances(way), found.margins(way)
        measured = [
            predictions.margin_bound(
                float(measure_of(plan, distance)),
                float(own[learnt].min()),
                points,
                float((own < own[learnt].min()).mean()),
                1 - DELTA,
            )
            for distance, own in zip(distances[-1], margins, strict=True)
        ]
        measure = float(measure_of(plan, norm))
        predicted = predictions.margin_bound(measure, margin, points, below, 1 - DELTA)
        least = [(own * problem.dataset.clean)[:, learnt].min(axis=1) for own in found.outputs[way]]
        deviation = found.allowance(least, margin)
        relative = found.allowance(distances, norm) / norm + deviation / margin
        name = "self-distillation" if way == DISTILLED else "memorised"
        state = "vacuous" if predicted >= 1 else "not vacuous"
        rows.append(
            over_nets(
                f"{name}: margin bound on the error ({state})",
                predicted,
                measured,
                relative * measure / margin,
                2 * _RESOLVED * measure / margin,
            )
        )
    return rows


def measurements(found: Norms) -> Iterator[Measurement]:
    """All rows on the clusters."""
    yield _kernel_measures(found.plan)
    yield from _norm_rows(found)
    yield from _bound_rows(found)


def family_rows(compared: Comparison) -> list[Measurement]:
    """Leads of the nets against the kernel limit, and the sign that the spectrum predicts.

    Half of what was learnt beyond chance tells an accuracy from nothing.
    """
    name, paired, measured = compared.name, compared.paired, compared.measured
    learnt = float(paired[:, 0].mean()) - 1 / compared.tasks[0].family.classes
    rows = [
        over_nets(
            f"{name}: {what}",
            float(paired[:, column].mean()),
            measured[:, column],
            compared.tolerance(column),
            learnt / 2 if column == 0 else math.inf,
        )
        for column, what in (
            (0, "accuracy on fresh points"),
            (1, "lead over the memorised net"),
            (2, "lead over the best stopping time"),
        )
    ]
    rows += _sides(compared)
    return rows


def _sides(compared: Comparison) -> list[Measurement]:
    """Leads in the kernel limit, over all data sets: of the sign that is claimed.

    Over the memorised net always ahead, over the best stopping time on the side that the spectrum
    says. The interval is Student's for the mean; a single data set may fall on the other side.
    """
    side = "ahead" if compared.separated else "behind"
    words = "ahead of" if compared.separated else "behind"
    spectrum = f"r_eff {compared.information_ratio:.2f}, r* {compared.least_ratio:.2f}"
    return [
        _signed(f"{compared.name}: ahead of the memorised net", compared.limits[:, 1], "ahead"),
        _signed(
            f"{compared.name}: {words} the best stopping time ({spectrum})", compared.leads, side
        ),
    ]


def _signed(name: str, leads: Array, side: str) -> Measurement:
    """Mean lead over data sets, its whole interval on one side of 0."""
    reach = float(student.ppf(_SIGN, leads.size - 1)) * float(leads.std(ddof=1))
    mean, error = float(leads.mean()), reach / math.sqrt(leads.size)
    return Measurement(
        f"{name}, kernel limit, {leads.size} data sets",
        0.0,
        mean,
        0.0,
        (mean - error, mean + error),
        Relation.AT_LEAST if side == "ahead" else Relation.AT_MOST,
        whole_interval=True,
    )

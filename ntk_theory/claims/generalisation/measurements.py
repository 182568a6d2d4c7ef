"""Norms on the clusters against closed forms, accuracies on the families against the limit."""

from __future__ import annotations

__all__ = ["counterexample_row", "family_rows", "measurements", "signed_row"]

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from ntk_theory import predictions
from ntk_theory.claims.generalisation.closed_forms import (
    DISTILLED,
    PLAIN_TRAINING,
    labels_distance,
    measure_of,
    predicted_distance,
    soft_targets,
    ways_of,
)
from ntk_theory.claims.generalisation.comparison import Comparison, kernel_limits
from ntk_theory.claims.generalisation.families import EVERY, Task
from ntk_theory.claims.generalisation.nets import Norms, quadratic
from ntk_theory.claims.generalisation.plan import DELTA, RATE_NETS, Plan
from ntk_theory.ladder import falling_row
from ntk_theory.noise_grid import limit_run, predicted_way, worst_limit_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Relation

Array = NDArray[np.float64]

_VALIDATED = "the stopping time that is best on other fresh points"

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
        abs(
            math.sqrt(float(quadratic(problem, labels)[0])) / labels_distance(plan.problem, clean)
            - 1
        )
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


def _limit_rows(plan: Plan) -> Iterator[Measurement]:
    """The infinitely wide net, run on the measured kernel: its outputs are exact at every step.

    Those of the control with soft targets too: nets alone tell no rate from one nearby.
    """
    problem = plan.problem
    runs = [
        limit_run(problem.spectrum, predicted_way(way, problem, recipe, curve))
        for way, (recipe, curve) in plan.ways.items()
    ]
    yield worst_limit_row(runs)
    soft = limit_run(problem.spectrum, predicted_way("soft", problem, *soft_targets(problem)))
    yield worst_limit_row([soft], " of soft targets")


def _norm_rows(found: Norms) -> list[Measurement]:
    """Distances of the trained weights, and measures of the trained outputs."""
    plan = found.plan
    rows = []
    for way, (_, curve) in plan.ways.items():
        predicted = predicted_distance(plan.problem, curve)
        for name, values, scale in (
            ("‖W_T − W_0‖", found.distances(way), 1.0),
            (
                "measure of the outputs",
                found.from_outputs(way),
                float(measure_of(plan.problem, 1.0)),
            ),
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
    """The margin bound of the kernel limit, evaluated at the nets' own norm and margin.

    It is proved for functions in a ball of the kernel's space, which nets of finite width are not
    (section 7.9): the row says what the bound would come to, and not that it holds for them.
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
        margin, norm = float(atoms[learnt].min()), predicted_distance(problem, curve)
        distances, margins = found.distances(way), found.margins(way)
        measured = [
            predictions.margin_bound(
                float(measure_of(plan.problem, distance)),
                float(own[learnt].min()),
                points,
                float((own < own[learnt].min()).mean()),
                1 - DELTA,
            )
            for distance, own in zip(distances[-1], margins, strict=True)
        ]
        measure = float(measure_of(plan.problem, norm))
        predicted = predictions.margin_bound(measure, margin, points, below, 1 - DELTA)
        least = [(own * problem.dataset.clean)[:, learnt].min(axis=1) for own in found.outputs[way]]
        deviation = found.allowance(least, margin)
        relative = found.allowance(distances, norm) / norm + deviation / margin
        name = "self-distillation" if way == DISTILLED else "memorised"
        state = "vacuous" if predicted >= 1 else "not vacuous"
        rows.append(
            over_nets(
                f"{name}: margin bound of the kernel limit, at the nets' norm and margin ({state})",
                predicted,
                measured,
                relative * measure / margin,
                2 * _RESOLVED * measure / margin,
            )
        )
    return rows


def _rate_rows(found: Norms) -> Iterator[Measurement]:
    """Distances at other noise rates, which the widest nets of the ladder do not bound by theirs.

    A distance deviates by a share of itself that comes from the kernel's own fluctuation, and by
    one that comes from changed activations, which grows with the distance (section 7.9): at most
    the larger of 1 and the ratio of the distances times what it is on the ladder.
    """
    plan = found.plan
    for way, (_, curve) in plan.ways.items():
        own = predicted_distance(plan.problem, curve)
        relative = found.allowance(found.distances(way), own, RATE_NETS) / own
        for nets in found.over_rates:
            if nets.problem.noise_rate == plan.problem.noise_rate:
                continue
            predicted = predicted_distance(nets.problem, ways_of(nets.problem)[way][1])
            yield over_nets(
                f"{way}: ‖W_T − W_0‖ at ρ = {nets.problem.noise_rate:.3g}",
                predicted,
                nets.distances[way],
                relative * max(1.0, predicted / own) * predicted,
                _RESOLVED * predicted,
            )


def _falling(found: Norms) -> Iterator[Measurement]:
    """Deviations of outputs and distances fall with the width, as those from a wrong value do not.

    Outputs deviate by a largest RMS with a scatter of some 10 % from net to net, which lets an
    exponent be fitted. A distance is one number a net, with a scatter of some 60 %: the logarithm
    of the ratio of two means over 8 nets has a standard deviation of 0.15 to 0.3 [measured], to a
    room of 0.69 on four doublings.
    """
    ladder = found.ladder
    for way, (_, curve) in found.plan.ways.items():
        predicted = predicted_distance(found.plan.problem, curve)
        yield ladder.exponent_row(way, f"{way}: exponent of the outputs' deviation in the width")
        yield falling_row(
            ladder.widths,
            [np.abs(distance - predicted) for distance in found.distances(way)],
            f"{way}, ‖W_T − W_0‖",
        )


def measurements(found: Norms) -> Iterator[Measurement]:
    """All rows on the clusters."""
    yield _kernel_measures(found.plan)
    yield from _limit_rows(found.plan)
    yield from _norm_rows(found)
    yield from _rate_rows(found)
    yield from _bound_rows(found)
    yield from _falling(found)


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
            (0, "nets' accuracy, as in the limit"),
            (1, "nets' lead over the memorised net, as in the limit"),
            (2, "nets' lead over the best stopping time, as in the limit"),
        )
    ]
    rows += _sides(compared)
    return rows


def _sides(compared: Comparison) -> list[Measurement]:
    """Leads in the kernel limit, over all data sets: of the sign that is claimed.

    Over the memorised net always ahead, over the best stopping time on the side that the spectrum
    says. Ahead is ahead of the stopping time that is best in hindsight; behind is behind one chosen
    on other fresh points, as hindsight alone would be ahead of many. The interval is Student's for
    the mean; a single data set may fall on the other side.
    """
    spectrum = f"r_eff {compared.information_ratio:.2f}, r* {compared.least_ratio:.2f}"
    if compared.separated:
        words, leads, side = "ahead of the best stopping time", compared.leads, Relation.AT_LEAST
    else:
        words, leads, side = f"behind {_VALIDATED}", compared.validated, Relation.AT_MOST
    return [
        _signed(
            f"{compared.name}: ahead of the memorised net, kernel limit",
            compared.limits[:, 1],
            Relation.AT_LEAST,
        ),
        _signed(f"{compared.name}: {words} ({spectrum}), kernel limit", leads, side),
    ]


def counterexample_row(tasks: Sequence[Task]) -> Measurement:
    """A separating spectrum does not put self-distillation ahead: kernel limit of a power law."""
    family = tasks[0].family
    limits = kernel_limits(tasks)
    leads = [task.lead_over_validated(fresh) for task, fresh in zip(tasks, limits, strict=True)]
    ratio = float(np.mean([task.information_ratio for task in tasks]))
    least = predictions.least_ratio(family.noise_rate, family.classes)
    name = f"{family.name}: behind {_VALIDATED} (r_eff {ratio:.2f}, r* {least:.2f}), kernel limit"
    return _signed(name, np.array(leads), Relation.AT_MOST)


def signed_row(compared: Comparison, errors: Array, width: int) -> Measurement:
    """Nets themselves: ahead of the best stopping time where the spectrum separates.

    Differences of the same net on the same fresh points, a net and a data set each.

    Args:
        compared: the family, separated.
        errors: test errors of the nets, shape (D, 3).
        width: of the nets.
    """
    times = len(compared.tasks[0].grid[::EVERY])
    return _signed(
        f"{compared.name}: ahead of the best of {times} stopping times, nets of width {width}",
        errors[:, 1] - errors[:, 0],
        Relation.AT_LEAST,
    )


def _signed(name: str, leads: Array, side: Relation) -> Measurement:
    """Mean lead over data sets, its whole interval on one side of 0."""
    reach = float(student.ppf(_SIGN, leads.size - 1)) * float(leads.std(ddof=1))
    mean, error = float(leads.mean()), reach / math.sqrt(leads.size)
    return Measurement(
        f"{name}, {leads.size} data sets",
        0.0,
        mean,
        0.0,
        (mean - error, mean + error),
        side,
        whole_interval=True,
    )

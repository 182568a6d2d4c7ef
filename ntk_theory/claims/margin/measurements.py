"""Margins of the widest nets against the closed forms."""

from __future__ import annotations

__all__ = ["measurements"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, training
from ntk_theory.claims.margin.nets import CONFIDENCE, DISTILLED, PLAIN_TRAINING, STOPPED, Margins
from ntk_theory.claims.margin.plan import Plan, unseen_margin
from ntk_theory.ladder import falling_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Relation

Array = NDArray[np.float64]


def _kernel_limit(plan: Plan) -> Measurement:
    """Fresh outputs k(x, X) H^{-1} u of the measured kernel against the closed form.

    Rounding of the outputs, n eps λ_max over the 1/(ηλ_−) steps that the slowest mode remembers, is
    divided by λ_− once more, and the kernel vector has entries up to 1/2 on n points.
    """
    problem, recipe = plan.problem, plan.recipe
    gram, levels = kernels.ntk_limit(recipe.inputs), problem.spectrum
    outputs = training.train_kernel_limit(
        gram,
        recipe.observed,
        recipe.distillation,
        learning_rate=recipe.learning_rate,
        steps=recipe.steps,
    )
    fresh = kernels.ntk_limit(plan.fresh_inputs, recipe.inputs) @ np.linalg.solve(gram, outputs[-1])
    predicted = unseen_margin(plan, problem.distilled, recipe.steps)
    least = float((fresh * plan.fresh_labels).min())
    points = len(gram)
    rounding = points * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement(
        "kernel limit on fresh points − closed form",
        0.0,
        abs(least - predicted),
        rounding * points / (2 * levels.noise),
    )


def _training_rows(found: Margins) -> list[Measurement]:
    """Margins of self-distillation on the training points: the least, and the two atoms.

    A tolerance of ρ tells the margin of clean labels, 1, from that of the best stopping, 1 − 2ρ.
    """
    problem, ladder = found.plan.problem, found.ladder
    dataset, rho = problem.dataset, problem.noise_rate
    margins = found.outputs[DISTILLED][:, -1] * dataset.clean
    atoms = problem.distilled.outputs(dataset.clean, dataset.flipped)[-1] * dataset.clean
    allowed = found.allowance(DISTILLED, lambda rung: rung.worst_deviation[:, -1])
    rows = [
        over_nets(
            "self-distillation: least training margin",
            float(problem.distilled.margin()[-1]),
            ladder.rungs[DISTILLED][-1].margin,
            allowed,
            rho,
        )
    ]
    for name, chosen_points in (("flipped", dataset.flipped), ("clean", ~dataset.flipped)):
        rows.append(
            over_nets(
                f"self-distillation: mean margin of {name} points",
                float(atoms[chosen_points].mean()),
                margins[:, chosen_points].mean(axis=1),
                allowed,
                rho,
            )
        )
    distance = np.abs(margins - atoms).max(axis=1)
    rows.append(
        over_nets(
            "self-distillation: largest distance of a margin from its atom",
            0.0,
            distance,
            allowed,
            rho,
        )
    )
    return rows


def _plain_rows(found: Margins) -> list[Measurement]:
    """The best margin of plain training at any step, its bound 1 − 2ρ, and its end at −1."""
    problem, ladder = found.plan.problem, found.ladder
    rho = problem.noise_rate
    allowed = found.allowance(PLAIN_TRAINING, lambda rung: rung.worst_deviation.max(axis=1))
    highest = float(problem.plain.margin().max())
    return [
        over_nets(
            "plain training: best least margin at any step",
            highest,
            found.best[-1],
            allowed,
            # Half way to the margin that self-distillation reaches.
            (float(problem.distilled.margin()[-1]) - highest) / 2,
        ),
        _stopping_bound(found),
        over_nets(
            f"plain training: least margin after {problem.steps} steps (limit −1)",
            float(problem.plain.margin()[-1]),
            ladder.rungs[PLAIN_TRAINING][-1].margin,
            found.allowance(PLAIN_TRAINING, lambda rung: rung.worst_deviation[:, -1]),
            1 - rho,
        ),
    ]


def _stopping_bound(found: Margins) -> Measurement:
    """Best margin of any net of any width: at most 1 − 2ρ, but for the deviation at that width.

    The net that leaves least of it is shown; all widths but the largest bound that deviation.
    """
    ladder, rho = found.ladder, found.plan.problem.noise_rate
    fitted = ladder.fit(PLAIN_TRAINING, lambda rung: rung.worst_deviation.max(axis=1), -1)
    entries = []
    for width, best in zip(ladder.widths, found.best, strict=True):
        allowed = fitted.upper(width, CONFIDENCE) + ladder.rounding_allowance(width)
        entries.append((allowed - float(best.max()), allowed, best))
    _, allowed, best = min(entries, key=lambda entry: entry[0])
    return Measurement(
        "plain training: best least margin of any net of any width (bound 1 − 2ρ)",
        1 - 2 * rho,
        float(best.max()),
        allowed,
        (float(best.min()), float(best.max())),
        Relation.AT_MOST,
        resolution=2 * rho,
    )


def _fresh_rows(found: Margins) -> list[Measurement]:
    """Margins on fresh points under the three ways.

    1/(2r) tells 1 − 1/r from 1; ρ tells the margin with E = 0 from that with E = −2ρ.
    """
    plan = found.plan
    finest = 1 / (2 * plan.problem.spectrum.ratio)
    rows = []
    for way, name, resolution in (
        (DISTILLED, "self-distillation", finest),
        (STOPPED, f"plain training stopped at step {plan.best_step}", plan.problem.noise_rate),
        (PLAIN_TRAINING, "memorised", plan.problem.noise_rate),
    ):
        widest = found.fresh[way][-1]
        rows.append(
            over_nets(
                f"{name}: mean margin on fresh points",
                widest.predicted,
                widest.margins.mean(axis=1),
                found.fresh_allowance(way, lambda one: one.typical),
                resolution,
            )
        )
    widest = found.fresh[DISTILLED][-1]
    rows.append(
        over_nets(
            "self-distillation: least margin on fresh points",
            widest.predicted,
            widest.margins.min(axis=1),
            found.fresh_allowance(DISTILLED, lambda one: one.worst),
            plan.problem.noise_rate,
        )
    )
    return rows


def _falling(found: Margins) -> Iterator[Measurement]:
    """The deviations fall with the width, as they would not from a prediction that is off."""
    for way in (DISTILLED, PLAIN_TRAINING):
        yield found.ladder.falling_row(way, f"{way}, training points")
    yield falling_row(
        found.plan.nets.widths,
        [one.typical for one in found.fresh[DISTILLED]],
        "self-distillation, fresh points",
    )


def measurements(found: Margins) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield _kernel_limit(found.plan)
    yield from _training_rows(found)
    yield from _plain_rows(found)
    yield from _fresh_rows(found)
    yield from _falling(found)

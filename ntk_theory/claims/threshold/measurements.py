"""On which side of ρ* nets have every label right, and where their own boundary lies."""

from __future__ import annotations

__all__ = ["measurements"]

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.threshold.boundary import best_margin_row, first_margin_row
from ntk_theory.claims.threshold.controls import cases
from ntk_theory.claims.threshold.independent import independent_rows
from ntk_theory.claims.threshold.nets import Nets
from ntk_theory.claims.threshold.plan import Plan
from ntk_theory.ladder import falling_row
from ntk_theory.noise_grid import limit_run, worst_limit_row
from ntk_theory.verdicts import Measurement


def _kernel_rows(plan: Plan) -> list[Measurement]:
    """The infinitely wide net on the measured kernel: every cell on its side, and exact outputs.

    Those of the controls too: nets alone tell their closed forms no better than to a tolerance.
    """
    misplaced, runs, margin, rounding = 0, [], 0.0, 0.0
    for cell in plan.cells:
        problem, clean = cell.problem, cell.problem.dataset.clean
        limit = limit_run(problem.spectrum, cell.way)
        runs.append(limit)
        recovered = bool((limit.outputs[1:] * clean > 0).all(axis=1).any())
        misplaced += recovered is not cell.below
        size = math.sqrt(np.square(limit.outputs[1]).mean())
        off = abs((limit.outputs[1] * clean).min() / size - cell.first_margin)
        margin = max(margin, float(off))
        # Of one step: the rounding of one product, against outputs that are ηλ_− at least.
        share = problem.learning_rate * problem.spectrum.noise
        rounding = max(rounding, 8 * clean.size * float(np.finfo(float).eps) / share)
    return [
        Measurement("kernel limit: cells on the wrong side of ρ*", 0.0, misplaced, 0.0),
        worst_limit_row(runs),
        Measurement(
            "kernel limit: relative margin of the first step − closed form, largest",
            0.0,
            margin,
            rounding,
        ),
        worst_limit_row([case.broken.limit() for case in cases(plan)], " of the controls"),
    ]


def _side_rows(plan: Plan, nets: Nets, decided: list[bool]) -> list[Measurement]:
    """In every cell that the width decides, all nets recover all labels or none does, ever."""

    def count(below: bool, of: list[NDArray[np.bool_]]) -> int:
        sides = zip(plan.cells, of, decided, strict=True)
        return sum(int(bad.sum()) for cell, bad, ok in sides if ok and cell.below is below)

    recovered = [cell[-1] for cell in nets.recovered]
    kept = [
        np.abs(wrong - (0.0 if cell.below else cell.problem.noise_rate)) > 1e-9
        for cell, wrong in zip(plan.cells, nets.wrong, strict=True)
    ]
    return [
        Measurement(name, 0.0, measured, 0.0)
        for name, measured in (
            (
                "nets below ρ* with a wrong label at every step",
                count(True, [~right for right in recovered]),
            ),
            ("nets above ρ* with every label right at some step", count(False, recovered)),
            ("self-distilled nets below ρ* that end with a wrong label", count(True, kept)),
            (
                "self-distilled nets above ρ* that end with another share of wrong labels than ρ",
                count(False, kept),
            ),
        )
    ]


def _margin_row(plan: Plan, nets: Nets, deviation: float) -> Measurement:
    """Relative margin of the first step, in the cell whose nets are farthest from it."""
    off = [
        np.abs(margin[-1] - cell.first_margin).max()
        for cell, margin in zip(plan.cells, nets.relative_margin, strict=True)
    ]
    return Measurement(
        "relative margin of the first step: distance of the net farthest off",
        0.0,
        float(max(off)),
        deviation,
    )


def _falling(plan: Plan, nets: Nets) -> Iterator[Measurement]:
    """The relative deviation that sets the tolerances falls with the width, at every ratio."""
    for ratio in plan.ratios:
        deviations = nets.deviations(plan.of_ratio(ratio))
        yield falling_row(plan.nets.widths, deviations, f"relative outputs, r = {ratio:g}")


def measurements(
    plan: Plan, nets: Nets, deviation: float, *, boundaries: bool
) -> Iterator[Measurement]:
    """All rows of the claim.

    Args:
        plan: of the run.
        nets: trained.
        deviation: relative deviation that narrower nets let expect of the widest.
        boundaries: whether both sides of every threshold are decided, so that there is one.
    """
    yield from _kernel_rows(plan)
    yield from independent_rows(plan)
    yield from _side_rows(plan, nets, [cell.decided(deviation) for cell in plan.cells])
    yield _margin_row(plan, nets, deviation)
    for ratio in plan.ratios if boundaries else ():
        yield best_margin_row(plan, nets, ratio)
        yield first_margin_row(plan, nets, ratio)
    yield from _falling(plan, nets)

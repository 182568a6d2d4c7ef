"""Kernel limits: closed forms beside the recursion on the measured kernel, before any net."""

from __future__ import annotations

__all__ = ["kernel_limit_rows"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, spectrum
from ntk_theory.checking.declaration import Declaration
from ntk_theory.checking.rows import Row, Training
from ntk_theory.checking.verdicts import Measurement

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)

_NINE_DIGITS = 1e-9
"""What a closed form and the functional of predicted outputs may differ by: a functional may be as
ill-conditioned as it likes, and no theory is wrong in its tenth digit."""


@dataclass(frozen=True)
class _Limit:
    """The infinitely wide net of one training, run on the measured kernel."""

    training: Training

    @cached_property
    def gram(self) -> Array:
        return np.asarray(
            kernels.ntk_limit(self.training.recipe.inputs, layers=self.training.recipe.layers)
        )

    @cached_property
    def outputs(self) -> Array:
        """At the recorded steps."""
        simulate = self.training.simulate
        return self.training.recipe.kernel_limit() if simulate is None else simulate(None, 0)

    @cached_property
    def rounding(self) -> float:
        """Rounding of a product with H, n eps λ_max, over the steps that the slowest mode keeps.

        Those are 1/(ηλ_min), and no more than the run has.
        """
        bottom, top = spectrum.eigendecomposition(self.gram).eigenvalues[[0, -1]]
        rate = float(np.max(self.training.recipe.learning_rate))
        remembered = 1 / (rate * bottom) if bottom > 0 else math.inf
        steps = max(1.0, min(self.training.recipe.steps, remembered))
        return float(len(self.gram) * _EPS * max(rate * top, 1.0) * steps)

    @property
    def gap(self) -> tuple[float, float]:
        """Largest distance of the outputs from the closed form, and what rounding allows."""
        return float(np.abs(self.outputs - self.training.predicted).max()), self.rounding

    def held_out(self) -> Iterator[tuple[float, float]]:
        """The same on other points: k(x, X) H^{-1} u, which divides rounding by λ_min once more."""
        if not self.training.held_out:
            return
        least = float(spectrum.eigendecomposition(self.gram).eigenvalues[0])
        solved = np.linalg.solve(self.gram, self.outputs[-1])
        for points in self.training.held_out.values():
            kernel = kernels.ntk_limit(points.inputs, self.training.recipe.inputs)
            off = np.abs(kernel @ solved - points.points.predicted[0]).max()
            yield float(off), self.rounding * len(self.gram) / (2 * least)


def _worst(name: str, gaps: Sequence[tuple[float, float]]) -> Iterator[Measurement]:
    """The gap that is largest in units of its own rounding; NaN is larger than any."""
    if gaps:
        gap, allowed = max(
            gaps, key=lambda one: math.inf if math.isnan(one[0]) else one[0] / one[1]
        )
        yield Measurement(name, 0.0, gap, allowed, kind="formula")


def kernel_limit_rows(declared: Declaration) -> Iterator[Measurement]:
    """Closed forms of trainings, controls and rows, before any net is trained."""
    own = [_Limit(one) for one in declared.trainings.values() if one.kernel_limit]
    broken = {id(row.training): row.training for row in declared.broken_rows}
    of_controls = [_Limit(one) for one in broken.values() if one.kernel_limit]
    yield from _worst("kernel limit: outputs − closed form, largest", [one.gap for one in own])
    yield from _worst(
        "kernel limit on held-out points: outputs − closed form, largest",
        [gap for one in own for gap in one.held_out()],
    )
    yield from _worst(
        "kernel limit of the controls: outputs − closed form, largest",
        [gap for one in of_controls for gap in (one.gap, *one.held_out())],
    )
    yield from _worst(
        "rows: closed form − functional of the predicted outputs, largest",
        [
            _formula_gap(row, row.expect)
            for row in (*declared.rows, *declared.broken_rows)
            if row.expect is not None
        ],
    )
    for found in declared.claim.made("closed_forms", declared.problem):
        yield replace(found, kind="formula")


def _formula_gap(row: Row, expect: float) -> tuple[float, float]:
    """How far a row's closed form is from the functional of the predicted outputs."""
    return abs(expect - row.of_predicted), _NINE_DIGITS * max(1.0, abs(expect)) + row.interpolation

"""The trained nets of `initialisation`: antisymmetric pairs, the small scale, and plain nets."""

from __future__ import annotations

__all__ = [
    "SCALE_STREAM",
    "SMALLEST",
    "Found",
    "PlainNets",
    "climb",
    "from_own_start",
    "rms",
    "train_plain",
]

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory import predictions
from ntk_theory.claims.initialisation.law import Law, law_of_scale
from ntk_theory.claims.initialisation.plan import PAIRS, Plan
from ntk_theory.experiments import net_seeds, train_nets
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

SMALLEST = "smallest scale"
SCALE_STREAM = 4
"""Keeps the plain nets apart from those of ladders (0), of controls (1) and the draws (3)."""


def rms(difference: ArrayLike) -> Array:
    """Root mean square over the last axis."""
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)))


def from_own_start(plan: Plan, initial: Array, steps: int) -> Array:
    """Predicted outputs after so many steps of nets whose initial outputs are known.

    Args:
        plan: the problem.
        initial: u_0, shape (S, n).
        steps: t.
    """
    problem = plan.problem
    return predictions.block_recursion(
        problem.spectrum,
        problem.dataset.observed,
        problem.learning_rate,
        problem.weights[:steps],
        initial,
    )


@dataclass(frozen=True)
class PlainNets:
    """What the plainly initialised nets of one scale and width did.

    Attributes:
        scale: σ.
        width: m.
        initial: u_0, shape (S, n).
        early: outputs at the end of the burn-in, shape (S, n).
        final: outputs at the end, shape (S, n).
        stopped: explanation of a divergence, or None.
    """

    scale: float
    width: int
    initial: Array
    early: Array
    final: Array
    stopped: str | None


@dataclass
class Found:
    """Everything measured.

    Attributes:
        plan: what was trained.
        pairs: antisymmetric pairs over the widths.
        small: plain nets of the small scale over its widths.
        plain: those of all other scales: of the large one a set for each width, of the others one.
        smallest: three steps of the nets of the small scale, a set for each width.
    """

    plan: Plan
    pairs: Ladder
    small: Ladder
    plain: list[PlainNets] = field(default_factory=list)
    smallest: list[PlainNets] = field(default_factory=list)

    @classmethod
    def empty(cls, plan: Plan) -> Found:
        """Before training."""
        few = replace(plan.nets, count=plan.few)
        clean = plan.problem.dataset.clean
        return cls(plan, few.ladder(clean), replace(few, widths=plan.small_widths).ladder(clean))

    @cached_property
    def laws(self) -> list[Law]:
        """Predicted distributions, one a scale."""
        return [law_of_scale(self.plan, scale) for scale in self.plan.scales]

    def at(self, scale: float) -> list[PlainNets]:
        """Sets of plain nets of a scale, ascending in the width."""
        return [one for one in self.plain if one.scale == scale]

    def deviation(self, width: int) -> float:
        """Bound on the deviation of a net from its limit at the end of the burn-in."""
        step = self.plan.burn_in
        return self.pairs.fit(PAIRS, lambda rung: rung.deviation[:, step]).upper(width)

    def own_deviations(self) -> list[Array]:
        """RMS distance of large-scale nets to the recursion from each one's own initial output.

        At the end of the burn-in, one a net, for each width.
        """
        plan = self.plan
        return [
            rms(one.early - from_own_start(plan, one.initial, plan.burn_in))
            for one in self.at(plan.large)
        ]

    def small_deviations(self) -> list[Array]:
        """The same of the small scale, after the last step."""
        plan = self.plan
        return [
            rms(one.final - from_own_start(plan, one.initial, plan.problem.steps))
            for one in self.smallest
        ]

    def stopped(self) -> str | None:
        """Explanation of the first divergence, or None."""
        every = (*(one.stopped for one in self.plain), self.pairs.stopped(), self.small.stopped())
        return next((reason for reason in every if reason), None)


def _three_steps(scale: float, width: int, outputs: Array, stopped: str | None) -> PlainNets:
    """Nets whose outputs at the three steps are (S, 3, n); after a divergence there are none."""
    kept = outputs if stopped is None else np.full((len(outputs), 3, outputs.shape[2]), np.nan)
    return PlainNets(scale, width, kept[:, 0], kept[:, 1], kept[:, 2], stopped)


def train_plain(
    plan: Plan, scale: float, width: int, nets: int, stream: int, progress: Progress
) -> PlainNets:
    """Train plainly initialised nets and keep three of their steps."""
    record = (0, plan.burn_in, plan.problem.steps)
    trajectory = train_nets(
        replace(plan.problem.recipe, init_scale=scale, record=record),
        width,
        # The position of the scale keeps nets of one width apart.
        net_seeds(plan.nets.seed, width, nets, stream + 10 * plan.scales.index(scale)),
        dtype=plan.nets.dtype,
        device=plan.nets.device,
        progress=progress,
    )
    return _three_steps(scale, width, trajectory.outputs, trajectory.stopped)


def climb(found: Found, evidence: Evidence, progress: Progress) -> None:
    """Train antisymmetric pairs over the widths, then plain nets over scales and widths."""
    plan = found.plan
    recipe, zero_start = plan.problem.recipe, plan.zero_start
    for width in plan.nets.widths:
        found.pairs.train(PAIRS, recipe, width, zero_start, progress=progress)
    small = replace(recipe, init_scale=plan.small)
    for width in plan.small_widths:
        trajectory = found.small.train(SMALLEST, small, width, zero_start, progress=progress)
        outputs = trajectory.outputs
        if trajectory.stopped is None:
            outputs = outputs[:, [0, plan.burn_in, plan.problem.steps]]
        found.smallest.append(_three_steps(plan.small, width, outputs, trajectory.stopped))
    for scale in plan.scales[:-1]:
        trained = len(found.plain)
        evidence.progress_note = f"{trained} sets of plain nets trained, up to scale {scale:g}"
        widths = plan.nets.widths if scale == plan.large else (plan.width(scale),)
        found.plain += [
            train_plain(plan, scale, width, plan.count(scale), SCALE_STREAM, progress)
            for width in widths
        ]

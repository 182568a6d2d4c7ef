"""The trained nets of `margin`, and their margins on training and fresh points."""

from __future__ import annotations

__all__ = [
    "CONFIDENCE",
    "DISTILLED",
    "PLAIN_TRAINING",
    "STOPPED",
    "Fresh",
    "Margins",
    "climb",
    "fresh_margins",
    "ways",
]

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.margin.plan import Plan, unseen_margin
from ntk_theory.experiments import Rung
from ntk_theory.fitting import PowerLaw, fit_power_law
from ntk_theory.ladder import Ladder
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import Recipe
from ntk_theory.runs import Evidence
from ntk_theory.targets import PLAIN
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

DISTILLED, PLAIN_TRAINING, STOPPED = "self-distillation", "plain training", "best stopping"
CONFIDENCE = 1 - 1e-3 / 12
"""One in a thousand runs may exceed one of its (at most twelve) bounds, if the fits are right."""

_BOOTSTRAP_STREAM = 2


class Fresh(NamedTuple):
    """Margins of the nets of one width on fresh points, and their common prediction."""

    width: int
    margins: Array
    predicted: float

    @property
    def typical(self) -> Array:
        """Root mean square of (margin − prediction) over the points, shape (S,)."""
        return np.asarray(np.sqrt(np.square(self.margins - self.predicted).mean(axis=1)))

    @property
    def worst(self) -> Array:
        """Largest |margin − prediction|, shape (S,)."""
        return np.asarray(np.abs(self.margins - self.predicted).max(axis=1))


@dataclass
class Margins:
    """Everything measured on the ladder.

    Attributes:
        plan: what was trained.
        ladder: its rungs.
        fresh: for each way of training, margins on fresh points, a width each.
        outputs: for each way, those of the widest nets, shape (S, T + 1, n).
        best: least margin of plain training at its best step, shape (S,), a width each.
    """

    plan: Plan
    ladder: Ladder
    fresh: dict[str, list[Fresh]] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)
    best: list[Array] = field(default_factory=list)

    def fit(self, way: str, value: Callable[[Fresh], Array], rungs: int | None) -> PowerLaw:
        """Power law in the width of a deviation on fresh points."""
        found = self.fresh[way][:rungs]
        key = np.random.SeedSequence(self.ladder.seed, spawn_key=(_BOOTSTRAP_STREAM,))
        return fit_power_law(
            [one.width for one in found],
            [value(one) for one in found],
            rng=np.random.default_rng(key),
        )

    def fresh_allowance(self, way: str, value: Callable[[Fresh], Array]) -> float:
        """What the narrower widths let expect of a deviation at the widest."""
        widest = self.plan.nets.widths[-1]
        law = self.fit(way, value, -1)
        return law.upper(widest, CONFIDENCE) + self.ladder.rounding_allowance(widest)

    def allowance(self, way: str, value: Callable[[Rung], Array]) -> float:
        """The same for a deviation on the training points."""
        return self.ladder.allowance(way, value, CONFIDENCE)


def fresh_margins(plan: Plan, trajectory: Trajectory) -> Array:
    """Margin y f(x) of every net on every fresh point, shape (S, K fresh)."""
    assert trajectory.network is not None
    return np.asarray(trajectory.network(plan.fresh_inputs) * plan.fresh_labels)


def ways(plan: Plan) -> dict[str, tuple[Recipe, ErrorCurve]]:
    """Recipe and closed form of each way of training."""
    problem, recipe = plan.problem, plan.recipe
    plain = replace(recipe, distillation=PLAIN)
    return {
        DISTILLED: (recipe, problem.distilled),
        PLAIN_TRAINING: (plain, problem.plain),
        STOPPED: (replace(plain, steps=plan.best_step), problem.plain),
    }


def climb(found: Margins, evidence: Evidence, progress: Progress) -> None:
    """Train all widths in all ways, and look at their margins."""
    plan, ladder = found.plan, found.ladder
    points = plan.problem.dataset.clean, plan.problem.dataset.flipped
    for width in plan.nets.widths:
        evidence.progress_note = f"at width {width} of {plan.nets.widths[-1]}"
        for way, (recipe, curve) in ways(plan).items():
            predicted = curve.outputs(*points)[: recipe.steps + 1]
            trajectory = ladder.train(
                way, recipe, width, predicted, progress=progress, keep_network=True
            )
            found.outputs[way] = trajectory.outputs  # of the widest, in the end
            if ladder.stopped() is None:
                margins = fresh_margins(plan, trajectory)
                expected = unseen_margin(plan, curve, recipe.steps)
                found.fresh.setdefault(way, []).append(Fresh(width, margins, expected))
        least = (found.outputs[PLAIN_TRAINING] * points[0]).min(axis=2)
        found.best.append(least.max(axis=1))

"""The nets of `dark-knowledge` on the tree, and what they output on siblings."""

from __future__ import annotations

__all__ = ["TRAINING", "Climbed", "climb", "peak"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ntk_theory.claims.dark_knowledge.plan import CLASSES, Plan
from ntk_theory.claims.dark_knowledge.tree import along, knowledge, mean_outputs
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

TRAINING = "one-hot labels"
_CONFIDENCE = 0.999
"""Of the bounds that narrower nets put on the widest: some ten rows hold together."""


@dataclass(frozen=True)
class Climbed:
    """Dark knowledge and outputs of the nets of all widths.

    Attributes:
        ladder: the nets.
        knowledge: shape (widths, S, T + 1).
        means: output on the own class, siblings and others at the peak, shape (widths, S, 3).
        first_step: outputs after one step, along and over their prediction, shape (widths, S).
    """

    ladder: Ladder
    knowledge: Array
    means: Array
    first_step: Array

    def signed_allowance(self, values: Array, width: int | None = None) -> float:
        """What narrower nets let expect of an error with a sign, (widths, S), like m^{-1/2}.

        Student's bound on one further N(0, τ²/m) from the mean square of √m times the N narrower
        ones; a mean over nets is nearer to 0 (docs/theory.md, section 6.5). At a `width` given, all
        nets are used.
        """
        widths = np.array(self.ladder.widths, dtype=float)
        known = values if width else values[:-1]
        scaled = known * np.sqrt(widths[: len(known), None])
        at = width or self.ladder.widths[-1]
        quantile = float(stdtrit(scaled.size, (1 + _CONFIDENCE) / 2))
        spread = float(np.sqrt(np.square(scaled).mean() / at))
        return quantile * spread + self.ladder.rounding_allowance(at)


def peak(curves: Array, spacing: int = 1) -> tuple[Array, Array]:
    """Time and height of the peak of curves (..., T + 1), by a parabola through three steps."""
    top = np.clip(curves.argmax(axis=-1), spacing, curves.shape[-1] - 1 - spacing)
    before, at, after = (
        np.take_along_axis(curves, (top + shift)[..., None], axis=-1)[..., 0]
        for shift in (-spacing, 0, spacing)
    )
    shift = (before - after) / (2 * (before - 2 * at + after))
    return top + spacing * shift, at - (before - after) * shift / 4


def climb(plan: Plan, evidence: Evidence, progress: Progress) -> Climbed:
    """Train all widths on the tree."""
    ladder = plan.nets.ladder(plan.labels)
    curves, means, first_step = [], [], []
    for width in plan.nets.widths:
        evidence.progress_note = f"at width {width}"
        trajectory = ladder.train(TRAINING, plan.recipe, width, plan.outputs, progress=progress)
        evidence.metrics[:] = ladder.metrics()
        if ladder.stopped():
            break
        curves.append(knowledge(trajectory.outputs, plan.groups, CLASSES))
        count = plan.labels.shape[1]
        at_peak = trajectory.outputs[:, plan.peak_step].reshape(plan.nets.count, count, -1, count)
        by_class = at_peak.mean(axis=2)
        means.append(mean_outputs(by_class, CLASSES))
        first_step.append(along(trajectory.outputs[:, 1], plan.outputs[1]))
        evidence.arrays |= {
            "dark_knowledge": curves[-1],
            "class_outputs": by_class,
            "width": np.array(width),
        }
    return Climbed(ladder, np.array(curves), np.array(means), np.array(first_step))

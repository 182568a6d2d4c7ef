"""The trained nets of `threshold`: in every cell a ladder, and self-distillation of the widest."""

from __future__ import annotations

__all__ = ["Nets", "best_margin", "train_cell"]

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.threshold.plan import DISTILLED_NETS, Plan
from ntk_theory.experiments import train_nets
from ntk_theory.fitting import PowerLaw, fit_power_law
from ntk_theory.noise_grid import Way, climb
from ntk_theory.runs import Evidence
from ntk_theory.targets import BurnIn, Constant, Distillation
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_RELABELLING = Distillation(BurnIn(1, Constant(0.0)))
"""Self-distillation with its largest margin: one step of burn-in, then its own labels alone."""


@dataclass
class Nets:
    """What the nets of every cell did; axes: cell, width, net.

    Attributes:
        relative_deviation: largest deviation of an output over the predicted RMS output.
        recovered: whether every label was right at some step.
        first: mean y_i u_i(1) over the flipped points.
        relative_margin: least y_i u_i(1) over the predicted RMS output.
        best_margin: least y_i u_i(t) over the predicted RMS output, at the step where it is best.
        wrong: share of wrong labels at the end of self-distillation, widest nets: cell, net.
    """

    relative_deviation: list[Array] = field(default_factory=list)
    recovered: list[NDArray[np.bool_]] = field(default_factory=list)
    first: list[Array] = field(default_factory=list)
    relative_margin: list[Array] = field(default_factory=list)
    best_margin: list[Array] = field(default_factory=list)
    wrong: list[Array] = field(default_factory=list)

    def deviations(self, cells: list[int] | None = None) -> list[Array]:
        """Relative deviations of these cells (of all when left out) together, for each width."""
        values = np.stack(self.relative_deviation)
        chosen = values if cells is None else values[cells]
        return [chosen[:, k].ravel() for k in range(chosen.shape[1])]

    def bound(self, plan: Plan, rungs: int | None, width: int) -> float:
        """Relative deviation that nets of these widths let expect of a net of this width.

        Cells are pooled: relative to the outputs, nets deviate by much the same in all of them, and
        what differs adds to the scatter that the bound allows for.
        """
        fitted = _fit(plan, self.deviations()[:rungs])
        return fitted.upper(width, plan.confidence) + _rounding(plan, width)

    def typical(self, plan: Plan, width: int) -> float:
        """Relative deviation of a typical net of any width, by the power law of these nets."""
        return _fit(plan, self.deviations()).at(width)

    def mean_bound(self, plan: Plan, confidence: float) -> float:
        """The same of the mean over the nets of a cell, at the widest, from all narrower nets."""
        values = np.stack(self.relative_deviation).mean(axis=2)
        fitted = _fit(plan, list(values.T[:-1]))
        width = plan.nets.widths[-1]
        return fitted.upper(width, confidence) + _rounding(plan, width)


def _fit(plan: Plan, values: list[Array]) -> PowerLaw:
    """Power law in the width, of as many widths as there are values."""
    rng = np.random.default_rng(plan.nets.seed)
    return fit_power_law(plan.nets.widths[: len(values)], values, rng=rng)


def _rounding(plan: Plan, width: int) -> float:
    return float(np.finfo(plan.nets.dtype).eps * np.sqrt(width))


def best_margin(way: Way, clean: Array, outputs: Array) -> Array:
    """Largest relative margin at any step t >= 1.

    Args:
        way: whose predicted outputs give the unit.
        clean: labels y, shape (n,).
        outputs: shape (..., T + 1, n).
    """
    margins = (outputs * clean).min(axis=-1)[..., 1:]
    return np.asarray((margins / way.size).max(axis=-1))


def train_cell(plan: Plan, index: int, nets: Nets, evidence: Evidence, progress: Progress) -> bool:
    """Train the ladder of one cell, and some of its widest nets by self-distillation too.

    Returns:
        Whether all nets stayed finite.
    """
    cell = plan.cells[index]
    problem, way, ladder = cell.problem, cell.way, plan.ladder(index)
    clean, flipped = problem.dataset.clean, problem.dataset.flipped
    recovered: list[NDArray[np.bool_]] = []
    first: list[Array] = []
    margin: list[Array] = []
    best: list[Array] = []

    def look(trajectory: Trajectory) -> None:
        margins = trajectory.margins(clean)
        recovered.append(np.any(np.all(margins[:, 1:] > 0, axis=2), axis=1))
        first.append(margins[:, 1, flipped].mean(axis=1))
        margin.append(margins[:, 1].min(axis=1) / way.size[0])
        best.append(best_margin(way, clean, trajectory.outputs))

    if not climb(ladder, [way], evidence, progress, look):
        return False
    widest = train_nets(
        replace(way.recipe, distillation=_RELABELLING),
        ladder.widths[-1],
        ladder.seeds(ladder.widths[-1])[:DISTILLED_NETS],
        dtype=plan.nets.dtype,
        device=plan.nets.device,
        progress=progress,
    )
    if evidence.diverged(widest.stopped):
        return False
    nets.relative_deviation.append(
        np.stack([way.relative_deviation(rung) for rung in ladder.rungs[way.name]])
    )
    nets.recovered.append(np.stack(recovered))
    nets.first.append(np.stack(first))
    nets.relative_margin.append(np.stack(margin))
    nets.best_margin.append(np.stack(best))
    nets.wrong.append(widest.zero_one_error(clean)[:, -1])
    evidence.metrics += _metrics(plan, index, nets)
    return True


def _metrics(plan: Plan, index: int, nets: Nets) -> list[dict[str, float]]:
    """One row for each net of a cell."""
    problem = plan.cells[index].problem
    return [
        {
            "ratio": problem.ratio,
            "noise_rate": problem.noise_rate,
            "width": width,
            "net": net,
            "recovered": bool(nets.recovered[index][k, net]),
            "relative_margin": float(nets.relative_margin[index][k, net]),
            "relative_deviation": float(nets.relative_deviation[index][k, net]),
        }
        for k, width in enumerate(plan.nets.widths)
        for net in range(plan.nets.count)
    ]

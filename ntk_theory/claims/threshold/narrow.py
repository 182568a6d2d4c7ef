"""Which noise rates narrow nets recover, at one ratio: how the threshold emerges with the width."""

from __future__ import annotations

__all__ = ["Narrow", "narrow_work", "train_narrow"]

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ntk_theory import predictions
from ntk_theory.claims.threshold.nets import Nets
from ntk_theory.claims.threshold.plan import Cell, Plan, clustered_problem
from ntk_theory.experiments import net_seeds, train_nets
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
_NETS = 8
_STREAM = 4
"""Keeps the seeds of these nets apart from those of the grid and of the controls."""


class Narrow(NamedTuple):
    """Nets of growing width on all noise rates of one ratio.

    Attributes:
        ratio: r.
        rates: noise rates, ascending.
        widths: ascending.
        share: of the nets that have every label right at some step, shape (rates, widths).
        surely: noise rate up to which nets of each width have, as far as their deviation goes.
        never: noise rate from which on they have not.
    """

    ratio: float
    rates: Array
    widths: Array
    share: Array
    surely: Array
    never: Array


def _cells(plan: Plan) -> list[Cell]:
    """All noise rates below one half at the middle ratio."""
    ratio = plan.ratios[len(plan.ratios) // 2]
    spectrum = plan.problems[0].spectrum
    return [
        Cell(clustered_problem(plan.options, spectrum.clusters, ratio, k / spectrum.points))
        for k in range(1, (spectrum.points + 1) // 2)
    ]


def narrow_work(plan: Plan) -> float:
    """Neuron-steps, for the progress bar."""
    return sum(cell.problem.steps for cell in _cells(plan)) * sum(_WIDTHS) * _NETS


def _edge(cells: list[Cell], level: float) -> float:
    """Noise rate at which the predicted relative margin of step 1 has fallen to a level."""
    problem = cells[0].problem

    def above(rate: float) -> float:
        margin = predictions.relative_margin(problem.spectrum, rate, problem.learning_rate, 1)
        return float(margin) - level

    low, high = 1e-9, 0.5
    if above(low) <= 0:
        return 0.0
    if above(high) >= 0:
        return high
    root: float = brentq(above, low, high)
    return root


def train_narrow(plan: Plan, nets: Nets, progress: Progress) -> Narrow:
    """Train them, and predict where they stop recovering.

    The grid's nets say how outputs deviate, relative to their size, as a power of the width. A net
    that deviates by ν recovers while the predicted margin is above ν, and does not once it is below
    −ν (section 6.7). That the power law goes on down to these widths is a heuristic.
    """
    cells = _cells(plan)
    share = np.empty((len(cells), len(_WIDTHS)))
    for row, cell in enumerate(cells):
        key = np.random.SeedSequence(plan.nets.seed, spawn_key=(_STREAM, row))
        seed = int(key.generate_state(1, np.uint32)[0])
        for column, width in enumerate(_WIDTHS):
            trained = train_nets(
                cell.way.recipe,
                width,
                net_seeds(seed, width, _NETS, _STREAM),
                dtype=plan.nets.dtype,
                device=plan.nets.device,
                progress=progress,
            )
            margins = trained.margins(cell.problem.dataset.clean)[:, 1:]
            share[row, column] = np.all(margins > 0, axis=2).any(axis=1).mean()
    deviations = [nets.typical(plan, width) for width in _WIDTHS]
    return Narrow(
        cells[0].problem.ratio,
        np.array([cell.problem.noise_rate for cell in cells]),
        np.array(_WIDTHS, dtype=float),
        share,
        np.array([_edge(cells, level) for level in deviations]),
        np.array([_edge(cells, -level) for level in deviations]),
    )

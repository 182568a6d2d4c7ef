"""The trained nets of `generalisation` on the clusters: their norms and margins."""

from __future__ import annotations

__all__ = ["Norms", "RateNets", "climb", "quadratic"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from ntk_theory.claims.generalisation.closed_forms import ways_of
from ntk_theory.claims.generalisation.plan import RATE_NETS, Plan
from ntk_theory.experiments import net_seeds, train_nets
from ntk_theory.ladder import Ladder
from ntk_theory.problems import NoisyClusters
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_RISK = 1e-4
"""Probability that a single bound is exceeded by chance; a run has about ten."""

_RATE_STREAM = 11


class RateNets(NamedTuple):
    """Nets of the largest width on the clusters at one noise rate.

    Attributes:
        problem: the clusters.
        distances: ‖W_T − W_0‖_F for each way of training, one a net.
    """

    problem: NoisyClusters
    distances: dict[str, Array]


@dataclass
class Norms:
    """Norms and margins of the nets on the clusters, by way of training and width.

    Attributes:
        plan: what was trained.
        ladder: its rungs.
        outputs: for each way of training, those at the last step, a width each, shape (S, n).
        over_rates: a few of the widest nets at several noise rates.
    """

    plan: Plan
    ladder: Ladder
    outputs: dict[str, list[Array]] = field(default_factory=dict)
    over_rates: list[RateNets] = field(default_factory=list)

    def distances(self, way: str) -> list[Array]:
        """‖W_T − W_0‖_F of the nets of each width."""
        return [rung.distance for rung in self.ladder.rungs[way]]

    def from_outputs(self, way: str) -> list[Array]:
        """sqrt(uᵀH^{-1}u) of the nets' outputs, with the limiting kernel."""
        return [np.sqrt(quadratic(self.plan.problem, u)) for u in self.outputs[way]]

    def margins(self, way: str) -> Array:
        """y_i u_i of the widest nets, shape (S, n)."""
        return np.asarray(self.outputs[way][-1] * self.plan.problem.dataset.clean)

    def allowance(
        self, values: Sequence[Array], predicted: float, nets: int | None = None
    ) -> float:
        """Bound that the narrower widths put on the mean deviation of S nets of the widest.

        Deviations ∝ m^{-1/2}: √m times them has one scale, estimated by the root mean square of
        the N narrower nets; the mean square of the S widest over it has Fisher's law with S and N
        degrees of freedom (docs/theory.md, section 7.9).

        Args:
            values: of the nets of each width, the widest included.
            predicted: their common prediction.
            nets: S, if not the ladder's.
        """
        widths = self.plan.nets.widths
        scaled = np.concatenate(
            [
                math.sqrt(width) * (np.asarray(one) - predicted)
                for width, one in zip(widths[:-1], values, strict=False)
            ]
        )
        scale = math.sqrt(float(np.square(scaled).mean()))
        quantile = float(fisher.ppf(1 - _RISK, nets or len(values[-1]), scaled.size))
        rounding = self.ladder.rounding_allowance(widths[-1]) * predicted
        return scale * math.sqrt(quantile / widths[-1]) + rounding


def quadratic(problem: NoisyClusters, values: Array) -> Array:
    """vᵀH^{-1}v of rows v, with the measured kernel."""
    solved = np.linalg.solve(problem.gram, np.atleast_2d(values).T)
    return np.asarray(np.einsum("si,is->s", np.atleast_2d(values), solved))


def climb(found: Norms, evidence: Evidence, progress: Progress) -> None:
    """Train all widths in both ways."""
    plan, ladder = found.plan, found.ladder
    points = plan.problem.dataset.clean, plan.problem.dataset.flipped
    for width in plan.nets.widths:
        evidence.progress_note = f"on the clusters, at width {width} of {plan.nets.widths[-1]}"
        for way, (recipe, curve) in plan.ways.items():
            trajectory = ladder.train(way, recipe, width, curve.outputs(*points))
            found.outputs.setdefault(way, []).append(trajectory.outputs[:, -1])
            progress.advance(width * plan.nets.count)
    if ladder.stopped() is None:
        evidence.progress_note = "on the clusters, at other noise rates"
        found.over_rates += _over_rates(found, progress)


def _over_rates(found: Norms, progress: Progress) -> Iterator[RateNets]:
    """The widest nets at every noise rate of the plan that meets the premises."""
    plan, width = found.plan, found.plan.nets.widths[-1]
    for rate in plan.cluster_rates:
        problem = plan.at_rate(rate)
        if problem.noise_rate == plan.problem.noise_rate:
            few = {way: found.distances(way)[-1][:RATE_NETS] for way in plan.ways}
            yield RateNets(problem, few)
        elif all(premise.holds for premise in problem.premises()):
            seeds = net_seeds(plan.nets.seed, width, RATE_NETS, _RATE_STREAM)
            trained = {
                way: train_nets(
                    recipe, width, seeds, dtype=plan.nets.dtype, device=plan.nets.device
                ).distance
                for way, (recipe, _) in ways_of(problem).items()
            }
            yield RateNets(problem, trained)
            progress.advance(2 * width * RATE_NETS)

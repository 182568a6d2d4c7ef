"""`threshold` with one premise broken at a time: nets that never have every label right."""

from __future__ import annotations

__all__ = ["Case", "cases", "run_control"]

from dataclasses import dataclass

from ntk_theory import predictions
from ntk_theory.claims.threshold.nets import best_margin
from ntk_theory.claims.threshold.plan import Cell, Plan, clustered_problem
from ntk_theory.noise_grid import Broken, ControlNets, plain_way, whole_clusters
from ntk_theory.problems import NoisyClusters
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Control, Verdict

_CROSS_COSINE = 0.5
"""Between three clusters, so that their threshold moves."""


@dataclass(frozen=True)
class Case:
    """A control before it is run.

    Attributes:
        id: short name.
        broken_premise: what is changed.
        broken: what its nets are trained on.
        claimed: relative margin of the first step if the claim held all the same.
    """

    id: str
    broken_premise: str
    broken: Broken
    claimed: float


def _plain(problem: NoisyClusters) -> Broken:
    way = plain_way("plain training", problem)
    return Broken(problem.spectrum, problem.dataset.clean, way)


def _claimed(plan: Plan, ratio: float, rate: float) -> float:
    """Relative margin that the claim gives to the first step at this ratio and rate."""
    return Cell(clustered_problem(plan.options, 2, ratio, rate)).first_margin


def _odd_clusters(plan: Plan) -> Case:
    """Three clusters, correlated: the threshold moves down, and ρ lies between the two."""
    ratio = max(plan.ratios)
    probe = clustered_problem(plan.options, 3, ratio, 0.499, _CROSS_COSINE)
    moved = predictions.retrieval_ratio(
        probe.spectrum, probe.learning_rate, probe.steps, probe.label_mean
    )
    middle = sum(predictions.recoverability_threshold(r) for r in (moved, ratio)) / 2
    points = probe.spectrum.points
    rate = min((k / points for k in range(1, points)), key=lambda rho: abs(rho - middle))
    return Case(
        "odd-clusters",
        "as many clusters of either label: here three, correlated, at a rate below ρ*",
        _plain(clustered_problem(plan.options, 3, ratio, rate, _CROSS_COSINE)),
        _claimed(plan, ratio, rate),
    )


def _low_ratio(plan: Plan) -> Case:
    """At a ratio of 1.5 even the least noise is retrieved too fast."""
    ratio, rate = max(plan.ratios), 1 / plan.cells[0].problem.spectrum.points
    return Case(
        "low-ratio",
        f"λ_+/λ_− > 2: here 1.5 in place of {ratio:g}, with the least noise there is",
        _plain(clustered_problem(plan.options, 2, 1.5, rate)),
        _claimed(plan, ratio, rate),
    )


def _whole(plan: Plan) -> Case:
    """Two of six clusters flipped whole: their noise is in the information's eigenspace."""
    ratio, points = max(plan.ratios), plan.cells[0].problem.spectrum.points
    like = clustered_problem(plan.options, 6, ratio, 1 / points)
    return Case(
        "whole-clusters",
        "wrong labels are spread inside the clusters: here two of six clusters are flipped "
        f"whole, ρ = 1/3 at r = {ratio:g}",
        whole_clusters(points, ratio, like.learning_rate, like.steps),
        _claimed(plan, ratio, 1 / 3),
    )


def cases(plan: Plan) -> list[Case]:
    """In the order in which the claim lists them."""
    return [_odd_clusters(plan), _low_ratio(plan), _whole(plan)]


def run_control(case: Case, nets: ControlNets) -> Control:
    """Train its nets: the claim, that they have every label right at some step, has to fail."""
    broken, way = case.broken, case.broken.way
    failure = over_nets(
        "best relative margin at any step",
        float(best_margin(way, broken.clean, way.outputs)),
        best_margin(way, broken.clean, nets.train(way.recipe).outputs),
        nets.tolerance,
    )
    verdict = Verdict.SUPPORTED if failure.measured > 0 else Verdict.VIOLATED
    return Control(
        case.id,
        case.broken_premise,
        Verdict.VIOLATED,
        verdict,
        failure,
        case.claimed,
        nets.tolerance,
    )

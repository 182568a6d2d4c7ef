"""`memorisation` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["BROKEN", "CONTROLS", "control_tolerance"]

from collections.abc import Callable
from dataclasses import replace

from ntk_theory import predictions
from ntk_theory.claims.memorisation.plan import Plan
from ntk_theory.ladder import Ladder
from ntk_theory.noise_grid import (
    Broken,
    ControlNets,
    control_width,
    predicted_way,
    whole_clusters,
)
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.targets import Distillation, Geometric, weights
from ntk_theory.verdicts import Control


def control_tolerance(plan: Plan, reference: Ladder) -> float:
    """Bound on the largest deviation of an output of control nets, from the reference cell."""
    width = control_width(plan.nets)
    fitted = reference.fit(plan.reference_cell.name, lambda rung: rung.worst_deviation.max(axis=1))
    return fitted.upper(width, plan.confidence) + reference.rounding_allowance(width)


def _distilled(plan: Plan) -> Broken:
    """Hard self-distillation in place of the observed labels."""
    problem = plan.reference_cell.problem
    way = predicted_way("self-distillation", problem, problem.recipe, problem.distilled)
    return Broken(problem.spectrum, problem.dataset.clean, way)


def _flipped_whole(plan: Plan) -> Broken:
    """Whole clusters flipped, up to the first wrong step of the reference cell."""
    cell, problem = plan.reference_cell, plan.reference_cell.problem
    points, rate = problem.spectrum.points, problem.learning_rate
    return whole_clusters(points, problem.ratio, rate, cell.first_wrong)


def _fading(plan: Plan) -> Broken:
    """Soft targets, with weights of the observed labels that have a finite sum."""
    cell, problem = plan.reference_cell, plan.reference_cell.problem
    schedule = Geometric(cell.first_wrong / 2)
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        weights(schedule, problem.steps),
    )
    recipe = replace(problem.recipe, distillation=Distillation(schedule, "soft"))
    way = predicted_way("fading soft targets", problem, recipe, curve)
    return Broken(problem.spectrum, problem.dataset.clean, way)


BROKEN: tuple[Callable[[Plan], Broken], ...] = (_distilled, _flipped_whole, _fading)
"""What the controls are run on."""


def _hard_targets(plan: Plan, nets: ControlNets) -> Control:
    """Hard self-distillation does not memorise: its margin stays positive (section 7)."""
    problem = plan.reference_cell.problem
    margins = nets.least_margins(_distilled(plan))
    failure = over_nets(
        f"least margin from step {problem.first_taught} to {problem.steps}",
        problem.worst_margin,
        margins[:, problem.first_taught :].min(axis=1),
        nets.tolerance,
    )
    return judged_control(
        "hard-self-distillation",
        "the labels are the observed ones at every step: here hardened predictions replace them",
        failure,
        float(problem.plain.margin()[-1]),
        nets.tolerance,
    )


def _whole_clusters(plan: Plan, nets: ControlNets) -> Control:
    """Whole flipped clusters lie in the information's eigenspace: no U, wrong from step 1 on."""
    cell, broken = plan.reference_cell, _flipped_whole(plan)
    margin = cell.problem.plain.margin()[: cell.first_wrong + 1]
    step = int(margin.argmax())
    failure = over_nets(
        f"margin at step {step}, where it was best",
        float((broken.way.outputs[step] * broken.clean).min()),
        nets.least_margins(broken)[:, step],
        nets.tolerance,
    )
    return judged_control(
        "whole-clusters",
        "wrong labels are spread inside the clusters: here two of six clusters are flipped whole",
        failure,
        float(margin[step]),
        nets.tolerance,
    )


def _fading_soft_targets(plan: Plan, nets: ControlNets) -> Control:
    """Soft targets with a finite sum of weights stop before they memorise (section 5)."""
    problem, broken = plan.reference_cell.problem, _fading(plan)
    failure = over_nets(
        f"margin after {problem.steps} steps",
        float((broken.way.outputs[-1] * broken.clean).min()),
        nets.least_margins(broken)[:, -1],
        nets.tolerance,
    )
    return judged_control(
        "fading-soft-targets",
        "the observed labels keep their weight: here it fades out, in favour of soft predictions",
        failure,
        float(problem.plain.margin()[-1]),
        nets.tolerance,
    )


CONTROLS: tuple[Callable[[Plan, ControlNets], Control], ...] = (
    _hard_targets,
    _whole_clusters,
    _fading_soft_targets,
)
"""In the order in which the claim lists them."""

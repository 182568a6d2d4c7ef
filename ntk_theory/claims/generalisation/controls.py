"""`generalisation` with one premise broken at a time."""

from __future__ import annotations

__all__ = ["CONTROLS", "ControlSetting"]

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data
from ntk_theory.claims.generalisation.closed_forms import predicted_distance, soft_targets
from ntk_theory.claims.generalisation.comparison import Comparison, untrained
from ntk_theory.claims.generalisation.families import Job, Task
from ntk_theory.claims.generalisation.nets import Norms
from ntk_theory.claims.generalisation.plan import CONTROL_NETS, CONTROL_STREAM
from ntk_theory.claims.generalisation.together import distilled_limits, trained
from ntk_theory.experiments import net_seeds
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.targets import BurnIn, Power
from ntk_theory.verdicts import Control, Progress

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ControlSetting:
    """What controls are held against, and how far their nets may lie from theory.

    Attributes:
        found: norms on the clusters.
        compared: accuracies on the Gaussian clusters.
        progress: advanced as control nets train.
    """

    found: Norms
    compared: Comparison
    progress: Progress

    @property
    def tasks(self) -> list[Task]:
        """Data sets that the control nets are trained on."""
        return self.compared.tasks[: self.found.plan.family_nets]

    @property
    def claimed(self) -> float:
        """Accuracy of self-distillation on them."""
        return float(self.compared.paired[:, 0].mean())

    def accuracies(self, jobs: Sequence[Job]) -> list[float]:
        """Of fresh nets of the largest width, each trained on another task and its job."""
        plan, tasks = self.found.plan, self.tasks
        width = plan.family_widths[-1]
        seeds = net_seeds(plan.nets.seed, width, plan.family_nets, CONTROL_STREAM)
        outputs = trained(tasks, untrained(plan, tasks, width, seeds), jobs)
        self.progress.advance(width * len(tasks))
        return [float(task.accuracy(end)) for task, (end,) in zip(tasks, outputs, strict=True)]

    def relative_allowance(self, width: int) -> float:
        """Relative deviation of a distance on the clusters, in either way, at this width."""
        found, plan = self.found, self.found.plan
        norms = {
            way: predicted_distance(plan.problem, curve) for way, (_, curve) in plan.ways.items()
        }
        allowed = max(
            found.allowance(found.distances(way), norm) / norm for way, norm in norms.items()
        )
        return math.sqrt(plan.nets.widths[-1] / width) * allowed


def _soft_targets(setting: ControlSetting) -> Control:
    """Soft targets fit the noise, and go as far as that takes (section 5)."""
    plan = setting.found.plan
    problem, width = plan.problem, plan.control_width
    soft, curve = soft_targets(problem)
    trained = plan.nets.train_controls(soft, width, CONTROL_NETS)
    setting.progress.advance(width * CONTROL_NETS)
    predicted = predicted_distance(problem, curve)
    tolerance = setting.relative_allowance(width) * predicted
    return judged_control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        over_nets("‖W_T − W_0‖ on the clusters", predicted, trained.distance, tolerance),
        predicted_distance(problem, problem.distilled),
        tolerance,
    )


def _late_burn_in(setting: ControlSetting) -> Control:
    """A burn-in that memorises makes the prediction teach what it has memorised (section 7.4)."""
    tasks, jobs = setting.tasks, []
    for task in tasks:
        schedule = task.distillation.schedule
        assert isinstance(schedule, BurnIn)
        assert isinstance(schedule.then, Power)
        late = replace(task.distillation, schedule=BurnIn(task.steps, schedule.then))
        jobs.append(Job(late, task.dataset.observed, [3 * task.steps // 2]))
    ends = distilled_limits(tasks, jobs)
    limits = [task.accuracy(fresh) for task, fresh in zip(tasks, ends, strict=True)]
    predicted = float(np.mean(limits))
    tolerance = (setting.claimed - predicted) / 2  # nearer to the one than to the other
    return judged_control(
        "late-burn-in",
        "burn-in while information is retrieved: here it is as long as the whole run was",
        over_nets(
            "accuracy on fresh points, Gaussian clusters",
            predicted,
            setting.accuracies(jobs),
            tolerance,
        ),
        setting.claimed,
        tolerance,
    )


def _random_labels(setting: ControlSetting) -> Control:
    """Labels without information teach nothing: accuracy 1/C.

    At worst all fresh points of a cluster are right or wrong together; clusters taken as
    independent, the mean has the variance of that many draws, and four standard deviations of it
    are allowed.
    """
    tasks = setting.tasks
    family = tasks[0].family
    root = np.random.SeedSequence(setting.found.plan.nets.seed, spawn_key=(CONTROL_STREAM,))
    jobs = []
    for seed, task in zip(root.spawn(len(tasks)), tasks, strict=True):
        drawn = np.random.default_rng(seed).integers(0, family.classes, len(task.gram))
        jobs.append(Job(task.distillation, data.encode(drawn, family.classes), [task.steps]))
    chance = 1 / family.classes
    tolerance = 4 * math.sqrt(chance * (1 - chance) / (family.groups * len(tasks)))
    return judged_control(
        "random-labels",
        "labels carry information: here every one is drawn at random",
        over_nets(
            "accuracy on fresh points, Gaussian clusters (chance)",
            chance,
            setting.accuracies(jobs),
            tolerance,
        ),
        setting.claimed,
        tolerance,
    )


CONTROLS: tuple[Callable[[ControlSetting], Control], ...] = (
    _soft_targets,
    _late_burn_in,
    _random_labels,
)
"""In the order in which the claim lists them."""

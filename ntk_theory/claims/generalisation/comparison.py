"""Nets on the families of data, beside the kernel limit on the same data sets."""

from __future__ import annotations

__all__ = ["Comparison", "both_ways", "compare", "kernel_limits", "separation_premise", "untrained"]

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from ntk_theory import predictions
from ntk_theory.claims.generalisation.families import Fresh, Task
from ntk_theory.claims.generalisation.plan import Plan
from ntk_theory.claims.generalisation.together import distilled_limits, in_threads, trained
from ntk_theory.experiments import net_seeds
from ntk_theory.network import TwoLayerReLU, initialise
from ntk_theory.verdicts import Premise, Progress

Array = NDArray[np.float64]

_LEAD_RISK = 1e-3
"""Probability that a bound on accuracies is exceeded: it is wider than its level (`Comparison`)."""

_FRESH_STREAM = 5


def untrained(
    plan: Plan, tasks: Sequence[Task], width: int, seeds: Sequence[int]
) -> list[TwoLayerReLU]:
    """A net for each task."""
    classes = tasks[0].family.classes
    return [
        initialise(
            width,
            task.dataset.inputs.shape[1],
            seeds=[seed],
            outputs=1 if classes == 2 else classes,
            dtype=getattr(torch, plan.nets.dtype),
            device=plan.nets.device,
        )
        for task, seed in zip(tasks, seeds, strict=True)
    ]


def both_ways(plan: Plan, tasks: Sequence[Task], width: int, seeds: Sequence[int]) -> list[Fresh]:
    """Self-distillation and plain training of a net for each task, from the same start."""
    twice = [task for task in tasks for _ in range(2)]
    networks = [net for net in untrained(plan, tasks, width, seeds) for _ in range(2)]
    jobs = [job for task in tasks for job in (task.job, task.plain_job)]
    outputs = trained(twice, networks, jobs)
    return [Fresh(end, plain) for (end,), plain in zip(outputs[::2], outputs[1::2], strict=True)]


@dataclass
class Comparison:
    """One family: the kernel limit on all its data sets, nets on the first few.

    Attributes:
        tasks: the data sets.
        leads: over the best of all stopping times, in the kernel limit, shape (D,).
        validated: over the stopping time that is best on other fresh points, shape (D,).
        limits: accuracy and both leads in the kernel limit, at the nets' stopping times, (D, 3).
        measured: the same of the widest nets, shape (S, 3).
        shifts: what narrower nets, their deviations shrunk to the largest width, would change in
            them, shape (3 S, 3).
        plain: accuracy of the widest nets at their stopping times, shape (S, G/3).
        plain_limits: the same in the kernel limit, shape (D, G/3).
    """

    tasks: list[Task]
    leads: Array
    validated: Array
    limits: Array
    measured: Array
    shifts: Array
    plain: Array
    plain_limits: Array

    @property
    def name(self) -> str:
        """Of the family."""
        return self.tasks[0].family.name

    @property
    def paired(self) -> Array:
        """The kernel limit on the data sets of the nets, shape (S, 3)."""
        return self.limits[: len(self.measured)]

    @property
    def information_ratio(self) -> float:
        """Mean over data sets."""
        return float(np.mean([task.information_ratio for task in self.tasks]))

    @property
    def separated(self) -> bool:
        """Whether the measured spectrum separates information from noise."""
        return self.information_ratio > self.least_ratio

    @property
    def least_ratio(self) -> float:
        """r* of the family's noise."""
        family = self.tasks[0].family
        return predictions.least_ratio(family.noise_rate, family.classes)

    def tolerance(self, column: int) -> float:
        """Prediction bound for the mean over nets of (net − kernel limit).

        Student's bound for the mean of S new values of the law of the N shifts. Fresh points of a
        cluster go right or wrong together, and a rare jump need not be among the shifts: one
        cluster in one net is allowed for besides.
        """
        shifts, nets = self.shifts[:, column], len(self.measured)
        spread = float(shifts.std(ddof=1)) * math.sqrt(1 / nets + 1 / shifts.size)
        family = self.tasks[0].family
        lump = family.groups if family.kind == "gaussian" else len(self.tasks[0].fresh_classes)
        quantile = float(student.ppf(1 - _LEAD_RISK / 2, shifts.size - 1))
        return abs(float(shifts.mean())) + quantile * spread + 1 / (lump * nets)


def kernel_limits(tasks: Sequence[Task]) -> list[Fresh]:
    """Fresh outputs of the infinitely wide net on each task, at all stopping times."""
    plain = in_threads(lambda task: task.plain_limit(), tasks)
    distilled = distilled_limits(tasks, [task.job for task in tasks])
    return [Fresh(*pair) for pair in zip(distilled, plain, strict=True)]


def compare(plan: Plan, family: int, progress: Progress) -> Comparison:
    """Kernel limit and nets on one family."""
    tasks = plan.tasks(family)
    in_threads(lambda task: task.information_ratio, tasks)
    finest = kernel_limits(tasks)
    limit = [fresh.coarse for fresh in finest]
    limits = np.array([task.gains(fresh) for task, fresh in zip(tasks, limit, strict=True)])
    top, nets = plan.family_widths[-1], plan.family_nets
    gains, curves = [], []
    for width in plan.family_widths:
        seeds = net_seeds(plan.nets.seed, width, nets, _FRESH_STREAM + family)
        reached = both_ways(plan, tasks[:nets], width, seeds)
        progress.advance(2 * width * nets)
        # Deviations ∝ m^{-1/2}: what these nets would be at the largest width.
        shrunk = math.sqrt(width / top)
        moved = [
            Fresh(*(wide + shrunk * (own - wide) for own, wide in zip(*pair, strict=True)))
            for pair in zip(reached, limit[:nets], strict=True)
        ]
        gains.append([task.gains(one) for task, one in zip(tasks, moved, strict=False)])
        curves = [task.accuracy(one.plain) for task, one in zip(tasks, moved, strict=False)]
    shifts = np.array(gains[:-1]) - limits[:nets]
    return Comparison(
        tasks,
        np.array([task.gains(fresh)[2] for task, fresh in zip(tasks, finest, strict=True)]),
        np.array([t.lead_over_validated(fresh) for t, fresh in zip(tasks, finest, strict=True)]),
        limits,
        np.array(gains[-1]),
        shifts.reshape(-1, 3),
        np.array(curves),
        np.array([task.accuracy(fresh.plain) for task, fresh in zip(tasks, limit, strict=True)]),
    )


def separation_premise(compared: Comparison) -> Premise:
    """A family has the separation that the lead over every stopping time needs."""
    return Premise(
        f"{compared.name}: measured spectrum separates information from noise",
        compared.information_ratio,
        compared.separated,
        f"r_eff > r* = {compared.least_ratio:.4g}",
    )

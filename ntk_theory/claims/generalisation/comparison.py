"""Nets on the families of data, beside the kernel limit on the same data sets."""

from __future__ import annotations

__all__ = ["Comparison", "Trainer", "compare", "in_threads", "kernel_limits", "separation_premise"]

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from ntk_theory import predictions
from ntk_theory.claims.generalisation.families import EVERY, Fresh, Job, Task, distilled_limits
from ntk_theory.claims.generalisation.plan import Plan
from ntk_theory.experiments import net_seeds
from ntk_theory.network import TwoLayerReLU, initialise
from ntk_theory.targets import PLAIN
from ntk_theory.training import train
from ntk_theory.verdicts import Premise, Progress

Array = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")

_LEAD_RISK = 1e-3
"""Probability that a bound on accuracies is exceeded: it is wider than its level (`Comparison`)."""

_FRESH_STREAM = 5

_TOGETHER = 16
"""Tasks whose kernel limits take their steps together; each such part has one thread."""


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in order; one thread an item, as nets share nothing."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(function, items))
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class Trainer:
    """Trains one net on one task and reads it on the fresh points."""

    plan: Plan

    def network(self, task: Task, width: int, seed: int) -> TwoLayerReLU:
        """An untrained net for the task."""
        classes = task.family.classes
        return initialise(
            width,
            task.dataset.inputs.shape[1],
            seeds=[seed],
            outputs=1 if classes == 2 else classes,
            dtype=getattr(torch, self.plan.nets.dtype),
            device=self.plan.nets.device,
        )

    def distilled(self, task: Task, network: TwoLayerReLU, job: Job) -> Array:
        """Fresh outputs after a job, shape (k,) or (k, C)."""
        trained = train(
            network,
            task.dataset.inputs,
            job.observed,
            job.distillation,
            learning_rate=task.learning_rate,
            steps=job.steps,
            record=[job.steps],
        )
        if trained.network is None or trained.stopped:
            raise RuntimeError(trained.stopped)
        return np.asarray(trained.network(task.fresh_inputs)[0])

    def plain(self, task: Task, network: TwoLayerReLU) -> Array:
        """Fresh outputs at every third stopping time of one run, shape (G/3, k) or (G/3, k, C)."""
        outputs, made = [], 0
        for step in task.grid[::EVERY]:
            if step > made:
                segment = train(
                    network,
                    task.dataset.inputs,
                    task.dataset.observed,
                    PLAIN,
                    learning_rate=task.learning_rate,
                    steps=step - made,
                    record=[step - made],
                )
                if segment.network is None or segment.stopped:
                    raise RuntimeError(segment.stopped)
                network, made = segment.network, step
                reading = np.asarray(network(task.fresh_inputs)[0])
            outputs.append(reading)
        return np.stack(outputs)

    def both(self, task: Task, width: int, seed: int) -> Fresh:
        """Self-distillation and plain training from the same start."""
        network = self.network(task, width, seed)
        return Fresh(self.distilled(task, network, task.job), self.plain(task, network))


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
    parts = [tasks[start : start + _TOGETHER] for start in range(0, len(tasks), _TOGETHER)]
    ends = in_threads(lambda part: distilled_limits(part, [task.job for task in part]), parts)
    distilled = [end for part in ends for end in part]
    return [Fresh(*pair) for pair in zip(distilled, plain, strict=True)]


def compare(plan: Plan, family: int, progress: Progress) -> Comparison:
    """Kernel limit and nets on one family."""
    tasks, trainer = plan.tasks(family), Trainer(plan)
    in_threads(lambda task: task.information_ratio, tasks)
    finest = kernel_limits(tasks)
    limit = [fresh.coarse for fresh in finest]
    limits = np.array([task.gains(fresh) for task, fresh in zip(tasks, limit, strict=True)])
    top, nets = plan.family_widths[-1], plan.family_nets

    def trained(job: tuple[int, int]) -> tuple[Array, Array]:
        width, index = job
        task = tasks[index]
        seed = net_seeds(plan.nets.seed, width, nets, _FRESH_STREAM + family)[index]
        outputs = trainer.both(task, width, seed)
        progress.advance(2 * width)
        # Deviations ∝ m^{-1/2}: what this net would be at the largest width.
        shrunk = math.sqrt(width / top)
        pairs = zip(outputs, limit[index], strict=True)
        moved = Fresh(*(wide + shrunk * (own - wide) for own, wide in pairs))
        return task.gains(moved), task.accuracy(moved.plain)

    jobs = [(width, index) for width in plan.family_widths for index in range(nets)]
    results = in_threads(trained, jobs)
    gains = np.array([gain for gain, _ in results])
    narrower = len(jobs) - nets
    shifts = gains[:narrower].reshape(-1, nets, 3) - limits[:nets]
    return Comparison(
        tasks,
        np.array([task.gains(fresh)[2] for task, fresh in zip(tasks, finest, strict=True)]),
        np.array([t.lead_over_validated(fresh) for t, fresh in zip(tasks, finest, strict=True)]),
        limits,
        gains[narrower:],
        shifts.reshape(-1, 3),
        np.array([curve for _, curve in results[narrower:]]),
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

"""Training on many data sets at once: nets, or the kernel limit, take their steps together.

A step of one of these small nets takes less time than to ask for it. This is gradient descent as in
`training`, for hard targets, square loss and the first layer, with one more axis: of the jobs.
"""

from __future__ import annotations

__all__ = ["distilled_limits", "in_threads", "trained"]

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory.claims.generalisation.families import Job, Task
from ntk_theory.machine.precision import own_precision
from ntk_theory.network import TwoLayerReLU
from ntk_theory.targets import harden, weights

Array = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")

_LIMITS = 16
"""Kernel limits that take their steps together."""

_NUMBERS = 2**17
"""Pre-activations of the nets that do: a core keeps them in its cache."""

_GROWTH = 10.0
"""An error on the observed labels above this multiple of the first one is a divergence."""


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in order; one thread an item, as items share nothing."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(function, items))
        finally:
            torch.set_num_threads(threads)


def _in_parts(
    function: Callable[[Sequence[Item]], list[Array]],
    items: Sequence[Item],
    jobs: Sequence[Job],
    size: int,
) -> list[Array]:
    """Results in order of a function of several items: jobs of about one length go together."""
    order = sorted(range(len(jobs)), key=lambda index: jobs[index].steps)
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    found = in_threads(lambda part: function([items[index] for index in part]), parts)
    results = dict(zip(order, chain.from_iterable(found), strict=True))
    return [results[index] for index in range(len(jobs))]


class _Targets:
    """Targets of several jobs, step by step, shape (J, n, C); outputs are those before the step."""

    def __init__(self, jobs: Sequence[Job], like: Tensor) -> None:
        self.steps = max(job.steps for job in jobs)
        points = len(jobs[0].observed)
        self.observed = _stacked([job.observed.reshape(points, -1) for job in jobs], like)
        self.alpha = _stacked(
            [weights(job.distillation.schedule, self.steps) for job in jobs], like
        )

    def at(self, step: int, outputs: Tensor) -> Tensor:
        share = self.alpha[:, step, None, None]
        return share * self.observed + (1 - share) * harden(outputs)


def _stacked(values: Sequence[ArrayLike], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(values)).to(like)


def trained(
    tasks: Sequence[Task], networks: Sequence[TwoLayerReLU], jobs: Sequence[Job]
) -> list[Array]:
    """Fresh outputs of a net of its own for each job, wherever the job is stopped.

    Args:
        tasks: data of each job, all of one family.
        networks: untrained, of one width; several jobs may start from the same one.
        jobs: targets, and stops.

    Returns:
        For each of them, shape (stops, k) or (stops, k, C).

    Raises:
        RuntimeError: if a net diverges.
    """
    size = _NUMBERS // (networks[0].width * len(tasks[0].dataset.inputs))
    runs = list(zip(tasks, networks, jobs, strict=True))
    return _in_parts(_trained_part, runs, jobs, max(1, size))


@own_precision
@torch.inference_mode()
def _trained_part(runs: Sequence[tuple[Task, TwoLayerReLU, Job]]) -> list[Array]:
    tasks, networks, jobs = zip(*runs, strict=True)
    hidden = torch.cat([network.hidden for network in networks])
    output = torch.cat([network.output for network in networks])
    root = math.sqrt(hidden.shape[1])
    inputs = _stacked([task.dataset.inputs for task in tasks], hidden)
    rates = _stacked([task.learning_rate / root for task in tasks], hidden)
    targets = _Targets(jobs, hidden)
    pulls = rates[:, None, None] * output.mT
    read: list[list[Array]] = [[] for _ in jobs]
    values = hidden @ inputs.mT
    for step in range(targets.steps):
        outputs = (output @ values.relu()).mT / root
        residual = outputs - targets.at(step, outputs)
        torch.gt(values, 0, out=values)
        hidden.baddbmm_(values.mul_(pulls @ residual.mT), inputs, alpha=-1)
        torch.bmm(hidden, inputs.mT, out=values)
        for index, job in enumerate(jobs):
            stops = job.stops.count(step + 1)
            if stops:
                label = targets.observed[index]
                if not (outputs[index] - label).norm() <= _GROWTH * label.norm():
                    raise RuntimeError(f"training diverged before step {step + 1}")
                network = TwoLayerReLU(hidden[index, None], output[index, None])
                read[index] += stops * [network(tasks[index].fresh_inputs)[0]]
    return [np.stack(outputs) for outputs in read]


def distilled_limits(tasks: Sequence[Task], jobs: Sequence[Job]) -> list[Array]:
    """Fresh outputs of the infinitely wide net at the end of each task's job."""
    return _in_parts(_limits_part, list(zip(tasks, jobs, strict=True)), jobs, _LIMITS)


@torch.inference_mode()
def _limits_part(runs: Sequence[tuple[Task, Job]]) -> list[Array]:
    tasks, jobs = zip(*runs, strict=True)
    like = torch.zeros((), dtype=torch.float64)
    kernels = _stacked([task.learning_rate * task.gram for task in tasks], like)
    targets = _Targets(jobs, like)
    # Rows are the outputs, which are few: to look for the largest is faster along columns.
    outputs = torch.zeros_like(targets.observed.mT.contiguous()).mT
    last: dict[int, Array] = {}
    for step in range(targets.steps):
        outputs = outputs + ((targets.at(step, outputs) - outputs).mT @ kernels).mT
        for index, job in enumerate(jobs):
            if job.steps == step + 1:
                last[index] = outputs[index].numpy().reshape(job.observed.shape)
    return [task.fresh(last[index]) for index, task in enumerate(tasks)]

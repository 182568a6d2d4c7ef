"""Training on many data sets at once: nets, or the kernel limit, take their steps together.

A step of one small net takes less time than to ask for it. This is gradient descent as in
`training`, for hard targets, square loss and the first layer, with one more axis: of the jobs.
"""

from __future__ import annotations

__all__ = ["Job", "in_threads", "kernel_limits", "threads", "trained"]

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory.kernels import ntk_limit
from ntk_theory.machine.precision import own_precision
from ntk_theory.network import TwoLayerReLU, initialise
from ntk_theory.targets import Distillation, harden, weights

Array = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")

_LIMITS = 16
"""Kernel limits that take their steps together."""

_NUMBERS = 2**17
"""Pre-activations of the nets that do: a core keeps them in its cache."""

_GROWTH = 10.0
"""An error on the observed labels above this multiple of the first one is a divergence."""


class Job(NamedTuple):
    """Gradient descent on a data set, and where and when its outputs are read.

    Jobs that are done together have data sets of one shape.

    Attributes:
        inputs: unit rows, shape (n, d).
        observed: labels that training sees, shape (n,) or (n, C).
        distillation: hard targets, and a schedule that looks at no prediction.
        learning_rate: η.
        read_on: unit rows of other points, shape (k, d).
        stops: steps, ascending, after which outputs are read; the last ends the run.
    """

    inputs: Array
    observed: Array
    distillation: Distillation
    learning_rate: float
    read_on: Array
    stops: Sequence[int]


def threads() -> int:
    """How many there are."""
    return int(torch.get_num_threads())


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results in order; items share nothing, and each has one thread of torch."""
    count = threads()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(function, items))
        finally:
            torch.set_num_threads(count)


def trained(
    jobs: Sequence[Job],
    width: int,
    seeds: Sequence[int],
    *,
    dtype: str = "float64",
    device: str = "cpu",
) -> list[Array]:
    """Outputs of a net of its own for each job, wherever the job is stopped.

    Args:
        jobs: on data sets of one shape.
        width: m.
        seeds: of each net; those with the same one start alike.
        dtype: of the nets.
        device: where they are trained.

    Returns:
        For each of them, shape (stops, k) or (stops, k, C).

    Raises:
        RuntimeError: if a net diverges.
    """
    inputs, outputs = jobs[0].inputs, _columns(jobs[0]).shape[1]
    shared = {"outputs": outputs, "dtype": getattr(torch, dtype), "device": device}
    nets = [initialise(width, inputs.shape[1], seeds=[int(seed)], **shared) for seed in seeds]
    return _in_parts(_trained, max(1, _NUMBERS // (width * len(inputs))), jobs, nets)


def kernel_limits(jobs: Sequence[Job]) -> list[Array]:
    """The same of the infinitely wide net; jobs that hold the same arrays share their kernels."""
    held = [(id(job.inputs), id(job.read_on)) for job in jobs]
    first = dict(zip(held, jobs, strict=True))
    found = in_threads(
        lambda job: (ntk_limit(job.inputs), ntk_limit(job.read_on, job.inputs)), first.values()
    )
    kernels = dict(zip(first, found, strict=True))
    return _in_parts(_kernel_limits, _LIMITS, jobs, [kernels[arrays] for arrays in held])


def _columns(job: Job) -> Array:
    return job.observed.reshape(len(job.inputs), -1)


def _in_parts(
    function: Callable[[Sequence[Job], Sequence[Any]], list[Array]],
    size: int,
    jobs: Sequence[Job],
    more: Sequence[Any],
) -> list[Array]:
    """Results in order, each part in a thread: of jobs read as often, and of about one length."""
    order = sorted(range(len(jobs)), key=lambda at: (len(jobs[at].stops), jobs[at].stops[-1]))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    calls = [([jobs[place] for place in part], [more[place] for place in part]) for part in parts]
    found = [one for part in in_threads(lambda call: function(*call), calls) for one in part]
    return [found[place] for place in np.argsort(order)]


def _stacked(values: Iterable[ArrayLike], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(one) for one in values])).to(like)


def _descend(
    jobs: Sequence[Job],
    like: Tensor,
    outputs: Callable[[], Tensor],
    follow: Callable[[Tensor], None],
    read: Callable[[int], Array],
) -> list[Array]:
    """What is read of each job at its stops, of outputs (J, n, C) before a step.

    Args:
        jobs: whose targets are followed.
        like: a tensor of their precision, on their device.
        outputs: before a step.
        follow: takes a step, given outputs − targets.
        read: what is kept of a job.
    """
    steps, observed = max(job.stops[-1] for job in jobs), _stacked(map(_columns, jobs), like)
    alpha = _stacked([weights(job.distillation.schedule, steps) for job in jobs], like)
    mixed = (alpha != 1).any(dim=0).tolist()
    most = _GROWTH * observed.flatten(1).norm(dim=1)
    due: defaultdict[int, list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        for stop in job.stops:
            due[stop].append(place)
    found: list[list[Array]] = [[] for _ in jobs]
    for step in range(steps):
        now, targets = outputs(), observed
        if mixed[step]:
            share = alpha[:, step, None, None]
            targets = share * observed + (1 - share) * harden(now)
        follow(now - targets)
        ended = due[step + 1]
        if ended and not ((now - observed).flatten(1).norm(dim=1) <= most)[ended].all():
            raise RuntimeError(f"training diverged before step {step + 1}")
        for place in ended:
            found[place].append(read(place))
    return [np.stack(one) for one in found]


@own_precision
@torch.inference_mode()
def _trained(jobs: Sequence[Job], nets: Sequence[TwoLayerReLU]) -> list[Array]:
    hidden, output = (torch.cat([getattr(net, of) for net in nets]) for of in ("hidden", "output"))
    root = math.sqrt(hidden.shape[1])
    inputs = _stacked([job.inputs for job in jobs], hidden)
    pulls = _stacked([job.learning_rate / root for job in jobs], hidden)[:, None, None] * output.mT
    values = hidden @ inputs.mT

    def follow(residual: Tensor) -> None:
        torch.gt(values, 0, out=values)
        hidden.baddbmm_(values.mul_(pulls @ residual.mT), inputs, alpha=-1)
        torch.bmm(hidden, inputs.mT, out=values)

    def read(place: int) -> Array:
        return np.asarray(
            TwoLayerReLU(hidden[place, None], output[place, None])(jobs[place].read_on)[0]
        )

    return _descend(jobs, hidden, lambda: (output @ values.relu()).mT / root, follow, read)


@torch.inference_mode()
def _kernel_limits(jobs: Sequence[Job], kernels: Sequence[tuple[Array, Array]]) -> list[Array]:
    like = torch.zeros((), dtype=torch.float64)
    gram = _stacked([own for own, _ in kernels], like)
    paced = _stacked([job.learning_rate for job in jobs], like)[:, None, None] * gram
    # Rows are the outputs, which are few: to look for the largest is faster along columns.
    state = torch.zeros_like(_stacked([_columns(job).T for job in jobs], like))

    def follow(residual: Tensor) -> None:
        state.baddbmm_(residual.mT, paced, alpha=-1)

    reached = _descend(
        jobs, like, lambda: state.mT, follow, lambda place: state[place].numpy().copy()
    )
    factors = torch.linalg.cholesky(gram)
    found = []
    for job, outputs, (_, across), factor in zip(jobs, reached, kernels, factors, strict=True):
        rows = torch.from_numpy(outputs.reshape(-1, len(job.inputs)))
        read = torch.cholesky_solve(rows.mT, factor).mT @ torch.from_numpy(across).mT
        read = read.reshape(len(outputs), -1, len(job.read_on)).mT
        found.append(
            read.reshape(len(outputs), *(len(job.read_on), *job.observed.shape[1:])).numpy()
        )
    return found

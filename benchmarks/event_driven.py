"""How time grows with the width where steps look only at the pairs whose sign may change."""

from __future__ import annotations

__all__ = ["Scaling", "Sizes", "Width", "measure", "reference_problem", "widest_net"]

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.growth import fitted_exponent, peak_memory
from benchmarks.timing import Watch
from benchmarks.training_step import autograd
from ntk_theory import network, training
from ntk_theory.problems import NoisyClusters, noisy_clusters
from ntk_theory.targets import Distillation, Loss
from ntk_theory.training import Trajectory, forms
from ntk_theory.training.calendar import Due
from ntk_theory.training.events import EventDriven

_AUTOGRAD_STEPS = 12
"""Of automatic differentiation, each of which takes as long as the others."""

Clock = Callable[[], float]
"""Says seconds."""

_FITTED = ("event-driven", "its steps alone", "without drawing", "without numba")
_OTHERS = ("without numba", "dense", "autograd + SGD")

_WAITING = {"OMP_WAIT_POLICY": "passive"}
"""Threads that spin while they wait for one that has no core take much longer."""

_WIDEST = """
from benchmarks.event_driven import reference_problem, widest_net
print(*widest_net(reference_problem(), {width}, threads={threads}))
"""


@dataclass(frozen=True)
class Sizes:
    """Widths at which the forms are measured.

    Attributes:
        widths: of the event-driven forms.
        fitted: least width that has a part in the exponents.
        dense: largest width of the dense form.
        repeated: largest width at which that is measured in every round, and not once.
        autograd: largest width of automatic differentiation.
        compared: widths at which outputs are held against those of the dense form.
    """

    widths: tuple[int, ...] = tuple(2**k for k in range(10, 21))
    fitted: int = 2**14
    dense: int = 2**17
    repeated: int = 2**14
    autograd: int = 2**14
    compared: tuple[int, ...] = (2**10, 2**14, 2**17)


@dataclass(frozen=True)
class Width:
    """What a training takes at one width.

    Attributes:
        width: m.
        seconds: of the processor, median over rounds, of each form; of whole trainings, drawing
            included, unless the name says otherwise.
        ratios: of each other form over the event-driven one, median over rounds.
        looked_at: share of the pairs of a neuron and a point that a step looks at, on average.
        flips: changes of sign in a step, on average.
        accuracy: largest differences to the dense form: of outputs, of the number of activations
            that have changed, and relative ones of the largest movement and of the distance.
    """

    width: int
    seconds: Mapping[str, float]
    ratios: Mapping[str, float]
    looked_at: float
    flips: float
    accuracy: Mapping[str, float]


@dataclass(frozen=True)
class Scaling:
    """How the time of a training grows with the width.

    Attributes:
        shape: points n, features d and steps T.
        threads: of all that was timed.
        widths: one entry each, ascending.
        fitted: least width that has a part in the exponents.
        exponents: slopes of seconds over width on log-log axes.
        widest: width, threads, seconds and GiB of a process that trains the widest net; by the
            clock on the wall, the least of all rounds.
    """

    shape: Mapping[str, int]
    threads: int
    widths: tuple[Width, ...]
    fitted: int
    exponents: Mapping[str, float]
    widest: Mapping[str, float]


def reference_problem() -> NoisyClusters:
    """The reference problem of the claims: 60 points, 961 steps."""
    seed = 1
    return noisy_clusters(clusters=6, points=10, ratio=20.0, noise_rate=0.3, seed=seed)


@dataclass(frozen=True)
class _Net(network.DrawnNets):
    """Random nets that know how long they were drawn."""

    clock: Clock = time.process_time
    drawing: list[float] = field(default_factory=list)

    @cached_property
    def output(self) -> Tensor:
        """Output weights, drawn after the first layer."""
        started = self.clock()
        drawn = super().output
        self.drawing.append(self.clock() - started)
        return drawn

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Weights of `size` neurons at a time."""
        _ = self.output  # whose time is its own
        parts = super().blocks(size)
        while True:
            started = self.clock()
            part = next(parts, None)
            self.drawing.append(self.clock() - started)
            if part is None:
                return
            yield part


@dataclass(frozen=True)
class _Taught(Distillation):
    """Targets that know when the first step began."""

    clock: Clock = time.process_time
    begun: list[float] = field(default_factory=list)

    def teach(
        self, teacher: Tensor, observed: Tensor, step: int, loss: Loss = "square"
    ) -> tuple[Tensor, Tensor]:
        """Targets of a step."""
        if step == 0:
            self.begun.append(self.clock())
        return super().teach(teacher, observed, step, loss)


@dataclass(frozen=True)
class _Run:
    """A training, and the seconds of all of it, of its steps, and of drawing."""

    trained: Trajectory
    whole: float
    steps: float
    drawing: float


def _run(
    problem: NoisyClusters,
    width: int,
    seed: int,
    form: forms.Form,
    clock: Clock = time.process_time,
) -> _Run:
    """Train a net that is drawn for it."""
    data = problem.dataset
    plain = {name: getattr(problem.distillation, name) for name in Distillation.__match_args__}
    taught, watch = _Taught(**plain, clock=clock), Watch(clock=clock)
    net = _Net(width, data.inputs.shape[1], (seed,), clock=clock)
    started = clock()
    trained = training.train(
        net,
        data.inputs,
        data.observed,
        taught,
        learning_rate=problem.learning_rate,
        steps=problem.steps,
        keep_network=False,
        form=form,
        on_step=watch,
    )
    whole = clock() - started
    if trained.diverged is not None:
        raise RuntimeError(trained.diverged)
    return _Run(trained, whole, watch.stamps[-1] - taught.begun[0], sum(net.drawing))


class _Counted(EventDriven):
    """Steps by tensors, without numba, that count what they look at."""

    looks = flips = 0

    def _look(self, due: Due) -> None:
        self.looks += due.pair.numel()
        super()._look(due)

    def _switch(self, pair: Tensor, *others: Tensor) -> None:
        self.flips += pair.numel()
        super()._switch(pair, *others)


def _counted(problem: NoisyClusters, width: int, seed: int) -> tuple[_Run, float, float]:
    """A training without numba, the share of the pairs looked at in a step, and flips of a step."""
    made: list[_Counted] = []

    def make(*arguments: Any) -> _Counted:
        made.append(_Counted(*arguments))
        return made[-1]

    with mock.patch.object(forms, "_event_driven", return_value=make):
        run = _run(problem, width, seed, "event-driven")
    (neurons,) = made
    pairs = width * len(problem.dataset.inputs) * problem.steps
    return run, neurons.looks / pairs, neurons.flips / problem.steps


def _autograd(problem: NoisyClusters, width: int, seed: int) -> float:
    """Seconds of all steps, from those of a few."""
    data, watch = problem.dataset, Watch(clock=time.process_time)
    net = network.initialise(width, data.inputs.shape[1], seeds=[seed])
    autograd(net, data.inputs, data.observed, problem.learning_rate, _AUTOGRAD_STEPS, watch)
    return watch.seconds * problem.steps


def _differences(events: Trajectory, dense: Trajectory, pairs: int) -> dict[str, float]:
    flips = [round(float(one.flipped_activations[0]) * pairs) for one in (events, dense)]
    apart = {"outputs": float(np.abs(events.outputs - dense.outputs).max())}
    apart["flips"] = float(abs(flips[0] - flips[1]))
    for name in ("movement", "distance"):
        one, other = (float(getattr(run, name)[0]) for run in (events, dense))
        apart[name] = abs(one / other - 1)
    return apart


def widest_net(problem: NoisyClusters, width: int, *, threads: int) -> tuple[float, float]:
    """Seconds of a training in a process of its own, after a narrow one, and its GiB so far."""
    with _threads(threads):
        _run(problem, 2**10, 0, "event-driven")
        seconds = _run(problem, width, 1, "event-driven", time.perf_counter).whole
    return seconds, peak_memory() / 2**30


def _in_a_process(width: int, threads: int, rounds: int) -> dict[str, float]:
    measured = []
    for _ in range(rounds):
        code = _WIDEST.format(width=width, threads=threads)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            check=True,
            env=os.environ | _WAITING,
        )
        measured.append([float(number) for number in done.stdout.split()])
    seconds, gibibytes = zip(*measured, strict=True)
    return {"m": width, "threads": threads, "seconds": min(seconds), "GiB": max(gibibytes)}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _round(problem: NoisyClusters, width: int, seed: int, sizes: Sizes) -> Width:
    """All forms once."""
    ours = _run(problem, width, seed, "event-driven")
    tensors, looked_at, flips = _counted(problem, width, seed)
    seconds = {
        "event-driven": ours.whole,
        "its steps alone": ours.steps,
        "without drawing": ours.whole - ours.drawing,
        "without numba": tensors.whole,
    }
    accuracy = {}
    if width <= sizes.repeated or (width <= sizes.dense and seed == 0):
        dense = _run(problem, width, seed, "dense")
        seconds["dense"] = dense.whole
        if width in sizes.compared:
            pairs = width * len(problem.dataset.inputs)
            accuracy = _differences(ours.trained, dense.trained, pairs)
    if width <= sizes.autograd:
        seconds["autograd + SGD"] = _autograd(problem, width, seed)
    ratios = {name: seconds[name] / ours.whole for name in _OTHERS if name in seconds}
    return Width(width, seconds, ratios, looked_at, flips, accuracy)


def _together(
    found: Sequence[Mapping[str, float]], of: Callable[[list[float]], float]
) -> dict[str, float]:
    """One number for each name of the first round, of the rounds that have it."""
    return {name: of([one[name] for one in found if name in one]) for name in found[0]}


def _at(problem: NoisyClusters, width: int, rounds: int, sizes: Sizes) -> Width:
    """A net of another seed in each round."""
    print(f"  m = {width}", file=sys.stderr, flush=True)
    found = [_round(problem, width, seed, sizes) for seed in range(rounds)]
    return Width(
        width,
        _together([one.seconds for one in found], statistics.median),
        _together([one.ratios for one in found], statistics.median),
        statistics.mean(one.looked_at for one in found),
        statistics.mean(one.flips for one in found),
        _together([one.accuracy for one in found], max),
    )


def measure(
    rounds: int, problem: NoisyClusters | None = None, sizes: Sizes | None = None
) -> Scaling:
    """Every form at every width, in turn, on one thread.

    Seconds are those of the processor: one thread waits for nothing but for others who share it.

    Args:
        rounds: of each.
        problem: what is learned; `reference_problem` if left out, whose widest net is then trained
            once more, on two threads and in a process of its own.
        sizes: widths.
    """
    sizes, given = sizes or Sizes(), problem
    problem = problem or reference_problem()
    with _threads(1):
        _run(problem, sizes.widths[0], 0, "event-driven")  # compiles
        widths = tuple(_at(problem, width, rounds, sizes) for width in sizes.widths)
    wide = [one for one in widths if one.width >= sizes.fitted]
    inputs = problem.dataset.inputs
    return Scaling(
        {"n": inputs.shape[0], "d": inputs.shape[1], "T": problem.steps},
        1,
        widths,
        sizes.fitted,
        {
            name: fitted_exponent([one.width for one in wide], [one.seconds[name] for one in wide])
            for name in _FITTED
        },
        _in_a_process(sizes.widths[-1], 2, rounds) if given is None else {},
    )

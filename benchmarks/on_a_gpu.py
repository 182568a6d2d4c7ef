"""What a GPU takes: kernels, training steps in each precision and form, the largest preset.

Every time is that of work which the GPU has finished. What does not fit the memory, or the time
that is left, is named with the reason, and nothing is put in its place.
"""

from __future__ import annotations

__all__ = ["Clock", "Finding", "Gpu", "Sizes", "document", "measure", "table"]

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.findings import Clock, Deadline, Finding, Gpu, LateError, measured
from benchmarks.timing import spread, whole
from ntk_theory import kernels, network, problems, training
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims.convergence import CLAIM
from ntk_theory.machine.environment import describe_environment
from ntk_theory.machine.resources import limited_memory
from ntk_theory.targets import PLAIN
from ntk_theory.training.footprint import Footprint, matrix_rate
from ntk_theory.training.forms import FORMS, Form, event_driven_bytes
from ntk_theory.training.products import PRECISIONS, storage

Array = NDArray[np.float64]

_CHECKED_STEPS = 50
"""Of training that is compared with the processor's."""

_LABELS = 1
_OWN: tuple[kernels.Precision, ...] = ("float64", "float32")
"""Precisions of what has no products of fewer bits."""


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        checked: n and m of what is compared with the processor.
        kernels: n and d of limiting Gram matrices.
        steps: n, d and m of nets whose step is timed.
        made: how many of their steps.
        widths: m of nets that are trained on noisy clusters.
        trained: their steps; as many as the problem takes when left out.
        claim: options of the claim `convergence`; device and precision are filled in.
    """

    checked: tuple[int, int] = (200, 4096)
    kernels: tuple[tuple[int, int], ...] = ((5000, 64), (5000, 3072), (20_000, 3072))
    steps: tuple[tuple[int, int, int], ...] = (
        (1000, 256, 2**16),
        (2000, 3072, 2**15),
        (10_000, 1024, 2**15),
    )
    made: int = 10
    widths: tuple[int, ...] = (2**14, 2**16, 2**18, 2**20, 2**22)
    trained: int | None = None
    claim: Options = field(default_factory=lambda: Options(preset="cifar"))


def _rows(points: int, features: int) -> Array:
    rows = np.random.default_rng(0).standard_normal((points, features))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


# ---------------------------------------------------------------- the same numbers


def _check(gpu: Gpu, sizes: Sizes, clock: Clock) -> Iterator[Finding]:
    """Largest difference to what the processor computes."""
    points, width = sizes.checked
    problem, many = _problem(), _rows(points, max(2, points // 4))
    inputs = problem.dataset.inputs

    def net(device: str, rows: Array) -> network.TwoLayerReLU:
        return network.initialise(width, rows.shape[1], seeds=[0], device=device)

    def trained(device: str, form: Form) -> Array:
        return training.train(
            net(device, inputs),
            inputs,
            problem.dataset.observed,
            problem.distillation,
            learning_rate=problem.learning_rate,
            steps=_CHECKED_STEPS,
            keep_network=False,
            form=form,
        ).outputs

    computed: dict[str, tuple[Array, Callable[[str], Array]]] = {
        "limiting Gram matrix": (many, lambda device: kernels.ntk_limit(many, device=device)),
        "empirical Gram matrix": (
            many,
            lambda device: kernels.ntk_empirical(net(device, many), many),
        ),
        **{f"{form} training": (inputs, partial(trained, form=form)) for form in FORMS},
    }
    for task, (rows, compute) in computed.items():
        finding = Finding(f"{task} beside the processor's", {"n": len(rows), "m": width}, "float64")
        yield measured(finding, clock, partial(_compared, gpu, finding, compute))


def _compared(gpu: Gpu, finding: Finding, compute: Callable[[str], Array]) -> Finding:
    apart = float(np.abs(compute(gpu.name) - compute("cpu")).max())
    return replace(finding, details={"largest difference": apart})


# ---------------------------------------------------------------- kernels and steps


def _kernels(
    gpu: Gpu, sizes: Sizes, rates: Mapping[str, float], rounds: int, clock: Clock
) -> Iterator[Finding]:
    """The limiting Gram matrix of both layers, formed and left on the GPU."""
    for points, features in sizes.kernels:
        for precision in _OWN:
            finding = Finding("limiting Gram matrix", {"n": points, "d": features}, precision)
            rate = rates[precision]
            yield measured(finding, clock, partial(_kernel, gpu, finding, precision, rate, rounds))


def _kernel(
    gpu: Gpu, finding: Finding, precision: kernels.Precision, rate: float, rounds: int
) -> Finding:
    points, features = finding.shape["n"], finding.shape["d"]
    rows = kernels.UnitRows.of("inputs", _rows(points, features), precision, gpu.name)
    call = whole(partial(kernels.limit_of, rows, rows, "both"), gpu.wait)
    call()
    middle, apart = spread([call() for _ in range(rounds)])
    share = points**2 * features / middle / rate  # of every pair one product
    return replace(finding, seconds=middle, spread=apart, share=share)


def _steps(gpu: Gpu, sizes: Sizes, rates: Mapping[str, float], clock: Clock) -> Iterator[Finding]:
    """A step of dense training of one drawn net, in each precision."""
    for points, features, width in sizes.steps:
        for precision in PRECISIONS:
            shape = {"n": points, "d": features, "m": width}
            finding = Finding("training step", shape, precision)
            rate = rates[precision]
            yield measured(finding, clock, partial(_step, gpu, sizes, rate, clock, finding))


def _step(gpu: Gpu, sizes: Sizes, rate: float, clock: Clock, finding: Finding) -> Finding:
    points, features, width = finding.shape.values()
    precision = finding.precision
    footprint = Footprint(points, features, width, precision, gpu.name)
    footprint.check()
    watch = Deadline(clock, gpu.wait)
    training.train(
        network.DrawnNets(width, features, (0,), dtype=storage(precision), device=gpu.name),
        _rows(points, features),
        np.sign(np.random.default_rng(1).standard_normal(points)),
        PLAIN,
        learning_rate=1 / points,  # the limiting NTK is at most X Xᵀ, whose trace is n
        steps=sizes.made,
        record=[sizes.made],
        keep_network=False,
        precision=precision,
        form="dense",
        on_step=watch,
    )
    middle, apart = spread(watch.each)
    share = footprint.operations / middle / rate
    details = {"plan": str(footprint)}
    return replace(finding, seconds=middle, spread=apart, share=share, details=details)


# ---------------------------------------------------------------- event-driven beside dense


def _problem() -> problems.NoisyClusters:
    return problems.noisy_clusters(clusters=6, points=10, ratio=20.0, noise_rate=0.3, seed=_LABELS)


class _Net:
    """A net that is drawn once, when it is first asked for: of a wide one that takes longest."""

    def __init__(self, gpu: Gpu, width: int) -> None:
        self.gpu, self.width = gpu, width

    @cached_property
    def _drawn(self) -> tuple[network.TwoLayerReLU, float]:
        features = _problem().dataset.inputs.shape[1]
        started = time.perf_counter()
        net = network.initialise(self.width, features, seeds=[0], device=self.gpu.name)
        self.gpu.wait()
        return net, time.perf_counter() - started

    @property
    def seconds(self) -> float:
        """What drawing it took."""
        return self._drawn[1]

    def of(self, precision: str) -> network.TwoLayerReLU:
        """The net in a precision."""
        net, dtype = self._drawn[0], storage(precision)
        return network.TwoLayerReLU(net.hidden.to(dtype), net.output.to(dtype))


def _forms(gpu: Gpu, sizes: Sizes, clock: Clock) -> Iterator[Finding]:
    """Both forms of training of the same nets, up to what they have moved."""
    points = len(_problem().dataset.inputs)
    for width in sizes.widths:
        net = _Net(gpu, width)
        for precision in _OWN:
            for form in FORMS:
                shape = {"n": points, "m": width}
                finding = Finding(f"{form} training", shape, precision)
                yield measured(
                    finding, clock, partial(_trained, gpu, sizes, clock, finding, form, net)
                )


def _trained(
    gpu: Gpu, sizes: Sizes, clock: Clock, finding: Finding, form: Form, net: _Net
) -> Finding:
    problem, precision = _problem(), finding.precision
    inputs, width = problem.dataset.inputs, finding.shape["m"]
    if form == "dense":
        Footprint(len(inputs), inputs.shape[1], width, precision, gpu.name).check()
    elif event_driven_bytes(len(inputs), width) > gpu.memory:
        raise ValueError(
            f"{event_driven_bytes(len(inputs), width) / 2**30:.1f} GiB are more than the "
            f"{gpu.memory / 2**30:.1f} GiB that are free"
        )
    steps = problem.steps if sizes.trained is None else sizes.trained
    watch, initial = Deadline(clock, gpu.wait), net.of(precision)
    started = time.perf_counter()
    late = None
    try:
        training.train(
            initial,
            inputs,
            problem.dataset.observed,
            problem.distillation,
            learning_rate=problem.learning_rate,
            steps=steps,
            record=[steps],
            keep_network=False,
            form=form,
            on_step=watch,
        )
        gpu.wait()
    except LateError:
        if len(watch.stamps) < 2:
            raise
        late = f"no time was left after {len(watch.stamps)} of {steps} steps"
    middle, apart = spread(watch.each)
    details = {
        "steps": len(watch.stamps),
        "whole run": time.perf_counter() - started,
        "drawing": net.seconds,
        "mean step": statistics.fmean(watch.each),
    }
    return replace(finding, seconds=middle, spread=apart, details=details, left_out=late)


# ---------------------------------------------------------------- the largest preset


class _Hurried:
    """Progress of a claim that is interrupted when no time is left."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def start(self, description: str, total: float) -> None:
        """Nothing."""

    def advance(self, amount: float) -> None:  # noqa: ARG002 (as claims call it)
        """Interrupt the run if it is late."""
        if self.clock.left <= 0:
            raise KeyboardInterrupt


def _claim(gpu: Gpu, sizes: Sizes, clock: Clock) -> Finding:
    """`convergence`, in the first precision that time and memory allow."""
    refused = []
    for precision in ("float32", "tf32"):
        options = replace(sizes.claim, device=gpu.name, dtype=precision)
        finding = Finding(f"convergence --preset {options.preset}", {}, precision)
        found = measured(finding, clock, partial(_run, gpu, clock, finding, options))
        if found.seconds is not None or found.error is not None:
            return found
        refused.append(f"{precision}: {found.left_out}")
    return replace(found, left_out="; ".join(refused))


def _run(gpu: Gpu, clock: Clock, finding: Finding, options: Options) -> Finding:
    problem = CLAIM.at(options).build(options)
    expected, left = problem.seconds(), clock.left
    if expected > left:
        reason = f"some {expected:.0f} s are expected, {max(left, 0):.0f} s were left"
        return replace(finding, left_out=reason)
    result = CLAIM.run(options, _Hurried(clock))
    gpu.wait()
    return replace(
        finding,
        seconds=result.seconds,
        details={
            "plan": problem.plan(),
            "expected": expected,
            "verdict": result.verdict.value,
            "finding": result.finding,
        },
        left_out="no time was left to end it" if result.interrupted else None,
    )


# ---------------------------------------------------------------- all of it


def measure(
    gpu: Gpu, *, rounds: int, clock: Clock, sizes: Sizes | None = None
) -> Iterator[Finding]:
    """Everything, one after the other, until no time is left.

    Args:
        gpu: where.
        rounds: how often what is short is timed.
        clock: time that is left for all.
        sizes: of what is measured.
    """
    sizes = Sizes() if sizes is None else sizes
    with limited_memory(gpu.memory):
        rates = {precision: matrix_rate(precision, gpu.name) for precision in PRECISIONS}
        for precision, rate in rates.items():
            yield Finding("matrix products", {}, precision, details={"operations a second": rate})
        yield from _check(gpu, sizes, clock)
        yield from _kernels(gpu, sizes, rates, rounds, clock)
        yield from _steps(gpu, sizes, rates, clock)
        yield from _forms(gpu, sizes, clock)
        yield _claim(gpu, sizes, clock)


def document(gpu: Gpu, findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings with where they were made, as JSON values."""
    return {
        "environment": describe_environment()
        | {
            "cores": os.cpu_count(),
            "gpu": gpu.kind,
            "gpu_memory": gpu.memory,
            "cuda": torch.version.cuda,
        },
        "findings": [asdict(one) for one in findings],
    }


def _details(finding: Finding) -> str:
    found = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in finding.details.items()
        if name != "plan"
    ]
    if finding.left_out is not None:
        found.append(f"not measured: {finding.left_out}")
    if finding.error is not None:
        found.append(f"FAILED: {finding.error}")
    return "; ".join(found)


def table(findings: Sequence[Finding]) -> Table:
    """One line for each finding."""
    lines = Table("task", "shape", "precision", "ms", "of the matrix rate", "", box=None)
    for one in findings:
        lines.add_row(
            one.task,
            " ".join(f"{name}={size}" for name, size in one.shape.items()),
            one.precision,
            "" if one.seconds is None else f"{one.seconds * 1e3:.3g}",
            "" if one.share is None else f"{one.share:.0%}",
            _details(one),
        )
    return lines

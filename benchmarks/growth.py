"""How time and memory grow with points, features and width: fitted exponents."""

from __future__ import annotations

__all__ = ["Growth", "fitted_exponent", "measure", "peak_memory", "training_of"]

import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.timing import whole
from ntk_theory import kernels, network, training
from ntk_theory.targets import PLAIN

_STEPS = 3
_BASE = {"n": 500, "d": 1000, "m": 8192}
_FACTORS = (1, 2, 4)

_PEAK = """
import sys
from benchmarks.growth import peak_memory, training_of
training_of(*map(int, sys.argv[1:]))()
print(peak_memory())
"""


@dataclass(frozen=True)
class Growth:
    """Time or memory at three sizes of one kind.

    Attributes:
        task: what was computed.
        size: which one grows: n, d or m.
        values: of the size.
        base: the other sizes.
        seconds: median of each; None for memory.
        gibibytes: peak of a process that does it; None for time.
        exponent: slope on log-log axes; for memory, of what exceeds the smallest process.
    """

    task: str
    size: str
    values: tuple[int, ...]
    base: Mapping[str, int]
    seconds: tuple[float, ...] | None
    gibibytes: tuple[float, ...] | None
    exponent: float


def _inputs(points: int, features: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rows = np.random.default_rng(0).standard_normal((points, features)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def training_of(points: int, features: int, width: int) -> Callable[[], object]:
    """A few steps of drawn nets in float32, on inputs that are made before."""
    rows = _inputs(points, features)
    labels = np.sign(np.random.default_rng(1).standard_normal(points))
    return partial(
        training.train,
        network.DrawnNets(width, features, (0,), dtype=torch.float32),
        rows,
        labels,
        PLAIN,
        learning_rate=1e-3,
        steps=_STEPS,
        record=[_STEPS],
        keep_network=False,
    )


def peak_memory() -> int:
    """Bytes of memory that this process has held at most."""
    if sys.platform == "win32":
        peak = psutil.Process().memory_info().peak_wset
    elif sys.platform == "darwin":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    else:
        # Not getrusage: its peak is that of the process which started this one, if it was larger.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return int(peak)


def _gram_of(points: int, features: int, width: int) -> Callable[[], object]:  # noqa: ARG001
    """The limiting Gram matrix, which no width has a part in."""
    return partial(kernels.ntk_limit, _inputs(points, features), dtype="float32")


def _sizes(size: str) -> list[dict[str, int]]:
    return [_BASE | {size: factor * _BASE[size]} for factor in _FACTORS]


def fitted_exponent(sizes: list[int], values: list[float]) -> float:
    """Slope on log-log axes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _timed(
    task: str, size: str, make: Callable[[int, int, int], Callable[[], object]], rounds: int
) -> Growth:
    medians = []
    for shape in _sizes(size):
        call = whole(make(*shape.values()))
        call()
        taken = [call() for _ in range(rounds)]
        medians.append(statistics.median(taken))
    values = [shape[size] for shape in _sizes(size)]
    others = {name: value for name, value in _BASE.items() if name != size}
    return Growth(
        task, size, tuple(values), others, tuple(medians), None, fitted_exponent(values, medians)
    )


def _peak(shape: Mapping[str, int]) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *map(str, shape.values())],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return float(done.stdout) / 2**30


def _memory(size: str) -> Growth:
    floor = _peak({"n": 8, "d": 8, "m": 8})
    peaks = [_peak(shape) for shape in _sizes(size)]
    values = [shape[size] for shape in _sizes(size)]
    others = {name: value for name, value in _BASE.items() if name != size}
    beyond = [max(peak - floor, math.ulp(1.0)) for peak in peaks]
    return Growth(
        "peak memory of training",
        size,
        tuple(values),
        others,
        None,
        tuple(peaks),
        fitted_exponent(values, beyond),
    )


def measure(rounds: int) -> Iterator[Growth]:
    """Time of the limiting Gram matrix and of training, memory of training."""
    for size in ("n", "d"):
        yield _timed("limiting Gram matrix", size, _gram_of, rounds)
    for size in ("n", "d", "m"):
        yield _timed(f"{_STEPS} training steps, with drawing", size, training_of, rounds)
    for size in ("n", "m"):
        yield _memory(size)

"""Nets of several seeds and widths on one problem."""

from __future__ import annotations

__all__ = ["Rung", "check_memory", "check_widths", "compare", "net_seeds", "train_nets"]

import os
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ntk_theory.network import initialise
from ntk_theory.problems import NoisyClusters
from ntk_theory.targets import Distillation
from ntk_theory.training import Trajectory, train
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_TOGETHER = 2**17
"""Seeds run together while all their pre-activations are at most this many; more are slower."""

_REPORT_EVERY = 16
"""Steps between two reports of progress."""


def check_widths(widths: Sequence[int], least: int) -> tuple[int, ...]:
    """Widths of a ladder, ascending; raises ValueError if odd, repeated or too few."""
    ladder = tuple(sorted(widths))
    if any(width < 2 or width % 2 for width in ladder):
        raise ValueError(
            f"widths must be even and at least 2 (neurons come in pairs); got {list(widths)}"
        )
    if len(set(ladder)) < max(least, len(ladder)):
        raise ValueError(f"widths must be at least {least} different ones; got {list(widths)}")
    return ladder


def check_memory(width: int, shape: tuple[int, ...], dtype: str) -> None:
    """Raise ValueError for a width whose nets do not fit this machine's memory.

    A net in training holds its weights twice (drawn in float64), its pre-activations and those at
    the start; each thread trains one.

    Args:
        width: m.
        shape: of the inputs, (n, d).
        dtype: "float32" or "float64".
    """
    points, features = shape
    numbers = (
        2 * features * 8 + (features + 2 * points) * torch.finfo(getattr(torch, dtype)).bits // 8
    )
    wanted = width * numbers * torch.get_num_threads()
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > installed:
        raise ValueError(
            f"width {width} needs about {wanted / 2**30:.0f} GiB of memory, more than the "
            f"{installed / 2**30:.0f} GiB of this machine; use narrower nets"
        )


def net_seeds(seed: int, width: int, count: int, stream: int) -> list[int]:
    """Seeds of the nets of one width: they depend on these numbers alone.

    Args:
        seed: of the run.
        width: m.
        count: how many.
        stream: keeps different uses of one width apart.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, width))
    return [int(word) for word in sequence.generate_state(count, np.uint32)]


@dataclass(frozen=True)
class Rung:
    """Nets of one width against their prediction, one row a net.

    Attributes:
        width: m.
        error: RMS error ‖u_t − y‖/√n against the clean labels, shape (S, T + 1).
        deviation: ‖u_t − predicted‖/√n, shape (S, T + 1).
        worst_deviation: max_i |u_t − predicted|_i, shape (S, T + 1).
        margin: min_i y_i u_i at the last step, shape (S,).
        zero_one: share of wrong signs at the last step, shape (S,).
        movement: max_r ‖w_r(T) − w_r(0)‖, shape (S,).
        distance: ‖W_T − W_0‖_F, shape (S,).
        flipped_activations: share of changed activations, shape (S,).
        stopped: explanation of a divergence, or None.
    """

    width: int
    error: Array
    deviation: Array
    worst_deviation: Array
    margin: Array
    zero_one: Array
    movement: Array
    distance: Array
    flipped_activations: Array
    stopped: str | None

    @property
    def largest_deviation(self) -> Array:
        """Supremum over t of the deviation, shape (S,)."""
        return np.asarray(self.deviation.max(axis=1))


def compare(trajectory: Trajectory, width: int, predicted: ArrayLike, clean: ArrayLike) -> Rung:
    """Summary of a trajectory recorded at every step, against predicted outputs (T + 1, n)."""
    difference = trajectory.outputs - np.asarray(predicted)[: trajectory.steps.size]
    return Rung(
        width=width,
        error=trajectory.rms_error(clean),
        deviation=np.sqrt(np.square(difference).mean(axis=2)),
        worst_deviation=np.abs(difference).max(axis=2),
        margin=trajectory.margins(clean)[:, -1].min(axis=-1),
        zero_one=trajectory.zero_one_error(clean)[:, -1],
        movement=trajectory.movement,
        distance=trajectory.distance,
        flipped_activations=trajectory.flipped_activations,
        stopped=trajectory.stopped,
    )


def train_nets(
    problem: NoisyClusters,
    width: int,
    seeds: Sequence[int],
    *,
    distillation: Distillation | None = None,
    steps: int | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Trajectory:
    """Train one net a seed on a problem.

    Args:
        problem: data, learning rate, targets, initialisation.
        width: m.
        seeds: one a net.
        distillation: targets, in place of the problem's.
        steps: T, in place of the problem's.
        dtype: "float32" or "float64".
        device: a torch device.
        progress: advanced by width · nets for each step.

    Returns:
        All nets' trajectory, without their weights.
    """
    policy = problem.distillation if distillation is None else distillation
    total = problem.steps if steps is None else steps
    size = max(1, _TOGETHER // (width * len(problem.dataset.inputs)))
    groups = [seeds[start : start + size] for start in range(0, len(seeds), size)]

    def train_group(group: Sequence[int]) -> Trajectory:
        return _train_group(
            problem, width, group, policy, total, dtype, device, progress, cancelled
        )

    # One thread a group: nets share nothing, so no thread waits for another, and a net's result
    # does not depend on the number of cores.
    threads = torch.get_num_threads()
    cancelled = Event()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return _join(list(pool.map(train_group, groups)))
        finally:
            cancelled.set()
            torch.set_num_threads(threads)


def _train_group(
    problem: NoisyClusters,
    width: int,
    seeds: Sequence[int],
    policy: Distillation,
    steps: int,
    dtype: str,
    device: str,
    progress: Progress | None,
    cancelled: Event,
) -> Trajectory:
    inputs = problem.dataset.inputs
    network = initialise(
        width,
        inputs.shape[1],
        seeds=seeds,
        antisymmetric=problem.init_scale is None,
        scale=1.0 if problem.init_scale is None else problem.init_scale,
        dtype=getattr(torch, dtype),
        device=device,
    )

    def report(step: int) -> None:
        if cancelled.is_set():
            raise CancelledError
        if progress is not None and (step % _REPORT_EVERY == 0 or step == steps):
            done = step % _REPORT_EVERY or _REPORT_EVERY
            progress.advance(done * width * len(seeds))

    return train(
        network,
        inputs,
        problem.dataset.observed,
        policy,
        learning_rate=problem.learning_rate,
        steps=steps,
        keep_network=False,
        on_step=report,
    )


def _join(parts: Sequence[Trajectory]) -> Trajectory:
    """Trajectories of several groups as one; a divergence in one cuts all to its length."""
    length = min(part.steps.size for part in parts)
    made = min(part.weights.shape[1] for part in parts)
    return Trajectory(
        steps=parts[0].steps[:length],
        outputs=np.concatenate([part.outputs[:, :length] for part in parts]),
        weights=np.concatenate([part.weights[:, :made] for part in parts]),
        network=None,
        movement=np.concatenate([part.movement for part in parts]),
        distance=np.concatenate([part.distance for part in parts]),
        flipped_activations=np.concatenate([part.flipped_activations for part in parts]),
        stopped=next((part.stopped for part in parts if part.stopped), None),
    )

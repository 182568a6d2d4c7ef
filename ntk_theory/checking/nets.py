"""Nets of several seeds on one recipe, and what is kept of them."""

from __future__ import annotations

__all__ = [
    "Recipe",
    "WidthResult",
    "check_memory",
    "check_nets",
    "check_widths",
    "train_nets",
    "train_students",
]

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ntk_theory.checking.functionals import margins, rms_error
from ntk_theory.checking.rows import NORMS, OWN_TEACHER, Training
from ntk_theory.checking.verdicts import Progress
from ntk_theory.machine import jobs, ranks
from ntk_theory.machine.resources import memory_limit
from ntk_theory.network import DrawnNets, TwoLayerReLU
from ntk_theory.problems import Recipe
from ntk_theory.training import Trajectory, train
from ntk_theory.training.footprint import Footprint
from ntk_theory.training.forms import Form
from ntk_theory.training.products import storage

Array = NDArray[np.float64]

_TOGETHER: dict[Form, int] = {"dense": 2**17, "event-driven": 3 * 2**19}
"""Seeds run together while all their pre-activations are at most this many; more are slower, or
leave a core without a group."""

_KEPT = 2**22
"""Initial weights that are kept rather than drawn again."""

_MOST_NETS = 10_000
"""More nets at each width are assumed a mistake: `seeds` is a count."""

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


def check_nets(nets: int, least: int) -> int:
    """How many nets are trained at each width; raises ValueError if too few, or absurdly many."""
    if not least <= nets <= _MOST_NETS:
        raise ValueError(
            f"seeds must be at least {least}, to tell the spread of the nets, and at most "
            f"{_MOST_NETS}; got {nets}"
        )
    return nets


def check_memory(width: int, shape: tuple[int, ...], dtype: str, device: str = "cpu") -> None:
    """Raise ValueError for a width of which not even one net fits the memory.

    Args:
        width: m.
        shape: of the inputs, (n, d).
        dtype: one of `products.PRECISIONS`.
        device: where it is trained.
    """
    points, features = shape
    Footprint(points, features, width, dtype, device).check()


@dataclass(frozen=True)
class WidthResult:
    """Nets of one width after one training.

    Attributes:
        width: m.
        trajectory: of S nets, without their weights.
        held_out: outputs on other points after the last step, by name, shape (S, 1, p).
        taught: labels of each net, if each has a teacher of its own, shape (S, n) or (S, n, C).
        inspected: what else was read off the trained nets, by name, shape (S,).
    """

    width: int
    trajectory: Trajectory
    held_out: Mapping[str, Array]
    taught: Array | None = None
    inspected: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def unmoved(cls, width: int, outputs: Array) -> WidthResult:
        """Outputs of nets that were not trained, shape (S, k, n)."""
        zeros, weights = np.zeros(len(outputs)), np.ones((len(outputs), outputs.shape[1] - 1))
        steps = np.arange(outputs.shape[1])
        return cls(width, Trajectory(steps, outputs, weights, None, zeros, zeros, zeros), {})

    def moved(self, change: Array) -> WidthResult:
        """The same nets with outputs that are changed at every step, by (k, n) or (k, n, C)."""
        outputs = self.trajectory.outputs
        changed = outputs + change[: outputs.shape[1]]
        return replace(self, trajectory=replace(self.trajectory, outputs=changed))

    def outputs(self, on: str | None = None) -> Array:
        """Outputs at the recorded steps, on held-out points, or less what was taught."""
        if on == OWN_TEACHER and self.taught is not None:
            return np.asarray(self.trajectory.outputs - self.taught[:, None])
        return self.trajectory.outputs if on is None else self.held_out[on]

    def metrics(self, training: Training) -> Iterator[dict[str, Any]]:
        """A row for each net."""
        made, points = self.trajectory, training.points
        error = rms_error(made.outputs, points)
        predicted = points.predicted[: made.steps.size]
        off = NORMS["rms"](made.outputs - predicted, predicted)
        margin = margins(made.outputs[:, -1], points)
        for net in range(len(error)):
            yield {
                "training": training.name,
                "width": self.width,
                "net": net,
                "steps": int(made.steps[-1]),
                "final_rms_error": float(error[net, -1]),
                "best_rms_error": float(error[net].min()),
                "largest_deviation": float(off[net].max()),
                "final_deviation": float(off[net, -1]),
                "margin": float(margin[net].min()),
                "zero_one_error": float((margin[net] <= 0).mean()),
                "movement": float(made.movement[net]),
                "distance": float(made.distance[net]),
                "flipped_activations": float(made.flipped_activations[net]),
                **{key: float(values[net]) for key, values in self.inspected.items()},
            }


def train_nets(
    recipe: Recipe,
    width: int,
    seeds: Sequence[int],
    *,
    dtype: str = "float64",
    device: str = "cpu",
    progress: Progress | None = None,
    keep_network: bool = False,
) -> Trajectory:
    """Train one net a seed on a recipe.

    Args:
        recipe: data, targets, learning rate, steps, initialisation.
        width: m.
        seeds: one per net.
        dtype: one of `products.PRECISIONS`: float32 nets may have products of fewer bits.
        device: a torch device.
        progress: advanced by width · nets for each step.
        keep_network: form the trained weights.

    Returns:
        All nets' trajectory.
    """
    moving = recipe.learning_rate * width**-recipe.output_exponent
    taken = Footprint.of(
        recipe.inputs,
        width,
        dtype,
        device,
        outputs=1 if recipe.observed.ndim == 1 else recipe.observed.shape[1],
        rates=np.broadcast_to(moving, (recipe.steps,)),
        both_layers=recipe.layers == "both",
    )
    size = max(1, _TOGETHER[taken.form] // (width * len(recipe.inputs)))
    size = math.ceil(len(seeds) / math.ceil(len(seeds) / size))  # groups of a size
    groups = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    if jobs.workers():
        return _join(
            list(
                _in_workers(
                    recipe, width, groups, dtype, device, progress, keep_network, taken.form
                )
            )
        )
    cancelled = Event()
    # Threads of a pool know nothing of the checkpoints unless they are told.
    contexts = [copy_context() for _ in groups]

    def train_group(group: Sequence[int], context: Context) -> Trajectory:
        return context.run(
            _train_group,
            *(recipe, width, group, dtype, device, progress, keep_network, cancelled, taken.form),
        )

    # A thread a group: nets share nothing, so no thread waits for another. Cores that are left help
    # where nets are large. What they hold at once may take half of the memory: there is more than
    # nets.
    threads = torch.get_num_threads()
    fitting = int((memory_limit() / 2 - taken.fixed) // taken.growing)
    busy = threads if size > 1 else min(threads, len(groups))
    # Processes that share a net have to come to it in the same order; a GPU is busy with one.
    one_by_one = ranks.size() > 1 or device != "cpu"
    at_once = 1 if one_by_one else max(1, min(busy, fitting))
    with ThreadPoolExecutor(
        at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)
    ) as pool:
        try:
            return _join(list(pool.map(train_group, groups, contexts)))
        finally:
            cancelled.set()
            torch.set_num_threads(threads)


def train_students(
    recipe: Recipe, width: int, labels: Array, seeds: Sequence[int], **more: Any
) -> Trajectory:
    """Train nets that have observed labels of their own.

    Args:
        recipe: all but the labels.
        width: m.
        labels: of each net, shape (S, n) or (S, n, C).
        seeds: one for each net.
        more: other arguments of `train_nets`.
    """
    calls = (
        partial(train_nets, recipe.relabelled(own), width, [seed], **more)
        for own, seed in zip(labels, seeds, strict=True)
    )
    return _join(list(jobs.side_by_side(calls)))


def _in_workers(
    recipe: Recipe,
    width: int,
    groups: Sequence[Sequence[int]],
    dtype: str,
    device: str,
    progress: Progress | None,
    keep_network: bool,
    form: Form,
) -> Iterator[Trajectory]:
    """Trajectories of all groups, trained by other processes."""
    items = [
        (recipe, width, group, dtype, device, None, keep_network, None, form) for group in groups
    ]
    for group, trained in zip(groups, jobs.in_workers(_train_group, items), strict=True):
        if progress is not None:
            progress.advance(recipe.steps * width * len(group))
        yield trained


def _train_group(
    recipe: Recipe,
    width: int,
    seeds: Sequence[int],
    dtype: str,
    device: str,
    progress: Progress | None,
    keep_network: bool,
    cancelled: Event | None,
    form: Form,
) -> Trajectory:
    labels = recipe.observed
    drawn = DrawnNets(
        width,
        recipe.inputs.shape[1],
        tuple(seeds),
        outputs=1 if labels.ndim == 1 else labels.shape[1],
        antisymmetric=recipe.init_scale is None,
        scale=1.0 if recipe.init_scale is None else recipe.init_scale,
        output_scale=width**recipe.output_exponent,
        dtype=storage(dtype),
        device=device,
    )
    network = drawn.keep() if len(seeds) * width * drawn.dimension <= _KEPT else drawn

    def report(step: int) -> None:
        if cancelled is not None and cancelled.is_set():
            raise CancelledError
        if progress is not None and (step % _REPORT_EVERY == 0 or step == recipe.steps):
            done = step % _REPORT_EVERY or _REPORT_EVERY
            progress.advance(done * width * len(seeds))

    return train(
        network,
        recipe.inputs,
        labels,
        recipe.distillation,
        learning_rate=recipe.learning_rate * width ** (-2 * recipe.output_exponent),
        steps=recipe.steps,
        record=recipe.record,
        layers=recipe.layers,
        loss=recipe.loss,
        keep_network=keep_network,
        precision=dtype,
        form=form,
        on_step=report,
    )


def _join(parts: Sequence[Trajectory]) -> Trajectory:
    """Trajectories of several groups as one; a divergence in one cuts all to its length."""
    length = min(part.steps.size for part in parts)
    made = min(part.label_weights.shape[1] for part in parts)
    networks = [part.network for part in parts if part.network is not None]
    return Trajectory(
        steps=parts[0].steps[:length],
        outputs=np.concatenate([part.outputs[:, :length] for part in parts]),
        label_weights=np.concatenate([part.label_weights[:, :made] for part in parts]),
        network=_join_networks(networks) if networks else None,
        movement=np.concatenate([part.movement for part in parts]),
        distance=np.concatenate([part.distance for part in parts]),
        flipped_activations=np.concatenate([part.flipped_activations for part in parts]),
        diverged=next((part.diverged for part in parts if part.diverged), None),
    )


def _join_networks(networks: Sequence[TwoLayerReLU]) -> TwoLayerReLU:
    return TwoLayerReLU(
        torch.cat([network.hidden for network in networks]),
        torch.cat([network.output for network in networks]),
    )

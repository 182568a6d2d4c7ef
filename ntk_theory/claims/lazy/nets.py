"""The trained nets of `lazy`: how far they have moved, and what their kernels have become."""

from __future__ import annotations

__all__ = [
    "Nets",
    "climb",
    "from_linearisation",
    "initial_distances",
    "recipes",
    "signs_row",
]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, network, training
from ntk_theory.claims.lazy.plan import INITIAL_NETS, Plan
from ntk_theory.claims.lazy.theory import DISTILLED, PLAIN_TRAINING, Theory
from ntk_theory.experiments import net_seeds
from ntk_theory.ladder import Ladder
from ntk_theory.problems import NoisyClusters, Recipe
from ntk_theory.targets import PLAIN
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Measurement, Progress

Array = NDArray[np.float64]

_CONTROL_STREAM = 1
"""Keeps the seeds of control nets apart from those of the claim's nets (0)."""


@dataclass
class Nets:
    """Measured on the nets of one way of training: an array for each width, one value a net.

    Attributes:
        widths: trained so far.
        movement: max_r ‖w_r(T) − w_r(0)‖.
        distance: ‖W_T − W_0‖_F.
        flipped: share of changed activations.
        kernel_change: ‖H_m(T) − H_m(0)‖_F.
        along: inner product of H_m(T) − H_m(0) with its predicted mean times √m.
        deviation: sup_t ‖u_m − u_lin‖/√n.
        wrongly_taught: widths at which some prediction that taught was wrong.
    """

    widths: list[int] = field(default_factory=list)
    movement: list[Array] = field(default_factory=list)
    distance: list[Array] = field(default_factory=list)
    flipped: list[Array] = field(default_factory=list)
    kernel_change: list[Array] = field(default_factory=list)
    along: list[Array] = field(default_factory=list)
    deviation: list[Array] = field(default_factory=list)
    wrongly_taught: int = 0

    def metrics(self, name: str) -> Iterator[Mapping[str, Any]]:
        """One row for each net."""
        for row, width in enumerate(self.widths):
            for net in range(len(self.movement[row])):
                yield {
                    "training": name,
                    "width": width,
                    "net": net,
                    "movement": float(self.movement[row][net]),
                    "distance": float(self.distance[row][net]),
                    "flipped_activations": float(self.flipped[row][net]),
                    "kernel_change": float(self.kernel_change[row][net]),
                    "deviation_from_linearisation": float(self.deviation[row][net]),
                }


def _norms(matrices: Array) -> Array:
    return np.asarray(np.sqrt(np.square(matrices).sum(axis=(1, 2))))


def from_linearisation(
    recipe: Recipe, trajectory: Trajectory, kernels_at_start: Array, learning_rate: float
) -> Array:
    """sup_t ‖u_t − linearised u_t‖/√n of each net, shape (S,)."""
    linear = np.stack(
        [
            training.train_kernel_limit(
                kernel,
                recipe.observed,
                recipe.distillation,
                learning_rate=learning_rate,
                steps=recipe.steps,
            )
            for kernel in kernels_at_start
        ]
    )
    difference = trajectory.outputs - linear
    return np.asarray(np.sqrt(np.square(difference).mean(axis=2)).max(axis=1))


def _kernels(recipe: Recipe, width: int, seeds: Sequence[int], *, pairs: bool = True) -> Array:
    """Empirical NTK of nets at their start, shape (S, n, n)."""
    # One net after the other: of many wide ones the weights would not fit in memory.
    starts = (
        network.initialise(width, recipe.inputs.shape[1], seeds=[seed], antisymmetric=pairs)
        for seed in seeds
    )
    return np.concatenate([kernels.ntk_empirical(start, recipe.inputs) for start in starts])


def climb(
    nets: Nets,
    ladder: Ladder,
    name: str,
    recipe: Recipe,
    theory: Theory,
    width: int,
    progress: Progress,
) -> None:
    """Train the nets of one width and measure how far they have moved."""
    trajectory = ladder.train(
        name, recipe, width, theory.outputs, progress=progress, keep_network=True
    )
    if trajectory.stopped is not None:
        return
    assert trajectory.network is not None
    before = _kernels(recipe, width, ladder.seeds(width))
    change = kernels.ntk_empirical(trajectory.network, recipe.inputs) - before
    nets.widths.append(width)
    nets.movement.append(trajectory.movement)
    nets.distance.append(trajectory.distance)
    nets.flipped.append(trajectory.flipped_activations)
    nets.kernel_change.append(_norms(change))
    nets.along.append((change * theory.kernel_change).sum(axis=(1, 2)))
    nets.deviation.append(
        from_linearisation(recipe, trajectory, before, theory.problem.learning_rate)
    )
    taught = trajectory.outputs[:, theory.problem.first_taught :]
    if theory.weights.min() < 1:
        nets.wrongly_taught += bool((taught * theory.problem.dataset.clean <= 0).any())


def initial_distances(plan: Plan, width: int, *, pairs: bool = True) -> Array:
    """‖H_m(0) − H‖_F of each of many nets, shape (S,)."""
    stream = 0 if pairs else _CONTROL_STREAM
    seeds = net_seeds(plan.nets.seed, width, INITIAL_NETS * plan.nets.count, stream)
    start = _kernels(plan.problem.recipe, width, seeds, pairs=pairs)
    return _norms(start - plan.problem.gram)


def recipes(problem: NoisyClusters) -> dict[str, Recipe]:
    """Both ways of training."""
    return {
        PLAIN_TRAINING: replace(problem.recipe, distillation=PLAIN),
        DISTILLED: problem.recipe,
    }


def signs_row(nets: Nets) -> Measurement:
    """Self-distillation taught right signs only, as the theory of its pulls says of wide nets."""
    return Measurement(
        "widths at which a wrong sign is taught after the burn-in", 0.0, nets.wrongly_taught, 0.0
    )

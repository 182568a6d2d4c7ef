"""Tasks: training data with fresh points, on which self-distillation meets every stopping time.

Outputs on D tasks are those on fresh points, of self-distillation at its end and then of plain
training wherever it is stopped, shape (D, 1 + G, k) or (D, 1 + G, k, C).
"""

from __future__ import annotations

__all__ = [
    "EVERY", "GRID", "Family", "Task", "draw_task", "errors_of", "lead_over_validated",
    "limits_of", "wrong_points",
]  # fmt: skip

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt

if TYPE_CHECKING:
    from ntk_theory.spectrum import Spectrum
    from ntk_theory.together import Job

Array = NDArray[np.float64]

GRID, EVERY = 46, 3
"""Stopping times that the oracle chooses from, in equal ratios from 1 to the last step; and which
of them nets are stopped at, the last included."""


@dataclass(frozen=True)
class Family:
    """A way to draw `points` training and `fresh` points of each group, g of the class g mod C.

    Gaussian clusters have a radius; of a power law, whose groups are the signs of the top
    coordinate, `shape` is the exponent. `draws` says how many times as many data sets the sign of
    its lead takes: more, where that is small.
    """

    name: str
    kind: Literal["gaussian", "power"]
    groups: int
    points: int
    classes: int
    dimension: int
    shape: float
    noise_rate: float = 0.4
    draws: int = 1
    fresh: int = 60


@dataclass(frozen=True)
class Task:
    """Training data with the spectrum of their kernel, and fresh points with their classes."""

    family: Family
    dataset: nt.data.Dataset
    spectrum: Spectrum
    fresh_inputs: Array
    fresh_classes: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """Steps at η = 1/λ_max in which half of the modes are retrieved up to e^{-1.5}, or more."""
        values = self.spectrum.eigenvalues
        return math.ceil(1.5 * float(values[-1] / np.median(values)))

    def jobs(self, every: int = EVERY, burn_in: int = 0) -> tuple[Job, Job]:
        """Self-distillation and plain training; its stopping times are the nets', or all.

        Burn-in and decay take as long as the K-th mode, the last of the information, takes to be
        retrieved up to e^{-0.75}. With another burn-in a run takes half as many steps again.
        """
        top, last = self.spectrum.eigenvalues[[-1, -self.family.groups]].tolist()
        time, end = 0.75 * top / last, 3 * burn_in // 2 or self.steps
        schedule = nt.targets.BurnIn(burn_in or max(1, round(time)), nt.targets.Power(time))
        stops = [round(float(step)) for step in np.geomspace(1, end, GRID)]
        own = nt.together.Job(
            self.dataset.inputs, self.dataset.observed, nt.targets.Distillation(schedule), 1 / top,
            self.fresh_inputs, stops[-1:],
        )  # fmt: skip
        return own, own._replace(distillation=nt.targets.PLAIN, stops=stops[::every])

    @property
    def information_ratio(self) -> float:
        """Squared generalisation measure of isotropic noise over that of the clean labels."""
        inverse = 1 / self.spectrum.eigenvalues
        clean = np.asarray(self.dataset.clean, dtype=float).reshape(len(inverse), -1)
        modes = self.spectrum.eigenvectors.T @ (clean - clean.mean(axis=0))
        energy = np.square(modes).sum(axis=1)
        return float(inverse.mean() * energy.sum() / (energy @ inverse))


def draw_task(family: Family, seed: np.random.SeedSequence) -> Task:
    """Draw points, and wrong labels for those that are trained on."""
    rng, groups, shape = np.random.default_rng(seed), family.groups, family.shape
    size = family.points + family.fresh
    if family.kind == "gaussian":
        design = nt.data.gaussian_clusters(groups, size, family.dimension, radius=shape, rng=rng)
    else:
        design = nt.data.power_law(groups * size, family.dimension, exponent=shape, rng=rng)
    chosen = np.zeros(len(design.inputs), dtype=bool)
    left, drawn = groups * family.points, len(chosen)
    for group in range(groups):
        members = np.flatnonzero(design.groups == group)
        # A power law has nearly, not exactly, as many points on either side.
        share = round(left * len(members) / drawn)
        chosen[rng.choice(members, share, replace=False)] = True
        left, drawn = left - share, drawn - len(members)
    points = nt.data.Design(design.name, design.inputs[chosen], design.groups[chosen])
    dataset = nt.data.noisy_labels(
        points, noise_rate=family.noise_rate, classes=family.classes, rng=rng
    )
    spectrum = nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(points.inputs))
    classes = design.groups[~chosen] % family.classes
    return Task(family, dataset, spectrum, design.inputs[~chosen], classes)


def limits_of(tasks: Sequence[Task], every: int = EVERY) -> Iterator[Array]:
    """Outputs of the infinitely wide net, one task after the other."""
    found = nt.together.kernel_limits([job for task in tasks for job in task.jobs(every)])
    return map(np.concatenate, zip(found[::2], found[1::2], strict=True))


def wrong_points(tasks: Sequence[Task], outputs: Iterable[Array]) -> NDArray[np.bool_]:
    """Which fresh points are predicted wrong, shape (D, 1 + G, k)."""
    return np.stack([
        (np.where(one > 0, 0, 1) if one.ndim == 2 else one.argmax(axis=-1)) != task.fresh_classes
        for task, one in zip(tasks, outputs, strict=True)
    ])  # fmt: skip


def errors_of(wrong: NDArray[np.bool_]) -> Array:
    """Test errors of self-distillation, at the best stopping time, and memorised, shape (D, 3)."""
    shares = wrong.mean(axis=-1)
    return np.stack([shares[:, 0], shares[:, 1:].min(axis=1), shares[:, -1]], axis=1)


def lead_over_validated(wrong: NDArray[np.bool_]) -> Array:
    """Lead in accuracy over the stopping time that is best on other fresh points, shape (D,).

    The best on the points that it is read on is too good. Here every other point chooses the time
    for the rest, and the rest for them.
    """
    every, halves = np.arange(len(wrong)), (wrong[:, 1:, ::2], wrong[:, 1:, 1::2])
    stopped = [read[every, choose.mean(axis=2).argmin(axis=1)].mean(axis=1)
               for choose, read in (halves, halves[::-1])]  # fmt: skip
    return np.asarray(np.mean(stopped, axis=0) - wrong[:, 0].mean(axis=1))

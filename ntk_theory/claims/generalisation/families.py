"""Data without the symmetry of the exact design: families, their tasks, and the kernel limit.

A task is a data set of a family with fresh points of it. What nets and kernel limit do on a task
is told apart by jobs: targets, and when they are read.
"""

from __future__ import annotations

__all__ = [
    "COUNTEREXAMPLE",
    "EVERY",
    "FAMILIES",
    "GRID",
    "Family",
    "Fresh",
    "Job",
    "Task",
    "draw_task",
]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ntk_theory import data, kernels
from ntk_theory.targets import PLAIN, BurnIn, Distillation, Power

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """A way to draw training and fresh points without the symmetry of the exact design.

    Attributes:
        name: of the family.
        kind: "gaussian" clusters or "power" law.
        groups: clusters, or the two signs of the top coordinate.
        points: training points of a group.
        classes: C; group g has the class g mod C.
        dimension: d.
        shape: radius of the clusters, or exponent of the covariance.
        noise_rate: ρ.
        draws: how many times as many data sets the sign of its lead takes: more, where it is small.
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

    def design(self, size: int, rng: np.random.Generator) -> data.Design:
        """Training and fresh points together, `size` a group."""
        if self.kind == "gaussian":
            return data.gaussian_clusters(
                self.groups, size, self.dimension, radius=self.shape, rng=rng
            )
        return data.power_law(self.groups * size, self.dimension, exponent=self.shape, rng=rng)


FAMILIES = (
    Family("Gaussian clusters", "gaussian", 8, 15, 4, 8, 0.6),
    Family("overlapping clusters", "gaussian", 8, 15, 4, 8, 1.2, draws=2),
    Family("power law", "power", 2, 60, 2, 20, 1.0),
)

COUNTEREXAMPLE = Family("power law of exponent 2", "power", 2, 60, 2, 20, 2.0)
"""Separates information from noise by its spectrum, and yet stopping is ahead."""

GRID, EVERY = 46, 3
"""Stopping times that the oracle chooses from, in equal ratios from 1 to the last step; and which
of them the nets are stopped at, the last included."""

_RUN_TIMES, _BURN_TIMES = 1.5, 0.75
"""Length of the run in units of 1/(η median λ); burn-in and decay in units of 1/(η λ_K)."""


@dataclass(frozen=True)
class Task:
    """Training data, fresh points, and the kernel limit on them."""

    family: Family
    dataset: data.Dataset
    fresh_inputs: Array
    fresh_classes: NDArray[np.int64]

    @cached_property
    def gram(self) -> Array:
        """Kernel of the training points, shape (n, n)."""
        return kernels.ntk_limit(self.dataset.inputs)

    @cached_property
    def fresh_gram(self) -> Array:
        """Kernel of fresh against training points, shape (k, n)."""
        return kernels.ntk_limit(self.fresh_inputs, self.dataset.inputs)

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors, by torch for the sake of its threads (see `_product`)."""
        values, vectors = torch.linalg.eigh(torch.from_numpy(self.gram))
        return values.numpy(), vectors.numpy()

    @property
    def learning_rate(self) -> float:
        """1/λ_max."""
        return float(1 / self._spectrum[0][-1])

    @property
    def steps(self) -> int:
        """Steps in which half of the modes are retrieved up to e^{-1.5}, or further."""
        median = float(np.median(self._spectrum[0]))
        return math.ceil(_RUN_TIMES / (self.learning_rate * median))

    @property
    def distillation(self) -> Distillation:
        """Burn-in and decay while the K-th mode, the last of the information, is retrieved."""
        last = float(self._spectrum[0][-self.family.groups])
        time = _BURN_TIMES / (self.learning_rate * last)
        return Distillation(BurnIn(max(1, round(time)), Power(time)))

    @property
    def grid(self) -> list[int]:
        """Stopping times, ascending; small ones occur more than once."""
        return [round(float(step)) for step in np.geomspace(1, self.steps, GRID)]

    @cached_property
    def information_ratio(self) -> float:
        """Squared generalisation measure of isotropic noise over that of the clean labels."""
        values, vectors = self._spectrum
        clean = np.asarray(self.dataset.clean, dtype=float).reshape(len(values), -1)
        energy = np.square(_product(vectors.T, clean - clean.mean(axis=0))).sum(axis=1)
        return float((1 / values).mean() / ((energy / values).sum() / energy.sum()))

    def _right(self, outputs: ArrayLike) -> NDArray[np.bool_]:
        """Which fresh points are predicted right, shape (..., k)."""
        values = np.asarray(outputs)
        two = self.family.classes == 2
        predicted = np.where(values > 0, 0, 1) if two else values.argmax(axis=-1)
        return np.asarray(predicted == self.fresh_classes)

    def accuracy(self, outputs: ArrayLike) -> Array:
        """Share of fresh points predicted right, of outputs (..., k) or (..., k, C)."""
        return np.asarray(self._right(outputs).mean(axis=-1))

    def lead_over_validated(self, fresh: Fresh) -> float:
        """Lead in accuracy over the stopping time that is best on other fresh points.

        The best on the points that it is read on is too good. Here every other point chooses the
        time for the rest, and the rest for them.
        """
        right = self._right(fresh.plain)
        halves = right[:, ::2], right[:, 1::2]
        stopped = [
            float(read[choose.mean(axis=1).argmax()].mean())
            for choose, read in (halves, halves[::-1])
        ]
        return float(self.accuracy(fresh.distilled)) - sum(stopped) / 2

    @property
    def job(self) -> Job:
        """Self-distillation on the labels that training sees."""
        return Job(self.distillation, self.dataset.observed, [self.steps])

    @property
    def plain_job(self) -> Job:
        """Plain training on them, read at the stopping times of the nets."""
        return Job(PLAIN, self.dataset.observed, self.grid[::EVERY])

    def fresh(self, outputs: Array) -> Array:
        """Fresh outputs k(x, X) H^{-1} u of training outputs u, shape (k,) or (k, C)."""
        values, vectors = self._spectrum
        return _product(self.fresh_gram, vectors / values, vectors.T, outputs)

    @np.errstate(under="ignore")
    def plain_limit(self) -> Array:
        """Fresh outputs of plain training at the stopping times, shape (G, k) or (G, k, C)."""
        values, vectors = self._spectrum
        observed = self.dataset.observed
        left = (1 - self.learning_rate * values) ** np.array(self.grid)[:, None]
        labels = _product(vectors.T, observed.reshape(len(values), -1))
        # Columns (stopping time, class), so that one product serves them all.
        columns = (((1 - left) / values).T[:, :, None] * labels[:, None]).reshape(len(values), -1)
        outputs = _product(self.fresh_gram, vectors, columns).reshape(-1, GRID, labels.shape[1])
        return np.asarray(outputs.swapaxes(0, 1).reshape(GRID, -1, *observed.shape[1:]))

    def errors(self, fresh: Fresh) -> Array:
        """Test error of self-distillation, at the best stopping time, and memorised, shape (3,)."""
        plain = 1 - self.accuracy(fresh.plain)
        return np.array([1 - self.accuracy(fresh.distilled), plain.min(), plain[-1]])

    def gains(self, fresh: Fresh) -> Array:
        """Accuracy of self-distillation, its lead over the memorised net, and over the best."""
        distilled, plain = self.accuracy(fresh.distilled), self.accuracy(fresh.plain)
        return np.array([distilled, distilled - plain[-1], distilled - plain.max()])


def _product(*factors: Array) -> Array:
    """Matrix product, from the right, in torch: the worker threads have one thread each there."""
    product = torch.from_numpy(factors[-1])
    for factor in factors[-2::-1]:
        product = torch.from_numpy(np.ascontiguousarray(factor)) @ product
    return np.asarray(product.numpy())


class Fresh(NamedTuple):
    """Outputs on fresh points: of self-distillation (k, ...) and plain training (G, k, ...)."""

    distilled: Array
    plain: Array

    @property
    def coarse(self) -> Fresh:
        """The same at the stopping times of the nets."""
        return Fresh(self.distilled, self.plain[::EVERY])


class Job(NamedTuple):
    """Targets of a run on a task, and after which steps it is read, the last of them included."""

    distillation: Distillation
    observed: Array
    stops: Sequence[int]

    @property
    def steps(self) -> int:
        """Length of the run."""
        return self.stops[-1]


def draw_task(family: Family, fresh: int, seed: np.random.SeedSequence) -> Task:
    """Draw points, and wrong labels for those that are trained on."""
    rng = np.random.default_rng(seed)
    size = family.points + fresh
    design = family.design(size, rng)
    trained = np.zeros(len(design.inputs), dtype=bool)
    left = family.groups * family.points
    for group in range(family.groups):
        members = np.flatnonzero(design.groups == group)
        # A power law has nearly, not exactly, as many points on either side.
        share = round(family.points * len(members) / size)
        share = left if group == family.groups - 1 else share
        trained[rng.choice(members, share, replace=False)] = True
        left -= share
    dataset = data.noisy_labels(
        data.Design(design.name, design.inputs[trained], design.groups[trained]),
        noise_rate=family.noise_rate,
        classes=family.classes,
        rng=rng,
    )
    return Task(family, dataset, design.inputs[~trained], design.groups[~trained] % family.classes)

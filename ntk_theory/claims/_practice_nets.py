"""Nets trained as in practice on noisy labels: settings, jobs, and what came of them."""

from __future__ import annotations

__all__ = [
    "ALONE", "BEST", "METHODS", "PAPERS", "RATES", "RULE", "SLOWER", "TOLD", "Drawn", "Limit",
    "Outcome", "Setting", "Source", "limit_of", "settings_of",
]  # fmt: skip

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.fitting import mean_of
from ntk_theory.checking.rows import Array
from ntk_theory.losses import LOSSES, PLAIN, Descent, Mixing

if TYPE_CHECKING:
    from ntk_theory.data import Dataset
    from ntk_theory.datasets import LabelledData
    from ntk_theory.minibatch import Job, Record
    from ntk_theory.spectrum import Spectrum

ALONE, PAPERS, RULE = "labels alone", "agreement", "the rule"
"""The net that learns from labels alone, the loss of the paper, and `nt.distill` in the kernel
limit, which has nothing to choose."""

BEST, SLOWER, TOLD = (
    "best stopping in hindsight", "that at a slower rate", "stopping on noisy labels"
)  # fmt: skip
"""Of nets that learn from labels alone: the best time of the same run, and of one at a rate that
nobody would take for a run to the end, which no one knows; and what one can do."""

METHODS = (ALONE, *LOSSES, RULE, BEST, SLOWER, TOLD)
"""What is compared."""

_SLOWER = 1 / 14
"""Of the recipe's rate, at which nets that are stopped scatter less."""

_FEW = 3
"""Splits of a control."""

RATES = (0.2, 0.4, 0.6)
"""Shares of wrong labels; of pair flips the last leaves no information."""

_VALIDATION = 0.2
"""Share of the noisy labels that is kept from training to choose a stopping time."""

_WEIGHTS = 2**18
"""Of all nets that are trained together."""

_GRID = 60
"""Stopping times of the kernel limit, in equal ratios."""


class Setting(NamedTuple):
    """Wrong labels that are planted; none in data that bring their own."""

    noise: str
    rate: float

    def __str__(self) -> str:
        return f"{self.noise} {self.rate:.0%}" if self.rate else "its own wrong labels"

    def holds_information(self, classes: int) -> bool:
        """Whether the right class is still the most frequent label."""
        return self.rate < ((classes - 1) / classes if self.noise == "symmetric" else 0.5)


def settings_of(data: LabelledData, rates: Sequence[float]) -> tuple[Setting, ...]:
    """Symmetric noise and pair flips of some rates.

    Of two classes both are the same, and noise that leaves no information is left out, too.
    """
    if data.clean is not None:
        return (Setting("own", 0.0),)
    classes = len(data.names)
    every = [Setting("symmetric", rate) for rate in rates]
    if classes > 2:
        every += [Setting("pair", rate) for rate in rates]
    kept = tuple(one for one in every if one.holds_information(classes))
    if not kept:
        raise ValueError(f"noise must leave the right class the most frequent one; got {rates[0]}")
    return kept


class Drawn(NamedTuple):
    """Of one split training points with noisy labels, unit rows of fresh ones, their classes."""

    split: int
    dataset: Dataset
    fresh: Array
    right: NDArray[np.int64]

    @property
    def job(self) -> Job:
        """A net that learns from labels alone: one-hot rows, of two classes, too."""
        rows = np.asarray(np.eye(self.dataset.classes)[self.dataset.observed_class])
        return nt.minibatch.Job(self.dataset.inputs, rows, self.fresh, PLAIN, self.split)


class Outcome(NamedTuple):
    """What came of one setting.

    Attributes:
        accuracy: on fresh points in the end, of each method, shape (S, M).
        recovered: share of right classes on the training points, of each loss, shape (S, L).
        distance: RMS of softmax less one-hot clean labels, shape (S, L).
        lost: accuracy of each loss at its own best epoch, less that in the end, shape (S, L).
        curves: accuracy on fresh points after each epoch, the mean of all splits, (L, E + 1).
    """

    accuracy: Array
    recovered: Array
    distance: Array
    lost: Array
    curves: Array

    def lead(self, method: str, over: str) -> Array:
        """In accuracy on fresh points, of each split, shape (S,)."""
        own, other = (self.accuracy[:, METHODS.index(name)] for name in (method, over))
        return np.asarray(own - other)


@dataclass(frozen=True)
class Source:
    """Data of one origin, how they are split, and how nets are trained on them.

    Attributes:
        data: all points.
        points: of training.
        fresh: others.
        settings: wrong labels.
        splits: seeds of splits, noise and nets.
        recipe: how nets are trained, at a rate in units of 1/λ_max of the mean kernel.
        width: of them.
        device: where they are trained.
    """

    data: LabelledData
    points: int
    fresh: int
    settings: tuple[Setting, ...]
    splits: tuple[int, ...]
    recipe: Descent
    width: int
    device: str = "cpu"

    def named(self, setting: Setting) -> str:
        """What rows of a setting are called."""
        return f"{self.data.name}, {setting}"

    def drawn(self, setting: Setting, split: int) -> Drawn:
        """Training points with noisy labels, and fresh ones.

        The mean of the training points is taken off all, and rows are made unit rows again.
        """
        rng = np.random.default_rng((split, 0))
        seen, others = nt.datasets.split(self.data, points=self.points, fresh=self.fresh, rng=rng)
        mean = seen.inputs.mean(axis=0)
        own, fresh = (nt.data.unit_rows(part.inputs - mean) for part in (seen, others))
        dataset = nt.datasets.noisy(
            replace(seen, inputs=own), noise_rate=setting.rate, rng=rng,
            noise="pair" if setting.noise == "pair" else "symmetric",
        )  # fmt: skip
        return Drawn(split, dataset, fresh, others.right)

    def least_ratio(self, setting: Setting) -> float:
        """r* that the information ratio of the clean labels has to exceed (7.6, 7.10).

        All wrong labels of a class are one other class under pair flips, as of two classes; those
        that data bring are taken for symmetric.
        """
        rate = setting.rate
        if setting.noise == "own":
            rate = float((self.data.classes != self.data.right).mean())
        return nt.predictions.least_ratio(
            rate, 2 if setting.noise == "pair" else len(self.data.names)
        )

    def separates(self, setting: Setting) -> bool:
        """Whether it does exceed that."""
        return self.ratio(setting) > self.least_ratio(setting)

    @cached_property
    def limits(self) -> dict[Setting, tuple[Limit, ...]]:
        """What the kernel limit says beforehand, by setting, of every split."""
        found: dict[Setting, list[Limit]] = {one: [] for one in self.settings}
        for split in self.splits:
            drawn = {one: self.drawn(one, split) for one in self.settings}
            inputs, fresh = drawn[self.settings[0]].dataset.inputs, drawn[self.settings[0]].fresh
            pairs = nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(inputs, layers="both"))
            if pairs.eigenvalues[0] <= len(inputs) * np.finfo(float).eps * pairs.eigenvalues[-1]:
                raise ValueError(
                    f"{self.data.name}: points must differ from each other, as the kernel of "
                    "training points is singular; drop copies"
                )
            across = nt.kernels.ntk_limit(fresh, inputs, layers="both") @ pairs.eigenvectors
            for setting, one in drawn.items():
                found[setting].append(limit_of(one, pairs, across))
        return {setting: tuple(limits) for setting, limits in found.items()}

    def cost(self, setting: Setting) -> tuple[float, float]:
        """What memorising costs the kernel limit: the mean over the splits, and its lower end."""
        falls = [limit.best - limit.end for limit in self.limits[setting]]
        mean, reach = mean_of(falls, 0.95)
        return mean, mean - reach

    def ratio(self, setting: Setting) -> float:
        """r_eff of the clean labels, the mean over the splits."""
        return float(np.mean([limit.ratio for limit in self.limits[setting]]))

    @cached_property
    def descent(self) -> Descent:
        """With its rate: λ_max of the first split, over n, is that of the mean loss."""
        top = self.limits[self.settings[0]][0].top
        return replace(self.recipe, rate=self.recipe.rate * self.points / top)

    def neuron_steps(self, nets: float, splits: int) -> float:
        """Of so many nets on each of so many splits."""
        steps = self.recipe.epochs * math.ceil(self.points / self.recipe.batch)
        return self.width * steps * nets * splits

    @property
    def outcome_steps(self) -> float:
        """Neuron-steps of all nets of one setting."""
        return self.neuron_steps(len(LOSSES) + 2 + 1 - _VALIDATION, len(self.splits))

    @property
    def control_steps(self) -> float:
        """Neuron-steps of `permuted_leads`."""
        return self.neuron_steps(2, _FEW)

    def outcome(self, setting: Setting) -> Outcome:
        """Train all nets of a setting."""
        splits = [self.drawn(setting, split) for split in self.splits]
        jobs = [drawn.job for drawn in splits]
        records = self.trained(jobs, (PLAIN, *LOSSES.values()))
        slower = self.trained(jobs, (PLAIN,), _SLOWER)
        found = list(map(self.compared, splits, records, slower, self.validated(splits)))
        accuracy, recovered, distance, curves = map(np.stack, zip(*found, strict=True))
        lost = curves.max(axis=-1) - curves[..., -1]
        return Outcome(accuracy, recovered, distance, lost, curves.mean(axis=0))

    def permuted_leads(self, setting: Setting, rng: np.random.Generator) -> Array:
        """Leads of the paper's loss over labels alone on a few splits, all labels permuted."""
        splits = []
        for split in self.splits[:_FEW]:
            drawn = self.drawn(setting, split)
            labels = rng.permutation(drawn.dataset.observed_class)
            splits.append(drawn._replace(dataset=replace(drawn.dataset, observed_class=labels)))
        records = self.trained([drawn.job for drawn in splits], (PLAIN, LOSSES[PAPERS]))
        right = np.array([[one.fresh[-1] for one in of_split] for of_split in records]) == [
            [drawn.right] for drawn in splits
        ]
        return np.asarray(np.diff(right.mean(axis=2), axis=1)[:, 0])

    def trained(
        self, given: Sequence[Job], mixings: Sequence[Mixing], pace: float = 1.0
    ) -> list[list[Record]]:
        """Of each job a net for each loss, which start alike, at the recipe's rate times pace.

        They are trained in blocks, so small that a core has their weights at hand, but for a net
        that is larger by itself. What comes of a net does not depend on its block.
        """
        jobs = [job._replace(mixing=mixing) for job in given for mixing in mixings]
        descent = replace(self.descent, rate=pace * self.descent.rate)
        weights = self.width * (given[0].inputs.shape[1] + given[0].observed.shape[1])
        blocks = max(math.ceil(len(jobs) * weights / _WEIGHTS), nt.together.threads())
        parts = np.array_split(np.arange(len(jobs)), min(blocks, len(jobs)))

        def train(part: NDArray[np.int64]) -> list[Record]:
            some = [jobs[place] for place in part]
            return nt.minibatch.train(some, descent, width=self.width, device=self.device)

        records = [record for some in nt.together.in_threads(train, parts) for record in some]
        return [list(some) for some in zip(*[iter(records)] * len(mixings), strict=True)]

    def compared(
        self, drawn: Drawn, records: list[Record], slower: list[Record], told: float
    ) -> tuple[Array, ...]:
        """Of one split accuracies, recovered shares, distances, curves."""
        _, dataset, fresh, right = drawn
        curves = np.array([(one.fresh == right).mean(axis=1) for one in records])
        ends = np.array([one.trained for one in records])
        clean = np.eye(dataset.classes)[dataset.clean_class]
        recovered = (ends.argmax(axis=-1) == dataset.clean_class).mean(axis=1)
        distance = np.sqrt(np.square(ends - clean).sum(axis=-1).mean(axis=1))
        rule = nt.distill(dataset.inputs, dataset.observed_class).score(fresh, right)
        slow = (slower[0].fresh == right).mean(axis=1).max()
        accuracy = [*curves[:, -1], rule, curves[0].max(), slow, told]
        return np.array(accuracy), recovered, distance, curves

    def validated(self, splits: Sequence[Drawn]) -> list[float]:
        """Accuracies where stopping is told by noisy labels that were kept from training."""
        jobs, kept = [], []
        for drawn in splits:
            order = np.random.default_rng((drawn.split, 2)).permutation(self.points)
            own, rest = np.split(order, [round(_VALIDATION * self.points)])
            job = drawn.job
            both = np.concatenate([job.inputs[own], job.fresh])
            jobs.append(
                job._replace(inputs=job.inputs[rest], observed=job.observed[rest], fresh=both)
            )
            kept.append(drawn.dataset.observed_class[own])
        found = []
        for (record,), labels, drawn in zip(
            self.trained(jobs, (PLAIN,)), kept, splits, strict=True
        ):
            seen, others = np.split(record.fresh, [len(labels)], axis=1)
            told = (seen == labels).mean(axis=1).argmax()
            found.append(float((others[told] == drawn.right).mean()))
        return found


class Limit(NamedTuple):
    """What the kernel limit says beforehand, of one split.

    Attributes:
        ratio: r_eff of the clean labels, less their mean.
        top: λ_max.
        best: accuracy of plain training on fresh points at its best stopping time.
        end: when all labels are memorised.
        eigenvalues: of H, shape (n,).
        energy: of clean labels and of the noise along the eigenvectors, shape (2, n).
    """

    ratio: float
    top: float
    best: float
    end: float
    eigenvalues: Array
    energy: Array


def limit_of(drawn: Drawn, pairs: Spectrum, across: Array) -> Limit:
    """Plain training of the infinitely wide net, both layers, by its filter.

    Args:
        drawn: points.
        pairs: eigenpairs of their kernel.
        across: kernel between fresh points and them, times the eigenvectors.
    """
    dataset, right = drawn.dataset, drawn.right
    values, size = pairs.eigenvalues, dataset.classes
    given, right_rows = np.eye(size)[dataset.observed_class], np.eye(size)[dataset.clean_class]
    observed, clean, noise = (
        pairs.eigenvectors.T @ part
        for part in (given - 1 / size, right_rows - 1 / size,
                     nt.forecast.label_noise(given, right_rows))
    )  # fmt: skip
    times = np.geomspace(1, 8 * values[-1] / values[0], _GRID)
    accuracy = [
        float((np.argmax(across @ (shares[:, None] * observed), axis=1) == right).mean())
        for shares in -np.expm1(-np.outer(times / values[-1], values)) / values
    ]
    energy = np.array([np.square(part).sum(axis=1) for part in (clean, noise)])
    centred = pairs.eigenvectors.T @ (right_rows - right_rows.mean(axis=0))
    centred = np.square(centred).sum(axis=1)
    ratio = float((1 / values).mean() * centred.sum() / (centred / values).sum())
    return Limit(ratio, float(values[-1]), max(accuracy), accuracy[-1], values, energy)

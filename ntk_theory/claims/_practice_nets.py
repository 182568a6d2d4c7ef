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
    from ntk_theory.minibatch import Record
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
    """Training points with noisy labels, unit rows of fresh points, and their classes."""

    dataset: Dataset
    fresh: Array
    right: NDArray[np.int64]

    @property
    def targets(self) -> Array:
        """One-hot rows of the noisy labels, of two classes, too, shape (n, C)."""
        return np.asarray(np.eye(self.dataset.classes)[self.dataset.observed_class])


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
        return Drawn(dataset, fresh, others.right)

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
        splits = [(split, self.drawn(setting, split)) for split in self.splits]
        found = nt.together.in_threads(lambda one: self.compared(*one), splits)
        accuracy, recovered, distance, curves = map(np.stack, zip(*found, strict=True))
        # Here, and not in the threads: numpy's own threads would be too many.
        accuracy[:, METHODS.index(RULE)] = [
            nt.distill(dataset.inputs, dataset.observed_class).score(fresh, right)
            for _, (dataset, fresh, right) in splits
        ]
        lost = curves.max(axis=-1) - curves[..., -1]
        return Outcome(accuracy, recovered, distance, lost, curves.mean(axis=0))

    def permuted_leads(self, setting: Setting, rng: np.random.Generator) -> Array:
        """Leads of the paper's loss over labels alone on a few splits, all labels permuted."""

        def lead(one: tuple[int, Drawn]) -> float:
            split, drawn = one
            points, both = (drawn.dataset.inputs, drawn.targets), (PLAIN, LOSSES[PAPERS])
            records = self.trained(*points, drawn.fresh, both, split)
            alone, papers = ((record.fresh[-1] == drawn.right).mean() for record in records)
            return float(papers - alone)

        splits = []
        for split in self.splits[:_FEW]:
            drawn = self.drawn(setting, split)
            labels = rng.permutation(drawn.dataset.observed_class)
            dataset = replace(drawn.dataset, observed_class=labels)
            splits.append((split, drawn._replace(dataset=dataset)))
        return np.array(nt.together.in_threads(lead, splits))

    def trained(
        self, inputs: Array, targets: Array, fresh: Array, mixings: Sequence[Mixing], split: int,
        pace: float = 1.0,
    ) -> list[Record]:  # fmt: skip
        """Nets that start alike, one for each loss, at the recipe's rate times some pace."""
        jobs = [nt.minibatch.Job(inputs, targets, fresh, mixing, split) for mixing in mixings]
        descent = replace(self.descent, rate=pace * self.descent.rate)
        return nt.minibatch.train(jobs, descent, width=self.width, device=self.device)

    def compared(self, split: int, drawn: Drawn) -> tuple[Array, ...]:
        """Of one split accuracies but the rule's, recovered shares, distances, curves."""
        dataset, fresh, right = drawn
        points = dataset.inputs, drawn.targets, fresh
        records = self.trained(*points, (PLAIN, *LOSSES.values()), split)
        curves = np.array([(one.fresh == right).mean(axis=1) for one in records])
        ends = np.array([one.trained for one in records])
        clean = np.eye(dataset.classes)[dataset.clean_class]
        recovered = (ends.argmax(axis=-1) == dataset.clean_class).mean(axis=1)
        distance = np.sqrt(np.square(ends - clean).sum(axis=-1).mean(axis=1))
        (slow,) = self.trained(*points, (PLAIN,), split, _SLOWER)
        slower = (slow.fresh == right).mean(axis=1).max()
        others = [np.nan, curves[0].max(), slower, self.validated(split, drawn)]
        return np.array([*curves[:, -1], *others]), recovered, distance, curves

    def validated(self, split: int, drawn: Drawn) -> float:
        """Accuracy where stopping is told by noisy labels that were kept from training."""
        dataset, fresh, right = drawn
        order = np.random.default_rng((split, 2)).permutation(len(dataset.inputs))
        kept, rest = np.split(order, [round(_VALIDATION * len(order))])
        both = np.concatenate([dataset.inputs[kept], fresh])
        points = dataset.inputs[rest], drawn.targets[rest], both
        (record,) = self.trained(*points, (PLAIN,), split)
        agreed = (record.fresh[:, : len(kept)] == dataset.observed_class[kept]).mean(axis=1)
        return float((record.fresh[int(agreed.argmax()), len(kept) :] == right).mean())


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
    dataset, _, right = drawn
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

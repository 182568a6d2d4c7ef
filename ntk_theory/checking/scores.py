"""What a run can notice: how wrong a theory may be before nets of this width contradict it.

An error of a parameter changes the outputs of the kernel limit in one direction. Along it the
outputs of nets are an estimate of the parameter, whose law is that of finite width.
"""

from __future__ import annotations

__all__ = ["LEARNING_RATE", "PARAMETERS", "POWER", "Estimate", "estimates", "tangents"]

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ntk_theory.checking.laws import TrainingLaw
from ntk_theory.checking.rows import Array, Training

PARAMETERS = LEARNING_RATE, _NOISE, _NOISE_RATE = (
    "learning rate",
    "noise eigenvalues",
    "noise rate",
)
"""That outputs may be estimates of."""

POWER = 0.99
"""Probability with which an error is noticed."""

_STEPS = 5
"""Each of which gives an estimate of its own; few, beside the draws that weigh them."""

_LEAST, _LATE = 1e-3, 0.1
"""Squared size of a change over that of the largest one, below which it tells nothing; and after
that, when the outputs become what they are taught."""

_UNSURE = 0.1
"""Share of the variance of each step that the law may leave out, as it does O(m^{-1/2}) of it."""


def tangents(law: TrainingLaw) -> Iterator[tuple[str, Array]]:
    """Parameters, and derivatives of the predicted outputs by their logarithms.

    Args:
        law: of a training.

    Yields:
        Names, and arrays of the shape of the training's prediction.
    """
    response, recipe, shape = law.of.response, law.training.recipe, law.training.predicted.shape
    points = np.size(recipe.observed)
    values, vectors = np.linalg.eigh(response.kernel[:points])
    below = values < values.mean()
    noise = np.zeros_like(response.kernel)
    noise[:points] = (vectors[:, below] * values[below]) @ vectors[:, below].T

    def trained(changes: Array) -> Array:
        return changes[0, :, : shape[1]].reshape(shape)

    yield LEARNING_RATE, trained(response.to_kernels(response.kernel[None]))
    yield _NOISE, trained(response.to_kernels(noise[None]))
    if law.training.labels is None or recipe.observed.ndim > 1:
        return
    clean, observed = np.asarray(law.training.labels), np.asarray(recipe.observed)
    wrong = float((clean != observed).mean())
    if 0 < wrong < 1 and set(np.unique(observed)) <= {-1.0, 1.0}:
        # Labels of a rate ρ are (1 − 2ρ) y and a rest of norm 2 sqrt(ρ(1 − ρ) n).
        rest = observed - (1 - 2 * wrong) * clean
        change = -2 * wrong * clean + (1 - 2 * wrong) / (2 * (1 - wrong)) * rest
        yield _NOISE_RATE, trained(response.to_labels(change[None, :, None]))


@dataclass(frozen=True)
class Estimate:
    """A parameter of theory as the outputs of nets show it, over what theory says.

    Attributes:
        parameter: its name.
        training: of the nets.
        steps: recorded ones that are looked at, K of them.
        directions: what the outputs are multiplied by at each of them, shape (K, n) or (K, n, C).
        offset: √m times what the law expects it to be off by.
        deviation: √m times the standard deviation of that, of a single net.
        second: m times what the square of the law's mean, as a change of the rate, would add.
        draws: of the law, that this was found from.
    """

    parameter: str
    training: Training
    steps: Array
    directions: Array
    offset: float
    deviation: float
    second: float
    draws: int

    def read(self, outputs: Array, width: int) -> Array:
        """The parameter over its value in theory that each net of a width shows, shape (S,)."""
        off = outputs[:, self.steps] - self.training.predicted[self.steps]
        shown = (off * self.directions).reshape(len(off), -1).sum(axis=1)
        return np.asarray(1 + shown - self.offset / math.sqrt(width))

    def reach(self, width: int, nets: int, confidence: float) -> float:
        """What the mean of nets may be off by, if theory is right."""
        quantile = float(stdtrit(self.draws - 1, (1 + confidence) / 2))
        spread = self.deviation * math.sqrt((1 / nets + 1 / self.draws) / width)
        return quantile * spread + self.second / width

    def scatter(self, width: int, nets: int) -> float:
        """By how much a mean of nets differs from `reach` with the probability 1 − `POWER`."""
        return float(ndtri(POWER)) * self.deviation / math.sqrt(width * nets)


def estimates(law: TrainingLaw, width: int, nets: int) -> Iterator[Estimate]:
    """Parameters that the mean outputs of nets show.

    Each of some steps gives an estimate. Their mean is weighted by what they scatter, and by what
    the law may leave out, which is of the order of its own mean squared.

    Args:
        law: of a training.
        width: m.
        nets: how many.

    Reference: docs/theory.md, section 11.
    """
    shape = law.training.predicted.shape
    drawn = math.sqrt(width) * (law.outputs(width) - law.training.predicted)
    drawn = drawn.reshape(*drawn.shape[:2], -1)
    changes = {name: tangent.reshape(shape[0], -1) for name, tangent in tangents(law)}
    rate = changes[LEARNING_RATE]
    size = np.square(rate).sum(axis=1)
    late = np.arange(shape[0]) > size.argmax()
    telling = np.flatnonzero(size > np.where(late, _LATE, _LEAST) * size.max())
    if not telling.size:
        return  # nothing is learned
    steps = telling[np.unique(np.geomspace(1, telling.size, _STEPS).round().astype(int)) - 1]
    first = (drawn.mean(axis=0) * rate).sum(axis=1)[steps] / size[steps]
    for name, change in changes.items():
        square = np.square(change).sum(axis=1)[steps]
        if square.min() < _LEAST * size[steps].min():
            continue  # the outputs do not depend on it
        along = change[steps] / square[:, None]
        found = np.einsum("btk,tk->bt", drawn[:, steps], along)
        second = first**2 * np.sqrt(size[steps] / square)
        noise = np.atleast_2d(np.cov(found.T)) / (width * nets)
        noise += _UNSURE * np.diag(np.diag(noise)) + np.outer(second, second) / width**2
        noise += 1e-6 * np.trace(noise) * np.eye(len(steps))
        weights = np.linalg.solve(noise, np.ones(len(steps)))
        weights /= weights.sum()
        yield Estimate(
            name, law.training, steps, (weights[:, None] * along).reshape(len(steps), *shape[1:]),
            offset=float(found.mean(axis=0) @ weights),
            deviation=float((found @ weights).std(ddof=1)),
            second=float(second @ np.abs(weights)), draws=len(drawn),
        )  # fmt: skip

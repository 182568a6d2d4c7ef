"""`air` at the size of an image data set: class labels retrieved before label noise.

With centred labels ỹ = κ y + ζ, ζ is orthogonal to y, and with flips as even as they can be it has
next to no mean in any class: it is nearly orthogonal to all that the classes share. The prediction
is the recursion on the measured kernel; eigenpairs give the share of the information once more, by
the filter 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["ScaledPlan", "recursion_rounding", "run_at_scale"]

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.checking.evidence import Evidence, conduct, judged_control, over_nets
from ntk_theory.checking.fitting import fit_power_law
from ntk_theory.checking.ladder import Ladder, first_step_row
from ntk_theory.checking.verdicts import (
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
)
from ntk_theory.claims._air_designs import Labels
from ntk_theory.claims.air import CLAIM
from ntk_theory.image_size import CLASSES, FEATURES, ImageSize
from ntk_theory.problems import Recipe
from ntk_theory.targets import PLAIN, weights
from ntk_theory.training.products import storage

Array = NDArray[np.float64]

_TRAINING, _CONTROL = "noisy labels", "whole-clusters-flipped"
_CONFIDENCE = 0.999
"""Of the bounds that narrower nets put on the widest."""

_KEPT, _LEAN = 0.1, 0.9
"""Least κ, and share of the clean labels that the top C eigenvectors have to hold."""


class ScaledPlan(ImageSize):
    """Plain training on noisy class labels."""

    ways: ClassVar[int] = 1

    @cached_property
    def recipe(self) -> Recipe:
        """What nets are trained on, at η = 1/(2λ_max)."""
        dataset, rate = self.dataset, self.largest_rate / 2
        return Recipe(dataset.inputs, dataset.observed, PLAIN, rate, self.steps)

    def labels(self, observed: Array) -> Labels:
        """One-hot rows less their mean over the classes."""
        return Labels(self.dataset.clean - 1 / CLASSES, observed - 1 / CLASSES)

    @cached_property
    def own(self) -> Labels:
        """Those that are trained on."""
        return self.labels(self.dataset.observed)

    def limit(self, observed: Array) -> Array:
        """Outputs of the infinitely wide net, shape (T + 1, n, C)."""
        ones, clean = weights(PLAIN.schedule, self.steps), self.dataset.clean
        rate = self.recipe.rate
        return predictions.gram_outputs(self.kernel, clean, observed, rate, ones)

    @cached_property
    def outputs(self) -> Array:
        """The same on the noisy labels."""
        return self.limit(self.dataset.observed)

    @cached_property
    def predicted(self) -> Array:
        """Predicted shares of information and noise, and their difference, shape (3, T + 1)."""
        return shares(self.own, self.outputs)

    @property
    def peak(self) -> int:
        """Step at which information and noise are farthest apart."""
        return int(self.predicted[2].argmax())

    def premises(self) -> Iterator[Premise]:
        """Of the measured kernel, and of the labels in its eigenvectors."""
        yield from self.spectral_premises(self.recipe.rate)
        kept, clean = self.own.kept, self.own.clean
        needed = f"κ = 1 − ρC/(C − 1) > {_KEPT:g}"
        yield Premise("labels hold information", kept, kept > _KEPT, needed)
        inside = np.square(self.top.vectors[:, :CLASSES].T @ clean).sum()
        lean = float(inside / np.square(clean).sum())
        needed = f"more than {_LEAN:g} of them in the top {CLASSES} eigenvectors"
        yield Premise("clean labels lean to the top", lean, lean > _LEAN, needed)

    def filter_row(self) -> Measurement:
        """Share of the information by recursion, against the filter over the eigenpairs found.

        What lies outside of them adds at most the product of both norms there.
        """
        parts, pairs = (self.own.observed, self.own.clean), self.pairs
        inside = [pairs.vectors.T @ part for part in parts]
        outside = [max(0.0, float(np.square(part).sum() - np.square(found).sum()))
                   for part, found in zip(parts, inside, strict=True)]  # fmt: skip
        scale = self.own.kept * float(np.square(self.own.clean).sum())
        rate = self.recipe.rate
        filtered = predictions.retrieval_filter(pairs.values, rate, self.steps)
        off = self.predicted[0] - filtered @ (inside[0] * inside[1]).sum(axis=1) / scale
        rounding = recursion_rounding(len(self.own.clean), self.steps, self.nets.dtype)
        return Measurement(
            "information, recursion − filter over the eigenpairs found, worst step",
            0.0,
            float(np.abs(off).max()),
            math.sqrt(outside[0] * outside[1]) / scale + rounding,
            resolution=0.25,
        )


def shares(labels: Labels, outputs: Array) -> Array:
    """Retrieved shares of information and noise, and their difference, shape (3, ...)."""
    information, noise = (labels.share(part, outputs) for part in (0, 1))
    return np.stack([information, noise, information - noise])


def recursion_rounding(points: int, steps: int, precision: str) -> float:
    """Of a share by recursion: products of n numbers round by √n eps at random, step after step."""
    return steps * math.sqrt(points) * float(torch.finfo(storage(precision)).eps)


def _rows(
    plan: ScaledPlan, ladder: Ladder, seen: list[Array], first: list[Array], rounding: float
) -> Iterator[Measurement]:
    """Of the nets.

    Args:
        plan: what is predicted.
        ladder: the nets.
        seen: shares of the nets of each width, (3, S, T + 1).
        first: outputs after one step over their prediction, a row for each width.
        rounding: RMS error of the widest nets by rounding.
    """
    peak, predicted, widths = plan.peak, plan.predicted, ladder.widths
    lost, least = rounding * plan.own.sensitivity, float(predicted[2][1:].min())
    rng = np.random.default_rng(plan.nets.seed)
    # What narrower nets lead one to expect of the widest; rounding may not be more.
    off = [np.abs(found - predicted[:, None]).max(axis=2) for found in seen[:-1]]
    rooms = [fit_power_law(widths[:-1], [one[part] for one in off], rng=rng)
             .upper(widths[-1], _CONFIDENCE) for part in range(3)]  # fmt: skip
    yield plan.ratio_row()
    yield plan.filter_row()
    for part, (name, resolution) in enumerate(
        (("information", 0.25), ("noise", 0.25), ("information − noise", predicted[2][peak] / 2))
    ):
        title = f"retrieved share of {name} after {peak} steps, where they are farthest apart"
        room = rooms[part]
        yield over_nets(title, predicted[part][peak], seen[-1][part][:, peak], room + lost,
                        min(resolution, 2 * room))  # fmt: skip
    ahead, room = seen[-1][2][:, 1:].min(axis=1), rooms[2]
    title = "least share of information − noise at any step"
    yield over_nets(title, least, ahead, room + lost, min(least, 2 * room))
    crossing = plan.crossing(plan.recipe.rate, plan.outputs[1])
    yield first_step_row(widths, np.array(first), _TRAINING, crossing)
    yield ladder.falling_row(_TRAINING, "sup over t")


def _control(plan: ScaledPlan, ladder: Ladder, progress: Progress) -> Control:
    """Whole classes take each other's label: their noise lies where the information does."""
    changed, names = max(2, round(plan.noise_rate * CLASSES)), np.arange(CLASSES)
    names[:changed] = np.roll(names[:changed], 1)
    observed = np.eye(CLASSES)[names[plan.dataset.clean.argmax(axis=1)]]
    labels, width, peak = plan.labels(observed), plan.nets.widths[-2], plan.peak
    recipe, count = replace(plan.recipe, observed=observed), plan.nets.count
    trained = plan.nets.train_controls(recipe, width, count, progress=progress)
    tolerance = labels.sensitivity * ladder.bound(lambda rung: rung.largest_deviation, width)
    broken = "noise is spread over the eigenspaces: here whole clusters have another label"
    seen = labels.ahead(trained.outputs[:, peak])
    predicted = float(labels.ahead(plan.limit(observed)[peak]))
    name = f"R(information) − R(noise) after {peak} steps"
    failure = over_nets(name, predicted, seen, tolerance)
    return judged_control(_CONTROL, broken, failure, float(plan.predicted[2][peak]), tolerance)


def _arrays(values: Array, predicted: Array) -> dict[str, Array]:
    """As the pictures of the claim name them."""
    names = "share of information", "share of noise", "lead of clusters"
    drawn = dict(zip(names, values, strict=True))
    return drawn | {f"predicted {name}": one for name, one in zip(names, predicted, strict=True)}


def _gather(plan: ScaledPlan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += plan.premises()
    evidence.arrays["clusters: eigenvalues"] = plan.pairs.values
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder, first, rounding = plan.nets.ladder(plan.dataset.clean), plan.outputs[1], 0.0
    seen, along = [], []
    for width in ladder.widths:
        trained = ladder.train(_TRAINING, plan.recipe, width, plan.outputs, progress=progress)
        evidence.metrics = list(ladder.metrics())
        evidence.progress_note = f"trained at width {width}"
        if evidence.diverged(ladder.stopped()):
            return ""
        if width == ladder.widths[0]:
            rounding = plan.rounding(ladder, plan.recipe, trained)
        seen.append(shares(plan.own, trained.outputs))
        along.append((trained.outputs[:, 1] * first).sum(axis=(1, 2)) / np.square(first).sum())
    evidence.arrays |= _arrays(seen[-1], plan.predicted)
    evidence.measurements += _rows(plan, ladder, seen, along, rounding)
    if evidence.sound:
        evidence.controls.append(_control(plan, ladder, progress))
    peak = plan.peak
    return (
        f"on {CLASSES * plan.points} points of {FEATURES} features nets of width "
        f"{ladder.widths[-1]} have retrieved {seen[-1][0][:, peak].mean():.3g} of the information "
        f"and {seen[-1][1][:, peak].mean():.3g} of the noise after {peak} steps, predicted "
        f"{plan.predicted[0][peak]:.3g} and {plan.predicted[1][peak]:.3g}; {ladder.dtype} products "
        f"are off by {rounding:.1e}"
    )


def run_at_scale(options: Options, progress: Progress) -> ClaimResult:
    """Measure the spectrum, predict by the recursion, train the ladder, run the control."""
    plan = ScaledPlan.of(options)
    return conduct(
        CLAIM,
        options,
        plan.config(),
        lambda evidence: _gather(plan, evidence, progress),
        controls=(_CONTROL,),
    )

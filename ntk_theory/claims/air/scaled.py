"""`air` at the size of an image data set: class labels retrieved before label noise.

With centred labels ỹ = κ y + ζ, ζ is orthogonal to y, and with flips as even as they can be it has
next to no mean in any class: it is nearly orthogonal to all that the classes share. The prediction
is the recursion on the measured kernel; eigenpairs give the share of the information once more, by
the filter 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = [
    "ScaledPlan",
    "recursion_rounding",
    "run_at_scale",
]

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.air import CLAIM
from ntk_theory.claims.air.labels import Labels
from ntk_theory.fitting import fit_power_law
from ntk_theory.image_size import CLASSES, FEATURES, ImageSize
from ntk_theory.ladder import Ladder, first_step_row
from ntk_theory.problems import Recipe
from ntk_theory.runs import Evidence, conduct, judged_control, over_nets
from ntk_theory.targets import PLAIN, weights
from ntk_theory.training.products import storage
from ntk_theory.verdicts import (
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
)

Array = NDArray[np.float64]

_TRAINING = "noisy labels"
_CONTROL = "whole-clusters-flipped"
_CONFIDENCE = 0.999
"""Of the bounds that narrower nets put on the widest."""

_KEPT = 0.1
"""Least κ: below it next to nothing of the information is left in the labels."""

_LEAN = 0.9
"""Share of the clean labels that the top C eigenvectors have to hold."""


def _labels(clean: Array, observed: Array) -> Labels:
    """One-hot rows less their mean over the classes."""
    return Labels(clean - 1 / CLASSES, observed - 1 / CLASSES)


@dataclass(frozen=True)
class ScaledPlan(ImageSize):
    """Plain training on noisy class labels."""

    ways: ClassVar[int] = 1

    @property
    def learning_rate(self) -> float:
        """η = 1/(2λ_max)."""
        return self.largest_rate / 2

    @cached_property
    def labels(self) -> Labels:
        """Those that are trained on."""
        return _labels(self.dataset.clean, self.dataset.observed)

    @property
    def recipe(self) -> Recipe:
        """What nets are trained on."""
        dataset = self.dataset
        return Recipe(dataset.inputs, dataset.observed, PLAIN, self.learning_rate, self.steps)

    def limit(self, observed: Array) -> Array:
        """Outputs of the infinitely wide net, shape (T + 1, n, C)."""
        ones = weights(PLAIN.schedule, self.steps)
        clean = self.dataset.clean
        return predictions.gram_outputs(self.kernel, clean, observed, self.learning_rate, ones)

    @cached_property
    def outputs(self) -> Array:
        """The same on the noisy labels."""
        return self.limit(self.dataset.observed)

    @cached_property
    def predicted(self) -> tuple[Array, Array]:
        """Predicted shares of information and noise, shape (T + 1,) each."""
        return self.labels.shares(self.outputs)

    @property
    def gap(self) -> Array:
        """Predicted share of information minus that of noise."""
        information, noise = self.predicted
        return np.asarray(information - noise)

    @property
    def peak(self) -> int:
        """Step at which it is largest."""
        return int(self.gap.argmax())

    @cached_property
    def lean(self) -> float:
        """Share of the clean labels in the top C eigenvectors."""
        inside = self.top.vectors[:, :CLASSES].T @ self.labels.clean
        return float(np.square(inside).sum() / np.square(self.labels.clean).sum())

    def filter_row(self) -> Measurement:
        """Share of the information by recursion, against the filter over the eigenpairs found.

        What lies outside of them adds at most the product of both norms there.
        """
        pairs, labels = self.pairs, self.labels
        coefficients = [pairs.vectors.T @ part for part in (labels.observed, labels.clean)]
        outside = [
            max(0.0, float(np.square(part).sum() - np.square(inside).sum()))
            for part, inside in zip((labels.observed, labels.clean), coefficients, strict=True)
        ]
        scale = labels.kept * float(np.square(labels.clean).sum())
        along = (coefficients[0] * coefficients[1]).sum(axis=1) / scale
        filtered = predictions.retrieval_filter(pairs.values, self.learning_rate, self.steps)
        missing = math.sqrt(outside[0] * outside[1]) / scale
        return Measurement(
            "information, recursion − filter over the eigenpairs found, worst step",
            0.0,
            float(np.abs(self.predicted[0] - filtered @ along).max()),
            missing + recursion_rounding(len(self.outputs[0]), self.steps, self.nets.dtype),
            resolution=0.25,
        )


def recursion_rounding(points: int, steps: int, precision: str) -> float:
    """Of a share by recursion: products of n numbers round by √n eps at random, step after step."""
    eps = float(torch.finfo(storage(precision)).eps)
    return steps * math.sqrt(points) * eps


@dataclass
class _Seen:
    """What rows and pictures need of the trajectories.

    Attributes:
        off: sup over t of the error of information, noise and their difference, for each width
            (S, 3).
        first: outputs after one step over their prediction, a row for each width.
        shares: of the widest nets, information and noise, (S, T + 1) each.
        rounding: RMS error of the widest nets by rounding.
    """

    off: list[Array] = field(default_factory=list)
    first: list[Array] = field(default_factory=list)
    shares: tuple[Array, Array] | None = None
    rounding: float = 0.0


def _climb(plan: ScaledPlan, evidence: Evidence, progress: Progress) -> tuple[Ladder, _Seen]:
    ladder, seen = plan.nets.ladder(plan.dataset.clean), _Seen()
    first = plan.outputs[1]
    for width in ladder.widths:
        trained = ladder.train(_TRAINING, plan.recipe, width, plan.outputs, progress=progress)
        evidence.metrics = list(ladder.metrics())
        evidence.progress_note = f"trained at width {width}"
        if ladder.stopped():
            break
        if width == ladder.widths[0]:
            seen.rounding = plan.rounding(ladder, plan.recipe, trained)
        information, noise = seen.shares = plan.labels.shares(trained.outputs)
        errors = (
            information - plan.predicted[0],
            noise - plan.predicted[1],
            information - noise - plan.gap,
        )
        seen.off.append(np.stack([np.abs(error).max(axis=1) for error in errors], axis=1))
        along = (trained.outputs[:, 1] * first).sum(axis=(1, 2))
        seen.first.append(along / np.square(first).sum())
    return ladder, seen


def _rows(plan: ScaledPlan, ladder: Ladder, seen: _Seen) -> list[Measurement]:
    assert seen.shares is not None
    information, noise = seen.shares
    rng = np.random.default_rng(plan.nets.seed)
    narrower = ladder.widths[:-1]

    def allowed(part: int) -> float:
        """What narrower nets let expect of the widest, and rounding that may not be more."""
        values = [off[:, part] for off in seen.off[:-1]]
        return fit_power_law(narrower, values, rng=rng).upper(ladder.widths[-1], _CONFIDENCE)

    peak, lost = plan.peak, seen.rounding * plan.labels.sensitivity
    gap, least = float(plan.gap[peak]), float(plan.gap[1:].min())
    rooms = [allowed(part) for part in range(3)]
    rows = [plan.ratio_row(), plan.filter_row()]
    for name, expected, measured, room, resolution in (
        ("information", float(plan.predicted[0][peak]), information[:, peak], rooms[0], 0.25),
        ("noise", float(plan.predicted[1][peak]), noise[:, peak], rooms[1], 0.25),
        ("information − noise", gap, (information - noise)[:, peak], rooms[2], gap / 2),
    ):
        rows.append(
            over_nets(
                f"retrieved share of {name} after {peak} steps, where they are farthest apart",
                expected,
                measured,
                room + lost,
                min(resolution, 2 * room),
            )
        )
    crossing = plan.crossing(plan.learning_rate, plan.outputs[1])
    return [
        *rows,
        over_nets(
            "least share of information − noise at any step",
            least,
            (information - noise)[:, 1:].min(axis=1),
            rooms[2] + lost,
            min(least, 2 * rooms[2]),
        ),
        first_step_row(ladder.widths, np.array(seen.first), _TRAINING, crossing),
        ladder.falling_row(_TRAINING, "sup over t"),
    ]


def _control(plan: ScaledPlan, ladder: Ladder, progress: Progress) -> Control:
    """Whole classes take each other's label: their noise lies where the information does."""
    classes = plan.dataset.clean.argmax(axis=1)
    changed = max(2, round(plan.noise_rate * CLASSES))
    names = np.arange(CLASSES)
    names[:changed] = np.roll(names[:changed], 1)
    observed = np.eye(CLASSES)[names[classes]]
    labels, width = _labels(plan.dataset.clean, observed), plan.nets.widths[-2]
    information, noise = labels.shares(plan.limit(observed)[plan.peak])
    trained = plan.nets.train_controls(
        replace(plan.recipe, observed=observed), width, plan.nets.count, progress=progress
    )
    seen = labels.shares(trained.outputs[:, plan.peak])
    tolerance = labels.sensitivity * ladder.bound(lambda rung: rung.largest_deviation, width)
    return judged_control(
        _CONTROL,
        "noise is spread over the eigenspaces: here whole clusters have another label",
        over_nets(
            f"R(information) − R(noise) after {plan.peak} steps",
            float(information - noise),
            seen[0] - seen[1],
            tolerance,
        ),
        float(plan.gap[plan.peak]),
        tolerance,
    )


def _premises(plan: ScaledPlan) -> list[Premise]:
    return [
        *plan.spectral_premises(plan.learning_rate),
        Premise(
            "labels hold information",
            plan.labels.kept,
            plan.labels.kept > _KEPT,
            f"κ = 1 − ρC/(C − 1) > {_KEPT:g}",
        ),
        Premise(
            "clean labels lean to the top",
            plan.lean,
            plan.lean > _LEAN,
            f"more than {_LEAN:g} of them in the top {CLASSES} eigenvectors",
        ),
    ]


def _gather(plan: ScaledPlan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += _premises(plan)
    evidence.arrays |= {
        "predicted_information": plan.predicted[0],
        "predicted_noise": plan.predicted[1],
        "clusters_predicted_gap": plan.gap,
        "clusters_eigenvalues": plan.pairs.values,
    }
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder, seen = _climb(plan, evidence, progress)
    if evidence.diverged(ladder.stopped()) or seen.shares is None:
        return ""
    information, noise = seen.shares
    evidence.arrays |= {
        "information": information,
        "noise": noise,
        "clusters_gap": information - noise,
    }
    evidence.measurements += _rows(plan, ladder, seen)
    if evidence.sound:
        evidence.controls.append(_control(plan, ladder, progress))
    peak = plan.peak
    return (
        f"on {CLASSES * plan.points} points of {FEATURES} features nets of width "
        f"{ladder.widths[-1]} have retrieved {information[:, peak].mean():.3g} of the information "
        f"and {noise[:, peak].mean():.3g} of the noise after {peak} steps, predicted "
        f"{plan.predicted[0][peak]:.3g} and {plan.predicted[1][peak]:.3g}; {ladder.dtype} products "
        f"are off by {seen.rounding:.1e}"
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

"""`air` at the size of an image data set: class labels retrieved before label noise.

With centred labels ỹ = κ y + ζ, ζ is orthogonal to y, and with flips as even as they can be it has
next to no mean in any class: it is nearly orthogonal to all that the classes share. The prediction
is the recursion on the measured kernel; eigenpairs give the share of the information once more, by
the filter 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["SCALED", "Scaled", "recursion_rounding"]

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.rows import SIGNED
from ntk_theory.claims._air_designs import Labels
from ntk_theory.claims.air import CLAIM
from ntk_theory.distilled import Units, on_gram
from ntk_theory.image_size import CLASSES, FEATURES, ImageSize, at_image_size
from ntk_theory.training.products import storage

Array = NDArray[np.float64]

_KEPT, _LEAN = 0.1, 0.9
"""Least κ, and share of the clean labels that the top C eigenvectors have to hold."""


class Scaled(ImageSize):
    """Plain training on noisy class labels."""

    ways: ClassVar[int] = 1
    share: ClassVar[float] = 0.5

    def labelled(self, classes: NDArray[np.intp]) -> Labels:
        """One-hot rows of observed classes, less their mean over the classes."""
        return Labels(self.dataset.clean - 1 / CLASSES, np.eye(CLASSES)[classes] - 1 / CLASSES)

    @cached_property
    def labels(self) -> Labels:
        """Those that are trained on."""
        return self.labelled(self.dataset.observed_class)

    def training(self, name: str, classes: NDArray[np.intp]) -> nt.Training:
        """Plain training on observed classes, predicted by the recursion."""
        dataset, units = (
            replace(self.dataset, observed_class=classes),
            Units(self.learning_rate, 1.0, self.steps),
        )
        plain = nt.targets.PLAIN.schedule
        return on_gram(name, dataset, self.kernel, plain, units, kernel_limit=False)

    @cached_property
    def noisy(self) -> nt.Training:
        """On the noisy labels."""
        return self.training("noisy labels", self.dataset.observed_class)

    @cached_property
    def lead(self) -> Array:
        """Predicted share of information less that of noise, shape (T + 1,)."""
        return self.labels.ahead(self.noisy.predicted)

    @property
    def peak(self) -> int:
        """Step at which they are farthest apart."""
        return int(self.lead.argmax())

    def premises(self) -> Iterator[nt.Premise]:
        """Of the measured kernel, and of the labels in its eigenvectors."""
        yield from super().premises()
        kept, clean = self.labels.kept, self.labels.clean
        needed = f"κ = 1 − ρC/(C − 1) > {_KEPT:g}"
        yield nt.Premise("labels hold information", kept, kept > _KEPT, needed)
        inside = np.square(self.top.vectors[:, :CLASSES].T @ clean).sum()
        lean = float(inside / np.square(clean).sum())
        needed = f"more than {_LEAN:g} of them in the top {CLASSES} eigenvectors"
        yield nt.Premise("clean labels lean to the top", lean, lean > _LEAN, needed)

    def filter_row(self) -> nt.Measurement:
        """Share of the information by recursion, against the filter over the eigenpairs found.

        What lies outside of them adds at most the product of both norms there.
        """
        parts, pairs = (self.labels.observed, self.labels.clean), self.pairs
        inside = [pairs.vectors.T @ part for part in parts]
        outside = [max(0.0, float(np.square(part).sum() - np.square(found).sum()))
                   for part, found in zip(parts, inside, strict=True)]  # fmt: skip
        scale = self.labels.kept * float(np.square(self.labels.clean).sum())
        filtered = nt.predictions.retrieval_filter(pairs.values, self.learning_rate, self.steps)
        along = filtered @ (inside[0] * inside[1]).sum(axis=1) / scale
        rounding = recursion_rounding(len(self.labels.clean), self.steps, self.nets.dtype)
        return nt.Measurement(
            "information, recursion − filter over the eigenpairs found, worst step",
            0.0,
            float(np.abs(self.labels.information(self.noisy.predicted) - along).max()),
            math.sqrt(outside[0] * outside[1]) / scale + rounding,
            resolution=0.25,
        )

    @property
    def shown_shares(self) -> dict[str, Any]:
        """Curves of a picture: of which training, and what."""
        return self.labels.shown(self.noisy.name)

    @property
    def shown_leads(self) -> dict[str, Any]:
        """Curves of another one."""
        return {"clusters": (self.noisy.name, self.labels.ahead)}

    def arrays(self) -> dict[str, Array]:
        """As the pictures of the claim name them."""
        return {"clusters: eigenvalues": self.pairs.values}


def recursion_rounding(points: int, steps: int, precision: str) -> float:
    """Of a share by recursion: products of n numbers round by √n eps at random, step after step."""
    return steps * math.sqrt(points) * float(torch.finfo(storage(precision)).eps)


SCALED = at_image_size(CLAIM, Scaled)
SCALED.panels = {
    name: CLAIM.panels[name] for name in ("retrieved-shares", "information-ahead", "eigenvalues")
}


@SCALED.trainings
def trainings(scaled: Scaled) -> nt.Training:
    """Plain training on the noisy labels."""
    return scaled.noisy


@SCALED.closed_forms
def closed_forms(scaled: Scaled) -> Iterator[nt.Measurement]:
    """The ratio asked for, and the filter."""
    yield scaled.ratio_row()
    yield scaled.filter_row()


@SCALED.rows
def rows(scaled: Scaled, noisy: nt.Training) -> Iterator[nt.Row]:
    """Shares where information and noise are farthest apart, and the least lead of information."""
    labels, peak, lead = scaled.labels, scaled.peak, scaled.lead
    for name, functional, resolves in (
        ("information", labels.information, 0.25),
        ("noise", labels.noise, 0.25),
        ("information − noise", labels.ahead, float(lead[peak]) / 2),
    ):
        title = f"retrieved share of {name} after {peak} steps, where they are farthest apart"
        yield nt.Row(title, noisy, functional, at=peak, norm=SIGNED, resolves=resolves)
    yield nt.Row("least share of information − noise at any step", noisy, labels.ahead,
                 at=slice(1, None), reduce=np.min, norm=SIGNED,
                 resolves=float(lead[1:].min()))  # fmt: skip


@SCALED.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """The learning rate, in the first step."""
    yield run.problem.first_step(run, run.problem.noisy.name)


@SCALED.controls
def controls(scaled: Scaled) -> nt.Control:
    """Whole classes take each other's label: their noise lies where the information does."""
    changed, names = max(2, round(scaled.noise_rate * CLASSES)), np.arange(CLASSES)
    names[:changed] = np.roll(names[:changed], 1)
    classes, peak = names[scaled.dataset.clean_class], scaled.peak
    labels = scaled.labelled(classes)
    return nt.Control(
        "whole-clusters-flipped",
        "noise is spread over the eigenspaces: here whole clusters have another label",
        nt.Row(
            f"R(information) − R(noise) after {peak} steps",
            scaled.training("whole clusters flipped", classes),
            labels.ahead,
            at=peak,
            norm="rms",
            tolerance=lambda deviation: labels.sensitivity * deviation,
            claimed=float(scaled.lead[peak]),
        ),
    )


@SCALED.finding
def finding(run: nt.Run) -> str:
    """Shares of information and noise."""
    scaled, (information, noise, *_) = run.problem, run.declared.rows
    width = run.nets.widths[-1]
    rounding = run.rounding_error(replace(information, norm="rms"), width)
    return (
        f"on {CLASSES * scaled.points} points of {FEATURES} features nets of width {width} have "
        f"retrieved {run.measured(information).mean():.3g} of the information and "
        f"{run.measured(noise).mean():.3g} of the noise after {scaled.peak} steps, predicted "
        f"{information.predicted:.3g} and {noise.predicted:.3g}; {run.nets.dtype} products are "
        f"off by {rounding:.1e}"
    )

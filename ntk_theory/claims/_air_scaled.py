"""`air` at the size of an image data set: class labels retrieved before label noise.

With centred labels ỹ = κ y + ζ, ζ is orthogonal to y, and with flips as even as they can be it has
next to no mean in any class: it is nearly orthogonal to all that the classes share. The prediction
is the recursion on the measured kernel; eigenpairs give the share of the information once more, by
the filter 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["SCALED", "Scaled"]

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.rows import SIGNED, Array
from ntk_theory.claims._air_designs import Labels
from ntk_theory.claims.air import CLAIM, CLUSTERS
from ntk_theory.image_size import CLASSES, ImageSize, at_image_size

_KEPT, _LEAN = 0.1, 0.9
"""Least κ, and share of the clean labels that the top C eigenvectors have to hold."""


def _centred(dataset: nt.data.Dataset) -> Labels:
    """One-hot rows less their mean over the classes."""
    return Labels(dataset.clean - 1 / CLASSES, dataset.observed - 1 / CLASSES)


class Scaled(ImageSize):
    """Plain training on noisy class labels."""

    ways, share, name = 1, 0.5, CLUSTERS

    @cached_property
    def noisy(self) -> nt.Training:
        """Plain training on the noisy labels."""
        return self.training(self.name)

    @cached_property
    def labels(self) -> Labels:
        """These labels, centred."""
        return _centred(self.dataset)

    def lead(self, outputs: Array, _: object = None) -> Array:
        """Share of information less that of noise."""
        return self.labels.ahead(outputs)

    @property
    def cases(self) -> tuple[Scaled]:
        """Itself, as one of the designs of the other presets, for their pictures."""
        return (self,)

    def arrays(self) -> dict[str, Array]:
        """As the pictures name them."""
        return {f"{self.name}: eigenvalues": self.pairs.values}

    @property
    def rounding(self) -> float:
        """Of a share by recursion: products of n numbers round by √n eps at random, every step."""
        return self.steps * self.nets.rounding_allowance(CLASSES * self.points)

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

    def closed_forms(self) -> Iterator[nt.Measurement]:
        """The ratio, and the share of the information against the filter over the eigenpairs found.

        What lies outside of them adds at most the product of both norms there.
        """
        yield from super().closed_forms()
        labels, pairs, parts = self.labels, self.pairs, (self.labels.observed, self.labels.clean)
        inside = [pairs.vectors.T @ part for part in parts]
        norms = [float(np.square(part).sum()) for part in parts]
        outside = [max(0.0, norm - float(np.square(found).sum()))
                   for norm, found in zip(norms, inside, strict=True)]  # fmt: skip
        scale = labels.kept * norms[1]
        filtered = nt.predictions.retrieval_filter(pairs.values, self.learning_rate, self.steps)
        share = filtered @ (inside[0] * inside[1]).sum(axis=1) / scale
        off = float(np.abs(labels.information(self.noisy.predicted) - share).max())
        allowed = math.sqrt(outside[0] * outside[1]) / scale + self.rounding
        name = "information, recursion − filter over the eigenpairs found, worst step"
        yield nt.Measurement(name, 0.0, off, allowed, resolution=0.25)


SCALED = at_image_size(CLAIM, Scaled)
SCALED.trainings(lambda scaled: scaled.noisy)
SCALED.measure(lambda run: [run.problem.first_step(run, CLUSTERS)])
SCALED.panels = {
    name: CLAIM.panels[name] for name in ("retrieved-shares", "information-ahead", "eigenvalues")
}


@SCALED.rows
def rows(scaled: Scaled, noisy: nt.Training) -> Iterator[nt.Row]:
    """Shares where information and noise are farthest apart, and the least lead of information."""
    labels, lead = scaled.labels, scaled.lead(noisy.predicted)
    peak, row = int(lead.argmax()), partial(nt.Row, training=noisy, norm=SIGNED)
    for name, functional, resolves in (
        ("information", labels.information, 0.25),
        ("noise", labels.noise, 0.25),
        ("information − noise", labels.ahead, float(lead[peak]) / 2),
    ):
        title = f"retrieved share of {name} after {peak} steps, where they are farthest apart"
        yield row(title, functional=functional, at=peak, resolves=resolves)
    yield row("least share of information − noise at any step", functional=labels.ahead,
              at=slice(1, None), reduce=np.min, resolves=float(lead[1:].min()))  # fmt: skip


@SCALED.controls
def controls(scaled: Scaled) -> nt.Control:
    """Whole classes take each other's label: their noise lies where the information does."""
    changed, names = max(2, round(scaled.noise_rate * CLASSES)), np.arange(CLASSES)
    names[:changed] = np.roll(names[:changed], 1)
    flipped = replace(scaled.dataset, observed_class=names[scaled.dataset.clean_class])
    training = scaled.training("clusters flipped", on=flipped)
    return nt.Control(
        "whole-clusters-flipped",
        "noise is spread over the eigenspaces: here whole clusters have another label",
        _centred(flipped).broken(training, scaled.lead(scaled.noisy.predicted)),
    )


@SCALED.finding
def finding(run: nt.Run) -> str:
    """Shares of information and noise."""
    scaled: Scaled = run.problem
    information, noise, *_ = run.declared.rows
    return scaled.found(
        run,
        f"nets of width {run.nets.widths[-1]} have retrieved {run.measured(information).mean():.3g}"
        f" of the information and {run.measured(noise).mean():.3g} of the noise after "
        f"{information.at} steps, predicted {information.predicted:.3g} and {noise.predicted:.3g}",
    )

"""Claims on data of one's own: what is trained there, and what the kernel limit does.

The spectrum is measured, and the right labels are known: wrong ones are planted, or come with the
data. Plain training is predicted by its filters along the measured eigenvectors; self-distillation
by the recursion of section 7.1 of docs/theory.md, towards the labels that it teaches.
"""

from __future__ import annotations

__all__ = ["DISTILLED", "PLAIN", "OwnData", "Taught", "error_row", "to_clean"]

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import Functional, LabelledPoints, margins, rms_error
from ntk_theory.checking.rows import HeldOut, Row, Training
from ntk_theory.checking.verdicts import Premise

if TYPE_CHECKING:
    from ntk_theory.checking.run import Run
    from ntk_theory.data import Dataset
    from ntk_theory.datasets import LabelledData
    from ntk_theory.forecast import Forecast

Array = NDArray[np.float64]

DISTILLED, PLAIN = "self-distillation", "plain training"

_BURN_INS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Of which the best is taken, in the kernel limit."""

_MARGIN = 0.08
"""Least margin of a taught label that nets of some thousand neurons do not scatter beyond."""

_LONGEST = 600
"""Steps of a run that does not say, at most."""

_WIDE = 0.5
"""Predicted scatter of the narrowest nets, over the size of the outputs, that is still small."""


def to_clean(functional: Functional, clean: Array) -> Functional:
    """A functional against the clean labels, whatever the training is compared with."""

    def found(outputs: Array, points: LabelledPoints) -> Array:
        return functional(outputs, points._replace(labels=clean))

    return found


@dataclass(frozen=True)
class Taught:
    """Self-distillation in the kernel limit.

    Attributes:
        burn_in: steps in which all labels are the observed ones.
        labels: that it teaches from then on, encoded.
        margin: least margin of a taught label, or below 0 where what is taught changes.
    """

    burn_in: int
    labels: Array
    margin: float


@dataclass(frozen=True)
class OwnData:
    """Points with observed labels, and right ones where they are known; or their kernel alone.

    Attributes:
        source: where they come from.
        gram: limiting NTK of the points, or a kernel that was given.
        observed_class: shape (n,).
        clean_class: the same, or None.
        classes: C.
        share: ηλ_max.
        asked_steps: T, if it was asked for.
        dataset: with the inputs, unless a kernel was given.
        fresh: points that no net is trained on.
    """

    source: str
    gram: Array
    observed_class: NDArray[np.int64]
    clean_class: NDArray[np.int64] | None
    classes: int
    share: float = 1.0
    asked_steps: int | None = None
    dataset: Dataset | None = None
    fresh: LabelledData | None = None

    @property
    def inputs(self) -> Array:
        """Unit rows, shape (n, d)."""
        assert self.dataset is not None
        return self.dataset.inputs

    @property
    def clean(self) -> Array:
        """Right labels, encoded."""
        assert self.dataset is not None
        return self.dataset.clean

    @property
    def observed(self) -> Array:
        """Observed labels, encoded."""
        return nt.data.encode(self.observed_class, self.classes)

    @cached_property
    def spectrum(self) -> nt.spectrum.Spectrum:
        """Of the kernel."""
        return nt.spectrum.eigendecomposition(self.gram)

    @cached_property
    def forecast(self) -> Forecast:
        """What follows from kernel and labels."""
        return nt.forecast.forecast_of(
            self.gram, self.observed_class, self.clean_class, classes=self.classes, share=self.share
        )

    @property
    def learning_rate(self) -> float:
        """η."""
        return self.share / float(self.spectrum.eigenvalues[-1])

    def lines(self) -> list[str]:
        """What theory can and cannot say of them."""
        known, said = self.forecast, [f"data: {self.source}", *self.forecast.lines()]
        if self.dataset is not None and known.known and not known.singular:
            least = {f"until step {step}": 4 * self.narrow_width(step)
                     for step in (known.lost, known.memorised) if step}  # fmt: skip
            wide = ", ".join(f"{width:.2g} {until}" for until, width in least.items())
            said.append(
                f"widths from which neurons move less than half of the closest angle: {wide}"
            )
        return said

    def narrow_width(self, steps: int) -> float:
        """Width at which fitting the noise moves a neuron as far as the closest points are apart.

        ζᵀ A H^{-1} A ζ over the square of their angle (section 9.4), A being the filter of so many
        steps of plain training.
        """
        of, clean = self.spectrum, self.clean
        noise = nt.forecast.label_noise(self.observed, clean).reshape(len(clean), -1)
        with np.errstate(under="ignore"):
            filters = 1 - (1 - self.learning_rate * of.eigenvalues) ** steps
        fitted = np.square(filters[:, None] * (of.eigenvectors.T @ noise)).sum(axis=1)
        cosines = self.inputs @ self.inputs.T
        np.fill_diagonal(cosines, -1)
        return float((fitted / of.eigenvalues).sum() / np.arccos(cosines.max()) ** 2)

    def config(self) -> dict[str, Any]:
        """Every number that the run chose by itself."""
        known = self.forecast
        return {
            "points": known.points, "classes": self.classes, "noise_rate": known.noise_rate,
            "learning_rate": self.learning_rate, "lambda_min": known.lambda_min,
            "lambda_max": known.lambda_max, "memorised": known.memorised,
        }  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        """Eigenvalues from the top, and how much of the energy the top k eigenvectors hold."""
        found = {"eigenvalues": self.spectrum.eigenvalues[::-1]}
        parts = {"observed labels": self.observed}
        if self.clean_class is not None:
            clean = nt.data.encode(self.clean_class, self.classes)
            parts = {"clean labels": clean, "noise": nt.forecast.label_noise(self.observed, clean)}
        for name, part in parts.items():
            columns = part.reshape(len(part), -1)
            along = self.spectrum.eigenvectors.T @ (columns - columns.mean(axis=0))
            energy = np.square(along).sum(axis=1)[::-1]
            if energy.sum() > 0:
                found[f"energy of {name}"] = np.cumsum(energy) / energy.sum()
        return found

    # ------------------------------------------------------------ premises

    def premises(self) -> Iterator[Premise]:
        """That there are points to train on, that differ, and labels known to be wrong."""
        known, n, eps = self.forecast, len(self.gram), float(np.finfo(float).eps)
        name = "kernel positive definite"
        if known.singular and self.dataset is not None:
            name += self._twins
        yield Premise(name, known.lambda_min, not known.singular,
                      f"λ_min(H) > n eps λ_max = {n * eps * known.lambda_max:.2g}")  # fmt: skip
        if self.dataset is None:
            yield Premise("inputs to train nets on", None, False,
                          "a kernel alone gives the forecast; --data gives inputs")  # fmt: skip
            return
        wrong = known.noise_rate if known.known else None
        yield Premise("wrong labels, known as such", wrong, bool(wrong),
                      "ρ > 0: planted (--noise), or labels beside clean ones")  # fmt: skip

    @property
    def _twins(self) -> str:
        """Which two points point the same way, in words; empty where none do."""
        cosines = self.inputs @ self.inputs.T
        np.fill_diagonal(cosines, -1)
        one, other = sorted(map(int, np.unravel_index(int(cosines.argmax()), cosines.shape)))
        if cosines[one, other] < 1 - 1e-12:
            return ""
        same = self.observed_class[one] == self.observed_class[other]
        return f" (points {one} and {other} are the same up to a factor" + (
            ")" if same else ", with different labels)")  # fmt: skip

    def wide_enough(self, run: Run, name: str) -> Premise:
        """The narrowest nets scatter little, by their law of finite width."""
        one, width = run.trainings[name], run.results[name][0].width
        zero = one.points._replace(labels=0 * self.clean)
        off = rms_error(run.law(one).outputs(width) - one.predicted, zero).mean(axis=0).max()
        found = float(off / rms_error(one.predicted, zero).max())
        least = math.ceil(width * (found / _WIDE) ** 2)
        return Premise(f"{name}: width enough", found, found <= _WIDE,
                       "predicted deviation of the narrowest nets / size of the outputs <= "
                       f"{_WIDE:g}: widths from {least} on")  # fmt: skip

    # ------------------------------------------------------------ ways to train

    @property
    def memorising(self) -> int:
        """Steps in which plain training reaches the observed labels, and a few more."""
        if self.asked_steps is not None:
            return self.asked_steps
        reached = self.forecast.memorised
        return min(_LONGEST, math.ceil(1.2 * reached) + 2) if reached else _LONGEST

    def recipe(self, steps: int, labels: Array | None = None) -> nt.Recipe:
        """Plain training on the observed labels, or on others."""
        seen = self.observed if labels is None else labels
        return nt.Recipe(self.inputs, seen, nt.targets.PLAIN, self.learning_rate, steps)

    def held_out(self, outputs: Array) -> HeldOut:
        """The fresh points, of a wide net with some outputs on the training points."""
        assert self.fresh is not None
        kernel = nt.kernels.ntk_limit(self.fresh.inputs, self.inputs)
        labels = nt.data.encode(self.fresh.right, self.classes)
        rows = np.asarray(self.fresh.inputs, dtype=np.float64)
        return HeldOut(rows, labels, kernel @ np.linalg.solve(self.gram, outputs))

    def plain(self, steps: int, name: str = PLAIN, *, fresh: bool = False, rate: float = 1.0,
              order: NDArray[np.int64] | None = None, **more: Any) -> Training:  # fmt: skip
        """Plain training, by its filters.

        Args:
            steps: T.
            name: of the training.
            fresh: look at the fresh points.
            rate: factor of η.
            order: whose labels each point gets; its own when left out.
            more: other attributes of the training.
        """
        places = slice(None) if order is None else order
        recipe = self.recipe(steps, self.observed[places])
        recipe = replace(recipe, learning_rate=rate * recipe.rate)
        steps_of = np.arange(steps + 1)
        outputs = nt.forecast.retrieved(self.spectrum, recipe.observed, recipe.rate, steps_of)
        held = {"fresh": self.held_out(outputs[-1])} if fresh else {}
        own: dict[str, Any] = {"labels": self.clean[places], "held_out": held}
        return Training(name, recipe, outputs, **(own | more))

    @property
    def distilling(self) -> int:
        """Steps of self-distillation: half of the modes are retrieved up to e^{-1.5}, or more."""
        median = float(np.median(self.spectrum.eigenvalues))
        usual = math.ceil(1.5 / (self.learning_rate * median))
        return self.asked_steps or min(max(usual, 60), _LONGEST)

    def _taught(self, burn_in: int) -> Taught:
        recipe = self._distillation(burn_in)
        outputs = recipe.kernel_limit()
        if outputs.ndim == 2:
            labels = np.where(outputs[-1] > 0, 1.0, -1.0)
        else:
            labels = np.eye(self.classes)[outputs[-1].argmax(axis=1)]
        least = margins(outputs[burn_in:], LabelledPoints(labels, outputs)).min()
        return Taught(burn_in, labels, float(least))

    def _distillation(self, burn_in: int) -> nt.Recipe:
        schedule = nt.targets.BurnIn(burn_in, nt.targets.Power(float(burn_in)))
        return replace(self.recipe(self.distilling), distillation=nt.targets.Distillation(schedule))

    @cached_property
    def taught(self) -> Taught:
        """With the burn-in that is best in the kernel limit.

        Of those below t_mem after which what is taught stays, with a margin that nets of usual
        widths do not scatter beyond, or else the largest there is, it is the one that teaches most
        right labels.
        """
        most = min(self.distilling / 2, self.forecast.lost or math.inf)
        some = [one for one in _BURN_INS if one < most] or [1]

        def merits(one: Taught) -> tuple[float, float, float]:
            return min(one.margin, _MARGIN), self.right_share(one.labels), one.margin

        return max(map(self._taught, some), key=merits)

    def right_share(self, labels: Array) -> float:
        """Of encoded labels."""
        same = labels == self.clean
        return float((same if same.ndim == 1 else same.all(axis=1)).mean())

    def taught_premises(self, *, all_right: bool) -> Iterator[Premise]:
        """What self-distillation teaches stays, and, if it has to be, is right."""
        yield Premise("what is taught in the kernel limit stays", self.taught.margin,
                      self.taught.margin > 0, "least margin after the burn-in > 0")  # fmt: skip
        if all_right:
            share = self.right_share(self.taught.labels)
            yield Premise("every taught label right: share of labels recovered in the kernel limit",
                          share, share == 1, "1: one wrong label is taught for ever")  # fmt: skip

    def distilled(self, name: str = DISTILLED, *, fresh: bool = False, **more: Any) -> Training:
        """Hard self-distillation; compared with the labels that it teaches."""
        taught, recipe = self.taught, self._distillation(self.taught.burn_in)
        weights = nt.targets.weights(recipe.distillation.schedule, recipe.steps)
        outputs = nt.predictions.gram_outputs(
            self.gram, taught.labels, recipe.observed, recipe.rate, weights)  # fmt: skip
        held = {"fresh": self.held_out(outputs[-1])} if fresh else {}
        own: dict[str, Any] = {"labels": taught.labels, "held_out": held,
                               "signs_from": taught.burn_in}  # fmt: skip
        return Training(name, recipe, outputs, **(own | more))

    def soft_training(self) -> Training:
        """The same with soft targets, which only slow plain training down."""
        recipe = self._distillation(self.taught.burn_in)
        soft = replace(recipe.distillation, target="soft")
        recipe = replace(recipe, distillation=soft)
        return Training("soft targets", recipe, recipe.kernel_limit(), self.clean)

    def permuted(self, seed: int = 1) -> NDArray[np.int64]:
        """An order of the points, for labels that have nothing to do with them."""
        return np.random.default_rng(seed).permutation(len(self.gram))


def error_row(problem: OwnData, name: str, training: Training, **more: Any) -> Row:
    """RMS distance from the clean labels."""
    return Row(name, training, to_clean(rms_error, problem.clean), norm="rms", **more)

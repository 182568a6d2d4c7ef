"""What a claim declares before any net is trained: trainings, rows on them, controls."""

from __future__ import annotations

__all__ = [
    "ALL_STEPS",
    "NORMS",
    "OWN",
    "OWN_TEACHER",
    "SIGNED",
    "Control",
    "HeldOut",
    "Row",
    "Sides",
    "Taught",
    "Training",
]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ntk_theory.checking.functionals import Functional, LabelledPoints
from ntk_theory.checking.verdicts import DeclarationError, Premise, Relation

if TYPE_CHECKING:
    from ntk_theory.checking.run import Run
    from ntk_theory.checking.verdicts import Measurement
    from ntk_theory.problems import Recipe
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]
Norm = Callable[[Array, Array], Array]
"""f(u − predicted, predicted), both (..., k, n): the size of the deviation, (..., k)."""

Sides = tuple[float, float]
"""Below and above a prediction."""

OWN = "own"
"""`norm=` of a row whose functional's own deviation is what narrower nets bound."""

SIGNED = "signed"
"""`norm=` of a row whose number is off by an error with a sign that is 0 in the mean: the mean
square of those of narrower nets bounds it, and what falls is the RMS deviation of the outputs."""

OWN_TEACHER = "own teacher"
"""`on=` of a row that looks at how far taught nets are from the labels of their own teachers."""

_GENERATION = 5
"""Streams between the seeds of nets and of those that they teach."""

ALL_STEPS = slice(None)
"""`at=` of a row that looks at every recorded step."""


def _flat(difference: Array, predicted: Array) -> Array:
    points = predicted.ndim - 1  # axes of a step's outputs
    return np.asarray(difference.reshape(*difference.shape[: difference.ndim - points], -1))


def _largest(difference: Array, predicted: Array) -> Array:
    return np.asarray(np.abs(_flat(difference, predicted)).max(axis=-1))


def _rms(difference: Array, predicted: Array) -> Array:
    square = np.square(_flat(difference, predicted)).sum(axis=-1)
    return np.asarray(np.sqrt(square / predicted.shape[1]))


def _l2(difference: Array, predicted: Array) -> Array:
    return np.asarray(np.sqrt(np.square(_flat(difference, predicted)).sum(axis=-1)))


def _relative(difference: Array, predicted: Array) -> Array:
    size = _rms(predicted, predicted)[: difference.shape[-predicted.ndim]]
    return np.asarray(_largest(difference, predicted) / np.where(size > 0, size, np.inf))


NORMS: Mapping[str, Norm] = {
    "largest": _largest, "rms": _rms, "l2": _l2, "relative": _relative,
}  # fmt: skip
"""Sizes of a deviation by name: over points the largest, the root mean square, or Euclidean.

The relative one is the largest, over the root mean square of the predicted outputs of that step.
"""


@dataclass(frozen=True)
class HeldOut:
    """Points that a training does not see, looked at after its last step.

    Attributes:
        inputs: unit rows, shape (p, d).
        labels: right ones, shape (p,) or (p, C).
        predicted: outputs of the infinitely wide net, shape (p,) or (p, C), or one for all.
    """

    inputs: Array
    labels: Array
    predicted: Array | float

    @property
    def points(self) -> LabelledPoints:
        """Labels, and the prediction as that of a single step."""
        return LabelledPoints(
            self.labels, np.broadcast_to(np.asarray(self.predicted, float), self.labels.shape)[None]
        )


@dataclass(frozen=True, eq=False)
class Taught:
    """Labels that every net gets from another one, its own teacher, that is trained before it.

    Attributes:
        by: training of the teachers.
        lesson: labels of nets, (..., n) or (..., n, C), from their outputs at the recorded steps,
            (..., k, n) or (..., k, n, C).
    """

    by: Training
    lesson: Callable[[Array], Array]

    @property
    def labels(self) -> Array:
        """What the infinitely wide teacher teaches: the observed labels of its students' recipe."""
        return self.lesson(self.by.predicted)


@dataclass(frozen=True, eq=False)
class Training:
    """A way to train nets, with what the infinitely wide net does in it.

    Attributes:
        name: of this way; rows are named after it.
        recipe: what the nets are trained on.
        predicted: outputs in closed form, at the recorded steps, shape (k, n) or (k, n, C).
        labels: what outputs are compared with; the observed ones when left out.
        held_out: other points that are looked at, by name.
        signs_from: first step from which on predictions teach, so that they need right signs.
        signs_at: indices of single recorded steps at which something follows from all signs, be
            they right or wrong.
        taught: whose outputs are the observed labels, if each net has those of another one.
        seed: of its nets; trainings with the same one start from the same nets. That of the run
            when left out.
        kernel_limit: whether `predicted` is held against the recursion on the measured kernel, for
            outputs that start at 0.
        simulate: what is done with nets in place of gradient descent on the recipe, if something
            else: f(width, seed) gives the outputs of one net at the recorded steps, and those of
            the infinitely wide net for the width None.
        curves: other predicted numbers that rows and pictures want, by name.
        widths: of its nets, if others than the run's; below 0 they count from the run's widest; or
            f(widths of the run). Rows may look at such a training if it has four widths.
        nets: how many of them at each width, f(that of the run), if another number.
        stream: keeps its nets apart from those of other trainings with the same seed.
        inspect: reads numbers off trained nets before their weights are dropped: f(width, seeds,
            trajectory with its nets) gives them by name, shape (S,).
    """

    name: str
    recipe: Recipe
    predicted: Array
    labels: Array | None = None
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)
    signs_from: int | None = None
    signs_at: Sequence[int] = ()
    taught: Taught | None = None
    seed: int | None = None
    kernel_limit: bool = True
    simulate: Callable[[int | None, int], Array] | None = None
    curves: Mapping[str, Any] = field(default_factory=dict)
    widths: Sequence[int] | Callable[[Sequence[int]], Sequence[int]] | None = None
    nets: int | Callable[[int], int] | None = None
    stream: int = 0
    inspect: Callable[[int, Sequence[int], Trajectory], Mapping[str, Array]] | None = None

    def __post_init__(self) -> None:
        recorded = self.recipe.record
        count = self.recipe.steps + 1 if recorded is None else len(recorded)
        expected = (count, *np.shape(self.recipe.observed))
        given = self.held_out if isinstance(self.held_out, Mapping) else {"all": self.held_out}
        for on, points in given.items():
            if not isinstance(points, HeldOut):
                raise DeclarationError(
                    f"held_out of training {self.name!r} must be a dict of HeldOut(inputs, labels, "
                    f"predicted) by name; got {type(points).__name__} for {on!r}"
                )
        if np.shape(self.predicted) != expected:
            raise DeclarationError(
                f"predicted of training {self.name!r} must have the shape {expected}, the outputs "
                f"of every recorded step; got {np.shape(self.predicted)}"
            )

    def widths_in(self, run: Sequence[int]) -> tuple[int, ...]:
        """Widths of its nets in a run over some widths."""
        if self.widths is None:
            return tuple(run)
        own = self.widths(run) if callable(self.widths) else self.widths
        return tuple(run[one] if one < 0 else one for one in own)

    def nets_in(self, count: int) -> int:
        """How many of its nets a run trains at each width that has so many of others."""
        if callable(self.nets):
            return self.nets(count)
        return count if self.nets is None else self.nets

    @property
    def points(self) -> LabelledPoints:
        """Labels and predictions at every recorded step."""
        labels = self.recipe.observed if self.labels is None else self.labels
        return LabelledPoints(np.asarray(labels, dtype=float), np.asarray(self.predicted))

    @property
    def generation(self) -> int:
        """How many trainings come before it: of its teachers, of theirs, and so on."""
        return 0 if self.taught is None else 1 + self.taught.by.generation

    @property
    def nets_stream(self) -> int:
        """Keeps its nets apart from those of other streams, and from those that teach them."""
        return self.stream + self.generation * _GENERATION

    def shows(self, on: str | None) -> bool:
        """Whether a row can look at its nets there."""
        return on is None or on in self.held_out or (on == OWN_TEACHER and self.taught is not None)

    def looked_at(self, on: str | None) -> LabelledPoints:
        """The training points, or the held-out ones of that name.

        With `OWN_TEACHER` they are the training points, and outputs count from what was taught.
        """
        if on == OWN_TEACHER:
            return self.points._replace(predicted=self.predicted - self.recipe.observed)
        return self.points if on is None else self.held_out[on].points


@dataclass(frozen=True, eq=False)
class Row:
    """A predicted number and how it is measured: a functional, of a training, at a step, in a norm.

    Attributes:
        name: of the number; the table shows it after the training's.
        training: whose outputs are looked at.
        functional: what is read off them.
        at: index of a recorded step, or a slice of them; the last when left out.
        reduce: what makes one number of several steps, as `np.min`.
        on: name of held-out points to look at in place of the training points, or `OWN_TEACHER`.
        norm: for nets without a law of finite width, whose tolerance narrower ones have to tell: in
            which deviations of the outputs bound the functional, a name of `NORMS` or a
            function. A functional that changes by no more than the outputs do
            in that norm may be as far off as they are. With `OWN` it is the functional's own
            deviation, step by step, that narrower nets bound; with `SIGNED` the row's own error.
        expect: the prediction as its own closed form. It is held against the functional of the
            predicted outputs, which stands in for it when left out.
        resolves: the largest tolerance under which the row still distinguishes what it is about;
            a pair, below and above, where the two sides differ; f(run) where nets have to say it.
        relation: "equal", or one-sided; then against `bound`.
        bound: what a one-sided row is held against, if not its own prediction.
        nets: whose number is shown: the mean of the widest nets, or of "each" of them the one that
            leaves least room, or of "each of every width".
        tolerance: what follows for the functional from a bound on the deviation, if not the same;
            a pair where the two sides differ. No law is asked then.
        tell: the sentence of the verdict has this number; the first three rows where none does.
        interpolation: by how much the number of the predicted outputs may miss `expect` where it is
            read off between steps.
        jumps: 1 for a number that is a step, which may be one off where the draws of a law are not.
        claimed: what a control shows instead of its failure if the claim holds all the same.
        like: the claim's own row that a control's was made from; it says how far nets deviate.
    """

    name: str
    training: Training
    functional: Functional
    at: int | slice = -1
    reduce: Callable[..., Any] | None = None
    on: str | None = None
    norm: str | Norm = "largest"
    expect: float | None = None
    resolves: float | Sides | Callable[[Any], float | Sides] = math.inf
    relation: Relation = Relation.EQUAL
    bound: float | None = None
    nets: Literal["mean", "each", "each of every width"] = "mean"
    tolerance: Callable[[float], float | Sides] | None = None
    tell: bool = False
    interpolation: float = 0.0
    jumps: float = 0.0
    claimed: float | None = None
    like: Row | None = None

    def __post_init__(self) -> None:
        if isinstance(self.at, slice) and self.reduce is None:
            raise DeclarationError(f"row {self.name!r} looks at several steps, and needs reduce=")
        if self.bound is not None and self.relation is Relation.EQUAL:
            raise DeclarationError(
                f"row {self.name!r} has a bound, and needs relation=AT_LEAST or AT_MOST"
            )
        if isinstance(self.norm, str) and self.norm not in {*NORMS, OWN, SIGNED}:
            names = ", ".join([*NORMS, OWN, SIGNED])
            raise DeclarationError(f"norm must be one of {names}; got {self.norm!r}")

    @property
    def title(self) -> str:
        """Name of the training and of the number."""
        return f"{self.training.name}: {self.name}"

    @property
    def steps(self) -> slice:
        """Recorded steps it looks at."""
        if isinstance(self.at, slice):
            return self.at
        return slice(self.at, None if self.at == -1 else self.at + 1)

    def read(self, outputs: Array) -> Array:
        """The number of each net.

        Args:
            outputs: at every recorded step, (S, k, n); of held-out points those of the last one,
                (S, 1, p).
        """
        values = self.functional(outputs, self.training.looked_at(self.on))[:, self.steps]
        return np.asarray(values[:, 0] if self.reduce is None else self.reduce(values, axis=-1))

    @property
    def of_predicted(self) -> float:
        """The functional of the predicted outputs."""
        return float(self.read(self.training.looked_at(self.on).predicted[None])[0])

    @property
    def predicted(self) -> float:
        """The bound, or the closed form, or else the functional of the predicted outputs."""
        if self.bound is not None:
            return float(self.bound)
        return self.of_predicted if self.expect is None else float(self.expect)

    def deviation(self, outputs: Array) -> Array:
        """Deviation of each net from the prediction in the row's norm, at most, shape (S,).

        With the norm `SIGNED` it has a sign.
        """
        if self.norm == SIGNED:
            return self.read(outputs) - self.of_predicted
        points = self.training.looked_at(self.on)
        if self.norm == OWN:
            made = points._replace(predicted=points.predicted[: outputs.shape[1]])
            own = self.functional(outputs, made) - self.functional(made.predicted, made)
            return np.asarray(np.abs(own[:, self.steps]).max(axis=1))
        norm = NORMS[self.norm] if isinstance(self.norm, str) else self.norm
        length = outputs.shape[1]  # shorter than predicted if a net has diverged
        found = norm(outputs - points.predicted[:length], points.predicted[:length])
        return np.asarray(found[:, self.steps].max(axis=1))

    def under(self, training: Training, on: str | None = None, **changes: Any) -> Row:
        """The same number of a training with something replaced: what a control looks at.

        Args:
            training: the replaced one.
            on: its held-out points, if others than the row's.
            changes: other attributes that change.
        """
        own: dict[str, Any] = {"expect": None, "claimed": self.predicted, "like": self, **changes}
        return replace(self, training=training, on=on or self.on, **own)


@dataclass(frozen=True, eq=False)
class Control:
    """A row on a training with one thing replaced: the claim's own prediction must fail there.

    Attributes:
        id: short name.
        broken_premise: what is replaced, as "a holds: here b".
        row: made with `Row.under`, or with its own `claimed`. Its prediction is what theory says
            is seen there instead.
        unmet: premise that this must violate, if there is one.
        measure: in place of a row, what is no functional of the outputs of one width: f(run) trains
            nets, and gives what theory says is seen against what is, what the claim would show, and
            how far from that would still count as it.
    """

    id: str
    broken_premise: str
    row: Row | None = None
    unmet: Premise | None = None
    measure: Callable[[Run], tuple[Measurement, float, float]] | None = None

    def __post_init__(self) -> None:
        if (self.row is None) == (self.measure is None):
            raise DeclarationError(f"control {self.id!r} needs a row, or else `measure=`")
        if self.row is not None and self.row.claimed is None:
            raise DeclarationError(
                f"control {self.id!r} needs what the claim would show: make its row with "
                "`row.under(training)`, or give the row `claimed=`"
            )

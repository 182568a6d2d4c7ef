"""What a row looks at: numbers read off the outputs of a net on labelled points.

A functional takes outputs and the points they belong to, and gives one number for each net and
step. It is applied to the outputs of trained nets, which is measured, and to those of the
infinitely wide net, which is predicted.
"""

from __future__ import annotations

__all__ = [
    "Functional",
    "LabelledPoints",
    "distance_from",
    "first_wrong",
    "from_prediction",
    "learned_measure",
    "least_margin",
    "length_along",
    "margins",
    "mean_margin",
    "peak",
    "relative_margin",
    "rescaled",
    "rescaled_rms_error",
    "residual",
    "rms",
    "rms_error",
    "size",
    "wrong_signs",
]

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class LabelledPoints(NamedTuple):
    """Points on which outputs are looked at.

    Attributes:
        labels: what they are compared with, clean labels as a rule, shape (n,) or (n, C).
        predicted: outputs of the infinitely wide net, shape (k, n) or (k, n, C), or of one step.
    """

    labels: Array
    predicted: Array


Functional = Callable[[Array, LabelledPoints], Array]
"""f(outputs, points), of outputs (..., k, n[, C]), gives numbers (..., k)."""


def margins(outputs: Array, points: LabelledPoints) -> Array:
    """y_i u_i, or the right output minus the best wrong one, shape (..., n)."""
    labels = points.labels
    if labels.ndim == 1:
        return np.asarray(outputs * labels)
    right = (outputs * labels).sum(axis=-1)
    return np.asarray(right - np.where(labels > 0, -np.inf, outputs).max(axis=-1))


def least_margin(outputs: Array, points: LabelledPoints) -> Array:
    """min_i y_i u_i."""
    return np.asarray(margins(outputs, points).min(axis=-1))


def relative_margin(outputs: Array, points: LabelledPoints) -> Array:
    """min_i y_i u_i over ‖p‖/√n, p being the predicted outputs of the same step; 0 where p is."""
    scale = size(points.predicted, points)
    return np.asarray(least_margin(outputs, points) / np.where(scale > 0, scale, np.inf))


def mean_margin(which: ArrayLike | None = None) -> Functional:
    """Mean of y_i u_i over all points, or over some of them (a mask)."""

    def mean(outputs: Array, points: LabelledPoints) -> Array:
        found = margins(outputs, points)
        chosen = found if which is None else found[..., np.asarray(which)]
        return np.asarray(chosen.mean(axis=-1))

    return mean


def wrong_signs(outputs: Array, points: LabelledPoints) -> Array:
    """Share of points whose margin is not positive: the 0-1 error."""
    return np.asarray((margins(outputs, points) <= 0).mean(axis=-1))


def rms(values: ArrayLike) -> Array:
    """Root mean square over the last axis."""
    return np.asarray(np.sqrt(np.square(values).mean(axis=-1)))


def _per_point(square: Array, labels: Array) -> Array:
    return np.asarray(square.reshape(*square.shape[: square.ndim - labels.ndim], -1).sum(axis=-1))


def residual(outputs: Array, points: LabelledPoints) -> Array:
    """‖y − u‖, the Euclidean distance from the labels."""
    return np.sqrt(_per_point(np.square(outputs - points.labels), points.labels))


def rms_error(outputs: Array, points: LabelledPoints) -> Array:
    """‖u − y‖/√n.

    >>> points = LabelledPoints(labels=np.array([1.0, -1.0]), predicted=np.array([0.9, -0.8]))
    >>> outputs = np.array([[0.5, 0.5], [0.7, -0.3], [1.0, -1.0]])
    >>> rms_error(outputs, points).round(3), least_margin(outputs, points)
    (array([1.118, 0.539, 0.   ]), array([-0.5,  0.3,  1. ]))
    """
    return np.asarray(residual(outputs, points) / np.sqrt(len(points.labels)))


def size(outputs: Array, points: LabelledPoints) -> Array:
    """‖u‖/√n."""
    square = _per_point(np.square(outputs), points.labels)
    return np.asarray(np.sqrt(square / len(points.labels)))


def rescaled(outputs: Array, axes: int = 1) -> Array:
    """Outputs divided by their mean size; those that are all 0 stay so.

    Args:
        outputs: shape (..., n) or (..., n, C).
        axes: of the points and, if there are some, classes.
    """
    scale = np.abs(outputs).mean(axis=tuple(range(-axes, 0)), keepdims=True)
    return np.asarray(outputs / np.where(scale > 0, scale, 1.0))


def rescaled_rms_error(outputs: Array, points: LabelledPoints) -> Array:
    """RMS error of rescaled outputs."""
    return rms_error(rescaled(outputs, points.labels.ndim), points)


def learned_measure(gram: Array) -> Functional:
    """sqrt(2 uᵀH⁻¹u/n), the generalisation measure of what is learned (arXiv 1901.08584).

    Args:
        gram: H of the points, shape (n, n), positive definite.
    """
    inverse = np.linalg.inv(gram)

    def measure(outputs: Array, points: LabelledPoints) -> Array:
        square = np.einsum("...i,ij,...j->...", outputs, inverse, outputs)
        return np.asarray(np.sqrt(2 / len(points.labels) * square))

    return measure


def from_prediction(outputs: Array, points: LabelledPoints) -> Array:
    """max_i |u_i − predicted_i|."""
    axes = tuple(range(-points.labels.ndim, 0))
    return np.asarray(np.abs(outputs - points.predicted).max(axis=axes))


def distance_from(values: ArrayLike) -> Functional:
    """max_i |u_i − v_i| from given values, shape (n,) or (n, C)."""

    def distance(outputs: Array, points: LabelledPoints) -> Array:
        axes = tuple(range(-points.labels.ndim, 0))
        return np.asarray(np.abs(outputs - np.asarray(values)).max(axis=axes))

    return distance


def length_along(vectors: Array) -> Functional:
    """‖Vᵀu‖, the length of the outputs along orthonormal columns, shape (n, r)."""

    def length(outputs: Array, _: LabelledPoints) -> Array:
        return np.asarray(np.linalg.norm(outputs @ vectors, axis=-1))

    return length


def first_wrong(values: Array, axis: int = -1) -> Array:
    """First step t >= 1 at which a margin is not positive, T + 1 if there is none.

    It is for `reduce=` of a row that looks at all steps from step 0 on.

    >>> int(first_wrong(np.array([0.0, 0.5, 0.2, -0.1]))), int(first_wrong(np.array([0.0, 0.5])))
    (3, 2)
    """
    wrong = np.moveaxis(np.asarray(values), axis, -1)[..., 1:] <= 0
    first = np.where(wrong.any(axis=-1), wrong.argmax(axis=-1) + 1, wrong.shape[-1] + 1)
    return np.asarray(first, dtype=float)


def peak(curves: Array, spacing: int = 1) -> tuple[Array, Array]:
    """Time and height of the peak of curves (..., T + 1), by a parabola through three steps.

    Args:
        curves: with their peak inside.
        spacing: steps between the three; the error grows at least like its square.
    """
    top = np.clip(curves.argmax(axis=-1), spacing, curves.shape[-1] - 1 - spacing)
    before, at, after = (
        np.take_along_axis(curves, (top + shift)[..., None], axis=-1)[..., 0]
        for shift in (-spacing, 0, spacing)
    )
    shift = (before - after) / (2 * (before - 2 * at + after))
    return top + spacing * shift, at - (before - after) * shift / 4

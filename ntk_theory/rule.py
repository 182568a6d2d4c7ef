"""Distilled targets of noisy labels by a rule that has nothing to tune and sees no clean label.

Leave-one-out predictions say how sure the data are of every label; with a model of the noise they
correct it; a student stopped where other points' noisy labels are best predicted smooths the result
(docs/theory.md, section 13). A net that is trained out on these targets needs no stopping.
"""

from __future__ import annotations

__all__ = [
    "DistilledTargets",
    "NoiseModel",
    "corrected_labels",
    "distilled_targets",
    "leave_one_out",
    "noise_model",
    "stopping_times",
]

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from ntk_theory import arguments
from ntk_theory.spectrum import Spectrum, eigendecomposition

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_TIMES, _LONGEST = 24, 1e6
"""Stopping times in equal ratios, and where they end at the latest, in steps."""

_SHARPNESS = np.geomspace(0.5, 200, 10)
"""Sharpness of class probabilities, for outputs of root mean square 1."""

_ROUNDS, _START = 4, 0.2
"""Rounds of expectation and maximisation at each sharpness, and the noise rate at the first one."""

_FOLDS = 5
"""Parts of the points that are held out in turn."""

_VISIBLE = 1e-8
"""Share of a label that has not been retrieved below which half of its digits are rounding."""

_ONE_CLASS = "one class has no wrong label"


class NoiseModel(NamedTuple):
    """How outputs and noisy labels hang together.

    Attributes:
        log_likelihood: of the labels, summed over points.
        sharpness: β, so that softmax(β outputs) are the probabilities of the right classes.
        transition: probability of the label k of a point of the class c, shape (C, C).
    """

    log_likelihood: float
    sharpness: float
    transition: Array


@dataclass(frozen=True)
class DistilledTargets:
    """What the rule found, for n points of C classes and k stopping times.

    Attributes:
        targets: what a net is trained out on, about 0 in the mean over classes, shape (n, C).
        coefficients: α with targets = H α; outputs of the trained-out net are k(x)ᵀ α.
        corrected: probability that each class is the right one, shape (n, C).
        sharpness: β, so that softmax(β outputs) are class probabilities.
        transition: probability of a label, given the class, shape (C, C).
        times: stopping times, in steps at η = 1/(2 λ_max), shape (k,).
        weights: of the teachers stopped at these times, shape (k,).
        scores: cross-fitted log-likelihood of the students stopped at them, shape (k,).
    """

    targets: Array
    coefficients: Array
    corrected: Array
    sharpness: float
    transition: Array
    times: Array
    weights: Array
    scores: Array

    @property
    def stopping_time(self) -> float:
        """Time of the student, of the largest score."""
        return float(self.times[self.scores.argmax()])


def stopping_times(eigenvalues: ArrayLike, count: int = _TIMES) -> Array:
    """Times from the first step to the one after which the last mode is retrieved up to e^{-3}.

    Args:
        eigenvalues: of the kernel, shape (n,), one of them positive.
        count: how many times, in equal ratios.

    Returns:
        Steps at η = 1/(2 λ_max), shape (count,); a million at most.

    >>> stopping_times([1.0, 10.0], 3).round(1)
    array([ 1. ,  7.7, 60. ])
    """
    values = arguments.array("eigenvalues", eigenvalues, ("n",))
    count = arguments.whole("count", count, least=1)
    top = float(values.max())
    if top <= 0:
        raise ValueError(
            f"eigenvalues must be those of a kernel, one of them positive; got {top:g} at most"
        )
    least = float(values[values > values.size * np.finfo(float).eps * top].min())
    return np.geomspace(1.0, min(6 * top / least, _LONGEST), count)


def _filters(spectrum: Spectrum, rate: float, times: Array) -> tuple[Array, Array]:
    """(1 − ηλ)^t, and (1 − (1 − ηλ)^t)/λ, 0 where λ is, shape (k, n) each."""
    values = np.clip(spectrum.eigenvalues, 0, None)
    with np.errstate(divide="ignore", under="ignore"):
        logs = times[:, None] * np.log1p(-np.minimum(rate * values, 1))
        kept, learnt = np.exp(logs), -np.expm1(logs)
    floor = values.size * np.finfo(float).eps * values[-1]
    return kept, learnt * np.where(values > floor, 1, 0) / np.maximum(values, floor)


def _left_out(spectrum: Spectrum, kept: Array, targets: Array) -> Array:
    """A point of whose label nothing is left keeps its last prediction."""
    own = kept @ np.square(spectrum.eigenvectors).T
    last = (own > _VISIBLE).sum(axis=0) - 1
    if (last < 0).any():
        raise ValueError(
            "times must begin where every label is retrieved in part only; got one of which "
            "less than 1e-8 is left; begin sooner, or lower learning_rate"
        )
    modes = spectrum.eigenvectors.T @ targets
    residuals = np.matmul(spectrum.eigenvectors, kept[..., None] * modes)
    every = np.arange(len(targets))
    when = np.minimum(np.arange(len(kept))[:, None], last)
    return np.asarray(targets - (residuals[when, every] / own[when, every][..., None]))


def leave_one_out(
    spectrum: Spectrum, targets: ArrayLike, *, learning_rate: float, times: ArrayLike
) -> Array:
    """Predictions (u_i − A_ii z_i)/(1 − A_ii) of stopped training, A_t = I − (I − ηH)^t.

    To first order those of training without point i. They are the outputs of training on all
    points with the target of i set, once for all steps, so that the output ends on it; without the
    point its target would be the output at every step. Kernel ridge regression has equality.

    Args:
        spectrum: of the kernel H of the training points.
        targets: z, shape (n, C).
        learning_rate: η in (0, 1/λ_max].
        times: t >= 0, ascending, shape (k,).

    Returns:
        Shape (k, n, C). A point of whose label less than 1e-8 is left keeps its last prediction.

    Raises:
        ValueError: for times that descend, or of which the first is too late for some label, or a
            rate at which something overshoots.

    Reference: docs/theory.md, section 13.1.

    >>> spectrum = eigendecomposition([[1.0, 0.5], [0.5, 1.0]])
    >>> leave_one_out(spectrum, [[1.0], [-1.0]], learning_rate=0.5, times=[1.0])[0]
    array([[-0.5],
           [ 0.5]])
    """
    columns = arguments.array("targets", targets, (spectrum.eigenvalues.size, "C")).astype(float)
    moments = arguments.array("times", times, ("k",), do="give a list of times").astype(float)
    if moments[0] < 0 or (np.diff(moments) < 0).any():
        raise ValueError(f"times must be at least 0 and ascending; got {moments}; sort them")
    rate, top = arguments.positive("learning_rate", learning_rate), spectrum.eigenvalues[-1]
    if rate * top > 1 + spectrum.eigenvalues.size * np.finfo(float).eps:
        raise ValueError(
            f"learning_rate must be at most 1/λ_max = {1 / top:.4g}; got {rate:g}; count more times"
        )
    return _left_out(spectrum, _filters(spectrum, rate, moments)[0], columns)


def noise_model(outputs: ArrayLike, labels: ArrayLike) -> NoiseModel:
    """Most likely sharpness and transition probabilities, by expectation and maximisation.

    P(label k) = Σ_c softmax(β f)_c T_ck. The rows of T have a prior weight of one label a class,
    spread as symmetric noise of the present rate.

    Args:
        outputs: f, predictions that did not see the label of their point, shape (n, C).
        labels: noisy class numbers 0..C−1, shape (n,).

    Reference: docs/theory.md, section 13.2.
    """
    values = arguments.array("outputs", outputs, ("n", "C")).astype(float)
    points, classes = values.shape
    classes = arguments.whole("columns of outputs", classes, least=2, why=_ONE_CLASS)
    numbers = arguments.class_numbers("labels", labels, classes=classes, points=points)
    return _noise_models(values[None], numbers)[0]


def _noise_models(outputs: Array, labels: Labels) -> list[NoiseModel]:
    """That of each of several outputs, shape (k, n, C); one sharpness starts from T of the last."""
    points, classes = outputs.shape[1:]
    sizes = np.sqrt(np.square(outputs).mean(axis=(1, 2), keepdims=True))
    sizes[sizes == 0] = 1
    same = np.eye(classes)
    # Points of one label after another: their joint probabilities share a column of T. Classes come
    # first: sums over them are sums of long rows.
    outputs = (outputs[:, np.argsort(labels, kind="stable")] / sizes).swapaxes(1, 2).copy()
    outputs -= outputs.max(axis=1, keepdims=True)
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def symmetric(rates: Array) -> Array:
        shares = rates[:, None, None]
        return np.asarray((1 - shares) * same + shares * (1 - same) / (classes - 1))

    best = [NoiseModel(-np.inf, 0.0, same)] * len(outputs)
    transition = symmetric(np.full(len(outputs), _START))
    for sharpness in _SHARPNESS:
        right = np.exp(sharpness * outputs)
        right /= right.sum(axis=1, keepdims=True)

        def likelihoods(transition: Array, right: Array = right) -> Array:
            """Of every point's label, shape (k, n)."""
            columns = transition.swapaxes(1, 2)
            rows = [columns[:, [k]] @ right[..., part] for k, part in enumerate(parts)]
            return np.asarray(np.concatenate(rows, axis=2)[:, 0])

        for _ in range(_ROUNDS):
            shares = 1 / likelihoods(transition)[..., None]
            sums = [right[..., part] @ shares[:, part] for part in parts]
            counts = transition * np.concatenate(sums, axis=2)
            rates = 1 - np.trace(counts, axis1=1, axis2=2) / points
            counts += classes * symmetric(rates)
            transition = counts / counts.sum(axis=2, keepdims=True)
        for place, found in enumerate(np.log(likelihoods(transition)).sum(axis=1).tolist()):
            if found > best[place].log_likelihood:
                best[place] = NoiseModel(found, sharpness / sizes[place].item(), transition[place])
    return best


def corrected_labels(probabilities: Array, transition: Array, labels: Labels) -> Array:
    """Bayes: probabilities of the classes without a point's label, and with it, shape (n, C)."""
    joint = probabilities * transition[:, labels].T
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


class _Teacher(NamedTuple):
    corrected: Array
    transition: Array
    weights: Array


def _teacher(spectrum: Spectrum, kept: Array, labels: Labels, classes: int) -> _Teacher:
    """Corrected labels by leave-one-out predictions at all times, each with its likelihood."""
    left_out = _left_out(spectrum, kept, np.eye(classes)[labels] - 1 / classes)
    models = _noise_models(left_out, labels)
    logs = np.array([model.log_likelihood for model in models])
    weights = softmax(logs)
    probabilities = sum(
        weight * softmax(model.sharpness * outputs, axis=1)
        for weight, model, outputs in zip(weights, models, left_out, strict=True)
    )
    transition = np.tensordot(weights, np.stack([model.transition for model in models]), 1)
    corrected = corrected_labels(np.asarray(probabilities), transition, labels)
    return _Teacher(corrected, transition, weights)


def _held_out(gram: Array, labels: Labels, classes: int, rate: float, times: Array,
              rng: np.random.Generator) -> Array:  # fmt: skip
    """Outputs of students on points that neither they nor their teachers saw, shape (k, n, C)."""
    folds = rng.permutation(len(labels)) % min(_FOLDS, len(labels))
    outputs = np.empty((len(times), len(labels), classes))
    for fold in np.unique(folds):
        out, own = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        spectrum = eigendecomposition(gram[np.ix_(own, own)])
        kept, inverse = _filters(spectrum, rate, times)
        taught = _teacher(spectrum, kept, labels[own], classes).corrected - 1 / classes
        modes = spectrum.eigenvectors.T @ taught
        across = gram[np.ix_(out, own)] @ spectrum.eigenvectors
        for place, one in enumerate(inverse):
            outputs[place, out] = across @ (one[:, None] * modes)
    return outputs


def distilled_targets(
    gram: ArrayLike, labels: ArrayLike, *, classes: int, rng: np.random.Generator
) -> DistilledTargets:
    """Targets that a net can be trained out on, from noisy labels and a kernel.

    A teacher corrects the labels by its leave-one-out predictions, averaged over its stopping times
    by likelihood. A student is taught the corrected labels, and stopped when it predicts best the
    noisy labels of points that neither of them saw. Its outputs are the targets.

    Args:
        gram: H, kernel of the training points, shape (n, n), n >= 2.
        labels: noisy class numbers 0..C−1, shape (n,).
        classes: C >= 2.
        rng: deals the points to the folds.

    Raises:
        ValueError: for a matrix that is no kernel, or what are no class numbers.

    Reference: docs/theory.md, section 13.

    >>> inputs = np.repeat(np.eye(2), 10, axis=0) + 0.1 * np.eye(20, 2)
    >>> labels = np.repeat([0, 1], 10)
    >>> labels[3] = 1
    >>> found = distilled_targets(
    ...     inputs @ inputs.T, labels, classes=2, rng=np.random.default_rng(0)
    ... )
    >>> found.corrected.argmax(axis=1)[:4], found.targets.argmax(axis=1)[:4]
    (array([0, 0, 0, 0]), array([0, 0, 0, 0]))
    """
    matrix = arguments.gram_matrix("gram", gram)
    if len(matrix) < 2:
        raise ValueError("gram must be that of at least 2 points; got 1; give more points")
    classes = arguments.whole("classes", classes, least=2, why=_ONE_CLASS)
    numbers = arguments.class_numbers("labels", labels, classes=classes, points=len(matrix))
    rng = arguments.generator("rng", rng)
    spectrum = eigendecomposition(matrix)
    times = stopping_times(spectrum.eigenvalues)
    rate = 0.5 / float(spectrum.eigenvalues[-1])
    kept, inverse = _filters(spectrum, rate, times)
    teacher = _teacher(spectrum, kept, numbers, classes)
    held_out = _held_out(matrix, numbers, classes, rate, times, rng)
    models = _noise_models(held_out, numbers)
    scores = np.array([model.log_likelihood for model in models])
    best = int(scores.argmax())
    modes = spectrum.eigenvectors.T @ (teacher.corrected - 1 / classes)
    coefficients = spectrum.eigenvectors @ (inverse[best][:, None] * modes)
    return DistilledTargets(
        matrix @ coefficients, coefficients, teacher.corrected, models[best].sharpness,
        teacher.transition, times, teacher.weights, scores,
    )  # fmt: skip

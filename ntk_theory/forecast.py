"""What theory can and cannot say of a kernel and labels, before any net is trained.

Plain training retrieves g_λ(t) = 1 − (1 − ηλ)^t of the labels along an eigenvector of eigenvalue λ
(docs/theory.md, section 6.1). From the spectrum and the labels along it follows when the labels are
learned, how many of the right ones the infinitely wide net recovers on the way, and when it has
lost them again.
"""

from __future__ import annotations

__all__ = ["Forecast", "forecast_of", "label_noise", "retrieved"]

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory import arguments, spectrum
from ntk_theory.data import encode

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_MOST_STEPS = 100_000
"""After that a label that is not learned counts as never learned."""

_FINE = 0.02
"""Distance of the steps that are looked at, over the step, beyond the first fifty."""


@dataclass(frozen=True)
class Forecast:
    """A kernel and labels, as theory sees them. Steps are those of a learning rate share/λ_max.

    Attributes:
        points: n.
        classes: C.
        share: ηλ_max.
        lambda_min: least eigenvalue; at or below its rounding the kernel is singular.
        lambda_max: largest eigenvalue.
        singular: whether it is.
        noise_rate: share ρ of wrong labels, or what is estimated of it.
        known: whether the right labels are known, so that ρ is no estimate.
        top: k, eigenvectors that `information` and `noise` are about: a tenth of all, or C.
        information: share of the clean labels' energy in the top k; of the observed labels' where
            the right ones are not known.
        noise: share of the noise energy there; k/n for noise that knows no direction.
        recovered: largest share of right labels that plain training reaches at any step.
        best: first step at which it does.
        lost: first step after it at which a label that was right there is wrong: t_mem.
        memorised: first step from which on every observed label is reached, or None.
        least_error: least RMS distance ‖u_t − y‖/√n from the clean labels at any step.
        distances: ‖W_t − W_0‖ of wide nets at the best step, and when all labels are memorised.
    """

    points: int
    classes: int
    share: float
    lambda_min: float
    lambda_max: float
    singular: bool
    noise_rate: float
    known: bool
    top: int
    information: float
    noise: float
    recovered: float | None
    best: int | None
    lost: int | None
    memorised: int | None
    least_error: float | None
    distances: tuple[float, float]

    def lines(self) -> list[str]:
        """In words, a sentence or two a line."""
        state = "singular: some labels cannot be learned" if self.singular else "positive definite"
        said: list[str] = []
        said.append(
            f"kernel of {self.points} points: λ_min {self.lambda_min:.3g}, λ_max "
            f"{self.lambda_max:.4g}, {state}; steps below are at η = {self.share:g}/λ_max"
        )
        if self.known:
            said.append(
                f"wrong labels: {100 * self.noise_rate:.3g} %; the top {self.top} eigenvectors "
                f"hold {100 * self.information:.3g} % of the energy of the clean labels and "
                f"{100 * self.noise:.3g} % of that of the noise ({100 * self.top / self.points:.2g}"
                " % if it is isotropic)"
            )
        else:
            said.append(
                f"right labels are not known: some {100 * self.noise_rate:.3g} % may be wrong, "
                "by the mean energy of the observed labels in the lower half of the spectrum, "
                "taken for noise in all of it; the top "
                f"{self.top} eigenvectors hold {100 * self.information:.3g} % of the labels' energy"
            )
        if self.recovered is not None:
            sure = "all" if self.recovered == 1 else f"{100 * self.recovered:.3g} % of the"
            lost = "none is lost again" if self.lost is None else (
                f"t_mem, when the first of them is lost again: step {self.lost}")  # fmt: skip
            said.append(
                f"plain training of an infinitely wide net recovers {sure} right labels, at step "
                f"{self.best}; {lost}; least RMS error at any step {self.least_error:.3g}"
            )
        said.append(
            f"not every observed label is reached in {_MOST_STEPS} steps"
            if self.memorised is None
            else f"every observed label is reached from step {self.memorised} on; ‖W − W_0‖ is "
            f"{self.distances[0]:.3g} {'at the best step' if self.known else 'after one step'} and "
            f"{self.distances[1]:.3g} then"
        )
        return said


def retrieved(of: spectrum.Spectrum, labels: Array, learning_rate: float, steps: Labels) -> Array:
    """Outputs of the infinitely wide net under plain training, at some steps.

    Args:
        of: the kernel's.
        labels: observed, shape (n,) or (n, C).
        learning_rate: η.
        steps: shape (k,).

    Returns:
        Shape (k, n) or (k, n, C).
    """
    along = of.eigenvectors.T @ labels.reshape(len(labels), -1)
    with np.errstate(under="ignore"):
        filters = 1 - (1 - learning_rate * of.eigenvalues) ** np.asarray(steps)[:, None]
    outputs = np.einsum("ij,tj,jc->tic", of.eigenvectors, filters, along, optimize=True)
    return np.asarray(outputs.reshape(len(filters), *labels.shape))


def _steps(share: float, values: Array) -> NDArray[np.int64]:
    """Steps that are looked at: the first fifty, then in equal ratios, to the slowest mode's."""
    slowest = float(values[values > 0].min(initial=values[-1]))
    last = min(_MOST_STEPS, math.ceil(20 * float(values[-1]) / (share * slowest)) + 50)
    count = math.ceil(math.log(max(last / 50, 1.0)) / _FINE) + 1
    return np.unique(np.r_[np.arange(51), np.round(np.geomspace(50, last, count)).astype(int)])


def _decided(outputs: Array) -> Labels:
    """Class of each output; one that is 0 is of none."""
    if outputs.ndim == 2:
        return np.where(outputs > 0, 0, np.where(outputs < 0, 1, -1))
    return np.where(outputs.any(axis=-1), outputs.argmax(axis=-1), -1)


def _estimated_rate(energy: Array, classes: int) -> float:
    """ρ if all energy in the lower half of the spectrum, and as much in the upper, is noise.

    Noise of rate ρ leaves κ = 1 − ρC/(C − 1) of the centred labels, and has 1 − κ² of the energy.
    """
    lower = energy[: energy.size // 2]
    share = min(1.0, float(lower.mean()) * energy.size / float(energy.sum()))
    return (1 - math.sqrt(1 - share)) * (classes - 1) / classes


def label_noise(observed: Array, clean: Array) -> Array:
    """ζ = ỹ − κy, what the observed labels have besides their share of the clean ones (6.5).

    Args:
        observed: ±1 of shape (n,), or one-hot rows (n, C), from which 1/C is taken off.
        clean: in the same form.

    Returns:
        Shape (n,) or (n, C), orthogonal to the clean labels so centred.

    >>> label_noise(np.array([1.0, -1.0, -1.0, 1.0]), np.array([1.0, -1.0, 1.0, 1.0])).tolist()
    [0.5, -0.5, -1.5, 0.5]
    """
    own, right = (
        part - part.mean(axis=1, keepdims=True) if part.ndim == 2 else part
        for part in (observed, clean)
    )
    return np.asarray(own - (own * right).sum() / np.square(right).sum() * right)


def forecast_of(
    gram: ArrayLike,
    observed: ArrayLike,
    clean: ArrayLike | None = None,
    *,
    classes: int,
    share: float = 1.0,
) -> Forecast:
    """What follows from a kernel and labels.

    Args:
        gram: kernel of the points, shape (n, n).
        observed: class 0..C−1 of each point, shape (n,).
        clean: right classes, where they are known.
        classes: C.
        share: ηλ_max, in (0, 2).

    Raises:
        ValueError: for a matrix that is not symmetric, or labels that are no such classes.

    >>> found = forecast_of(np.eye(4) / 2, [0, 0, 1, 1], [0, 1, 1, 1], classes=2)
    >>> found.noise_rate, found.recovered, found.memorised
    (0.25, 0.75, 1)
    """
    of = spectrum.eigendecomposition(gram)
    values, size = of.eigenvalues, len(of.eigenvalues)
    share = arguments.real("share", share, "lie in (0, 2)", lambda x: 0 < x < 2, why="η λ_max")
    seen = arguments.class_numbers("observed", observed, classes=classes, points=size)
    right = None if clean is None else arguments.class_numbers(
        "clean", clean, classes=classes, points=size)  # fmt: skip
    labels = encode(seen, classes)
    rounding = size * float(np.finfo(float).eps) * float(values[-1])

    def energy(of_labels: Array) -> Array:
        columns = of_labels.reshape(size, -1)
        along = of.eigenvectors.T @ (columns - columns.mean(axis=0))
        return np.asarray(np.square(along).sum(axis=1))

    top = max(classes, math.ceil(size / 10))
    steps, rate = _steps(share, values), share / float(values[-1])
    outputs = retrieved(of, labels, rate, steps)
    decided = _decided(outputs)
    reached = np.minimum.accumulate((decided == seen).all(axis=1)[::-1])[::-1]
    found: dict[str, int | float | None] = dict.fromkeys(
        ("recovered", "best", "lost", "least_error"))  # fmt: skip
    best = 1
    if right is None:
        main, noise = energy(labels), np.full(size, 1 / size)
        wrong = _estimated_rate(main, classes)
    else:
        clean_labels = encode(right, classes)
        main = energy(clean_labels)
        noise, wrong = energy(label_noise(labels, clean_labels)), float((seen != right).mean())
        hits = (decided == right)[1:]
        best = 1 + int(hits.mean(axis=1).argmax())
        lost = (decided[best:, decided[best] == right] != right[decided[best] == right]).any(axis=1)
        error = np.square(outputs - clean_labels).reshape(len(steps), -1).sum(axis=1) / size
        found = {"recovered": float(hits[best - 1].mean()), "best": int(steps[best]),
                 "lost": int(steps[best + int(lost.argmax())]) if lost.any() else None,
                 "least_error": math.sqrt(float(error.min()))}  # fmt: skip
    end = int(reached.argmax()) if reached.any() else len(steps) - 1
    safe = np.where(values > rounding, values, np.inf)
    lengths = [np.square(of.eigenvectors.T @ outputs[at].reshape(size, -1)).sum(axis=1)
               for at in (best, end)]  # fmt: skip

    def held(part: Array) -> float:
        return float(part[-top:].sum() / part.sum()) if part.sum() > 0 else 0.0

    return Forecast(
        size, classes, share, float(values[0]), float(values[-1]), bool(values[0] <= rounding),
        wrong, right is not None, top, held(main), held(noise), **found,  # type: ignore[arg-type]
        memorised=int(steps[end]) if reached.any() else None,
        distances=(math.sqrt((lengths[0] / safe).sum()), math.sqrt((lengths[1] / safe).sum())),
    )  # fmt: skip

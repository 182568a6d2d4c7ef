"""Soft self-distillation as a learning-rate schedule: rates, small steps, rounding, other policies.

Section 5 of docs/theory.md; the error curves are in `curves.soft_self_distillation`.
"""

from __future__ import annotations

__all__ = [
    "equivalent_learning_rates",
    "gradient_flow",
    "policy_recursion",
    "rounding_bound",
    "small_step_gap",
]

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def equivalent_learning_rates(learning_rate: float, weights: ArrayLike) -> Array:
    """η α_t: plain training with these rates makes every iterate of soft self-distillation.

    Args:
        learning_rate: η.
        weights: α_t, shape (T,).

    Reference: docs/theory.md, section 5.

    >>> equivalent_learning_rates(0.5, [1.0, 0.5])
    array([0.5 , 0.25])
    """
    return np.asarray(learning_rate * np.asarray(weights, dtype=float))


def gradient_flow(eigenvalues: ArrayLike, time: float) -> Array:
    """Retrieved share 1 − e^{−λω} of each eigenspace after the time ω = η Σ α_t of small steps.

    Args:
        eigenvalues: λ, shape (k,).
        time: ω.

    Reference: docs/theory.md, section 5.2.
    """
    return np.asarray(-np.expm1(-np.asarray(eigenvalues, dtype=float) * time))


@np.errstate(under="ignore")
def small_step_gap(eigenvalues: ArrayLike, learning_rates: ArrayLike) -> Array:
    """What steps of these rates retrieve beyond gradient flow: e^{−λω} − Π(1 − η_t λ).

    To first order ½ λ² e^{−λω} Σ η_t²: half the step size, if all rates are halved and their number
    doubled.

    Args:
        eigenvalues: λ, shape (k,).
        learning_rates: η_t, shape (T,); ω is their sum.

    Reference: docs/theory.md, section 5.2.
    """
    level, rate = np.asarray(eigenvalues, dtype=float), np.asarray(learning_rates, dtype=float)
    left = np.prod(1 - rate[:, None] * level, axis=0)
    return np.asarray(np.exp(-level * rate.sum()) - left)


def rounding_bound(
    *,
    steps: int,
    width: int,
    points: int,
    outputs: int,
    largest: float,
    prediction: float,
    condition: float,
    growth: float = 1.0,
    eps: float = float(np.finfo(float).eps),
) -> float:
    """How far soft self-distillation and its plain equivalent may be apart for rounding alone.

    2 (T + 1) G eps [√(nC) (√m ζ + 3 B) + ½ ζ √m (√n + √C) κ] bounds ‖u − u'‖ (Euclidean, over
    points and outputs): both programs round the sum over m neurons (ζ √m eps an output), the
    residual (3 B eps) and the stored weights (½ ζ eps each). Steps with ηλ_max <= 1 do not enlarge
    errors as long as both runs have the same activations; with both layers trained they do by G.

    Args:
        steps: T.
        width: m.
        points: n.
        outputs: C.
        largest: ζ, bound of pre-activations and output weights.
        prediction: B, bound of |prediction| + |label| at a point.
        condition: κ = 1/(√η σ_min(X)), at least 1/√η for unit inputs.
        growth: G = Π (1 + η_t m^{-1/2} Σ_i ‖residual_i‖) if both layers are trained, else 1.
        eps: spacing of the precision at 1.

    Reference: docs/theory.md, section 5.1.
    """
    root = np.sqrt(width)
    residual = np.sqrt(points * outputs) * (root * largest + 3 * prediction)
    stored = largest * root * (np.sqrt(points) + np.sqrt(outputs)) * condition / 2
    return float(2 * (steps + 1) * growth * eps * (residual + stored))


def policy_recursion(
    product: Callable[[Array], Array],
    observed: ArrayLike,
    weights: ArrayLike,
    policy: Callable[[Array], Array],
    epoch: int | None = None,
    prediction: Callable[[Array], Array] | None = None,
) -> Array:
    """Kernel recursion under any label policy: u ← u − ηH (π(u) − α ỹ − (1 − α) h(teacher)).

    Args:
        product: v ↦ ηH v, along the points.
        observed: ỹ, shape (n,) or (n, C).
        weights: α_t, shape (T,).
        policy: h.
        epoch: steps an epoch; the prediction at the start of the previous one teaches (the initial
            one at first). Without it the current prediction does.
        prediction: π, what the loss compares with its target; u itself when left out.

    Returns:
        u_0 = 0 .. u_T, shape (T + 1, n) or (T + 1, n, C).

    Reference: docs/theory.md, sections 4 and 5.
    """
    label = np.asarray(observed, dtype=float)
    outputs = [np.zeros_like(label)]
    for step, alpha in enumerate(np.asarray(weights, dtype=float)):
        now = outputs[-1]
        teacher = now if epoch is None else outputs[max(step // epoch - 1, 0) * epoch]
        predicted = now if prediction is None else prediction(now)
        residual = predicted - alpha * label - (1 - alpha) * policy(teacher)
        outputs.append(now - product(residual))
    return np.array(outputs)

"""`soft-identity` with one premise broken at a time: policies that the identity does not cover."""

from __future__ import annotations

__all__ = ["CONTROLS", "Policy", "control"]

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.soft_identity.measurements import CONFIDENCE
from ntk_theory.claims.soft_identity.nets import Wide, recipes
from ntk_theory.claims.soft_identity.plan import ENTROPY, STOPPING, TEMPERATURE
from ntk_theory.runs import over_nets
from ntk_theory.targets import PLAIN, Distillation
from ntk_theory.verdicts import Control, Progress, Verdict

Array = NDArray[np.float64]


class Policy(NamedTuple):
    """A policy that the identity does not cover.

    Attributes:
        id: of the control.
        broken: what was changed.
        target: what teaches.
        entropy: whether the loss is cross-entropy.
        lagged: whether the prediction of an earlier epoch teaches.
    """

    id: str
    broken: str
    target: Literal["hard", "soft", "tempered"]
    entropy: bool = False
    lagged: bool = False


CONTROLS = (
    Policy(
        "lagged",
        "the current prediction teaches: here that of an earlier epoch",
        "soft",
        lagged=True,
    ),
    Policy("tempered", "the prediction itself teaches: here tanh(u/T)", "tempered"),
    Policy("hard", "the prediction itself teaches: here its sign", "hard"),
    Policy(
        "tempered-cross-entropy",
        "softmax(f) teaches: here softmax(f/T)",
        "tempered",
        entropy=True,
    ),
)
"""In the order in which the claim lists them."""


def _apart(difference: Array) -> Array:
    """sup_t of the RMS over points, shape (S,), of differences of shape (S, T + 1, n, ...)."""
    squares = np.square(difference.reshape(*difference.shape[:2], -1)).sum(axis=2)
    return np.asarray(np.sqrt(squares / difference.shape[2]).max(axis=1))


def _error(outputs: Array, clean: Array) -> Array:
    """RMS distance of outputs (..., T + 1, n) to the clean labels."""
    return np.asarray(np.sqrt(np.square(outputs - clean).mean(axis=-1)))


def control(
    wide: Wide, policy: Policy, rounding: float, arrays: dict[str, Array], progress: Progress
) -> Control:
    """Nets under another policy beside plain training with the rates η α_t.

    Args:
        wide: the ladder, which tells how far nets lie from their kernel recursion.
        policy: what teaches.
        rounding: by how much a net under the identity may differ.
        arrays: takes the error curves of the nets, and their prediction, under square loss.
        progress: advanced as the nets train.
    """
    plan, theory = wide.plan, wide.theory
    name = ENTROPY if policy.entropy else STOPPING
    width, epoch = plan.control_width, plan.epoch if policy.lagged else None
    soft, schedule = recipes(plan)[name], plan.schedule(STOPPING)
    rates = predictions.equivalent_learning_rates(
        plan.problem.learning_rate, plan.weights(STOPPING)
    )
    other, plain = (
        plan.nets.train_controls(recipe, width, plan.nets.count, progress=progress)
        for recipe in (
            replace(
                soft,
                distillation=Distillation(
                    schedule, policy.target, temperature=TEMPERATURE, epoch=epoch
                ),
            ),
            replace(soft, distillation=PLAIN, learning_rate=rates),
        )
    )
    expected = theory.policy(policy.target, entropy=policy.entropy, epoch=epoch)
    if not policy.entropy:
        clean = plan.problem.dataset.clean
        arrays[f"{policy.id}_error"] = _error(other.outputs, clean)
        arrays[f"predicted_{policy.id}"] = _error(expected, clean)
    predicted = float(_apart((expected - theory.outputs[name])[None])[0])
    values = _apart(other.outputs - plain.outputs)
    # Either run may deviate from its kernel recursion by what the ladder shows.
    law = wide.ladders[name].fit(name, lambda rung: rung.largest_deviation)
    allowed = 2 * law.upper(width, CONFIDENCE)
    failure = over_nets("sup_t ‖u − u_plain‖/√n", predicted, values, allowed, predicted / 2)
    # Not `judged_control`: every net has to break the identity, not their mean.
    verdict = Verdict.VIOLATED if values.min() > rounding else Verdict.SUPPORTED
    return Control(policy.id, policy.broken, Verdict.VIOLATED, verdict, failure, 0.0, rounding)

"""How nets are trained in practice: losses that mix labels with predictions, and descent.

Softmax cross-entropy over minibatches, momentum, weight decay, a falling learning rate. Theory of
the infinitely wide net follows full batches of square loss; what it says of minibatches is in
docs/theory.md, section 7.11.
"""

from __future__ import annotations

__all__ = ["LOSSES", "PLAIN", "Descent", "Mixing", "cosine"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ntk_theory import arguments

if TYPE_CHECKING:
    from ntk_theory.kernels import Layers
    from ntk_theory.targets import Loss


@dataclass(frozen=True)
class Mixing:
    """Targets (1 − w) ỹ + w p: labels mixed with what the net itself predicts.

    Attributes:
        weight: w of the prediction, in [0, 1]; or what its agreement is multiplied by.
        prediction: p, "hard" (one-hot of the largest output) or "soft" (softmax of outputs/T; under
            square loss the outputs themselves).
        agreement: "batch" or "data" where w is multiplied by the share of labels that the hardened
            prediction agrees with, over the minibatch or over all points; None for a constant w.
        held: the prediction is that of the start of the epoch, supplied to the loss from outside;
            the agreement over all points always is.
        temperature: T > 0 of soft predictions.
        after: epochs of labels alone before.
    """

    weight: float = 0.0
    prediction: Literal["hard", "soft"] = "hard"
    agreement: Literal["batch", "data"] | None = None
    held: bool = False
    temperature: float = 1.0
    after: int = 0

    def __post_init__(self) -> None:
        arguments.real("weight", self.weight, "lie in [0, 1]", lambda x: 0 <= x <= 1, why="w")
        arguments.choice("prediction", self.prediction, ("hard", "soft"))
        if self.agreement is not None:
            arguments.choice("agreement", self.agreement, ("batch", "data"))
        arguments.positive("temperature", self.temperature)
        arguments.whole("after", self.after, least=0, why="epochs")


PLAIN = Mixing()
"""Labels alone."""

LOSSES: Mapping[str, Mixing] = MappingProxyType({
    "soft": Mixing(0.2, "soft"),
    "soft, supplied": Mixing(0.1, "soft", held=True),
    "agreement": Mixing(1.0, agreement="batch"),
    "hard": Mixing(0.1),
    "0.9 agreement": Mixing(0.9, agreement="batch"),
})  # fmt: skip
"""The five losses of the authors' code, as a public re-run has them, with their weights.

The third is the one of the paper. Reference: github.com/lizhemin15/self-distillation.
"""


@dataclass(frozen=True)
class Descent:
    """How nets are trained: v ← μ v + ∇ + decay · W, then W ← W − η_t v.

    Attributes:
        epochs: passes over the data.
        batch: points of a minibatch, drawn without replacement, at most: an epoch has as few as
            that allows, of nearly the same size. A small one left over would take a full step.
        rate: η of the first step, of the mean loss over the minibatch.
        schedule: f(share of all steps that is done) multiplies η.
        momentum: μ in [0, 1).
        decay: weight decay.
        layers: which weights are trained.
        loss: "cross-entropy" or "square".

    >>> descent = Descent(epochs=50, batch=64, rate=0.1, schedule=cosine, momentum=0.9)
    >>> round(descent.rate * descent.schedule(0.5), 6)
    0.05
    """

    epochs: int
    batch: int
    rate: float
    schedule: Callable[[float], float] = lambda _: 1.0
    momentum: float = 0.0
    decay: float = 0.0
    layers: Layers = "both"
    loss: Loss = "cross-entropy"


def cosine(done: float) -> float:
    """Learning rate that falls from 1 to 0 along half a period of a cosine.

    >>> [round(cosine(done), 3) for done in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """
    return (1 + math.cos(math.pi * done)) / 2

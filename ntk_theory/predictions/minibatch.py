"""What minibatches do to the weight of labels that a prediction agrees with (section 7.11)."""

from __future__ import annotations

__all__ = ["minibatch_weight"]


def minibatch_weight(noise_rate: float, points: int, batch: int) -> float:
    """α that a wrong label keeps, in expectation, when all predictions are right.

    The prediction's weight is its agreement with the labels of the minibatch, drawn without
    replacement. A wrong label in it disagrees by itself, and the B − 1 others agree with the
    probability (1 − ρ)n/(n − 1): α = 1 − (1 − ρ)(B − 1)n/(B(n − 1)). A full batch gives ρ, and
    minibatches of one point give 1, which is plain training.

    Args:
        noise_rate: ρ, of all labels.
        points: n >= 2.
        batch: B <= n.

    Reference: docs/theory.md, section 7.11.

    >>> [round(minibatch_weight(0.2, 100, batch), 3) for batch in (1, 10, 100)]
    [1.0, 0.273, 0.2]
    """
    return 1 - (1 - noise_rate) * (batch - 1) * points / (batch * (points - 1))

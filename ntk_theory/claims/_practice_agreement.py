"""Agreement over minibatches, on clusters: where it ends (docs/theory.md, section 7.11)."""

from __future__ import annotations

__all__ = ["BATCH", "end_of", "ended", "neuron_steps"]

import math
from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import RISKS, over_nets
from ntk_theory.checking.fitting import mean_of
from ntk_theory.losses import Descent, Mixing, cosine

if TYPE_CHECKING:
    from ntk_theory.data import Dataset

BATCH = 8
"""Points of a minibatch."""

_PROGRESS, _BURN_IN, _NETS, _WIDTH = 15.0, 0.3, 8, 128
"""η λ_− times the epochs and minibatches of an epoch, over n, were η constant; how much of it is
with labels alone; nets, and their neurons."""


def end_of(clusters: Dataset, batch: int) -> float:
    """Predicted RMS error to the clean labels."""
    rho = clusters.noise_rate
    return 2 * math.sqrt(rho) * nt.predictions.minibatch_weight(rho, len(clusters.clean), batch)


def _descent(clusters: Dataset, batch: int) -> tuple[Descent, int]:
    """At half of 1/λ_max of the kernel of any minibatch; and the epochs with labels alone."""
    kernel = nt.kernels.ntk_limit(clusters.inputs)
    values = nt.spectrum.eigendecomposition(kernel).eigenvalues
    rate = 0.5 * batch / min(values[-1], batch * kernel[0, 0])
    an_epoch = rate * values[0] / len(kernel) * math.ceil(len(kernel) / batch)
    epochs, burn_in = (math.ceil(part / an_epoch) for part in (_PROGRESS, _BURN_IN))
    return Descent(epochs, batch, float(rate), cosine, layers="first", loss="square"), burn_in


def neuron_steps(clusters: Dataset, batch: int) -> float:
    """Of all nets."""
    epochs = _descent(clusters, batch)[0].epochs
    return float(_WIDTH) * _NETS * epochs * math.ceil(len(clusters.clean) / batch)


def ended(run: nt.Run, clusters: Dataset, batch: int) -> nt.Measurement:
    """Where nets end, against the mean weight that a wrong label keeps.

    Batches differ, and so do nets: the tolerance is Student's for their mean. A net of any width
    ends there, as all of them come to their mean targets.
    """
    descent, burn_in = _descent(clusters, batch)
    mixing = Mixing(1.0, agreement="batch", after=burn_in)
    observed = clusters.observed[:, None]
    jobs = [
        nt.minibatch.Job(
            clusters.inputs, observed, clusters.inputs[:1], mixing, run.nets.seed + net
        )
        for net in range(_NETS)
    ]
    ends = [
        one.trained[:, 0]
        for one in nt.minibatch.train(
            jobs, descent, width=_WIDTH, dtype="float64", device=run.nets.device
        )
    ]
    run.progress.advance(neuron_steps(clusters, batch))
    errors = np.sqrt(np.square(np.stack(ends) - clusters.clean).mean(axis=1))
    reach, decisive = (mean_of(errors, 1 - risk)[1] for risk in RISKS)
    predicted, full = end_of(clusters, batch), end_of(clusters, len(clusters.clean))
    name = f"agreement over minibatches of {batch}: RMS error in the end"
    half = abs(predicted - full) / 2
    return over_nets(name, predicted, errors, reach, half, decisive=decisive)

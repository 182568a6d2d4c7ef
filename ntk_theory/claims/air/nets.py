"""The trained nets of `air`, and what they have retrieved of information and noise."""

from __future__ import annotations

__all__ = ["TRAINING", "Climbed", "climb", "crossing"]

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ntk_theory.claims.air.designs import Case
from ntk_theory.claims.air.labels import Labels
from ntk_theory.claims.air.plan import Plan
from ntk_theory.fitting import PowerLaw, fit_power_law
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

TRAINING = "noisy labels"
_CONFIDENCE = 0.999
"""Of the bounds that narrower nets put on the widest: some twenty rows hold together."""


@dataclass(frozen=True)
class Climbed:
    """Nets of all widths on one design, beside their prediction.

    Attributes:
        case: the design.
        ladder: its nets.
        outputs: of the widest nets, shape (S, T + 1, n).
        share_deviation: sup over t and bands of the error of the retrieved shares, (widths, S).
        gap_deviation: sup over t of the error of information minus noise, (widths, S).
        half_times: of what lies along y and of the rest of ỹ, (widths, S, 2).
    """

    case: Case
    ladder: Ladder
    outputs: Array
    share_deviation: Array
    gap_deviation: Array
    half_times: Array

    def _fitted(self, values: Array) -> PowerLaw:
        """Of all widths but the widest."""
        rng = np.random.default_rng(np.random.SeedSequence(self.ladder.seed))
        widths = self.ladder.widths[:-1]
        return fit_power_law(widths, list(values[: len(widths)]), rng=rng)

    def allowance(self, values: Array) -> float:
        """What narrower nets let expect of one net of the widest kind."""
        widest = self.ladder.widths[-1]
        bound = self._fitted(values).upper(widest, _CONFIDENCE)
        return bound + self.ladder.rounding_allowance(widest)

    def signed_allowance(self, values: Array) -> float:
        """The same of an error with a sign, (widths, S), that falls like m^{-1/2}.

        Student's bound on one further N(0, τ²/m) from the mean square of √m times the N narrower
        ones; a mean over nets is nearer to 0 (docs/theory.md, section 6.5).
        """
        widths = np.array(self.ladder.widths, dtype=float)
        scaled = values[:-1] * np.sqrt(widths[:-1, None])
        quantile = float(stdtrit(scaled.size, (1 + _CONFIDENCE) / 2))
        spread = float(np.sqrt(np.square(scaled).mean() / widths[-1]))
        return quantile * spread + self.ladder.rounding_allowance(self.ladder.widths[-1])


def crossing(shares: Array) -> Array:
    """Time at which a retrieved share reaches ½, of curves (..., T + 1); NaN if it never does.

    Interpolated in log(1 − share), which is linear in time for a filter: no error of interpolation.
    """
    times = np.full(shares.shape[:-1], np.nan)
    for index in np.ndindex(times.shape):
        curve = shares[index]
        above = np.flatnonzero(curve >= 0.5)
        if above.size:
            after = int(above[0])
            left = np.log(1 - np.minimum(curve[after - 1 : after + 1], 1 - 1e-12))
            times[index] = after - 1 + (left[0] + np.log(2)) / (left[0] - left[1])
    return times


def climb(case: Case, plan: Plan, evidence: Evidence, progress: Progress) -> Climbed:
    """Train all widths on one design."""
    ladder = replace(plan.nets, widths=case.widths).ladder(case.dataset.clean)
    earlier = list(evidence.metrics)
    shares_off, gaps_off, times, outputs = [], [], [], np.empty(0)
    for width in case.widths:
        evidence.progress_note = f"at width {width} on the design {case.name}"
        trajectory = ladder.train(TRAINING, case.recipe, width, case.outputs, progress=progress)
        evidence.metrics[:] = earlier + [{"design": case.name, **row} for row in ladder.metrics()]
        if ladder.stopped():
            break
        outputs = trajectory.outputs
        shares = case.shares(outputs)
        shares_off.append(np.abs(shares - case.predicted_shares).max(axis=(1, 2)))
        gaps_off.append(np.abs(case.gap(shares) - case.predicted_gap).max(axis=1))
        parts = Labels(case.dataset.clean, case.dataset.observed).shares(outputs)
        times.append(np.stack([crossing(part) for part in parts], axis=-1))
    deviations = (np.array(values) for values in (shares_off, gaps_off, times))
    return Climbed(case, ladder, outputs, *deviations)

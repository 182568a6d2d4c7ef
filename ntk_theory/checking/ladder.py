"""A ladder of widths: nets against closed forms, and what narrower nets tell of wider ones."""

from __future__ import annotations

__all__ = [
    "BOOTSTRAP_STREAM",
    "CONTROL_STREAM",
    "EXPONENT_TOLERANCE",
    "NETS_STREAM",
    "NetPlan",
    "control_width",
    "falling_row",
    "first_step_row",
    "planned",
]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit

from ntk_theory.checking.evidence import chosen
from ntk_theory.checking.nets import check_nets, check_widths, net_seeds, train_nets
from ntk_theory.checking.verdicts import Measurement, Options, Progress, Relation
from ntk_theory.problems import Recipe
from ntk_theory.training import Trajectory
from ntk_theory.training.products import storage

Array = NDArray[np.float64]

NETS_STREAM, CONTROL_STREAM, BOOTSTRAP_STREAM = 0, 1, 2
"""Keep the seeds of the claim's nets, of its control nets and of resampling apart."""

EXPONENT_TOLERANCE = 0.15
"""About -1/2: room for some curvature, not for -1/4 or -3/4 (docs/theory.md, section 11)."""


def falling_row(widths: Sequence[int], deviations: Sequence[Array], title: str) -> Measurement:
    """Mean deviation at the widest over that at the narrowest width: m^{-1/2} gives their ratio.

    Tolerances come from deviations from the prediction itself, so a prediction that is off by a
    constant widens them with it; but it does not let the deviation fall. The bound is half way
    between the predicted ratio and 1, on a logarithmic scale (docs/theory.md, section 11).

    Args:
        widths: ascending.
        deviations: for each width, one per net.
        title: what deviates.
    """
    predicted = math.sqrt(widths[0] / widths[-1])
    narrowest, widest = (float(deviations[end].mean()) for end in (0, -1))
    return Measurement(
        f"{title}: deviation at width {widths[-1]} over that at {widths[0]}",
        predicted,
        widest / narrowest,
        math.sqrt(predicted) - predicted,
        relation=Relation.AT_MOST,
        kind="falling",
    )


def first_step_row(
    widths: Sequence[int], ratios: Array, title: str, crossing: float, confidence: float = 0.999
) -> Measurement:
    """Outputs after one step, along and over their prediction: 1 at the right learning rate.

    Later on a wrong rate hardly shows, and in a deviation of many outputs it drowns. After one step
    u_m = η H_m(0) z, apart from neurons that cross a hyperplane within the step. E H_m(0) = H, so
    the ratio has the mean 1, but for those neurons, and a variance like 1/m. The tolerance is
    Student's interval of the mean of all nets, weighted by width, and the bound on what crossings
    add; an error of the prediction does not widen it. 0.05 detects a rate that is 10 %
    off.

    Args:
        widths: of the nets.
        ratios: ⟨u, p⟩/‖p‖² of the outputs u of each net and their prediction p, (widths, S).
        title: whose outputs they are.
        crossing: c of `predictions.first_step_crossing`.
        confidence: two-sided.
    """
    weights = np.repeat(np.array(widths, dtype=float)[:, None], ratios.shape[1], axis=1)
    mean = float(np.average(ratios, weights=weights))
    free = ratios.size - 1
    spread = float(np.sum(weights * np.square(ratios - mean))) / free
    quantile = float(stdtrit(free, (1 + confidence) / 2))
    return Measurement(
        f"{title}: outputs after one step over their prediction",
        1.0,
        mean,
        quantile * math.sqrt(spread / float(weights.sum()))
        + crossing * float(np.average(1 / np.sqrt(weights), weights=weights)),
        (float(ratios[-1].min()), float(ratios[-1].max())),
        resolution=0.05,
    )


@dataclass(frozen=True)
class NetPlan:
    """Which nets a claim trains.

    Attributes:
        preset: name of the preset that chose what the user left open.
        seed: of all randomness.
        widths: ascending.
        count: nets at each width.
        dtype: their precision.
        device: where they are trained.
    """

    preset: str
    seed: int
    widths: tuple[int, ...]
    count: int
    dtype: str
    device: str

    def config(self) -> dict[str, Any]:
        """Every number of the plan, under the names of the knobs."""
        return {
            "preset": self.preset,
            "seed": self.seed,
            "seeds": self.count,
            "widths": list(self.widths),
            "device": self.device,
            "dtype": self.dtype,
        }

    def rounding_allowance(self, width: int) -> float:
        """Rounding of an output, a sum of m terms: eps √m (docs/theory.md, section 11)."""
        return float(torch.finfo(storage(self.dtype)).eps) * math.sqrt(width)

    def train_controls(
        self,
        recipe: Recipe,
        width: int,
        count: int,
        *,
        progress: Progress | None = None,
        keep_network: bool = False,
    ) -> Trajectory:
        """Train nets that no row of the claim is about.

        Args:
            recipe: with a premise broken.
            width: m.
            count: how many.
            progress: advanced as they train.
            keep_network: form the trained weights.
        """
        return train_nets(
            recipe,
            width,
            net_seeds(self.seed, width, count, CONTROL_STREAM),
            dtype=self.dtype,
            device=self.device,
            progress=progress,
            keep_network=keep_network,
        )


def planned(
    options: Options,
    widths: Sequence[int],
    count: int,
    precisions: Sequence[str],
    least_count: int = 3,
    least_widths: int = 4,
) -> NetPlan:
    """Nets that the user asked for, or else the claim's own.

    Args:
        options: of the run.
        widths: where the options leave them open.
        count: nets at each width where the options leave it open.
        precisions: what the options may ask for; the first where they leave it open.
        least_count: how many nets it takes to tell their spread.
        least_widths: how many widths the claim's fits need.

    Raises:
        ValueError: for too few widths or nets, or another precision.
    """
    ladder = check_widths(chosen(options.widths, tuple(widths)), least_widths)
    nets = check_nets(chosen(options.seeds, count), least_count)
    precision = chosen(options.dtype, precisions[0])
    if precision not in precisions:
        raise ValueError(
            f"dtype must be {' or '.join(sorted(set(precisions)))} for preset {options.preset}, "
            f"whose tolerances leave no room for fewer bits; got {precision}"
        )
    return NetPlan(options.preset, options.seed, ladder, nets, precision, options.device)


def control_width(nets: NetPlan) -> int:
    """Width of control nets: one below the widest."""
    return nets.widths[-2]

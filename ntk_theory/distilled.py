"""Self-distillation of any labels: several classes, both layers, teachers of an epoch before.

What is predicted holds while every prediction that teaches is right: in closed form on clusters, by
a recursion on the measured kernel elsewhere (docs/theory.md, section 7).
"""

from __future__ import annotations

__all__ = [
    "LEVEL",
    "Units",
    "gap_of",
    "late_burn_in",
    "least_taught",
    "on_clusters",
    "on_gram",
    "soft_targets",
]

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import least_margin

if TYPE_CHECKING:
    from ntk_theory.data import Dataset
    from ntk_theory.own_problem import OwnData
    from ntk_theory.predictions.outputs import Operator
    from ntk_theory.targets import Agreement, BurnIn, Constant, Geometric, Power, Schedule

Array = NDArray[np.float64]

LEVEL = 0.25
"""Weight of the observed labels at which the constant schedule stays."""


def least_taught(training: nt.Training, outputs: Array) -> Array:
    """Least margin of each net at the steps whose prediction is taught, shape (S,)."""
    found = least_margin(outputs, training.points)
    return np.asarray(found[:, training.curves["taught"]].min(axis=1))


def gap_of(dataset: Dataset) -> float:
    """The label gap δ of section 7.6."""
    groups = dataset.design.groups
    return nt.predictions.label_gap(dataset.clean_class, dataset.observed_class, groups)


class Units(NamedTuple):
    """Learning rate, a quarter of the memorisation time, and steps (section 7.3)."""

    learning_rate: float
    quarter: float
    steps: int

    @classmethod
    def of(cls, noise: float, top: float, gap: float, share: float, times: float = 3) -> Units:
        """Of a noise eigenvalue, the largest one, δ, η λ_max, and a length in units of 1/(ηλ_−)."""
        rate = share / top
        memorised = nt.predictions.memorisation_time((1 - gap) / 2, rate, noise)
        return cls(rate, memorised / 4, math.ceil(times / (rate * noise)))

    @property
    def burn_in(self) -> int:
        """Steps in which all labels are taken from the data."""
        return max(1, round(self.quarter))

    @property
    def power(self) -> BurnIn:
        """The weight falls like 1/t after the burn-in."""
        return nt.targets.BurnIn(self.burn_in, nt.targets.Power(self.quarter))


def on_clusters(
    name: str, dataset: Dataset, schedule: str = "power", *, both_layers: bool = False,
    epoch: int | None = None, restart: bool = False, **more: Any,
) -> nt.Training:  # fmt: skip
    """A training on clusters, whose outputs have a closed form (sections 7.6 and 7.7).

    Args:
        name: of the training.
        dataset: equicorrelated clusters orthogonal to each other, with labels.
        schedule: "power", "geometric", "constant" or "agreement", after a burn-in.
        both_layers: train them, at η λ_max = 1; or the first one, at 1/2.
        epoch: steps after which the teacher changes, or None for the current prediction.
        restart: begin every epoch at the initial weights.
        more: other attributes of the training; its curves have the steps that are taught, and the
            error that it tends to, or None.
    """
    targets, groups, rho = nt.targets, int(dataset.design.groups.max()) + 1, dataset.noise_rate
    cosine = float(dataset.inputs[0] @ dataset.inputs[1])
    levels = nt.predictions.cluster_spectrum(
        groups, len(dataset.clean) // groups, 2 * math.asin(math.sqrt(max(1 - cosine, 0) / 2)),
        both_layers=both_layers,
    )  # fmt: skip
    units = Units.of(levels.noise, levels.mean, gap_of(dataset), 1.0 if both_layers else 0.5)
    steps, burn_in, taught = units.steps, units.burn_in, np.arange(units.burn_in, units.steps)
    if epoch is not None:
        # The first teachers have predicted nothing yet: they may not teach.
        steps = epoch * math.ceil(steps / epoch)
        burn_in, starts = max(burn_in, epoch if restart else 2 * epoch), np.arange(0, steps, epoch)
        taught = starts[1:] if restart else starts[starts + 2 * epoch > burn_in]
    after: dict[str, Power | Geometric | Constant | Agreement] = {
        "power": targets.Power(units.quarter), "geometric": targets.Geometric(steps / 4),
        "constant": targets.Constant(LEVEL), "agreement": targets.Agreement(),
    }  # fmt: skip
    policy = targets.BurnIn(burn_in, after[schedule])
    if schedule == "agreement":  # right predictions disagree with ρ of the labels
        weights = np.where(np.arange(steps) < burn_in, 1.0, rho)
    else:
        weights = targets.weights(policy, steps)
    outputs = nt.predictions.cluster_outputs(
        levels, dataset.clean, dataset.observed, units.learning_rate, weights,
        epoch if restart else None,
    )  # fmt: skip
    # Section 7.1; a restarted net is cut short in every epoch and has no such limit.
    limits = {} if restart else {"constant": 2 * LEVEL * rho**0.5, "agreement": 2 * rho**1.5}
    distillation = targets.Distillation(policy, epoch=epoch, restart=restart)
    recipe = nt.Recipe(dataset.inputs, dataset.observed, distillation, units.learning_rate, steps,
                       layers="both" if both_layers else "first")  # fmt: skip
    curves = {"taught": taught, "limit": limits.get(schedule)}
    return nt.Training(name, recipe, outputs, labels=dataset.clean, curves=curves, **more)


def on_gram(
    name: str, dataset: Dataset, gram: Operator, schedule: Schedule, units: Units, **more: Any
) -> nt.Training:
    """A training predicted by the recursion of section 7.1 on a kernel that is measured."""
    rate, steps = units.learning_rate, units.steps
    weights = nt.targets.weights(schedule, steps)
    outputs = nt.predictions.gram_outputs(gram, dataset.clean, dataset.observed, rate, weights)
    distillation = nt.targets.Distillation(schedule)
    recipe = nt.Recipe(dataset.inputs, dataset.observed, distillation, rate, steps)
    curves = {"taught": np.arange(units.burn_in, steps), "limit": None}
    return nt.Training(name, recipe, outputs, labels=dataset.clean, curves=curves, **more)


def soft_targets(problem: nt.NoisyClusters | OwnData, row: nt.Row, **changes: Any) -> nt.Control:
    """A row, perhaps with changes, where a net is taught its own outputs and not their signs."""
    broken = "targets are hardened: here h(u) = u, which only slows plain training down"
    return nt.Control("soft-targets", broken, row.under(problem.soft_training(), **changes))


def late_burn_in(problem: nt.NoisyClusters, row: nt.Row) -> nt.Control:
    """A row where the noisy labels alone teach a net until it has memorised them."""
    late = problem.with_burn_in(math.ceil(2 * problem.memorisation_time))
    broken = f"burn-in < t_mem: here it takes {late.burn_in} steps, twice t_mem"
    memorised = row.under(late.hard_training("late burn-in"))
    return nt.Control("late-burn-in", broken, memorised, unmet=late.early_burn_in)

"""A ladder of widths: nets against closed forms, and what narrower nets tell of wider ones."""

from __future__ import annotations

__all__ = [
    "BOOTSTRAP_STREAM",
    "CONTROL_STREAM",
    "EXPONENT_TOLERANCE",
    "NETS_STREAM",
    "Ladder",
    "NetPlan",
    "control_width",
    "falling_row",
    "first_step_ratios",
    "first_step_row",
    "plan_nets",
    "planned",
]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from ntk_theory import kernels, predictions
from ntk_theory.checking.evidence import chosen
from ntk_theory.checking.fitting import PowerLaw, fit_power_law
from ntk_theory.checking.nets import (
    Rung,
    check_memory,
    check_nets,
    check_widths,
    compare,
    net_seeds,
    train_nets,
)
from ntk_theory.checking.verdicts import Measurement, Options, Progress, Relation
from ntk_theory.problems import Recipe
from ntk_theory.training import Trajectory
from ntk_theory.training.products import storage

Array = NDArray[np.float64]

NETS_STREAM, CONTROL_STREAM, BOOTSTRAP_STREAM = 0, 1, 2
"""Keep the seeds of the claim's nets, of its control nets and of resampling apart."""

_EXPONENT, EXPONENT_TOLERANCE = -0.5, 0.15
"""Room for some curvature at these widths, not for -1/4 or -3/4 (docs/theory.md, section 11)."""


_WIDEST = 2**20
"""Width that no ladder passes unless its preset says so."""


def _largest_deviation(rung: Rung) -> Array:
    return rung.largest_deviation


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


def first_step_ratios(
    recipe: Recipe, outputs: Array, labels: Array | None = None
) -> tuple[Array, float]:
    """Outputs after one step of plain training, along and over ηHz, and c of section 9.5.

    Args:
        recipe: for the square loss.
        outputs: of each net after one step, shape (S, n) or (S, n, C).
        labels: z of each net, if not all have the observed ones.

    Returns:
        Ratios, shape (S,), and c.
    """
    observed = np.asarray(recipe.observed, dtype=float)
    given = observed if labels is None else labels
    own = given.ndim - observed.ndim  # axes of nets
    gram = np.asarray(kernels.ntk_limit(recipe.inputs, layers=recipe.layers))
    first = recipe.rate * np.moveaxis(np.tensordot(gram, given, (1, own)), 0, own)
    axes = tuple(range(-observed.ndim, 0))
    ratios = (outputs * first).sum(axis=axes) / np.square(first).sum(axis=axes)
    pull = recipe.rate * observed
    inner = recipe.inputs @ recipe.inputs.T
    return np.asarray(ratios), predictions.first_step_crossing(inner, pull, gram @ pull)


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

    def check_memory(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if the widest net does not fit the memory; inputs are (n, d)."""
        check_memory(self.widths[-1], shape, self.dtype, self.device)

    def rounding_allowance(self, width: int) -> float:
        """Rounding of an output, a sum of m terms: eps √m (docs/theory.md, section 11)."""
        return float(torch.finfo(storage(self.dtype)).eps) * math.sqrt(width)

    def ladder(self, clean: Array, seed: int | None = None) -> Ladder:
        """An empty ladder.

        Args:
            clean: labels that errors are taken against.
            seed: of its nets; that of the run when left out.
        """
        seed = self.seed if seed is None else seed
        return Ladder(clean, self.widths, self.count, seed, self.dtype, self.device)

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


def plan_nets(
    options: Options,
    widths: Sequence[int],
    count: int,
    *,
    least_widths: int,
    least_count: int,
    shape: tuple[int, ...],
    dtype: str = "float64",
    precisions: Sequence[str] = ("float32", "float64"),
) -> NetPlan:
    """Nets that the user asked for, or else the claim's own.

    Args:
        options: of the run.
        widths: ladder where the options leave it open.
        count: nets at each width where the options leave it open.
        least_widths: how many widths the claim's fits need.
        least_count: how many nets it takes to tell their spread.
        shape: of the inputs, (n, d).
        dtype: precision where the options leave it open.
        precisions: what the options may ask for.

    Raises:
        ValueError: for too few widths or nets, for ones that do not fit this machine's memory, or
            for another precision.
    """
    plan = planned(options, widths, count, (dtype, *precisions), least_widths, least_count)
    plan.check_memory(shape)
    return plan


def planned(
    options: Options,
    widths: Sequence[int],
    count: int,
    precisions: Sequence[str],
    least_widths: int = 4,
    least_count: int = 3,
) -> NetPlan:
    """Nets that the user asked for, or else the claim's own; see `plan_nets`.

    Args:
        options: of the run.
        widths: where the options leave them open.
        count: nets at each width where the options leave it open.
        precisions: what the options may ask for; the first where they leave it open.
        least_widths: how many widths the claim's fits need.
        least_count: how many nets it takes to tell their spread.
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


@dataclass
class Ladder:
    """Nets of growing width, trained in one or several ways that all start from the same nets.

    Attributes:
        clean: labels y that errors are taken against, shape (n,) or (n, C).
        widths: ascending.
        nets: how many at each width.
        seed: of all their randomness.
        dtype: their precision.
        device: where they are trained.
        rungs: for each way of training, the widths trained so far.
    """

    clean: Array
    widths: tuple[int, ...]
    nets: int
    seed: int
    dtype: str
    device: str
    rungs: dict[str, list[Rung]] = field(default_factory=dict)

    def seeds(self, width: int) -> list[int]:
        """Seeds of the nets of one width."""
        return net_seeds(self.seed, width, self.nets, NETS_STREAM)

    def train(
        self,
        name: str,
        recipe: Recipe,
        width: int,
        predicted: ArrayLike,
        *,
        progress: Progress | None = None,
        keep_network: bool = False,
    ) -> Trajectory:
        """Train the nets of one width and add their rung.

        Args:
            name: of this way of training.
            recipe: this way of training.
            width: m.
            predicted: outputs of the infinitely wide net at the recorded steps, shape (k, n) or
                (k, n, C).
            progress: advanced as the nets train.
            keep_network: form the trained weights.
        """
        trajectory = train_nets(
            recipe,
            width,
            self.seeds(width),
            dtype=self.dtype,
            device=self.device,
            progress=progress,
            keep_network=keep_network,
        )
        rung = compare(trajectory, width, predicted, self.clean)
        self.rungs.setdefault(name, []).append(rung)
        return trajectory

    def rounding_error(self, recipe: Recipe, trajectory: Trajectory, width: int) -> float:
        """Largest RMS difference of the first net to the same one trained in float64."""
        if self.dtype == "float64":
            return 0.0
        exact = train_nets(recipe, width, self.seeds(width)[:1], device=self.device)
        length = min(exact.steps.size, trajectory.steps.size)
        difference = exact.outputs[0, :length] - trajectory.outputs[0, :length]
        axes = tuple(range(1, difference.ndim))
        square = np.square(difference).sum(axis=axes) / difference.shape[1]
        return float(np.sqrt(square).max())

    def rounding_allowance(self, width: int) -> float:
        """Rounding of an output, a sum of m terms: eps √m (docs/theory.md, section 11)."""
        return float(torch.finfo(storage(self.dtype)).eps) * math.sqrt(width)

    def fit(self, name: str, value: Callable[[Rung], Array], rungs: int | None = None) -> PowerLaw:
        """Power law in the width of a positive quantity of each net.

        Args:
            name: way of training.
            value: the quantity, shape (S,).
            rungs: how many widths, from the narrowest on; all when left out.
        """
        fitted = self.rungs[name][:rungs]
        key = np.random.SeedSequence(self.seed, spawn_key=(BOOTSTRAP_STREAM,))
        return fit_power_law(
            [rung.width for rung in fitted],
            [value(rung) for rung in fitted],
            rng=np.random.default_rng(key),
        )

    def allowance(
        self, name: str, value: Callable[[Rung], Array], confidence: float = 0.99
    ) -> float:
        """Bound that all narrower widths put on a deviation at the widest, with rounding."""
        widest = self.widths[-1]
        return self.fit(name, value, -1).upper(widest, confidence) + self.rounding_allowance(widest)

    def bound(self, value: Callable[[Rung], Array], width: int) -> float:
        """Bound on a deviation at any width in any way of training, with rounding."""
        fitted = [self.fit(name, value).upper(width) for name in self.rungs]
        return max(fitted) + self.rounding_allowance(width)

    def falling_row(
        self, name: str, title: str, value: Callable[[Rung], Array] = _largest_deviation
    ) -> Measurement:
        """`falling_row` of the ends of this ladder, for one way of training."""
        return falling_row(self.widths, [value(rung) for rung in self.rungs[name]], title)

    def stopped(self) -> str | None:
        """Explanation of the first divergence, or None."""
        every = (rung for rungs in self.rungs.values() for rung in rungs)
        return next((rung.diverged for rung in every if rung.diverged), None)

    def metrics(self) -> tuple[Mapping[str, Any], ...]:
        """One row for each trained net."""
        return tuple(
            {
                "training": name,
                "width": rung.width,
                "net": net,
                "steps": rung.error.shape[1] - 1,
                "final_rms_error": float(rung.error[net, -1]),
                "best_rms_error": float(rung.error[net].min()),
                "largest_deviation": float(rung.largest_deviation[net]),
                "final_deviation": float(rung.deviation[net, -1]),
                "margin": float(rung.margin[net]),
                "zero_one_error": float(rung.zero_one[net]),
                "movement": float(rung.movement[net]),
                "distance": float(rung.distance[net]),
                "flipped_activations": float(rung.flipped_activations[net]),
            }
            for name, rungs in self.rungs.items()
            for rung in rungs
            for net in range(len(rung.error))
        )

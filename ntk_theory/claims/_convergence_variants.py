"""Self-distillation beyond the reference problem: what else the ℓ2 theorem covers.

What is predicted holds while every prediction that teaches is right (docs/theory.md, section 7).
"""

from __future__ import annotations

__all__ = ["LEVEL", "Units", "gap_of", "least_taught", "on_clusters", "on_gram", "variants"]

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import least_margin

if TYPE_CHECKING:
    from ntk_theory.data import Dataset, Design, LabelNoise
    from ntk_theory.predictions.outputs import Operator
    from ntk_theory.targets import BurnIn, Schedule

Array = NDArray[np.float64]

LEVEL = 0.25
"""Weight of the observed labels at which the constant schedule stays."""

_STREAM = 3
"""Keeps what variants draw apart from nets."""


def _own_widths(run: Sequence[int]) -> list[int]:
    return [max(256, run[0]) * 2**rung for rung in range(4)]


_OWN_NETS: dict[str, Any] = {"widths": _own_widths, "nets": 4}


def least_taught(training: nt.Training, outputs: Array) -> Array:
    """Least margin of each net at the steps whose prediction is taught, shape (S,)."""
    return least_margin(outputs, training.points)[:, training.curves["taught"]].min(axis=1)


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
    epoch: int | None = None, restart: bool = False,
) -> nt.Training:  # fmt: skip
    """A variant whose outputs have a closed form (sections 7.6 and 7.7).

    Args:
        name: of the variant.
        dataset: equicorrelated clusters orthogonal to each other, with labels.
        schedule: "power", "geometric", "constant" or "agreement", after a burn-in.
        both_layers: train them, at η λ_max = 1; or the first one, at 1/2.
        epoch: steps after which the teacher changes, or None for the current prediction.
        restart: begin every epoch at the initial weights.
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
    after: dict[str, Schedule] = {
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
    return nt.Training(name, recipe, outputs, labels=dataset.clean, curves=curves, **_OWN_NETS)


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


def _on_design(
    name: str, design: Design, rng: np.random.Generator, noise_rate: float, *, rank: int,
    share: float, earlier: float, times: float,
) -> nt.Training:  # fmt: skip
    """A variant on any data; the median of all eigenvalues but so many gives the unit of time.

    Its burn-in is by some factor shorter than a quarter of the memorisation time.
    """
    dataset = nt.data.noisy_labels(design, noise_rate=noise_rate, rng=rng)
    gram = nt.kernels.ntk_limit(dataset.inputs)
    eigenvalues = nt.spectrum.eigendecomposition(gram).eigenvalues
    noise, top = float(np.median(eigenvalues[:-rank])), float(eigenvalues[-1])
    units = Units.of(noise, top, 1 - 2 * dataset.noise_rate, share, times)
    units = units._replace(quarter=units.quarter / earlier)
    return on_gram(name, dataset, gram, units.power, units, **_OWN_NETS)


def variants(seed: int | np.random.SeedSequence) -> Iterator[nt.Training]:
    """Every variant, on data drawn from the seed of a run."""
    data, key = nt.data, np.random.SeedSequence(seed, spawn_key=(_STREAM,))
    draws = [np.random.default_rng(child) for child in key.spawn(6)]

    def classes(rng: np.random.Generator, count: int, noise: LabelNoise, rate: float) -> Dataset:
        design = data.equicorrelated_clusters(count, 12, ratio=40.0)
        return data.noisy_labels(
            design, noise_rate=rate, rng=rng, classes=count, noise=noise, count="balanced"
        )

    two, sharper = (
        data.noisy_labels(data.equicorrelated_clusters(6, 10, ratio=r), noise_rate=0.3, rng=rng)
        for r, rng in ((20.0, draws[0]), (30.0, draws[1]))
    )
    yield on_clusters("constant weight 1/4", two, "constant")
    yield on_clusters("agreement schedule", two, "agreement")
    yield on_clusters("geometric schedule", two, "geometric")
    yield on_clusters("power schedule", two)
    yield on_clusters("both layers", two, both_layers=True)
    yield on_clusters("lag of an epoch", two, epoch=2)
    restarted = "restart every epoch, weight 1/4"
    yield on_clusters(restarted, sharper, "constant", epoch=10, restart=True)
    symmetric = classes(draws[2], 5, "symmetric", 7 / 12)
    yield on_clusters("5 classes, 58 % symmetric noise", symmetric)
    yield on_clusters("4 classes, 33 % pair flips", classes(draws[3], 4, "pair", 1 / 3))
    design = data.gaussian_clusters(6, 10, 50, radius=0.4, rng=draws[4])
    yield _on_design("Gaussian clusters", design, draws[4], 0.2, rank=6, share=0.5, earlier=1.5,
                     times=3)  # fmt: skip
    design = data.power_law(60, 40, exponent=2.0, rng=draws[5], kept=0.5)
    yield _on_design("power law", design, draws[5], 0.1, rank=1, share=1.0, earlier=3.0, times=1)

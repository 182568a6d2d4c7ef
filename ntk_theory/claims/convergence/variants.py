"""Self-distillation beyond the reference problem: what else the ℓ2 theorem covers.

Several classes, every schedule, both layers, lag, restart, and data without an exact spectrum. Each
variant joins a recipe with the outputs that theory predicts while every prediction that teaches is
right, and with the steps at which it has to be. Section numbers refer to docs/theory.md.
"""

from __future__ import annotations

__all__ = ["Units", "Variant", "variant_on_clusters", "variants"]

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, kernels, predictions, spectrum
from ntk_theory.kernels import Layers
from ntk_theory.problems import Recipe
from ntk_theory.targets import (
    Agreement,
    BurnIn,
    Constant,
    Distillation,
    Geometric,
    Power,
    weights,
)

Array = NDArray[np.float64]

_NOISE_TIMES = 3
"""Length of a variant's run in units of 1/(ηλ_−): enough to tell its outcome."""

_LEVEL = 0.25
"""Weight at which the constant schedule stays."""


@dataclass(frozen=True)
class Variant:
    """A recipe with its predicted outputs.

    Attributes:
        name: what is different.
        recipe: what nets are trained on.
        clean: targets y, shape (n,) or one-hot (n, C).
        predicted: outputs of the infinitely wide net, shape (T + 1, n) or (T + 1, n, C), valid if
            `margin` is positive at the steps `taught`.
        taught: steps whose prediction is taught with a weight above 0.
        limit: RMS error for T → ∞, or None where only the finite run is predicted.
    """

    name: str
    recipe: Recipe
    clean: Array
    predicted: Array
    taught: NDArray[np.int64]
    limit: float | None = None

    @property
    def rms_error(self) -> Array:
        """Predicted ‖u_t − y‖/√n, shape (T + 1,)."""
        difference = (self.predicted - self.clean).reshape(len(self.predicted), -1)
        return np.asarray(np.sqrt(np.square(difference).sum(axis=1) / len(self.clean)))

    @property
    def margin(self) -> Array:
        """Predicted least margin of the right class, shape (T + 1,)."""
        if self.clean.ndim == 1:
            return np.asarray((self.predicted * self.clean).min(axis=1))
        right = (self.predicted * self.clean).sum(axis=2)
        wrong = np.where(self.clean > 0, -np.inf, self.predicted).max(axis=2)
        return np.asarray((right - wrong).min(axis=1))

    @property
    def worst_margin(self) -> float:
        """Least margin at the steps that teach."""
        return float(self.margin[self.taught].min())


# ---------------------------------------------------------------- units


@dataclass(frozen=True)
class Units:
    """Learning rate and times that fit a spectrum, as in section 7.3.

    Attributes:
        learning_rate: η.
        quarter: of the memorisation time, in steps.
        steps: in which the outcome of a run is told.
    """

    learning_rate: float
    quarter: float
    steps: int

    @classmethod
    def of(cls, noise: float, top: float, gap: float, share: float) -> Units:
        """Units of a noise eigenvalue, the largest one, the label gap δ (7.6) and η λ_max."""
        rate = share / top
        memorised = predictions.memorisation_time((1 - gap) / 2, rate, noise)
        return cls(rate, memorised / 4, math.ceil(_NOISE_TIMES / (rate * noise)))

    @property
    def burn_in(self) -> int:
        """Steps in which all labels are taken from the data."""
        return max(1, round(self.quarter))

    def power(self, burn_in: int | None = None) -> BurnIn:
        """The weight falls like 1/t after the burn-in."""
        return BurnIn(burn_in or self.burn_in, Power(self.quarter))


def _gap(dataset: data.Dataset) -> float:
    return predictions.label_gap(dataset.clean_class, dataset.observed_class, dataset.design.groups)


def _taught(first: int, steps: int, epoch: int | None, restart: bool) -> NDArray[np.int64]:
    """Steps whose prediction teaches from step `first` on, up to the last step."""
    if epoch is None:
        return np.arange(first, steps)
    starts = np.arange(0, steps, epoch)
    if restart:
        return starts[1:]
    return starts[starts + 2 * epoch > first]


# ---------------------------------------------------------------- clusters


def _policy(name: str, units: Units, burn_in: int, steps: int) -> BurnIn:
    policies = {
        "power": units.power(burn_in),
        "geometric": BurnIn(burn_in, Geometric(steps / 4)),
        "constant": BurnIn(burn_in, Constant(_LEVEL)),
        "agreement": BurnIn(burn_in, Agreement()),
    }
    return policies[name]


def _weights_if_right(policy: BurnIn, steps: int, noise_rate: float) -> Array:
    """α_t while every prediction that teaches is right: then they disagree with ρ of the labels."""
    if isinstance(policy.then, Agreement):
        return np.where(np.arange(steps) < policy.steps, 1.0, noise_rate)
    return weights(policy, steps)


def variant_on_clusters(
    name: str,
    dataset: data.Dataset,
    *,
    layers: Layers = "first",
    share: float = 0.5,
    schedule: str = "power",
    epoch: int | None = None,
    restart: bool = False,
) -> Variant:
    """A variant whose outputs have a closed form.

    Args:
        name: of the variant.
        dataset: equicorrelated clusters orthogonal to each other, with labels.
        layers: which are trained.
        share: η λ_max.
        schedule: "power", "geometric", "constant" or "agreement", after a burn-in.
        epoch: steps after which the teacher changes, or None for the current prediction.
        restart: begin every epoch at the initial weights.

    Reference: sections 7.6 and 7.7.
    """
    design = dataset.design
    groups = int(design.groups.max()) + 1
    points = len(design.groups) // groups
    cosine = float(design.inputs[0] @ design.inputs[1])
    angle = 2 * math.asin(math.sqrt(max(1 - cosine, 0) / 2))
    levels = predictions.cluster_spectrum(groups, points, angle, both_layers=layers == "both")
    units = Units.of(levels.noise, levels.mean, _gap(dataset), share)
    burn_in = units.burn_in
    if epoch is not None:
        # The first teachers have predicted nothing yet: they may not teach.
        burn_in = max(burn_in, epoch if restart else 2 * epoch)
    steps = units.steps if epoch is None else epoch * math.ceil(units.steps / epoch)
    rho = dataset.noise_rate
    policy = _policy(schedule, units, burn_in, steps)
    # Section 7.1; a restarted net is cut short in every epoch and has no such limit.
    limits = {} if restart else {"constant": 2 * _LEVEL * rho**0.5, "agreement": 2 * rho**1.5}
    outputs = predictions.cluster_outputs(
        levels,
        dataset.clean,
        dataset.observed,
        units.learning_rate,
        _weights_if_right(policy, steps, rho),
        epoch if restart else None,
    )
    return Variant(
        name,
        Recipe(
            inputs=dataset.inputs,
            observed=dataset.observed,
            distillation=Distillation(policy, epoch=epoch, restart=restart),
            learning_rate=units.learning_rate,
            steps=steps,
            layers=layers,
        ),
        dataset.clean,
        outputs,
        _taught(burn_in, steps, epoch, restart),
        limits.get(schedule),
    )


def _two_classes(rng: np.random.Generator, ratio: float = 20.0) -> data.Dataset:
    design = data.equicorrelated_clusters(6, 10, ratio=ratio)
    return data.noisy_labels(design, noise_rate=0.3, rng=rng)


def _several_classes(
    rng: np.random.Generator, classes: int, noise: data.LabelNoise, noise_rate: float
) -> data.Dataset:
    design = data.equicorrelated_clusters(classes, 12, ratio=40.0)
    return data.noisy_labels(
        design, noise_rate=noise_rate, rng=rng, classes=classes, noise=noise, count="balanced"
    )


# ---------------------------------------------------------------- measured spectra


def _on_measured_spectrum(
    name: str,
    dataset: data.Dataset,
    *,
    rank: int,
    share: float,
    earlier: float,
    noise_times: float = _NOISE_TIMES,
) -> Variant:
    """A variant predicted by the recursion with the measured Gram matrix.

    Args:
        name: of the variant.
        dataset: inputs and labels.
        rank: number of eigenvalues that carry information; the median of the others gives the time
            unit.
        share: η λ_max.
        earlier: factor by which the burn-in is shorter than a quarter of the memorisation time.
        noise_times: length of the run in units of 1/(ηλ_−).
    """
    gram = kernels.ntk_limit(dataset.inputs)
    eigenvalues = spectrum.eigendecomposition(gram).eigenvalues
    noise, top = float(np.median(eigenvalues[:-rank])), float(eigenvalues[-1])
    units = Units.of(noise, top, 1 - 2 * dataset.noise_rate, share)
    steps = math.ceil(noise_times / (units.learning_rate * noise))
    units = replace(units, quarter=units.quarter / earlier, steps=steps)
    policy = units.power()
    outputs = predictions.gram_outputs(
        gram,
        dataset.clean,
        dataset.observed,
        units.learning_rate,
        weights(policy, units.steps),
    )
    recipe = Recipe(
        inputs=dataset.inputs,
        observed=dataset.observed,
        distillation=Distillation(policy),
        learning_rate=units.learning_rate,
        steps=units.steps,
    )
    taught = np.arange(units.burn_in, units.steps)
    return Variant(name, recipe, dataset.clean, outputs, taught)


def _gaussian_clusters(rng: np.random.Generator) -> Variant:
    design = data.gaussian_clusters(6, 10, 50, radius=0.4, rng=rng)
    dataset = data.noisy_labels(design, noise_rate=0.2, rng=rng)
    return _on_measured_spectrum("Gaussian clusters", dataset, rank=6, share=0.5, earlier=1.5)


def _power_law(rng: np.random.Generator) -> Variant:
    design = data.power_law(60, 40, exponent=2.0, rng=rng, kept=0.5)
    dataset = data.noisy_labels(design, noise_rate=0.1, rng=rng)
    return _on_measured_spectrum(
        "power law", dataset, rank=1, share=1.0, earlier=3.0, noise_times=1.0
    )


# ---------------------------------------------------------------- all of them


def variants(seed: np.random.SeedSequence) -> Iterator[Variant]:
    """Every variant, on data drawn from its own child of `seed`."""
    draws = [np.random.default_rng(child) for child in seed.spawn(6)]
    two = _two_classes(draws[0])
    yield variant_on_clusters("constant weight 1/4", two, schedule="constant")
    yield variant_on_clusters("agreement schedule", two, schedule="agreement")
    yield variant_on_clusters("geometric schedule", two, schedule="geometric")
    yield variant_on_clusters("power schedule", two, schedule="power")
    yield variant_on_clusters("both layers", two, layers="both", share=1.0)
    yield variant_on_clusters("lag of an epoch", two, epoch=2)
    sharper = _two_classes(draws[1], ratio=30.0)
    yield variant_on_clusters(
        "restart every epoch, weight 1/4", sharper, schedule="constant", epoch=10, restart=True
    )
    symmetric = _several_classes(draws[2], 5, "symmetric", 7 / 12)
    yield variant_on_clusters("5 classes, 58 % symmetric noise", symmetric)
    pair = _several_classes(draws[3], 4, "pair", 1 / 3)
    yield variant_on_clusters("4 classes, 33 % pair flips", pair)
    yield _gaussian_clusters(draws[4])
    yield _power_law(draws[5])

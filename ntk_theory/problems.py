"""Training problems in units of themselves: data, schedule, learning rate and steps that fit.

A recipe is all that training needs to know. A problem joins a recipe with everything that theory
needs to predict a run on it, and evaluates the hypotheses of the theory.
"""

from __future__ import annotations

__all__ = ["NoisyClusters", "Recipe", "lazy_premise", "noisy_clusters"]

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, kernels, predictions, spectrum
from ntk_theory.kernels import Layers
from ntk_theory.targets import (
    BurnIn,
    Distillation,
    Loss,
    format_schedule,
    parse_schedule,
    weights,
)
from ntk_theory.verdicts import Premise

Array = NDArray[np.float64]

_STEPS_TO_MEMORISE = 40
"""Memorisation time, in steps, that the default learning rate aims at."""

_MOST_STEPS = 200_000
"""A default run longer than that is refused."""

_NOISE_TIMES = 12
"""Length of a default run in units of 1/(ηλ_−), the time in which noise is retrieved."""


@dataclass(frozen=True)
class Recipe:
    """What nets of any width are trained on, and how.

    Attributes:
        inputs: unit rows, shape (n, d).
        observed: labels that training sees, shape (n,) or (n, C).
        distillation: targets and schedule.
        learning_rate: η, a number or one for each step.
        steps: T.
        layers: which weights are trained, "first" or "both".
        loss: "square" or "cross-entropy".
        init_scale: scale of plain initialisation, or None for antisymmetric pairs.
        record: steps whose outputs are kept, or None for all.
    """

    inputs: Array
    observed: Array
    distillation: Distillation
    learning_rate: float | Array
    steps: int
    layers: Layers = "first"
    loss: Loss = "square"
    init_scale: float | None = None
    record: Sequence[int] | None = None


@dataclass(frozen=True)
class NoisyClusters:
    """Self-distillation on equicorrelated clusters with flipped labels.

    Attributes:
        dataset: inputs and labels.
        spectrum: its three eigenvalues.
        angle: θ inside a cluster.
        cross_cosine: cosine between clusters.
        ratio: λ_+/λ_− asked for.
        noise_rate: ρ that the data has.
        learning_rate: η.
        steps: T.
        distillation: targets and schedule; its schedule starts with a burn-in.
        burn_in: steps of the burn-in.
        init_scale: scale of plain initialisation, or None for antisymmetric.
    """

    dataset: data.Dataset
    spectrum: predictions.ClusterSpectrum
    angle: float
    cross_cosine: float
    ratio: float
    noise_rate: float
    learning_rate: float
    steps: int
    distillation: Distillation
    burn_in: int
    init_scale: float | None = None

    @property
    def recipe(self) -> Recipe:
        """What nets are trained on."""
        return Recipe(
            inputs=self.dataset.inputs,
            observed=self.dataset.observed,
            distillation=self.distillation,
            learning_rate=self.learning_rate,
            steps=self.steps,
            init_scale=self.init_scale,
        )

    @property
    def label_mean(self) -> float:
        """ȳ, the mean of the clean labels."""
        return float(self.dataset.clean.mean())

    @property
    def memorisation_time(self) -> float:
        """t_mem in steps."""
        return predictions.memorisation_time(
            self.noise_rate, self.learning_rate, self.spectrum.noise
        )

    @property
    def schedule_text(self) -> str:
        """The schedule in its command-line form, with every number."""
        schedule = self.distillation.schedule
        assert isinstance(schedule, BurnIn)
        return format_schedule(schedule)

    @property
    def predictable(self) -> bool:
        """Whether the curves below exist: weights known before the run, and a stable rate."""
        stable = self.learning_rate * self.spectrum.mean < 2
        return stable and self.distillation.schedule.limit is not None

    @cached_property
    def weights(self) -> Array:
        """α_t, shape (T,)."""
        return weights(self.distillation.schedule, self.steps)

    @cached_property
    def distilled(self) -> predictions.ErrorCurve:
        """Predicted self-distillation, valid under the premises."""
        return predictions.self_distillation(
            self.spectrum, self.noise_rate, self.learning_rate, self.weights, self.label_mean
        )

    @cached_property
    def plain(self) -> predictions.ErrorCurve:
        """Predicted plain training, for as many steps."""
        return predictions.plain_training(
            self.spectrum, self.noise_rate, self.learning_rate, self.steps, self.label_mean
        )

    @cached_property
    def gram(self) -> Array:
        """Limiting NTK of the inputs, measured."""
        return kernels.ntk_limit(self.dataset.inputs)

    @property
    def first_taught(self) -> int:
        """First step whose prediction may teach: the end of the burn-in, and not step 0.

        All outputs are 0 at step 0, where every schedule but a constant one weighs them with 0.
        """
        return max(self.burn_in, 1)

    @property
    def worst_margin(self) -> float:
        """Least predicted margin from the end of the burn-in on."""
        return float(self.distilled.margin()[self.first_taught :].min())

    @property
    def lazy_width(self) -> float:
        """Width at which fitting the noise moves a neuron across the angle inside a cluster."""
        return predictions.lazy_width(
            self.spectrum,
            self.angle,
            self.noise_rate,
            float(self.distilled.memorised_noise.max()),
            1.0 if self.init_scale is None else self.init_scale,
        )

    def config(self) -> dict[str, Any]:
        """Every number of the problem, under the names of the knobs."""
        return {
            "clusters": self.spectrum.clusters,
            "points": self.spectrum.points,
            "ratio": self.ratio,
            "cross_cosine": self.cross_cosine,
            "noise_rate": self.noise_rate,
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "schedule": self.schedule_text,
            "init_scale": self.init_scale,
        }

    def with_schedule(self, schedule: BurnIn) -> NoisyClusters:
        """The same problem under another schedule."""
        distillation = replace(self.distillation, schedule=schedule)
        return replace(self, distillation=distillation, burn_in=schedule.steps)

    def premises(self) -> tuple[Premise, ...]:
        """Hypotheses that can be evaluated before any training (docs/theory.md, section 7)."""
        n, eps = len(self.gram), float(np.finfo(float).eps)
        eigenvalues = spectrum.eigendecomposition(self.gram).eigenvalues
        bottom, top = float(eigenvalues[0]), float(eigenvalues[-1])
        threshold = predictions.recoverability_threshold(self.spectrum.ratio)
        limit = self.distillation.schedule.limit
        start = self.init_scale or 0.0
        premises = [
            Premise(
                "kernel positive definite", bottom, bottom > n * eps * top, "λ_min(H) > n eps λ_max"
            ),
            Premise(
                "stable learning rate",
                self.learning_rate,
                self.learning_rate * top < 2,
                f"η < 2/λ_max = {2 / top:.4g}",
            ),
            Premise(
                "no overshoot (for the 2ρ bound)",
                self.learning_rate,
                self.learning_rate * top <= 1 + n * eps,
                f"η <= 1/λ_max = {1 / top:.4g}",
            ),
            Premise(
                "recoverable noise rate",
                self.noise_rate,
                self.noise_rate < threshold,
                f"ρ < ρ* = {threshold:.4g}",
            ),
            Premise(
                "burn-in before memorisation",
                self.burn_in,
                self.burn_in < self.memorisation_time,
                f"burn-in < t_mem = {self.memorisation_time:.4g} steps",
            ),
            Premise("observed labels fade out", limit, limit == 0, "α_t → 0"),
            Premise("zero initial output", start, start == 0, "f_0 = 0 (antisymmetric start)"),
        ]
        if self.predictable:
            margin = self.worst_margin
            premises.append(
                Premise(
                    "signs right at every step",
                    margin,
                    margin > 0,
                    "worst margin after burn-in > 0",
                )
            )
        return tuple(premises)


def lazy_premise(lazy_width: float, width: int) -> Premise:
    """Fitting the noise moves the neurons of the narrowest nets little (section 9.4).

    Args:
        lazy_width: m_lazy.
        width: m of the narrowest nets.
    """
    moved = math.sqrt(lazy_width / width)
    return Premise(
        "narrowest net moves little",
        moved,
        moved <= 0.5,
        f"sqrt(m_lazy/m) <= 1/2: widths from {math.ceil(4 * lazy_width)} on",
    )


def _default_learning_rate(spectrum_: predictions.ClusterSpectrum, noise_rate: float) -> float:
    """ηλ_+ in [1/4, 1], towards t_mem = 40 steps, and at most 1/λ_0."""
    log_ratio = math.log(max(2 * (1 - noise_rate), 1.0))
    share = min(max(log_ratio * spectrum_.ratio / _STEPS_TO_MEMORISE, 0.25), 1.0)
    return min(share / spectrum_.information, 1 / spectrum_.mean)


def noisy_clusters(
    *,
    clusters: int,
    points: int,
    ratio: float,
    noise_rate: float,
    seed: np.random.SeedSequence,
    cross_cosine: float = 0.0,
    schedule: str = "power",
    learning_rate: float | None = None,
    steps: int | None = None,
    init_scale: float | None = None,
) -> NoisyClusters:
    """A problem whose unset numbers follow from the spectrum (docs/theory.md, section 7).

    Burn-in and decay constant default to a quarter of the memorisation time, the learning rate to
    one at which that time is some 40 steps, the run to 12/(ηλ_−) steps.

    Args:
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−.
        noise_rate: ρ asked for; every cluster gets floor(ρ s) wrong labels.
        seed: of the choice of wrong labels.
        cross_cosine: cosine between clusters.
        schedule: α_t, as NAME[:KEY=VALUE,...].
        learning_rate: η.
        steps: T, at least four times the burn-in and one more.
        init_scale: plain initialisation of this scale instead of the antisymmetric one.

    Raises:
        ValueError: for an argument out of range.
    """
    if not 0 < noise_rate < 1:
        raise ValueError(
            f"noise_rate must lie in (0, 1), the share of wrong labels; got {noise_rate}"
        )
    design = data.equicorrelated_clusters(clusters, points, ratio=ratio, cross_cosine=cross_cosine)
    dataset = data.noisy_labels(design, noise_rate=noise_rate, rng=np.random.default_rng(seed))
    angle = predictions.cluster_angle(points, ratio, cross_cosine)
    levels = predictions.cluster_spectrum(clusters, points, angle, cross_cosine)
    rho = dataset.noise_rate
    if learning_rate is None:
        learning_rate = _default_learning_rate(levels, rho)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate must be positive and finite; got {learning_rate}")
    if init_scale is not None and not (math.isfinite(init_scale) and init_scale > 0):
        raise ValueError(
            f"init_scale must be positive and finite; got {init_scale} "
            "(leave it out for the antisymmetric start, whose output is zero)"
        )
    quarter = predictions.memorisation_time(rho, learning_rate, levels.noise) / 4
    parsed = parse_schedule(schedule, burn_in=max(1, round(quarter)), decay=max(quarter, 0.25))
    if steps is None:
        steps = math.ceil(_NOISE_TIMES / min(learning_rate * levels.noise, 1.0))
        steps = max(steps, 4 * (parsed.steps + 1))
        if steps > _MOST_STEPS:
            raise ValueError(
                f"learning_rate {learning_rate:g} and ratio {ratio:g} take {steps:.3g} steps until "
                f"the noise is retrieved, more than {_MOST_STEPS}; raise the rate, lower the "
                "ratio, or give steps"
            )
    if steps > 10 * _MOST_STEPS:
        raise ValueError(f"steps must be at most {10 * _MOST_STEPS}; got {steps}")
    if steps < 4 * (parsed.steps + 1):
        raise ValueError(
            f"steps must be at least {4 * (parsed.steps + 1)}, four times the burn-in of "
            f"{parsed.steps} steps and one; got {steps}"
        )
    return NoisyClusters(
        dataset=dataset,
        spectrum=levels,
        angle=angle,
        cross_cosine=cross_cosine,
        ratio=ratio,
        noise_rate=rho,
        learning_rate=learning_rate,
        steps=steps,
        distillation=Distillation(parsed),
        burn_in=parsed.steps,
        init_scale=init_scale,
    )

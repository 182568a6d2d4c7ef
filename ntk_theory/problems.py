"""Training problems in units of themselves: data, schedule, learning rate and steps that fit.

A recipe is all that training needs to know. A problem joins a recipe with everything that theory
needs to predict a run on it, and evaluates the hypotheses of the theory.
"""

from __future__ import annotations

__all__ = ["NoisyClusters", "Recipe", "lazy_premise", "noisy_clusters", "rate_without_overshoot"]

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory import arguments
from ntk_theory.checking.rows import HeldOut, Training
from ntk_theory.checking.verdicts import Premise

if TYPE_CHECKING:
    from ntk_theory.data import Dataset
    from ntk_theory.kernels import Layers
    from ntk_theory.predictions import ClusterSpectrum, ErrorCurve
    from ntk_theory.targets import BurnIn, Distillation, Loss, Schedule

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
        output_exponent: γ of output weights ±m^γ, trained at the rate η m^{−2γ}. The NTK is that of
            γ = 0, and what training moves is not; −1/2 is the mean-field scale.
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
    output_exponent: float = 0.0

    @classmethod
    def plain(
        cls, inputs: Array, observed: Array, *, share: float = 0.5, steps: int, **more: Any
    ) -> Recipe:
        """Gradient descent on labels, at a learning rate in units of the kernel's top eigenvalue.

        Args:
            inputs: unit rows, shape (n, d).
            observed: labels, shape (n,) or (n, C).
            share: ηλ_max, below 2; up to 1 nothing overshoots.
            steps: T.
            more: other attributes.
        """
        layers = more.get("layers", "first")
        kernel = nt.kernels.ntk_limit(inputs, layers=layers)
        top = float(nt.spectrum.eigendecomposition(kernel).eigenvalues[-1])
        return cls(inputs, observed, nt.targets.PLAIN, share / top, steps, **more)

    def relabelled(self, observed: Array) -> Recipe:
        """The same with other labels."""
        return replace(self, observed=observed)

    @property
    def rate(self) -> float:
        """η of the first step."""
        return float(np.ravel(self.learning_rate)[0])

    def kernel_limit(self) -> Array:
        """Outputs of the infinitely wide net at the recorded steps: a recursion on the kernel."""
        found = nt.training.train_kernel_limit(
            nt.kernels.ntk_limit(self.inputs, layers=self.layers),
            self.observed,
            self.distillation,
            learning_rate=self.learning_rate,
            steps=self.steps,
            loss=self.loss,
        )
        return found if self.record is None else found[np.asarray(self.record)]

    def positive_definite(self, name: str = "kernel positive definite") -> Premise:
        """All eigenvalues of the measured kernel are above their rounding.

        Args:
            name: of the premise.
        """
        kernel = nt.kernels.ntk_limit(self.inputs, layers=self.layers)
        values = nt.spectrum.eigendecomposition(kernel).eigenvalues
        bottom, rounding = float(values[0]), values.size * float(np.finfo(float).eps) * values[-1]
        return Premise(name, bottom, bool(bottom > rounding), "λ_min(H) > n eps λ_max")


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
        held_out: further points of each cluster that no net is trained on.
        seed: of the choice of wrong labels.
    """

    dataset: Dataset
    spectrum: ClusterSpectrum
    angle: float
    cross_cosine: float
    ratio: float
    noise_rate: float
    learning_rate: float
    steps: int
    distillation: Distillation
    burn_in: int
    init_scale: float | None = None
    held_out: int = 0
    seed: int = 0

    assumed: ClassVar[tuple[str, ...]] = ("",)
    """What the names of its premises begin with, in a kind of problem that has only some."""

    @classmethod
    def of(cls, problem: NoisyClusters, _: Any = None, /, **more: Any) -> Self:
        """A problem as one of another kind, whose further fields are given: `into=` of a claim."""
        return cls(**({one.name: getattr(problem, one.name) for one in fields(problem)} | more))

    @property
    def recipe(self) -> Recipe:
        """What nets are trained on."""
        return Recipe(
            inputs=self._rows[0],
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
        return nt.predictions.memorisation_time(
            self.noise_rate, self.learning_rate, self.spectrum.noise
        )

    @property
    def threshold(self) -> float:
        """ρ*, the largest noise rate with a correct stopping time."""
        return nt.predictions.recoverability_threshold(self.spectrum.ratio)

    @property
    def schedule_text(self) -> str:
        """The schedule in its command-line form, with every number."""
        schedule = self.distillation.schedule
        assert isinstance(schedule, nt.targets.BurnIn)
        return nt.targets.format_schedule(schedule)

    @property
    def predictable(self) -> bool:
        """Whether the curves below exist: weights known before the run, and a stable rate."""
        stable = self.learning_rate * self.spectrum.mean < 2
        return stable and self.distillation.schedule.limit is not None

    @cached_property
    def weights(self) -> Array:
        """α_t, shape (T,)."""
        return nt.targets.weights(self.distillation.schedule, self.steps)

    @cached_property
    def distilled(self) -> ErrorCurve:
        """Predicted self-distillation, valid under the premises."""
        return nt.predictions.self_distillation(
            self.spectrum, self.noise_rate, self.learning_rate, self.weights, self.label_mean
        )

    @cached_property
    def plain(self) -> ErrorCurve:
        """Predicted plain training, for as many steps."""
        return nt.predictions.plain_training(
            self.spectrum, self.noise_rate, self.learning_rate, self.steps, self.label_mean
        )

    @cached_property
    def gram(self) -> Array:
        """Limiting NTK of the inputs, measured."""
        return nt.kernels.ntk_limit(self.dataset.inputs)

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
        return nt.predictions.lazy_width(
            self.spectrum,
            self.angle,
            self.noise_rate,
            float(self.distilled.memorised_noise.max()),
            1.0 if self.init_scale is None else self.init_scale,
        )

    def first_wrong_step(self) -> int:
        """Predicted first step of plain training with a wrong label; 1 without a rise."""
        if self.noise_rate >= 0.5 or self.learning_rate * self.spectrum.information >= 2:
            return 1
        return nt.predictions.first_wrong_step(self.spectrum, self.noise_rate, self.learning_rate)

    def movement(self, curve: ErrorCurve, step: int = -1) -> float:
        """Predicted distance of the weights from their start, after a step of a curve."""
        errors = curve.mean_error[step], curve.information_error[step], curve.memorised_noise[step]
        return float(nt.predictions.linearised_distance(
            self.spectrum, self.noise_rate, *errors, self.label_mean))  # fmt: skip

    # ------------------------------------------------------------ ways to train

    @cached_property
    def _rows(self) -> tuple[Array, Array, Array]:
        """Training points, further points of their clusters, and points of one cluster more.

        All are rows of one design with more points and one more cluster, whose angle is that of
        the training points: a further point of a cluster changes nothing about theirs.
        """
        if self.held_out == 0:
            return self.dataset.inputs, np.empty((0, 0)), np.empty((0, 0))
        clusters, points = self.spectrum.clusters, self.spectrum.points
        size = points + self.held_out
        design = nt.data.equicorrelated_clusters(
            clusters + 1, size, angle=self.angle, cross_cosine=self.cross_cosine
        )
        old, place = design.groups < clusters, np.arange(len(design.inputs)) % size
        further = old & (place >= points)
        return design.inputs[old & ~further], design.inputs[further], design.inputs[~old]

    def plain_recipe(self, steps: int | None = None) -> Recipe:
        """Plain training on the observed labels, for as long as self-distillation if not said."""
        recipe = replace(self.recipe, distillation=nt.targets.PLAIN)
        return recipe if steps is None else replace(recipe, steps=steps)

    def training(self, name: str, recipe: Recipe, curve: ErrorCurve, **more: Any) -> Training:
        """A way to train nets on these points, whose outputs follow from a curve.

        Its held-out points, if there are any, are "fresh" ones of the training clusters, and "new"
        ones of a cluster that no net sees, labelled +1.

        Args:
            name: of the training.
            recipe: what the nets are trained on.
            curve: of at least as many steps.
            more: other attributes of the training.
        """
        dataset, last = self.dataset, recipe.steps
        outputs = curve.outputs(dataset.clean, dataset.flipped)[: last + 1]
        held_out = {}
        if self.held_out:
            _, fresh, new = self._rows
            labels = np.repeat(dataset.clean[:: self.spectrum.points], self.held_out)
            errors = curve.mean_error[last], curve.information_error[last]
            seen = nt.predictions.unseen_margin(self.spectrum, *errors, self.label_mean, labels)
            of_new = nt.predictions.new_cluster_output(self.spectrum, errors[0], self.label_mean)
            held_out = {
                "fresh": HeldOut(fresh, labels, labels * seen),
                "new": HeldOut(new, np.ones(len(new)), float(of_new)),
            }
        own: dict[str, Any] = {"predicted": outputs, "labels": dataset.clean, "held_out": held_out}
        own["curves"] = {
            "rms_error": curve.rms_error()[: last + 1],
            "memorised_noise": curve.memorised_noise[: last + 1],
        }
        return Training(name, recipe, **(own | more))

    def distilled_training(self, name: str = "self-distillation", **more: Any) -> Training:
        """Hard self-distillation under the schedule."""
        more = {"signs_from": self.first_taught} | more
        return self.training(name, self.recipe, self.distilled, **more)

    def plain_training(self, name: str = "plain training", **more: Any) -> Training:
        """Plain training for as many steps."""
        return self.training(name, self.plain_recipe(), self.plain, **more)

    def soft_training(
        self, name: str = "soft targets", schedule: Schedule | None = None, **more: Any
    ) -> Training:
        """Self-distillation with soft targets, h(u) = u, under a schedule, its own if not said."""
        own = self.distillation.schedule if schedule is None else schedule
        curve = nt.predictions.soft_self_distillation(
            self.spectrum,
            self.noise_rate,
            self.learning_rate,
            nt.targets.weights(own, self.steps),
            self.label_mean,
        )
        soft = nt.targets.Distillation(own, "soft")
        return self.training(name, replace(self.recipe, distillation=soft), curve, **more)

    def hard_training(self, name: str, **more: Any) -> Training:
        """Hard self-distillation whatever signs it teaches: a recursion over clusters (section 8).

        Args:
            name: of the training.
            more: other attributes of the training.
        """
        observed, outputs = self.dataset.observed, [np.zeros(len(self.dataset.observed))]
        for weight in self.weights:
            outputs.append(
                nt.predictions.block_recursion(
                    self.spectrum, observed, self.learning_rate, [weight], outputs[-1]
                )
            )
        own: dict[str, Any] = {"predicted": np.stack(outputs), "labels": self.dataset.clean}
        return Training(name, self.recipe, **(own | more))

    def errors_from_random_starts(
        self, scale: float, samples: int, rng: np.random.Generator
    ) -> Array:
        """Final RMS errors of hard self-distillation of wide, plainly initialised nets (section 8).

        Args:
            scale: σ, standard deviation of the initial weights.
            samples: initial outputs that are drawn.
            rng: draws them.

        Returns:
            Shape (samples,).
        """
        levels, predictions = self.spectrum, nt.predictions
        start = predictions.initial_output_samples(
            levels.clusters, levels.points, self.angle, self.cross_cosine, scale, samples, rng
        )
        final = predictions.block_recursion(
            levels, self.dataset.observed, self.learning_rate, self.weights, start
        )
        return np.asarray(np.sqrt(np.square(final - self.dataset.clean).mean(axis=1)))

    # ------------------------------------------------------------ what is assumed

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

    def with_burn_in(self, steps: int) -> NoisyClusters:
        """The same problem whose schedule starts after another burn-in."""
        schedule = self.distillation.schedule
        assert isinstance(schedule, nt.targets.BurnIn)
        return self.with_schedule(nt.targets.BurnIn(steps, schedule.then))

    def with_noise_rate(self, noise_rate: float) -> NoisyClusters:
        """The same problem with another share of wrong labels, and nothing else changed."""
        rng = np.random.default_rng(self.seed)
        dataset = nt.data.noisy_labels(self.dataset.design, noise_rate=noise_rate, rng=rng)
        return replace(self, dataset=dataset, noise_rate=dataset.noise_rate)

    @property
    def early_burn_in(self) -> Premise:
        """The burn-in ends before the noise is memorised."""
        return Premise(
            "burn-in before memorisation",
            self.burn_in,
            self.burn_in < self.memorisation_time,
            f"burn-in < t_mem = {self.memorisation_time:.4g} steps",
        )

    @property
    def labels_fade_out(self) -> Premise:
        """The observed labels lose their weight."""
        limit = self.distillation.schedule.limit
        return Premise("observed labels fade out", limit, limit == 0, "α_t → 0")

    @property
    def recoverable(self) -> Premise:
        """The noise rate lies below ρ*."""
        return Premise(
            "recoverable noise rate",
            self.noise_rate,
            self.noise_rate < self.threshold,
            f"ρ < ρ* = {self.threshold:.4g}",
        )

    @property
    def zero_start(self) -> Premise:
        """Outputs start at 0."""
        start = self.init_scale or 0.0
        return Premise("zero initial output", start, start == 0, "f_0 = 0 (antisymmetric start)")

    def premises(self) -> tuple[Premise, ...]:
        """Hypotheses that can be evaluated before any training (docs/theory.md, section 7)."""
        n, eps = len(self.gram), float(np.finfo(float).eps)
        eigenvalues = nt.spectrum.eigendecomposition(self.gram).eigenvalues
        bottom, top = float(eigenvalues[0]), float(eigenvalues[-1])
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
            self.recoverable,
            self.early_burn_in,
            self.labels_fade_out,
            self.zero_start,
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
        return tuple(one for one in premises if one.name.startswith(self.assumed))


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


def rate_without_overshoot(asked: float | None, share: float, top: float, name: str) -> float:
    """η asked for, or a share of 1/λ; ValueError unless it is below 1/λ, of a top level by name."""
    must = f"lie in (0, 1/{name}) = (0, {1 / top:.4g}): else some overshoot"
    rate = share / top if asked is None else asked
    return arguments.real("learning_rate", rate, must, lambda x: 0 < x * top < 1)


def _default_learning_rate(
    spectrum_: ClusterSpectrum, noise_rate: float, share: float | None
) -> float:
    """ηλ_+ as asked for, or in [1/4, 1], towards t_mem = 40 steps; at most 1/λ_0."""
    if share is not None:
        return min(share / spectrum_.information, 1 / spectrum_.mean)
    log_ratio = math.log(max(2 * (1 - noise_rate), 1.0))
    share = min(max(log_ratio * spectrum_.ratio / _STEPS_TO_MEMORISE, 0.25), 1.0)
    return min(share / spectrum_.information, 1 / spectrum_.mean)


def noisy_clusters(
    *,
    clusters: int,
    points: int,
    ratio: float,
    noise_rate: float,
    seed: int,
    cross_cosine: float = 0.0,
    schedule: str = "power",
    learning_rate: float | None = None,
    steps: int | None = None,
    init_scale: float | None = None,
    share: float | None = None,
    noise_times: float = _NOISE_TIMES,
    held_out: int = 0,
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
        share: ηλ_+ of the default learning rate, or 1/λ_0 if that is less.
        noise_times: length of the default run in units of 1/(ηλ_−), in which noise is retrieved.
        held_out: further points of each cluster that no net is trained on, and as many and those
            of one more cluster.

    Raises:
        ValueError: for an argument out of range.

    >>> problem = noisy_clusters(clusters=4, points=10, ratio=12.0, noise_rate=0.2, seed=0)
    >>> round(problem.threshold, 3), problem.burn_in, problem.steps
    (0.455, 6, 577)
    >>> [round(float(curve.rms_error().min()), 2) for curve in (problem.plain, problem.distilled)]
    [0.46, 0.01]
    """
    if not 0 < noise_rate < 1:
        raise ValueError(
            f"noise_rate must lie in (0, 1), the share of wrong labels; got {noise_rate}"
        )
    design = nt.data.equicorrelated_clusters(
        clusters, points, ratio=ratio, cross_cosine=cross_cosine
    )
    dataset = nt.data.noisy_labels(design, noise_rate=noise_rate, rng=np.random.default_rng(seed))
    angle = nt.predictions.cluster_angle(points, ratio, cross_cosine)
    levels = nt.predictions.cluster_spectrum(clusters, points, angle, cross_cosine)
    rho = dataset.noise_rate
    if learning_rate is None:
        learning_rate = _default_learning_rate(levels, rho, share)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate must be positive and finite; got {learning_rate}")
    if init_scale is not None and not (math.isfinite(init_scale) and init_scale > 0):
        raise ValueError(
            f"init_scale must be positive and finite; got {init_scale} "
            "(leave it out for the antisymmetric start, whose output is zero)"
        )
    quarter = nt.predictions.memorisation_time(rho, learning_rate, levels.noise) / 4
    parsed = nt.targets.parse_schedule(
        schedule, burn_in=max(1, round(quarter)), decay=max(quarter, 0.25)
    )
    if steps is None:
        steps = math.ceil(noise_times / min(learning_rate * levels.noise, 1.0))
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
        distillation=nt.targets.Distillation(parsed),
        burn_in=parsed.steps,
        init_scale=init_scale,
        held_out=held_out,
        seed=seed,
    )

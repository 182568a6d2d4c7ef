"""Claim C1: information is retrieved before noise (docs/theory.md, sections 6.1 and 6.5).

Nets of growing width are trained on the noisy labels of four designs. Their outputs are projected
on the eigenspaces of the limiting NTK and compared, step by step, with 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.runs import Evidence, chosen, conduct, over_nets
from ntk_theory.verdicts import (
    Claim,
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Relation,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.data import Dataset, Design
    from ntk_theory.fitting import PowerLaw
    from ntk_theory.ladder import Ladder
    from ntk_theory.predictions import ClusterSpectrum
    from ntk_theory.problems import Recipe
    from ntk_theory.spectrum import Spectrum

Array = NDArray[np.float64]

_TRAINING = "noisy labels"
_LEAST_WIDTHS = 5
_TREE_STEPS, _OTHER_STEPS = 60, 40
_CONFIDENCE = 0.999
"""Of the bounds that narrower nets put on the widest: some twenty rows hold together."""

_LEAST_ENERGY = 1 / 12
"""Share of ‖ỹ‖² that a band of several eigenspaces needs for its retrieved share to be seen."""

_EXPONENT, _EXPONENT_TOLERANCE = -0.5, 0.15
_CONTROL_STREAM, _CONTROL_NETS, _RANDOM_DRAWS = 1, 4, 16
_SPREAD = 5.0
"""Half-width, in standard errors, of the range of a mean over random labels."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    nets: int


_PRESETS = {
    "quick": _Preset(512, 5, 6),
    "standard": _Preset(512, 6, 6),
    "paper": _Preset(512, 8, 8),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Case:
    """Noisy labels on one design, with the eigenspaces that they are measured in.

    Attributes:
        name: of the design.
        dataset: inputs and labels.
        learning_rate: η.
        steps: T.
        widths: of the nets.
    """

    name: str
    dataset: Dataset
    learning_rate: float
    steps: int
    widths: tuple[int, ...]

    @cached_property
    def gram(self) -> Array:
        """Limiting NTK of the inputs, measured."""
        from ntk_theory.kernels import ntk_limit

        return ntk_limit(self.dataset.inputs)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Measured eigenspaces."""
        from ntk_theory.spectrum import eigendecomposition

        return eigendecomposition(self.gram)

    @cached_property
    def eigenvalues(self) -> Array:
        """In closed form where there is one; else the measured ones."""
        if self.dataset.design.levels is None:
            return self.spectrum.eigenvalues
        return self.dataset.design.eigenvalues()

    @cached_property
    def filter(self) -> Array:
        """Predicted share along each eigenvector, shape (T + 1, n)."""
        from ntk_theory import predictions

        return predictions.retrieval_filter(self.eigenvalues, self.learning_rate, self.steps)

    @cached_property
    def outputs(self) -> Array:
        """Predicted outputs, shape (T + 1, n)."""
        along = self.filter * self.spectrum.project(self.dataset.observed)
        return np.asarray(along @ self.spectrum.eigenvectors.T)

    @cached_property
    def bands(self) -> tuple[slice, ...]:
        """Eigenspaces; on designs with many of them, those within a factor of two together."""
        if len(self.spectrum.eigenspaces()) <= 4:
            return self.spectrum.bands(self.dataset.observed)
        return self.spectrum.bands(self.dataset.observed, factor=2.0, least=_LEAST_ENERGY)

    @cached_property
    def clean_energy(self) -> Array:
        """Share of ‖y‖² along each eigenvector, spread evenly in each eigenspace, shape (n,)."""
        energy = self.spectrum.project(self.dataset.clean) ** 2
        for space in self.spectrum.eigenspaces():
            energy[space] = energy[space].mean()
        return np.asarray(energy / energy.sum())

    def _band_sums(self, values: Array) -> Array:
        return np.stack([values[..., band].sum(axis=-1) for band in self.bands], axis=-1)

    @property
    def _band_energy(self) -> Array:
        return self.spectrum.project(self.dataset.observed) ** 2

    @cached_property
    def predicted_shares(self) -> Array:
        """Share of ỹ in each band that is retrieved, shape (T + 1, bands)."""
        energy = self._band_energy
        return np.asarray(self._band_sums(self.filter * energy) / self._band_sums(energy))

    def shares(self, outputs: ArrayLike) -> Array:
        """The same share ⟨P u, P ỹ⟩/‖P ỹ‖² of outputs (..., n), shape (..., bands)."""
        along = self.spectrum.project(outputs) * self.spectrum.project(self.dataset.observed)
        return np.asarray(self._band_sums(along) / self._band_sums(self._band_energy))

    def gap(self, shares: Array) -> Array:
        """Information minus noise: shares weighted by the clean energy, less by dimension."""
        weights = self._band_sums(self.clean_energy - 1 / self.clean_energy.size)
        return np.asarray(shares @ weights)

    @cached_property
    def recipe(self) -> Recipe:
        """Plain training on the observed labels."""
        from ntk_theory.problems import Recipe
        from ntk_theory.targets import PLAIN

        return Recipe(
            inputs=self.dataset.inputs,
            observed=self.dataset.observed,
            distillation=PLAIN,
            learning_rate=self.learning_rate,
            steps=self.steps,
        )


@dataclass(frozen=True)
class _Plan:
    """Four designs, the first of them (clusters) at every width."""

    cases: tuple[_Case, ...]
    levels: ClusterSpectrum
    lazy_width: float
    ratio: float
    nets: int
    dtype: str
    options: Options

    @property
    def clusters(self) -> _Case:
        return self.cases[0]

    @property
    def control_width(self) -> int:
        return self.clusters.widths[(len(self.clusters.widths) - 1) // 2]

    @property
    def gap(self) -> Array:
        """Predicted share of information minus that of the noise inside clusters."""
        from ntk_theory import predictions

        levels = [self.levels.noise, self.levels.information]
        case = self.clusters
        noise, information = predictions.retrieval_filter(levels, case.learning_rate, case.steps).T
        return np.asarray(information - noise)

    def work(self) -> float:
        ladders = sum(sum(case.widths) * case.steps for case in self.cases) * self.nets
        controls = self.control_width * self.clusters.steps * (2 * _CONTROL_NETS + _RANDOM_DRAWS)
        return ladders + controls

    def config(self) -> dict[str, Any]:
        case = self.clusters
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(case.widths),
            "clusters": self.levels.clusters,
            "points": self.levels.points,
            "ratio": self.ratio,
            "noise_rate": case.dataset.noise_rate,
            "learning_rate": case.learning_rate,
            "steps": case.steps,
            "device": self.options.device,
            "dtype": self.dtype,
            "other_designs": {
                other.name: {
                    "points": len(other.dataset.inputs),
                    "noise_rate": other.dataset.noise_rate,
                    "learning_rate": other.learning_rate,
                    "steps": other.steps,
                    "widths": list(other.widths),
                }
                for other in self.cases[1:]
            },
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
            "random_labels": _RANDOM_DRAWS,
            "lazy_width": self.lazy_width,
        }


def _other_designs(rng: np.random.Generator) -> Iterator[tuple[str, Design, int]]:
    """Name, design and steps of the designs that are checked at smaller cost."""
    from ntk_theory import data

    yield "tree", data.tree(2, 3, 7, class_ratio=5.0, super_ratio=15.0), _TREE_STEPS
    yield "power law", data.power_law(40, 10, exponent=1.5, rng=rng), _OTHER_STEPS
    yield "circle", data.circle(15, arcs=3), _OTHER_STEPS


def _reference(options: Options) -> tuple[Design, ClusterSpectrum, float, float, float, int]:
    """Clusters, their spectrum, angle and ratio, learning rate and steps."""
    from ntk_theory import data, predictions

    clusters, points = chosen(options.clusters, 4), chosen(options.points, 10)
    ratio = chosen(options.ratio, 5.0)
    if clusters < 3:
        raise ValueError(
            "clusters must be at least 3: with one of two flipped, as a control does, the labels "
            f"hold no information; got {clusters}"
        )
    if not 1.5 <= ratio < math.inf:
        raise ValueError(
            "ratio must be at least 1.5 and finite, for half-times that can be told apart; "
            f"got {ratio}"
        )
    design = data.equicorrelated_clusters(clusters, points, ratio=ratio)
    angle = predictions.cluster_angle(points, ratio)
    levels = predictions.cluster_spectrum(clusters, points, angle)
    rate = chosen(options.learning_rate, 0.5 / levels.information)
    if not 0 < rate * levels.information < 1:
        raise ValueError(
            f"learning_rate must lie in (0, 1/λ_+) = (0, {1 / levels.information:.4g}), so that "
            f"no eigenspace overshoots; got {rate}"
        )
    late = predictions.half_time(levels.noise, rate)
    steps = chosen(options.steps, math.ceil(4 * late))
    if steps <= late:
        raise ValueError(
            f"steps must be above {late:.4g}, the predicted half-time of the noise; got {steps}"
        )
    return design, levels, angle, ratio, rate, steps


def _plan(options: Options) -> _Plan:
    from ntk_theory import data, predictions
    from ntk_theory.experiments import check_memory, check_nets, check_widths

    preset = _PRESETS[options.preset]
    widths = tuple(preset.first * 2**k for k in range(preset.rungs))
    if options.widths is not None:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    noise_rate = chosen(options.noise_rate, 0.3)
    if not 0 < noise_rate < 0.5:
        raise ValueError(
            "noise_rate must lie in (0, 1/2), so that the labels hold information and noise; "
            f"got {noise_rate}"
        )
    nets = check_nets(chosen(options.seeds, preset.nets), 2)
    design, levels, angle, ratio, rate, steps = _reference(options)
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], design.inputs.shape, dtype)
    rng = np.random.default_rng(np.random.SeedSequence(options.seed))
    dataset = data.noisy_labels(design, noise_rate=noise_rate, rng=rng)
    cases = [_Case("clusters", dataset, rate, steps, widths)]
    for name, other, length in _other_designs(rng):
        labelled = data.noisy_labels(other, noise_rate=0.3, rng=rng)
        case = _Case(name, labelled, 1.0, length, widths[:_LEAST_WIDTHS])
        cases.append(replace(case, learning_rate=0.5 / float(case.spectrum.eigenvalues[-1])))
    lazy = predictions.lazy_width(levels, angle, dataset.noise_rate, 1.0)
    return _Plan(tuple(cases), levels, lazy, ratio, nets, dtype, options)


# ---------------------------------------------------------------- premises


def _premises(plan: _Plan) -> list[Premise]:
    from ntk_theory import predictions
    from ntk_theory.problems import lazy_premise

    eps = float(np.finfo(float).eps)
    premises = [Premise("zero initial output", 0.0, True, "f_0 = 0 (antisymmetric start)")]
    for case in plan.cases:
        values = case.spectrum.eigenvalues
        bottom, rounding = float(values[0]), len(values) * eps * float(values[-1])
        odd = " (an odd number of points)" if case.name == "circle" else ""
        overshoot = case.learning_rate * float(values[-1])
        excess = predictions.energy_dominance(case.clean_energy)
        premises += [
            Premise(
                f"{case.name}: kernel positive definite{odd}",
                bottom,
                bottom > rounding,
                "λ_min(H) > n eps λ_max",
            ),
            Premise(f"{case.name}: no overshoot", overshoot, overshoot < 1, "ηλ_max < 1"),
            Premise(
                f"{case.name}: clean labels lean to the top",
                excess,
                excess >= -len(values) * eps,
                "their energy in the top k eigenvectors is at least k/n, for every k",
            ),
        ]
    return [*premises, lazy_premise(plan.lazy_width, plan.clusters.widths[0])]


# ---------------------------------------------------------------- measurements


@dataclass(frozen=True)
class _Climbed:
    """Nets of all widths on one design, beside their prediction.

    Attributes:
        case: the design.
        ladder: its nets.
        outputs: of the widest nets, shape (S, T + 1, n).
        share_deviation: sup over t and bands of the error of the retrieved shares, (widths, S).
        gap_deviation: sup over t of the error of information minus noise, (widths, S).
        half_times: of what lies along y and of the rest of ỹ, (widths, S, 2).
    """

    case: _Case
    ladder: Ladder
    outputs: Array
    share_deviation: Array
    gap_deviation: Array
    half_times: Array

    def fitted(self, values: Array, rungs: int | None = None) -> PowerLaw:
        from ntk_theory.fitting import fit_power_law

        rng = np.random.default_rng(np.random.SeedSequence(self.ladder.seed))
        widths = self.ladder.widths[:rungs]
        return fit_power_law(widths, list(values[: len(widths)]), rng=rng)

    def allowance(self, values: Array) -> float:
        """What narrower nets let expect of one net of the widest kind."""
        widest = self.ladder.widths[-1]
        bound = self.fitted(values, -1).upper(widest, _CONFIDENCE)
        return bound + self.ladder.rounding_allowance(widest)

    def signed_allowance(self, values: Array) -> float:
        """The same of an error with a sign, (widths, S), that falls like m^{-1/2}.

        Student's bound on one further N(0, τ²/m) from the mean square of √m times the N narrower
        ones; a mean over nets is nearer to 0 (docs/theory.md, section 6.5).
        """
        from scipy.stats import t as student_t

        widths = np.array(self.ladder.widths, dtype=float)
        scaled = values[:-1] * np.sqrt(widths[:-1, None])
        quantile = float(student_t.ppf((1 + _CONFIDENCE) / 2, scaled.size))
        spread = float(np.sqrt(np.square(scaled).mean() / widths[-1]))
        return quantile * spread + self.ladder.rounding_allowance(self.ladder.widths[-1])


def _label_shares(outputs: Array, clean: Array, observed: Array) -> tuple[Array, Array]:
    """Retrieved shares of information and of noise, of outputs (..., n).

    ỹ = (1 − 2ρ) y + ζ with ζ ⟂ y: the coefficients of the outputs along y and ζ, over those of ỹ.
    """
    kept = float(observed @ clean) / clean.size
    noise = observed - kept * clean
    information = outputs @ clean / (kept * clean.size)
    return np.asarray(information), np.asarray(outputs @ noise / float(noise @ noise))


def _crossing(shares: Array) -> Array:
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


def _kernel_gap(case: _Case) -> Array:
    """R_t(y) − E R_t(noise) of the infinitely wide net, from its recursion on y and on I."""
    from ntk_theory.training import train_kernel_limit

    clean = case.dataset.clean
    n = clean.size
    limit = train_kernel_limit(
        case.gram,
        np.column_stack([clean, np.eye(n)]),
        case.recipe.distillation,
        learning_rate=case.learning_rate,
        steps=case.steps,
    )
    trace = np.trace(limit[:, :, 1:], axis1=1, axis2=2)
    return np.asarray((limit[:, :, 0] @ clean - trace) / n)


def _kernel_rows(plan: _Plan) -> Iterator[Measurement]:
    """The infinitely wide nets, step by step on the measured kernels, against the closed forms.

    An eigenvalue is off by 8 n eps λ_max (solver and matrix), so a filter by T η times that; the
    recursion rounds by n eps a step.
    """
    from ntk_theory import predictions
    from ntk_theory.training import train_kernel_limit

    eps = float(np.finfo(float).eps)
    off_filter, off_gap, allowed, least = 0.0, 0.0, 0.0, math.inf
    for case in plan.cases:
        recipe = case.recipe
        limit = train_kernel_limit(
            case.gram,
            recipe.observed,
            recipe.distillation,
            learning_rate=case.learning_rate,
            steps=case.steps,
        )
        difference = np.sqrt(np.square(limit - case.outputs).mean(axis=1))
        gap = _kernel_gap(case)
        closed = predictions.retrieval_gap(
            case.eigenvalues, case.clean_energy, case.learning_rate, case.steps
        )
        off_filter = max(off_filter, float(difference.max()))
        off_gap = max(off_gap, float(np.abs(gap - closed).max()))
        allowed = max(allowed, 9 * len(limit[0]) * case.steps * eps)
        least = min(least, float(gap[1:].min()))
    case = plan.clusters
    closed = predictions.cluster_gap(plan.levels, case.learning_rate, case.steps)
    off_closed = float(np.abs(_kernel_gap(case) - closed).max())
    for name, value in (
        ("kernel recursion − filter, RMS, worst design and step", off_filter),
        ("kernel limit: R(clean) − E R(noise) − formula, worst design and step", off_gap),
        ("kernel limit on clusters: R(clean) − E R(noise) − closed form, worst step", off_closed),
    ):
        yield Measurement(name, 0.0, value, allowed)
    yield Measurement(
        "kernel limit: least R(clean) − E R(noise) at any step, worst design",
        0.0,
        least,
        allowed,
        relation=Relation.AT_LEAST,
    )


def _half_time_rows(plan: _Plan, climbed: _Climbed) -> Iterator[Measurement]:
    """Half-times of information and noise, and by which factor they differ."""
    from ntk_theory import predictions

    levels, rate = plan.levels, climbed.case.learning_rate
    information, noise = climbed.half_times[..., 0], climbed.half_times[..., 1]
    factor = predictions.half_time_ratio(levels.information, levels.noise, rate)
    early = predictions.half_time(levels.information, rate)
    late = predictions.half_time(levels.noise, rate)
    for name, expected, times, resolution in (
        ("half-time of information", early, information, early / 2),
        ("half-time of noise", late, noise, late / 2),
        ("half-time of noise over that of information", factor, noise / information, factor / 4),
    ):
        off = climbed.signed_allowance(np.log(times / expected))
        yield over_nets(
            f"clusters: {name}", expected, times[-1], expected * math.expm1(off), resolution
        )


def _design_rows(climbed: _Climbed) -> Iterator[Measurement]:
    """Retrieved shares step by step, and information ahead of noise at every step.

    A share of ¼ off could be that of another eigenspace; half the gap tells it from none.
    """
    case = climbed.case
    predicted = case.gap(case.predicted_shares)
    shares = case.shares(climbed.outputs)
    gaps = case.gap(shares)
    peak = int(predicted.argmax())
    allowed = climbed.allowance(climbed.gap_deviation)
    largest = np.abs(shares.mean(axis=0) - case.predicted_shares).max()
    yield Measurement(
        f"{case.name}: retrieved share − filter, worst eigenspace and step",
        0.0,
        float(largest),
        climbed.allowance(climbed.share_deviation),
        resolution=0.25,
    )
    yield over_nets(
        f"{case.name}: R(clean) − E R(noise) after {peak} steps, where it is largest",
        float(predicted[peak]),
        gaps[:, peak],
        allowed,
        float(predicted[peak]) / 2,
    )
    yield over_nets(
        f"{case.name}: least R(clean) − E R(noise) at any step",
        0.0,
        gaps[:, 1:].min(axis=1),
        allowed,
        float(predicted[peak]) / 2,
        Relation.AT_LEAST,
    )


def _exponent(climbed: _Climbed) -> Measurement:
    fitted = climbed.ladder.fit(_TRAINING, lambda rung: rung.largest_deviation)
    return Measurement(
        "clusters: exponent of sup_t ‖u_m − u_∞‖/√n in m",
        _EXPONENT,
        fitted.exponent,
        _EXPONENT_TOLERANCE,
        fitted.interval,
    )


def _measure(plan: _Plan, climbed: list[_Climbed]) -> Iterator[Measurement]:
    yield from _kernel_rows(plan)
    yield _exponent(climbed[0])
    yield from _half_time_rows(plan, climbed[0])
    for one in climbed:
        yield from _design_rows(one)


# ---------------------------------------------------------------- controls


@dataclass(frozen=True)
class _Broken:
    """Clusters with something changed, trained at one width.

    Attributes:
        plan: of the claim.
        deviation: bound on the RMS deviation of one net of this width from the kernel limit.
        progress: advanced as the nets train.
    """

    plan: _Plan
    deviation: float
    progress: Progress

    @property
    def peak(self) -> int:
        return int(self.plan.gap.argmax())

    def outputs(self, recipe: Recipe, nets: int, stream: int = _CONTROL_STREAM) -> Array:
        """Outputs at the step at which the claim's gap is largest, shape (S, n)."""
        from ntk_theory.experiments import net_seeds, train_nets

        trajectory = train_nets(
            recipe,
            self.plan.control_width,
            net_seeds(self.plan.options.seed, self.plan.control_width, nets, stream),
            dtype=self.plan.dtype,
            device=self.plan.options.device,
            progress=self.progress,
        )
        return trajectory.outputs[:, self.peak]

    def control(
        self, id_: str, broken: str, predicted: float, gaps: Array, tolerance: float
    ) -> Control:
        claimed = float(self.plan.gap[self.peak])
        name = f"R(information) − R(noise) after {self.peak} steps"
        failure = over_nets(name, predicted, gaps, tolerance)
        fails = abs(failure.measured - claimed) > tolerance
        verdict = Verdict.VIOLATED if fails else Verdict.SUPPORTED
        return Control(id_, broken, Verdict.VIOLATED, verdict, failure, claimed, tolerance)

    def label_control(self, id_: str, broken: str, recipe: Recipe) -> Control:
        """A control in which both parts of the labels lie in one eigenspace: no gap.

        By Cauchy and Schwarz a share along a vector v of ỹ is off by at most ‖δ‖/‖v‖.
        """
        clean, observed = self.plan.clusters.dataset.clean, recipe.observed
        outputs = self.outputs(recipe, _CONTROL_NETS)
        information, noise = _label_shares(outputs, clean, observed)
        kept = float(observed @ clean) / clean.size
        off = self.deviation * (1 / kept + 1 / math.sqrt(1 - kept**2))
        return self.control(id_, broken, 0.0, information - noise, off)


def _whole_clusters(broken: _Broken) -> Control:
    """Noise in the top eigenspace is retrieved as fast as the information."""
    case = broken.plan.clusters
    flipped = case.dataset.design.groups == 0
    observed = np.where(flipped, -case.dataset.clean, case.dataset.clean)
    return broken.label_control(
        "whole-clusters-flipped",
        "noise is spread over the eigenspaces: here one whole cluster is flipped",
        replace(case.recipe, observed=observed),
    )


def _orthogonal(broken: _Broken) -> Control:
    """Without a spectrum there is no order: all of ½ I is retrieved at once."""
    case = broken.plan.clusters
    return broken.label_control(
        "orthogonal-inputs",
        "eigenvalues differ: here the inputs are orthogonal, H = ½ I, and ηλ = ½",
        replace(case.recipe, inputs=np.eye(case.dataset.clean.size), learning_rate=1.0),
    )


def _random_labels(broken: _Broken) -> Control:
    """Clean labels without structure are retrieved like noise, on average."""
    from ntk_theory import predictions

    case, plan = broken.plan.clusters, broken.plan
    n = case.dataset.clean.size
    sequence = np.random.SeedSequence(plan.options.seed, spawn_key=(_CONTROL_STREAM,))
    signs = np.random.default_rng(sequence).choice((-1.0, 1.0), (_RANDOM_DRAWS, n))
    outputs = [
        broken.outputs(replace(case.recipe, observed=labels), 1, _CONTROL_STREAM + 2 + draw)[0]
        for draw, labels in enumerate(signs)
    ]
    noise = float(case.filter[broken.peak].mean())
    gaps = np.mean(np.asarray(outputs) * signs, axis=1) - noise
    spread = predictions.random_label_spread(plan.levels, case.learning_rate, case.steps)
    error = float(spread[broken.peak]) / math.sqrt(_RANDOM_DRAWS)
    return broken.control(
        "random-labels",
        "clean labels lean to the top eigenspaces: here they are random signs",
        0.0,
        gaps,
        _SPREAD * error + broken.deviation,
    )


_CONTROLS = (_whole_clusters, _random_labels, _orthogonal)


# ---------------------------------------------------------------- run


def _climb(
    case: _Case, plan: _Plan, evidence: Evidence, progress: Progress
) -> tuple[_Climbed, Ladder]:
    """Train all widths on one design."""
    from ntk_theory.ladder import Ladder

    options = plan.options
    ladder = Ladder(
        case.dataset.clean, case.widths, plan.nets, options.seed, plan.dtype, options.device
    )
    earlier = list(evidence.metrics)
    shares_off, gaps_off, times, outputs = [], [], [], np.empty(0)
    predicted_gap = case.gap(case.predicted_shares)
    for width in case.widths:
        evidence.progress_note = f"at width {width} on the design {case.name}"
        trajectory = ladder.train(_TRAINING, case.recipe, width, case.outputs, progress=progress)
        evidence.metrics[:] = earlier + [{"design": case.name, **row} for row in ladder.metrics()]
        if ladder.stopped():
            break
        outputs = trajectory.outputs
        shares = case.shares(outputs)
        shares_off.append(np.abs(shares - case.predicted_shares).max(axis=(1, 2)))
        gaps_off.append(np.abs(case.gap(shares) - predicted_gap).max(axis=1))
        parts = _label_shares(outputs, case.dataset.clean, case.dataset.observed)
        times.append(np.stack([_crossing(part) for part in parts], axis=-1))
    deviations = (np.array(values) for values in (shares_off, gaps_off, times))
    return _Climbed(case, ladder, outputs, *deviations), ladder


def _arrays(plan: _Plan, climbed: list[_Climbed]) -> dict[str, Array]:
    arrays: dict[str, Array] = {"predicted_gap": plan.gap}
    for one in climbed:
        name = one.case.name.replace(" ", "_")
        arrays[f"{name}_predicted_gap"] = one.case.gap(one.case.predicted_shares)
        arrays[f"{name}_gap"] = one.case.gap(one.case.shares(one.outputs))
    if climbed:
        case = climbed[0].case
        labels = case.dataset.clean, case.dataset.observed
        information, noise = _label_shares(climbed[0].outputs, *labels)
        predicted = _label_shares(case.outputs, *labels)
        arrays |= {
            "information": information,
            "noise": noise,
            "predicted_information": predicted[0],
            "predicted_noise": predicted[1],
        }
    return arrays


def _finding(plan: _Plan, evidence: Evidence) -> str:
    rows = {row.name: row for row in evidence.measurements}
    factor = rows["clusters: half-time of noise over that of information"]
    return (
        f"nets of width {plan.clusters.widths[-1]} take {factor.measured:.3g} times longer to "
        f"retrieve half of the noise than half of the information, predicted "
        f"{factor.predicted:.3g}; on all four designs the clean labels are ahead at every step"
    )


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train the ladders, compare with the filter, run the controls."""
    evidence.premises += _premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    climbed: list[_Climbed] = []
    for case in plan.cases:
        one, ladder = _climb(case, plan, evidence, progress)
        if evidence.diverged(ladder.stopped()):
            return ""
        climbed.append(one)
        evidence.arrays |= _arrays(plan, climbed)
    evidence.measurements += _measure(plan, climbed)
    if evidence.sound:
        deviation = climbed[0].ladder.bound(lambda rung: rung.largest_deviation, plan.control_width)
        broken = _Broken(plan, deviation, progress)
        for control in _CONTROLS:
            evidence.controls.append(control(broken))
    return _finding(plan, evidence)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config, predicted half-times and largest gaps, without training."""
    from ntk_theory import predictions

    plan = _plan(options)
    levels, rate = plan.levels, plan.clusters.learning_rate
    predicted = {
        "clusters: half-time of information": predictions.half_time(levels.information, rate),
        "clusters: half-time of noise": predictions.half_time(levels.noise, rate),
        "clusters: half-time of noise over that of information": predictions.half_time_ratio(
            levels.information, levels.noise, rate
        ),
    }
    for case in plan.cases:
        gap = case.gap(case.predicted_shares)
        peak = int(gap.argmax())
        name = f"{case.name}: R(clean) − E R(noise) after {peak} steps, where it is largest"
        predicted[name] = float(gap[peak])
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """Retrieved shares on clusters, and how far information is ahead on each design."""
    from ntk_theory import drawing

    left, right = figure.subplots(1, 2)
    arrays = result.arrays
    if "information" in arrays:
        steps = np.arange(arrays["information"].shape[1])
        drawing.band(left, steps, arrays["information"], drawing.BLUE, "information")
        drawing.band(left, steps, arrays["noise"], drawing.ORANGE, "noise")
        drawing.prediction(left, steps, arrays["predicted_information"], "$1-(1-ηλ)^t$")
        drawing.prediction(left, steps, arrays["predicted_noise"])
        left.axhline(0.5, color=drawing.GREY, lw=1)
        left.legend(frameon=False, loc="lower right")
    left.set(xlabel="step $t$", ylabel="retrieved share, clusters", ylim=(0, 1.05))
    colours = (drawing.BLUE, drawing.ORANGE, drawing.GREY, drawing.BLACK)
    for name, colour in zip(("clusters", "tree", "power_law", "circle"), colours, strict=True):
        if f"{name}_gap" not in arrays:
            continue
        steps = np.arange(arrays[f"{name}_gap"].shape[1])
        drawing.band(right, steps, arrays[f"{name}_gap"], colour, name.replace("_", " "))
        drawing.prediction(right, steps, arrays[f"{name}_predicted_gap"])
    right.axhline(0, color=drawing.GREY, lw=1)
    right.set(xlabel="step $t$", ylabel=r"$R_t(\mathrm{clean})-\mathbb{E}\,R_t(\mathrm{noise})$")
    if right.get_legend_handles_labels()[0]:
        right.legend(frameon=False)


CLAIM = Claim(
    id="air",
    statement=(
        "Plain training of a wide two-layer ReLU net on noisy labels retrieves their component "
        "along an NTK eigenspace of eigenvalue λ as 1 − (1 − ηλ)^t; as clean labels lean to the "
        "top eigenspaces and noise does not, information is ahead of noise at every step."
    ),
    formulas=(
        "retrieved share of an eigenspace: g_λ(t) = 1 − (1 − ηλ)^t",
        "half-time of noise over that of information = log(1 − ηλ_+) / log(1 − ηλ_−)",
        "R_t(clean) − E R_t(noise) = Σ_i (w_i − 1/n) g_{λ_i}(t) >= 0",
    ),
    assumptions=(
        "zero initial output",
        "η < 1/λ_max, so that no eigenspace overshoots",
        "the top k eigenvectors hold at least k/n of the clean labels' energy, for every k",
        "distinct, not parallel inputs (on a circle: an odd number of points)",
        "nets wide enough that fitting the noise is a small movement",
        "power law: its eigenvalues are measured, not in closed form",
    ),
    derivation=(
        "In the kernel limit the outputs are (I − (I − ηH)^t) ỹ, diagonal in the eigenvectors of "
        "H (section 6.1). Summation by parts turns the difference of the two shares into a sum of "
        "the excess of the clean labels' energy in the top k eigenvectors times the steps of g, "
        "which are not negative (section 6.5)."
    ),
    source=(
        "arXiv 1910.01255, abstract, claim C1; derivation: docs/theory.md, sections 6.1 and 6.5"
    ),
    paper_claims={
        "C1": "eigenspaces of the limiting NTK; labels ±1; clusters, tree, power law and circle"
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "noise_rate",
            "steps",
            "learning_rate",
            "dtype",
        }
    ),
    controls=("whole-clusters-flipped", "random-labels", "orthogonal-inputs"),
    run=run,
    predict=predict,
    draw=draw,
)

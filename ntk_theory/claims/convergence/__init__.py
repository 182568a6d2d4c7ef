"""Claim C5: hard self-distillation converges in ℓ2 to the clean labels (docs/theory.md, section 7).

Nets of growing width are trained on noisy clusters by self-distillation and, from the same start,
on the observed labels alone; both are compared with their closed forms, step by step.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.experiments import Rung
    from ntk_theory.ladder import Ladder
    from ntk_theory.predictions import ClusterSpectrum
    from ntk_theory.problems import NoisyClusters
    from ntk_theory.variants import Variant

Array = NDArray[np.float64]

_DISTILLED, _PLAIN = "self-distillation", "plain training"
_LEAST_WIDTHS = 5
_CONTROL_NETS = 3
_VARIANT_NETS, _VARIANT_FIRST, _VARIANT_STREAM = 3, 256, 3
_EXPONENT, _EXPONENT_TOLERANCE = -0.5, 0.15
_TRAINED_ALL_THE_SAME = {"zero initial output", "narrowest net moves little"}
"""Premises without which the nets still show something worth seeing."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    nets: int
    widest: int


_PRESETS = {
    "quick": _Preset(256, 5, 4, 2**14),
    "standard": _Preset(512, 6, 6, 2**16),
    "paper": _Preset(512, 8, 16, 2**18),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """A problem with the nets to train on it."""

    problem: NoisyClusters
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def plain_steps(self) -> int:
        """Half the steps: plain training memorises long before self-distillation is done."""
        return self.problem.steps // 2

    @property
    def checkpoints(self) -> tuple[int, int, int]:
        """T/4, T/2 and T."""
        steps = self.problem.steps
        return steps // 4, steps // 2, steps

    @property
    def variant_widths(self) -> tuple[int, ...]:
        """Four widths on which the variants are trained, from the narrowest sensible one on."""
        first = max(_VARIANT_FIRST, self.widths[0])
        return tuple(first * 2**k for k in range(4))

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Other labels, schedules, layers, teachers and data."""
        from ntk_theory.variants import variants

        seed = np.random.SeedSequence(self.options.seed, spawn_key=(_VARIANT_STREAM,))
        return tuple(variants(seed))

    def variant_ladder(self, variant: Variant) -> Ladder:
        """Nets to train on a variant."""
        from ntk_theory.ladder import Ladder

        options, widths = self.options, self.variant_widths
        return Ladder(
            variant.clean, widths, _VARIANT_NETS, options.seed, self.dtype, options.device
        )

    @property
    def control_width(self) -> int:
        return self.widths[(len(self.widths) - 1) // 2]

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = self.problem.steps
        nets = sum(self.widths) * self.nets * (steps + self.plain_steps)
        variants = sum(v.recipe.steps for v in self.variants) * sum(self.variant_widths)
        controls = 7 * self.control_width * _CONTROL_NETS * steps
        return nets + variants * _VARIANT_NETS + controls

    def config(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            **problem.config(),
            "plain_steps": self.plain_steps,
            "device": self.options.device,
            "dtype": self.dtype,
            "variants": [variant.name for variant in self.variants],
            "variant_widths": list(self.variant_widths),
            "variant_seeds": _VARIANT_NETS,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
            "memorisation_time": problem.memorisation_time,
            "lazy_width": problem.lazy_width if problem.predictable else None,
        }


def _default_widths(preset: _Preset, lazy_width: float) -> tuple[int, ...]:
    """Dyadic ladder that starts where fitting the noise has become a small movement."""
    first, rungs = preset.first, preset.rungs
    while first < 4 * lazy_width and first * 2**_LEAST_WIDTHS <= preset.widest:
        first, rungs = 2 * first, max(_LEAST_WIDTHS, rungs - 1)
    return tuple(first * 2**k for k in range(rungs))


def _default_nets(preset: _Preset, spectrum: ClusterSpectrum) -> int:
    """More nets on few points: their deviations average over less and scatter more."""
    points = spectrum.clusters * spectrum.points
    return preset.nets * max(1, min(4, round(60 / points)))


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths
    from ntk_theory.problems import noisy_clusters

    problem = noisy_clusters(
        clusters=chosen(options.clusters, 6),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 20.0),
        noise_rate=chosen(options.noise_rate, 0.3),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        schedule=chosen(options.schedule, "power"),
        learning_rate=options.learning_rate,
        steps=options.steps,
        init_scale=options.init_scale,
    )
    preset = _PRESETS[options.preset]
    if options.widths is None:
        widths = _default_widths(preset, problem.lazy_width if problem.predictable else 0.0)
    else:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, _default_nets(preset, problem.spectrum)), 2)
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], problem.dataset.inputs.shape, dtype)
    return _Plan(problem, widths, nets, dtype, options)


# ---------------------------------------------------------------- premises


def _planned_premises(plan: _Plan) -> tuple[Premise, ...]:
    """Hypotheses that are known before training."""
    problem = plan.problem
    premises = problem.premises()
    if not problem.predictable:
        return premises
    from ntk_theory.problems import lazy_premise
    from ntk_theory.variant_checks import variant_premise

    final, bound = float(problem.distilled.rms_error()[-1]), 2 * problem.noise_rate
    return (
        *premises,
        lazy_premise(problem.lazy_width, plan.widths[0]),
        Premise(
            "long enough run", final, final < bound, f"predicted final error < 2ρ = {bound:.3g}"
        ),
        variant_premise(plan.variants),
    )


def _trained_premises(
    ladder: Ladder, problem: NoisyClusters, rounding_error: float
) -> tuple[Premise, ...]:
    """Hypotheses about the narrowest nets, step by step."""
    narrowest = ladder.rungs[_DISTILLED][0]
    left = problem.distilled.margin() - narrowest.worst_deviation
    spare = float(left[:, problem.first_taught :].min())
    margin_premise = Premise(
        "margin above the narrowest nets' deviation",
        spare,
        spare > 0,
        "margin − worst deviation > 0 at every step after burn-in",
    )
    if ladder.dtype == "float64":
        return (margin_premise,)
    tenth = float(narrowest.largest_deviation.mean()) / 10
    return (
        margin_premise,
        Premise(
            "rounding below the deviation",
            rounding_error,
            rounding_error < tenth,
            f"{ladder.dtype} − float64 < {tenth:.2g}, a tenth of the deviation",
        ),
    )


# ---------------------------------------------------------------- measurements


def _kernel_limit(problem: NoisyClusters) -> Measurement:
    """The infinitely wide net, run step by step on the measured kernel, against the closed form.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.
    """
    from ntk_theory.training import train_kernel_limit

    data, levels = problem.dataset, problem.spectrum
    limit = train_kernel_limit(
        problem.gram,
        data.observed,
        problem.distillation,
        learning_rate=problem.learning_rate,
        steps=problem.steps,
    )
    difference = float(np.abs(limit - problem.distilled.outputs(data.clean, data.flipped)).max())
    tolerance = len(data.inputs) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement("kernel recursion − closed form, largest", 0.0, difference, tolerance)


def _exponent(ladder: Ladder) -> Measurement:
    """(a) The output vector deviates from the infinitely wide net like m^{-1/2}."""
    fitted = ladder.fit(_DISTILLED, lambda rung: rung.largest_deviation)
    return Measurement(
        "exponent of sup_t ‖u_m − u_∞‖/√n in m",
        _EXPONENT,
        fitted.exponent,
        _EXPONENT_TOLERANCE,
        fitted.interval,
        whole_interval=True,
    )


def _falling_error(
    ladder: Ladder, problem: NoisyClusters, checkpoints: tuple[int, int, int]
) -> list[Measurement]:
    """(b, c) The error at T/4, T/2 and T, and the order at which it falls with α_t.

    A tolerance of half the predicted value still tells the error from 0 and from its double.
    """
    widest = ladder.rungs[_DISTILLED][-1]
    predicted = problem.distilled.rms_error()
    tolerance = {
        t: ladder.allowance(_DISTILLED, lambda rung, t=t: rung.deviation[:, t])  # type: ignore[misc]
        for t in checkpoints
    }
    rows = [
        over_nets(
            f"RMS error after {t} steps",
            float(predicted[t]),
            widest.error[:, t],
            allowed,
            float(predicted[t]) / 2,
        )
        for t, allowed in tolerance.items()
    ]
    _, half, full = checkpoints
    if problem.weights[full - 1] == 0:
        return rows  # a schedule that underflows has no order
    fall = math.log(problem.weights[half - 1] / problem.weights[full - 1])
    order = math.log(predicted[half] / predicted[full]) / fall
    rows.append(
        over_nets(
            f"order of the error in α_t from {half} to {full} steps",
            order,
            np.log(widest.error[:, half] / widest.error[:, full]) / fall,
            # First-order propagation of both tolerances through the logarithm.
            sum(tolerance[t] / float(predicted[t]) for t in (half, full)) / fall,
            order / 2,
        )
    )
    return rows


def _signs_and_margin(ladder: Ladder, problem: NoisyClusters) -> list[Measurement]:
    """(d) No wrong sign at any width, and the predicted margin at the largest.

    A tolerance of ρ tells the margin of clean labels, 1, from that of the best stopping, 1 − 2ρ.
    """
    rungs = ladder.rungs[_DISTILLED]
    return [
        Measurement(
            "0-1 error at the end, worst net of all widths",
            0.0,
            max(float(rung.zero_one.max()) for rung in rungs),
            0.0,
        ),
        over_nets(
            "margin at the end",
            float(problem.distilled.margin()[-1]),
            rungs[-1].margin,
            ladder.allowance(_DISTILLED, lambda rung: rung.worst_deviation[:, -1]),
            problem.noise_rate,
        ),
    ]


def _separation(ladder: Ladder, problem: NoisyClusters, plain_steps: int) -> list[Measurement]:
    """(e) Plain training memorises; no stopping time beats 2ρ, and self-distillation does.

    Half the distance of 2√ρ and 2ρ tells the end from the best; ρ tells the best from 0.
    """
    plain = ladder.rungs[_PLAIN]
    bound = 2 * problem.noise_rate
    # Without the widest nets, which would widen their own bound by breaking it.
    fitted = ladder.fit(_PLAIN, lambda rung: rung.largest_deviation, -1)

    def slack(rung: Rung) -> float:
        return float(rung.error.min()) + fitted.upper(rung.width)

    worst = min(plain, key=slack)
    best = worst.error.min(axis=1)
    return [
        over_nets(
            f"plain training: RMS error after {plain_steps} steps (limit 2√ρ)",
            float(problem.plain.rms_error()[plain_steps]),
            plain[-1].error[:, -1],
            ladder.allowance(_PLAIN, lambda rung: rung.deviation[:, -1]),
            math.sqrt(problem.noise_rate) - problem.noise_rate,
        ),
        Measurement(
            f"plain training: best RMS error at any step, width {worst.width} (bound 2ρ)",
            bound,
            float(best.min()),
            fitted.upper(worst.width),
            (float(best.min()), float(best.max())),
            Relation.AT_LEAST,
            resolution=problem.noise_rate,
        ),
        Measurement(
            "self-distillation: worst final RMS error of the widest nets (below 2ρ)",
            bound,
            float(ladder.rungs[_DISTILLED][-1].error[:, -1].max()),
            0.0,
            relation=Relation.AT_MOST,
        ),
    ]


def _measure(ladder: Ladder, plan: _Plan) -> list[Measurement]:
    problem = plan.problem
    return [
        _kernel_limit(problem),
        _exponent(ladder),
        *_falling_error(ladder, problem, plan.checkpoints),
        *_signs_and_margin(ladder, problem),
        *_separation(ladder, problem, plan.plain_steps),
    ]


# ---------------------------------------------------------------- run


def _climb(ladder: Ladder, plan: _Plan, evidence: Evidence, progress: Progress) -> float:
    """Train all widths in both ways; returns the rounding error of the narrowest nets."""
    from ntk_theory.targets import PLAIN

    problem = plan.problem
    points = problem.dataset.clean, problem.dataset.flipped
    distilled = problem.distilled.outputs(*points)
    plain = problem.plain.outputs(*points)[: plan.plain_steps + 1]
    on_noisy_labels = replace(problem.recipe, distillation=PLAIN, steps=plan.plain_steps)
    rounding_error = 0.0
    for count, width in enumerate(plan.widths):
        done = ", ".join(map(str, plan.widths[:count])) or "none"
        evidence.progress_note = f"widths trained: {done} of {len(plan.widths)}"
        trajectory = ladder.train(_DISTILLED, problem.recipe, width, distilled, progress=progress)
        ladder.train(_PLAIN, on_noisy_labels, width, plain, progress=progress)
        evidence.metrics[:] = ladder.metrics()
        evidence.arrays |= _arrays(ladder)
        if count == 0:
            rounding_error = ladder.rounding_error(problem.recipe, trajectory, width)
    return rounding_error


def _controls(ladder: Ladder, plan: _Plan, progress: Progress) -> Iterator[Control]:
    from ntk_theory.controls import ControlSetting, convergence_controls

    setting = ControlSetting(
        width=plan.control_width,
        nets=_CONTROL_NETS,
        seed=ladder.seed,
        dtype=ladder.dtype,
        device=ladder.device,
        tolerance=ladder.bound(lambda rung: rung.largest_deviation, plan.control_width),
        widest_tolerance=ladder.bound(lambda rung: rung.largest_deviation, plan.widths[-1]),
        progress=progress,
    )
    return convergence_controls(plan.problem, setting)


def _finding(ladder: Ladder, problem: NoisyClusters) -> str:
    widest = ladder.rungs[_DISTILLED][-1]
    best = ladder.rungs[_PLAIN][-1].error.min(axis=1).mean()
    return (
        f"{len(widest.error)} nets of width {widest.width} end {widest.error[:, -1].mean():.4g} "
        f"(RMS) from the clean labels, predicted {problem.distilled.rms_error()[-1]:.4g}; plain "
        f"training with the best stopping time ends at {best:.4g}, bound "
        f"{2 * problem.noise_rate:.4g}"
    )


def _arrays(ladder: Ladder) -> dict[str, Array]:
    distilled, plain = ladder.rungs[_DISTILLED], ladder.rungs[_PLAIN]
    if ladder.stopped():
        return {}
    return {
        "widths": np.array([rung.width for rung in distilled]),
        "largest_deviation": np.stack([rung.largest_deviation for rung in distilled]),
        "distilled_error": distilled[-1].error,
        "plain_error": plain[-1].error,
    }


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train the ladder, compare with the closed forms, run the controls."""
    from ntk_theory.ladder import Ladder
    from ntk_theory.variant_checks import check_variants

    problem = plan.problem
    evidence.premises += _planned_premises(plan)
    if problem.predictable:
        evidence.arrays |= {
            "weights": problem.weights,
            "predicted_distilled": problem.distilled.rms_error(),
            "predicted_plain": problem.plain.rms_error()[: plan.plain_steps + 1],
        }
    unmet = {premise.name for premise in evidence.premises if not premise.holds}
    if not unmet <= _TRAINED_ALL_THE_SAME:
        return ""
    options = plan.options
    ladder = Ladder(
        problem.dataset.clean, plan.widths, plan.nets, options.seed, plan.dtype, options.device
    )
    progress.start(CLAIM.id, plan.work())
    rounding_error = _climb(ladder, plan, evidence, progress)
    if evidence.diverged(ladder.stopped()):
        return ""
    evidence.premises += _trained_premises(ladder, problem, rounding_error)
    evidence.measurements += _measure(ladder, plan)
    if evidence.sound:
        check_variants(plan.variants, evidence, plan.variant_ladder, progress)
    if evidence.sound:
        for control in _controls(ladder, plan, progress):
            evidence.controls.append(control)
    return _finding(ladder, problem)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted errors, without training."""
    plan = _plan(options)
    if not plan.problem.predictable:
        return plan.config(), {}
    curve = plan.problem.distilled
    predicted = {f"RMS error after {t} steps": curve.rms_error()[t] for t in plan.checkpoints}
    predicted["margin at the end"] = curve.margin()[-1]
    return plan.config(), {name: float(value) for name, value in predicted.items()}


# ---------------------------------------------------------------- picture


def _draw_errors(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    arrays, bound = result.arrays, 2 * result.config["noise_rate"]
    axes = figure.axes[0]
    steps = np.arange(len(arrays["predicted_distilled"]))
    plain_steps = steps[: len(arrays["predicted_plain"])]
    if "distilled_error" in arrays:
        label = f"self-distillation, width {arrays['widths'][-1]}"
        drawing.band(axes, plain_steps, arrays["plain_error"], drawing.ORANGE, "plain training")
        drawing.band(axes, steps, arrays["distilled_error"], drawing.BLUE, label)
    drawing.prediction(axes, steps, arrays["predicted_distilled"], "closed forms")
    drawing.prediction(axes, plain_steps, arrays["predicted_plain"])
    axes.axhline(bound, color=drawing.GREY, lw=1, label="2ρ, bound of every stopping time")
    axes.set(xlabel="step $t$", ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    axes.set(xscale="log", yscale="log", xlim=(1, steps[-1]))
    axes.legend(frameon=False, loc="lower left")


def _draw_widths(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[1], result.arrays
    axes.set(xlabel="width $m$", ylabel=r"$\sup_t\,\|u_m-u_\infty\|/\sqrt{n}$")
    exponents = [m for m in result.measurements if m.name.startswith("exponent")]
    if not exponents:
        return
    widths, deviation = arrays["widths"], arrays["largest_deviation"]
    drawing.loglog_fit(axes, widths, deviation, exponents[0].measured)
    middle = np.exp(np.log(deviation).mean() - _EXPONENT * np.log(widths).mean())
    drawing.prediction(axes, widths, middle * widths**_EXPONENT, "slope −1/2")
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """Error over time and deviation over width, closed forms dashed."""
    figure.subplots(1, 2)
    _draw_errors(figure, result)
    _draw_widths(figure, result)


CLAIM = Claim(
    id="convergence",
    statement=(
        "A wide two-layer ReLU net that starts at zero output and is taught its own hardened "
        "prediction, while the weight of the noisy labels fades out, converges in ℓ2 to the clean "
        "labels; no stopping time of plain training does."
    ),
    formulas=(
        "u_{t+1} = u_t − η H (u_t − z_t),  z_t = α_t ỹ + (1 − α_t) sign u_t",
        "E_{t+1} = (1 − ηλ_+) E_t − 2ρ ηλ_+ α_t,  E_0 = −1",
        "q_{t+1} = (1 − ηλ_−) q_t + ηλ_− α_t,  q_0 = 0",
        "‖u_t − y‖²/n = E_t² + 4ρ(1−ρ) q_t² → 0,  plain training: ≥ (2ρ)² at every t",
    ),
    assumptions=(
        "H positive definite, η < 2/λ_max (for the 2ρ bound η ≤ 1/λ_max)",
        "ρ < ρ* = (r − 2)/(2(r − 1)) and a burn-in shorter than t_mem",
        "the weight α_t of the observed labels tends to 0",
        "the sign of every output is right at every step after the burn-in",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "While every sign is right the target is z_t = y + α_t ξ, so the error obeys "
        "e_{t+1} = (I − ηH) e_t + ηH α_t ξ: a contraction driven by a null sequence. On "
        "equicorrelated clusters it lives in three eigenspaces and reduces to the numbers E and q, "
        "which also decide whether the signs stay right. A net of width m follows the recursion up "
        "to O(m^{-1/2}) over a fixed number of steps (docs/theory.md, sections 7 and 9)."
    ),
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 7",
    paper_claims={
        "C3": "taught by the current prediction, or that of an epoch before, or with restarts",
        "C4": "ℓ2 error on the training inputs, against every stopping time",
        "C5": "from antisymmetric pairs; also with several classes, other schedules, both layers, "
        "Gaussian clusters and a power law",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "cross_cosine",
            "noise_rate",
            "steps",
            "schedule",
            "learning_rate",
            "init_scale",
            "dtype",
        }
    ),
    controls=(
        "soft-targets",
        "constant-weight",
        "above-threshold",
        "late-burn-in",
        "plain-initialisation",
        "pair-flips-above-half",
        "width-8",
    ),
    run=run,
    predict=predict,
    draw=draw,
)

"""What `initialisation` trains: a problem, scales of the initial weights, nets at each of them."""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "FAILURE",
    "PAIRS",
    "SAMPLES",
    "Plan",
    "make_plan",
    "planned_premises",
    "predict",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.experiments import check_memory
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.predictions import ErrorCurve
from ntk_theory.problems import NoisyClusters, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.targets import Distillation
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

PAIRS = "antisymmetric pairs"
CONTROL_NETS = 16

SAMPLES = 1000
"""Random initial outputs from which the distribution of the final error is predicted."""

_LEAST_WIDTHS, _LEAST_NETS = 4, 8
_SCALES = (2.0, 1.0, 0.5, 0.25, 0.125)
"""In units of the large scale, which is the second; only the last one is claimed to suffice."""

_SMALL_RUNGS = 4
_WIDEST = 2**14
"""No default width is larger; where it does not suffice, a premise says so."""

FAILURE = 1e-3
"""Largest probability of a wrong sign that counts as none."""


class _Preset(NamedTuple):
    first: int
    last: int
    rungs: int
    nets: int


_DOUBLINGS = 8
"""Of the ratio, at most, in search of one at which the large scale is no obstacle."""

_PRESETS = {
    "quick": _Preset(128, 2**11, 5, 32),
    "standard": _Preset(128, 2**15, 5, 64),
    "paper": _Preset(128, 2**16, 7, 96),
}
"""A share of failures takes many nets at every width, so none of them climbs to 2^17."""


@dataclass(frozen=True)
class Plan:
    """A problem, the scales of its initial weights, and the nets to train at each.

    Attributes:
        problem: self-distillation on noisy clusters.
        large: the scale σ at which a floor is claimed at every width.
        nets: widths of the large scale and of antisymmetric pairs, plain nets, and their seeds.
    """

    problem: NoisyClusters
    large: float
    nets: NetPlan

    @property
    def scales(self) -> tuple[float, ...]:
        """Every σ, from the largest on; the second is the large one."""
        return tuple(self.large * part for part in _SCALES)

    @property
    def small(self) -> float:
        """The scale that is claimed to suffice."""
        return self.scales[-1]

    def count(self, scale: float) -> int:
        """Nets of a scale at each of its widths; a recovered half is the most random of all."""
        return 4 * self.nets.count if scale == self.scales[2] else self.nets.count

    @property
    def few(self) -> int:
        """Nets at a width where nothing is random but the deviation."""
        return max(3, self.nets.count // 8)

    def least_width(self, scale: float) -> int:
        """Width from which fitting the noise moves a neuron little: it grows like 1/scale²."""
        return 2 * math.ceil(2 * self.problem.lazy_width / scale**2)

    def width(self, scale: float) -> int:
        """Width of the nets of a scale that has no ladder.

        From half the large scale on it grows as the random part falls: next to it the deviation of
        a finite width has to stay small.
        """
        second = self.nets.widths[1]
        least = max(self.least_width(scale), second * self.large / (2 * scale))
        return max(second, 2 * math.ceil(min(least, _WIDEST) / 2))

    @property
    def small_widths(self) -> tuple[int, ...]:
        """Ladder of the small scale, ascending."""
        most = _WIDEST // 2 ** (_SMALL_RUNGS - 1)
        first = max(self.nets.widths[0], min(self.least_width(self.small), most))
        return tuple(first * 2**k for k in range(_SMALL_RUNGS))

    @property
    def control_width(self) -> int:
        """Width of control nets that need no small scale: a middle one."""
        return self.nets.widths[(len(self.nets.widths) - 1) // 2]

    @property
    def burn_in(self) -> int:
        """Step from which on predictions teach."""
        return self.problem.first_taught

    @cached_property
    def spread(self) -> Array:
        """What is left of an initial output of scale 1, standard deviation at every step."""
        problem = self.problem
        return predictions.initial_output_spread(
            problem.spectrum,
            problem.angle,
            problem.cross_cosine,
            problem.learning_rate,
            problem.steps,
        )

    @cached_property
    def zero_start(self) -> Array:
        """Predicted outputs from a zero start, shape (T + 1, n)."""
        data = self.problem.dataset
        return self.problem.distilled.outputs(data.clean, data.flipped)

    @cached_property
    def margins(self) -> Array:
        """Margin of every point from a zero start, shape (T + 1, n)."""
        return self.zero_start * self.problem.dataset.clean

    @property
    def soft_targets(self) -> Distillation:
        """The distillation of a control."""
        return replace(self.problem.distillation, target="soft")

    @cached_property
    def softly_distilled(self) -> ErrorCurve:
        """Closed form on soft targets: plain training with a smaller rate (section 5)."""
        problem = self.problem
        return predictions.soft_self_distillation(
            problem.spectrum,
            problem.noise_rate,
            problem.learning_rate,
            problem.weights,
            problem.label_mean,
        )

    def early_share(self, scale: float, deviation: float = 0.0) -> float:
        """Expected share of wrong signs at the end of the burn-in, in closed form."""
        spread = np.hypot(scale * self.spread[self.burn_in], deviation)
        return float(predictions.wrong_sign_share(self.margins[self.burn_in], spread))

    def failure_bound(self, scale: float) -> float:
        """Bound on the probability that a wrong sign ever teaches, in closed form."""
        start = self.burn_in
        shares = predictions.wrong_sign_share(self.margins[start:], scale * self.spread[start:])
        return float(shares.sum() * self.margins.shape[1])

    @cached_property
    def easier(self) -> Plan | None:
        """The same clusters at the first ratio, doubled, at which the large scale is no obstacle.

        By the union bound; None where the ratio would be out of reach.
        """
        problem = self.problem
        for doubled in range(1, _DOUBLINGS + 1):
            other = noisy_clusters(
                clusters=problem.spectrum.clusters,
                points=problem.spectrum.points,
                ratio=problem.ratio * 2**doubled,
                noise_rate=problem.noise_rate,
                seed=np.random.SeedSequence(self.nets.seed),
                cross_cosine=problem.cross_cosine,
            )
            plan = replace(self, problem=replace(other, init_scale=None))
            if plan.failure_bound(self.large) <= FAILURE:
                return plan
        return None

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        single = (self.scales[0], *self.scales[2:-1])
        nets = sum(self.count(scale) * self.width(scale) for scale in single)
        nets += sum(self.nets.widths) * (self.nets.count + self.few)
        nets += sum(self.small_widths) * self.few
        controls = 5 * self.control_width + self.small_widths[-1]
        return float(self.problem.steps * (nets + CONTROL_NETS // 4 * controls))

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **self.nets.config(),
            **self.problem.config(),
            "init_scale": self.large,
            "scales": list(self.scales),
            "small_widths": list(self.small_widths),
            "small_seeds": self.few,
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
            "samples": SAMPLES,
            "lazy_width": self.problem.lazy_width,
        }


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    problem = noisy_clusters(
        clusters=chosen(options.clusters, 4),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 6.0),
        noise_rate=chosen(options.noise_rate, 0.1),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        schedule=chosen(options.schedule, "power"),
        learning_rate=options.learning_rate,
        steps=options.steps,
        init_scale=options.init_scale,
    )
    problem = replace(problem, init_scale=None)
    if not problem.predictable:
        raise ValueError(
            "schedule must have weights that are known before the run, and learning_rate must be "
            f"below 2/λ_max = {2 / problem.spectrum.mean:.4g}; got {problem.schedule_text} and "
            f"{problem.learning_rate:g}"
        )
    preset = _PRESETS[options.preset]
    shape = problem.dataset.inputs.shape
    nets = plan_nets(
        options,
        dyadic_widths(preset.first, preset.last, preset.rungs),
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=shape,
    )
    plan = Plan(problem, chosen(options.init_scale, 1.0), nets)
    widest = max(plan.small_widths[-1], *map(plan.width, plan.scales[:-1]))
    check_memory(widest, shape, nets.dtype)
    return plan


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses, all of them known before training."""
    problem = plan.problem
    own = {"zero initial output", "no overshoot (for the 2ρ bound)"}
    single = [(plan.width(scale), scale) for scale in plan.scales[:-1]]
    nets = [(plan.nets.widths[0], plan.large), (plan.small_widths[0], plan.small), *single]
    movement = max(math.sqrt(problem.lazy_width / width) / scale for width, scale in nets)
    failure = plan.failure_bound(plan.small)
    return [
        *(premise for premise in problem.premises() if premise.name not in own),
        Premise(
            "smallest scale leaves the signs right",
            failure,
            failure <= FAILURE,
            f"probability of a wrong sign after the burn-in <= {FAILURE:g}, by the union bound",
        ),
        Premise(
            "nets move little",
            movement,
            movement <= 0.5,
            f"relative movement <= 1/2, width >= {plan.least_width(plan.large)} at scale "
            f"{plan.large:g} and {plan.least_width(plan.small)} at scale {plan.small:g}",
        ),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config, wrong signs in closed form and the error of the small scale, without training."""
    plan = make_plan(options)
    predicted = {
        f"scale {scale:g}: share of wrong signs after {plan.burn_in} steps": plan.early_share(scale)
        for scale in plan.scales[:-1]
    }
    final = float(plan.problem.distilled.rms_error()[-1])
    predicted["RMS initial output / scale"] = float(plan.spread[0])
    predicted[f"scale {plan.small:g}: final RMS error"] = final
    predicted[f"{PAIRS}: final RMS error"] = final
    return plan.config(), predicted

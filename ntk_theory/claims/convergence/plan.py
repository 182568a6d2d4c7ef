"""What `convergence` trains: a problem on noisy clusters, its variants, the nets."""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "Plan",
    "Preset",
    "make_plan",
    "planned_premises",
    "predict",
]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ntk_theory.claims.convergence.scaled_plan import ScaledPlan
from ntk_theory.claims.convergence.variants import Variant, variants
from ntk_theory.image_size import AT_SCALE
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.predictions import ClusterSpectrum
from ntk_theory.problems import NoisyClusters, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

CONTROL_NETS, _CONTROL_WIDTH = 3, 2**11
_LEAST_WIDTHS, _LEAST_NETS = 5, 2
_VARIANT_NETS, _VARIANT_FIRST, _VARIANT_STREAM = 3, 256, 3


class Preset(NamedTuple):
    """Ladder where the options leave it open.

    Attributes:
        first: narrowest width.
        last: widest one.
        rungs: how many widths.
        nets: at each width, on many points.
    """

    first: int
    last: int
    rungs: int
    nets: int


_PRESETS = {
    "quick": Preset(256, 2**12, 5, 4),
    "standard": Preset(512, 2**17, 5, 6),
    "wide": Preset(1024, 2**20, 6, 4),
    "paper": Preset(512, 2**18, 10, 16),
}


@dataclass(frozen=True)
class Plan:
    """A problem with the nets to train on it and on its variants."""

    problem: NoisyClusters
    nets: NetPlan

    @property
    def plain_steps(self) -> int:
        """Half the steps: plain training memorises long before self-distillation is done."""
        return self.problem.steps // 2

    @property
    def checkpoints(self) -> tuple[int, int, int]:
        """T/4, T/2 and T."""
        steps = self.problem.steps
        return steps // 4, steps // 2, steps

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Other labels, schedules, layers, teachers and data."""
        return tuple(variants(np.random.SeedSequence(self.nets.seed, spawn_key=(_VARIANT_STREAM,))))

    @property
    def variant_nets(self) -> NetPlan:
        """Nets of four widths to train on each variant, from the narrowest sensible one on."""
        first = max(_VARIANT_FIRST, self.nets.widths[0])
        return replace(self.nets, widths=tuple(first * 2**k for k in range(4)), count=_VARIANT_NETS)

    @property
    def control_width(self) -> int:
        """Width of control nets: a middle one of a short ladder, as their failures are large."""
        widths = self.nets.widths
        return min(widths[(len(widths) - 1) // 2], max(widths[0], _CONTROL_WIDTH))

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps, others = self.problem.steps, self.variant_nets
        ladder = sum(self.nets.widths) * self.nets.count * (steps + self.plain_steps)
        varied = sum(v.recipe.steps for v in self.variants) * sum(others.widths) * others.count
        return ladder + varied + 7 * self.control_width * CONTROL_NETS * steps

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        problem = self.problem
        return {
            **self.nets.config(),
            **problem.config(),
            "plain_steps": self.plain_steps,
            "variants": [variant.name for variant in self.variants],
            "variant_widths": list(self.variant_nets.widths),
            "variant_seeds": self.variant_nets.count,
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
            "memorisation_time": problem.memorisation_time,
            "lazy_width": problem.lazy_width if problem.predictable else None,
        }


def _default_nets(preset: Preset, spectrum: ClusterSpectrum) -> int:
    """More nets on few points: their deviations average over less and scatter more."""
    points = spectrum.clusters * spectrum.points
    return preset.nets * max(1, min(4, round(60 / points)))


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
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
    nets = plan_nets(
        options,
        dyadic_widths(
            preset.first,
            preset.last,
            preset.rungs,
            lazy_width=problem.lazy_width if problem.predictable else 0.0,
        ),
        _default_nets(preset, problem.spectrum),
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=problem.dataset.inputs.shape,
    )
    return Plan(problem, nets)


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses that can be evaluated before any training."""
    problem = plan.problem
    premises = list(problem.premises())
    if not problem.predictable:
        return premises
    final, bound = float(problem.distilled.rms_error()[-1]), 2 * problem.noise_rate
    worst = min(plan.variants, key=lambda variant: variant.worst_margin)
    return [
        *premises,
        lazy_premise(problem.lazy_width, plan.nets.widths[0]),
        Premise(
            "long enough run", final, final < bound, f"predicted final error < 2ρ = {bound:.3g}"
        ),
        Premise(
            f"variants: every taught prediction right in the limit (least margin: {worst.name})",
            worst.worst_margin,
            worst.worst_margin > 0,
            "worst margin > 0",
        ),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted errors, without training."""
    if options.preset in AT_SCALE:
        return ScaledPlan.predict(options)
    plan = make_plan(options)
    if not plan.problem.predictable:
        return plan.config(), {}
    curve = plan.problem.distilled
    predicted = {f"RMS error after {t} steps": curve.rms_error()[t] for t in plan.checkpoints}
    predicted["margin at the end"] = curve.margin()[-1]
    return plan.config(), {name: float(value) for name, value in predicted.items()}

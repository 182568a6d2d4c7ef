"""What `air` trains: noisy labels on four designs, each with a ladder of lazy nets."""

from __future__ import annotations

__all__ = [
    "CONTROL_NETS",
    "RANDOM_DRAWS",
    "Plan",
    "make_plan",
    "other_designs",
    "planned_premises",
    "predict",
]

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions
from ntk_theory.claims.air.designs import Case
from ntk_theory.claims.air.scaled import ScaledPlan
from ntk_theory.data import Design
from ntk_theory.experiments import check_memory
from ntk_theory.image_size import AT_SCALE
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.predictions import ClusterSpectrum
from ntk_theory.problems import lazy_premise
from ntk_theory.runs import chosen
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

CONTROL_NETS, RANDOM_DRAWS = 4, 16
_LEAST_WIDTHS, _LEAST_NETS = 5, 2
_TREE_STEPS, _OTHER_STEPS = 60, 40
_WIDEST_START = 16
"""How many times wider than on clusters the narrowest nets of another design may be."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int


_PRESETS = {
    "quick": _Preset((512, 1024, 2048, 4096, 8192), 6),
    "standard": _Preset(dyadic_widths(512, 2**17, 5), 6),
    "wide": _Preset(dyadic_widths(1024, 2**20, 6), 4),
    "paper": _Preset(dyadic_widths(512, 2**18, 10), 8),
}


@dataclass(frozen=True)
class Plan:
    """Four designs, the first of them (clusters) at every width.

    Attributes:
        cases: clusters, tree, power law, circle.
        levels: spectrum of the clusters.
        lazy_width: m_lazy of the clusters, if all noise were fitted.
        ratio: r asked for.
        nets: those of the clusters; the other designs have as many, from the same seed.
    """

    cases: tuple[Case, ...]
    levels: ClusterSpectrum
    lazy_width: float
    ratio: float
    nets: NetPlan

    @property
    def clusters(self) -> Case:
        """The first design."""
        return self.cases[0]

    @property
    def control_width(self) -> int:
        """Width of control nets: a middle one, as their failures are large."""
        return self.nets.widths[(len(self.nets.widths) - 1) // 2]

    @property
    def gap(self) -> Array:
        """Predicted share of information minus that of the noise inside clusters."""
        levels = [self.levels.noise, self.levels.information]
        case = self.clusters
        noise, information = predictions.retrieval_filter(levels, case.learning_rate, case.steps).T
        return np.asarray(information - noise)

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        ladders = sum(sum(case.widths) * case.steps for case in self.cases) * self.nets.count
        controls = self.control_width * self.clusters.steps * (2 * CONTROL_NETS + RANDOM_DRAWS)
        return ladders + controls

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        case = self.clusters
        return {
            **self.nets.config(),
            "clusters": self.levels.clusters,
            "points": self.levels.points,
            "ratio": self.ratio,
            "noise_rate": case.dataset.noise_rate,
            "learning_rate": case.learning_rate,
            "steps": case.steps,
            "other_designs": {
                other.name: {
                    "points": len(other.dataset.inputs),
                    "noise_rate": other.dataset.noise_rate,
                    "learning_rate": other.learning_rate,
                    "steps": other.steps,
                    "widths": list(other.widths),
                    "lazy_width": other.lazy_width,
                }
                for other in self.cases[1:]
            },
            "control_width": self.control_width,
            "control_seeds": CONTROL_NETS,
            "random_labels": RANDOM_DRAWS,
            "lazy_width": self.lazy_width,
        }


def other_designs(rng: np.random.Generator) -> Iterator[tuple[str, Design, int]]:
    """Name, design and steps of the designs that are checked at smaller cost."""
    yield "tree", data.tree(2, 3, 7, class_ratio=5.0, super_ratio=15.0), _TREE_STEPS
    yield "power law", data.power_law(40, 10, exponent=1.5, rng=rng), _OTHER_STEPS
    yield "circle", data.circle(15, arcs=3), _OTHER_STEPS


def _reference(options: Options) -> tuple[Design, ClusterSpectrum, float, float, float, int]:
    """Clusters, their spectrum, angle and ratio, learning rate and steps."""
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


def _lazy_widths(case: Case) -> tuple[int, ...]:
    """The widths of a case times the first power of two at which its narrowest net is lazy.

    On some designs that is far wider than on clusters, and where the nets are not lazy their
    deviation does not fall like m^{-1/2}.
    """
    first, last = case.widths[0], case.widths[-1]
    lazy = min(case.lazy_width, _WIDEST_START * first / 4)
    return dyadic_widths(first, last, len(case.widths), lazy_width=lazy)


def _lazy(name: str, lazy_width: float, width: int) -> Premise:
    premise = lazy_premise(lazy_width, width)
    return replace(premise, name=f"{name}: {premise.name}")


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    preset = _PRESETS[options.preset]
    noise_rate = chosen(options.noise_rate, 0.3)
    if not 0 < noise_rate < 0.5:
        raise ValueError(
            "noise_rate must lie in (0, 1/2), so that the labels hold information and noise; "
            f"got {noise_rate}"
        )
    design, levels, angle, ratio, rate, steps = _reference(options)
    nets = plan_nets(
        options,
        preset.widths,
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=design.inputs.shape,
    )
    rng = np.random.default_rng(np.random.SeedSequence(options.seed))
    dataset = data.noisy_labels(design, noise_rate=noise_rate, rng=rng)
    cases = [Case("clusters", dataset, rate, steps, nets.widths)]
    for name, other, length in other_designs(rng):
        labelled = data.noisy_labels(other, noise_rate=0.3, rng=rng)
        case = Case(name, labelled, 1.0, length, nets.widths[:_LEAST_WIDTHS])
        case = replace(case, learning_rate=0.5 / float(case.spectrum.eigenvalues[-1]))
        cases.append(replace(case, widths=_lazy_widths(case)))
        check_memory(cases[-1].widths[-1], other.inputs.shape, nets.dtype)
    lazy = predictions.lazy_width(levels, angle, dataset.noise_rate, 1.0)
    return Plan(tuple(cases), levels, lazy, ratio, nets)


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses, all of which can be evaluated before any training."""
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
    return [
        *premises,
        _lazy("clusters", plan.lazy_width, plan.nets.widths[0]),
        *(_lazy(case.name, case.lazy_width, case.widths[0]) for case in plan.cases[1:]),
    ]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config, predicted half-times and largest gaps, without training."""
    if options.preset in AT_SCALE:
        return ScaledPlan.predict(options)
    plan = make_plan(options)
    levels, rate = plan.levels, plan.clusters.learning_rate
    predicted = {
        "clusters: half-time of information": predictions.half_time(levels.information, rate),
        "clusters: half-time of noise": predictions.half_time(levels.noise, rate),
        "clusters: half-time of noise over that of information": predictions.half_time_ratio(
            levels.information, levels.noise, rate
        ),
    }
    for case in plan.cases:
        name = f"{case.name}: R(clean) − E R(noise) after {case.peak} steps, where it is largest"
        predicted[name] = float(case.predicted_gap[case.peak])
    return plan.config(), predicted

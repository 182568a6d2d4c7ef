"""What `soft-identity` trains: noisy clusters, schedules, and nets of three kinds of runs."""

from __future__ import annotations

__all__ = [
    "CASES",
    "ENTROPY",
    "FINE_STEPS",
    "FLOW",
    "IDENTITY_NETS",
    "MEMORISING",
    "STOPPING",
    "TEMPERATURE",
    "Case",
    "Plan",
    "Preset",
    "make_plan",
    "observed_labels",
    "planned_premises",
]

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.experiments import check_memory
from ntk_theory.kernels import Layers
from ntk_theory.ladder import NetPlan, dyadic_widths, plan_nets
from ntk_theory.problems import NoisyClusters, lazy_premise, noisy_clusters
from ntk_theory.runs import chosen
from ntk_theory.targets import Geometric, Loss, Power, Schedule, weights
from ntk_theory.verdicts import Options, Premise

Array = NDArray[np.float64]

MEMORISING, STOPPING = "soft, Σα = ∞", "soft, Σα < ∞"
ENTROPY, FLOW = "soft, Σα < ∞, cross-entropy", "plain, small steps"

FINE_STEPS = 2
"""Steps of the small-step run in units of those of the run that it is compared with."""

IDENTITY_NETS = 2
"""Nets of each pair of runs."""

TEMPERATURE = 0.5
"""T of tempered targets."""

_LEAST_WIDTHS, _LEAST_NETS = 4, 2

_STEP = 0.5
"""ηλ_+ of the default learning rate."""

_DECAYS = 8
"""Steps of a run in units of the schedule's decay constant."""


class Case(NamedTuple):
    """A way of training for which the identity is to hold; `outputs` is C."""

    loss: Loss
    layers: Layers
    outputs: int


_LOSSES: tuple[tuple[Loss, int, int], ...] = (("square", 1, 3), ("cross-entropy", 2, 3))
_LAYERS: tuple[Layers, ...] = ("first", "both")
CASES = tuple(
    Case(loss, layers, outputs)
    for loss, *counts in _LOSSES
    for layers in _LAYERS
    for outputs in counts
)


class Preset(NamedTuple):
    """Nets where the options leave them open.

    Attributes:
        first: narrowest width of the ladder.
        last: widest one.
        rungs: how many widths.
        nets: at each width.
        identity_widths: at which the identity is checked.
        schedules: with which it is checked in each case.
    """

    first: int
    last: int
    rungs: int
    nets: int
    identity_widths: tuple[int, ...]
    schedules: int


_PRESETS = {
    "quick": Preset(256, 2**12, 5, 8, (4, 64, 1024), 1),
    "standard": Preset(512, 2**17, 5, 10, (4, 16, 64, 256, 1024, 4096), 2),
    "wide": Preset(1024, 2**20, 6, 6, (4, 16, 64, 256, 1024, 4096), 2),
    "paper": Preset(256, 2**18, 11, 16, (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096), 5),
}


@dataclass(frozen=True)
class Plan:
    """Noisy clusters with the nets to train on them.

    Attributes:
        problem: the clusters; their own schedule is not used.
        nets: of the ladder.
        identity_widths: at which the identity is checked.
        schedules: with how many schedules it is checked in each case.
    """

    problem: NoisyClusters
    nets: NetPlan
    identity_widths: tuple[int, ...]
    schedules: int

    @property
    def steps(self) -> int:
        """T."""
        return self.problem.steps

    @property
    def decay(self) -> float:
        """Decay constant of the schedules, in steps."""
        return self.steps / _DECAYS

    @property
    def epoch(self) -> int:
        """Length of an epoch of lagged targets: a decay constant."""
        return max(2, round(self.decay))

    @property
    def control_width(self) -> int:
        """Width of control nets."""
        return self.nets.widths[-2]

    @property
    def order_steps(self) -> tuple[int, ...]:
        """Numbers of steps in which the same time is covered."""
        return tuple(self.steps * factor for factor in (1, 2, 4, 8))

    @property
    def finest_steps(self) -> int:
        """Steps of the coarser of the two runs from which gradient flow is extrapolated."""
        return 16 * self.steps

    @property
    def identity_steps(self) -> int:
        """Steps of each run of a pair."""
        return self.steps // 2

    def schedule(self, name: str, steps: int | None = None) -> Schedule:
        """α_t of one way of training, stretched to so many steps."""
        decay = (self.steps if steps is None else steps) / _DECAYS
        return Power(decay, 0.5) if name == MEMORISING else Geometric(decay)

    def weights(self, name: str, steps: int | None = None) -> Array:
        """Its values, shape (T,)."""
        count = self.steps if steps is None else steps
        return weights(self.schedule(name, count), count)

    @property
    def time(self) -> float:
        """ω = η Σ α_t of the schedule that stops."""
        return float(self.problem.learning_rate * self.weights(STOPPING).sum())

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        widths, count = self.nets.widths, self.nets.count
        ladder = sum(widths) * count * (3 + FINE_STEPS) * self.steps
        order = widths[0] * count * (sum(self.order_steps) + 3 * self.finest_steps)
        controls = 8 * self.control_width * count * self.steps
        runs = len(CASES) * self.schedules * IDENTITY_NETS * 2 * self.identity_steps
        return ladder + order + controls + runs * sum(self.identity_widths)

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        problem = {
            name: value
            for name, value in self.problem.config().items()
            if name not in {"schedule", "init_scale"}
        }
        return {
            **self.nets.config(),
            **problem,
            "decay": self.decay,
            "epoch": self.epoch,
            "temperature": TEMPERATURE,
            "identity_widths": list(self.identity_widths),
            "identity_steps": self.identity_steps,
            "identity_seeds": IDENTITY_NETS,
            "order_steps": list(self.order_steps),
            "control_width": self.control_width,
        }


def _lazy_width(problem: NoisyClusters) -> float:
    """Lazy width once all noise is memorised, which bounds that of every run."""
    return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, 1.0)


def _problem(options: Options) -> NoisyClusters:
    def made(learning_rate: float | None) -> NoisyClusters:
        return noisy_clusters(
            clusters=chosen(options.clusters, 4),
            points=chosen(options.points, 5),
            ratio=chosen(options.ratio, 6.0),
            noise_rate=chosen(options.noise_rate, 0.2),
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=chosen(options.cross_cosine, 0.0),
            learning_rate=learning_rate,
            steps=chosen(options.steps, 64),
        )

    problem = made(options.learning_rate)
    if options.learning_rate is not None:
        return problem
    levels = problem.spectrum
    return made(min(_STEP / levels.information, 1 / levels.mean))


def make_plan(options: Options) -> Plan:
    """Everything that the options leave open; raises ValueError for ones that make no sense."""
    problem, preset = _problem(options), _PRESETS[options.preset]
    lazy = _lazy_width(problem) if problem.predictable else 0.0
    shape = problem.dataset.inputs.shape
    nets = plan_nets(
        replace(options, dtype=None),  # the rounding bound is that of float64
        dyadic_widths(preset.first, preset.last, preset.rungs, lazy_width=lazy),
        preset.nets,
        least_widths=_LEAST_WIDTHS,
        least_count=_LEAST_NETS,
        shape=shape,
    )
    check_memory(max(preset.identity_widths), shape, nets.dtype)
    return Plan(problem, nets, preset.identity_widths, preset.schedules)


def planned_premises(plan: Plan) -> list[Premise]:
    """Hypotheses that can be evaluated before any training."""
    names = {
        "kernel positive definite": "kernel positive definite",
        "stable learning rate": "stable learning rate",
        "no overshoot (for the 2ρ bound)": "no overshoot",
    }
    lazy = lazy_premise(_lazy_width(plan.problem), plan.nets.widths[0])
    return [
        *(
            replace(premise, name=names[premise.name])
            for premise in plan.problem.premises()
            if premise.name in names
        ),
        replace(lazy, name="narrowest net of the ladder moves little"),
    ]


def observed_labels(problem: NoisyClusters, outputs: int) -> Array:
    """Observed labels: ±1, or one-hot rows in which a wrong label is that of the next class."""
    data = problem.dataset
    if outputs == 1:
        return data.observed
    cluster = np.arange(len(data.inputs)) // problem.spectrum.points
    return np.eye(outputs)[(cluster + data.flipped) % outputs]

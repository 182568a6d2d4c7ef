"""The identity net by net: soft self-distillation beside plain training with the rates η α_t."""

from __future__ import annotations

__all__ = [
    "CASES",
    "PAIR_NETS",
    "Case",
    "Pair",
    "observed_labels",
    "pair_arrays",
    "pair_of",
    "pair_premises",
    "pair_rows",
    "pairs_of",
    "schedules",
]

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.verdicts import Measurement, Premise

if TYPE_CHECKING:
    from ntk_theory.kernels import Layers
    from ntk_theory.network import TwoLayerReLU
    from ntk_theory.targets import Loss, Schedule
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

PAIR_NETS = 2
"""Nets of each pair of runs."""

_STREAM = 4
"""Keeps the seeds of these nets apart from those of the claim's other nets (0 and 1)."""


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


class Pair(NamedTuple):
    """Both runs of some nets of one width.

    Attributes:
        case: how they were trained.
        width: m.
        schedule: name of the schedule.
        difference: sup_t ‖u_t − u'_t‖, the largest of the nets.
        bound: what rounding may make of it.
        moved: largest RMS change of a net's outputs; 0 if every neuron of narrow nets is inactive.
        stability: largest ηλ_max of the nets' NTK, at the start and at the end.
        undecided: expected number of activations that rounding decides.
        same_activations: whether both runs flipped as many.
        diverged: explanation of a divergence, or None.
    """

    case: Case
    width: int
    schedule: str
    difference: float
    bound: float
    moved: float
    stability: float
    undecided: float
    same_activations: bool
    diverged: str | None

    def metrics(self) -> dict[str, Any]:
        """What is kept of it, in a row."""
        return {
            "training": f"{self.case.loss}, {self.case.layers}, {self.case.outputs} outputs",
            "schedule": self.schedule,
            "width": self.width,
            "difference": self.difference,
            "rounding_bound": self.bound,
        }


def schedules(decay: float) -> dict[str, Schedule]:
    """Schedules with which the identity is checked, by name."""
    targets = nt.targets
    return {
        "power": targets.Power(decay),
        "geometric": targets.Geometric(decay),
        "constant": targets.Constant(0.3),
        "burn-in, then power": targets.BurnIn(max(1, round(decay)), targets.Power(decay, 2.0)),
        "agreement": targets.Agreement(),
    }


def observed_labels(problem: nt.NoisyClusters, outputs: int) -> Array:
    """Observed labels: ±1, or one-hot rows in which a wrong label is that of the next class."""
    data = problem.dataset
    if outputs == 1:
        return data.observed
    cluster = np.arange(len(data.inputs)) // problem.spectrum.points
    return np.eye(outputs)[(cluster + data.flipped) % outputs]


def _largest_eigenvalue(net: TwoLayerReLU, inputs: Array, layers: Layers) -> float:
    """λ_max of the empirical NTK over points and outputs, the largest of the nets."""
    kernel = nt.kernels.ntk_empirical(net, inputs, layers=layers)
    if kernel.ndim == 5:
        size = kernel.shape[1] * kernel.shape[3]
        kernel = kernel.transpose(0, 1, 3, 2, 4).reshape(-1, size, size)
    return float(np.linalg.eigvalsh(kernel)[:, -1].max())


def _plain_equivalent(
    start: TwoLayerReLU, soft: Trajectory, rate: float, arguments: Mapping[str, Any]
) -> list[Trajectory]:
    """Plain training with the rates η α_t, the α_t being those of each net."""
    return [
        nt.training.train(
            nt.network.TwoLayerReLU(start.hidden[net : net + 1], start.output[net : net + 1]),
            distillation=nt.targets.PLAIN,
            learning_rate=nt.predictions.equivalent_learning_rates(rate, alphas),
            **arguments,
        )
        for net, alphas in enumerate(soft.label_weights)
    ]


@np.errstate(under="ignore")
def _growth(plain: Trajectory, labels: Array, rates: Array, case: Case, width: int) -> float:
    """How much training both layers may enlarge an error of the weights."""
    if case.layers == "first":
        return 1.0
    outputs = plain.outputs[0].reshape(plain.steps.size, len(labels), -1)
    if case.loss == "cross-entropy":
        powers = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        outputs = powers / powers.sum(axis=2, keepdims=True)
    residual = outputs - labels.reshape(len(labels), -1)
    push = np.sqrt(np.square(residual).sum(axis=2)).sum(axis=1)
    return float(np.prod(1 + rates * push[: rates.size] / math.sqrt(width)))


def pair_of(
    problem: nt.NoisyClusters, seed: int, case: Case, width: int, name: str, *, pairs: bool
) -> Pair:
    """Train nets on their soft prediction and with the equivalent rates, from the same start.

    Args:
        problem: gives inputs and labels; half its steps are made.
        seed: of the run.
        case: how they are trained.
        width: m.
        name: of the schedule.
        pairs: whether they start antisymmetric.
    """
    from ntk_theory.checking.nets import net_seeds

    inputs, labels = problem.dataset.inputs, observed_labels(problem, case.outputs)
    steps, points = problem.steps // 2, len(problem.dataset.inputs)
    start = nt.network.initialise(
        width,
        inputs.shape[1],
        seeds=net_seeds(seed, width, PAIR_NETS, _STREAM),
        outputs=case.outputs,
        antisymmetric=pairs,
    )
    # A narrow net may have no active neuron, and then no rate matters.
    rate = 0.5 / (_largest_eigenvalue(start, inputs, case.layers) or 1.0)
    arguments: dict[str, Any] = {
        "inputs": inputs,
        "observed": labels,
        "steps": steps,
        "layers": case.layers,
        "loss": case.loss,
    }
    target = nt.targets.Distillation(schedules(problem.steps / 16)[name], "soft")
    soft = nt.training.train(start, distillation=target, learning_rate=rate, **arguments)
    plain = _plain_equivalent(start, soft, rate, arguments)
    stopped = soft.diverged or next((run.diverged for run in plain if run.diverged), None)
    if stopped is not None:
        return Pair(case, width, name, 0, 0, 0, 0, 0, False, stopped)
    apart = soft.outputs - np.concatenate([run.outputs for run in plain])
    squares = np.square(apart.reshape(*apart.shape[:2], -1)).sum(axis=2)
    assert soft.network is not None
    condition = 1 / (math.sqrt(rate) * float(np.linalg.svd(inputs, compute_uv=False)[-1]))
    largest = float(start.hidden.norm(dim=2).max()) + float(soft.movement.max())
    bound = nt.predictions.rounding_bound(
        steps=steps,
        width=width,
        points=points,
        outputs=case.outputs,
        largest=max(largest, float(soft.network.output.abs().max())),
        prediction=1 + float(np.abs(soft.outputs).max()),
        condition=condition,
        growth=max(
            _growth(run, labels, rate * alphas, case, width)
            for run, alphas in zip(plain, soft.label_weights, strict=True)
        ),
    )
    # Pre-activations within twice their own uncertainty, κ times that of the outputs, of zero, at
    # the density 1/√(2π) of the start.
    close = 2 * bound * condition * math.sqrt(rate) / math.sqrt(2 * math.pi)
    change = soft.outputs[:, -1] - soft.outputs[:, 0]
    ends = (start, soft.network)
    return Pair(
        case,
        width,
        name,
        difference=float(np.sqrt(squares).max()),
        bound=bound,
        moved=float(np.sqrt(np.square(change).mean(axis=tuple(range(1, change.ndim)))).max()),
        stability=rate * max(_largest_eigenvalue(net, inputs, case.layers) for net in ends),
        undecided=PAIR_NETS * points * width * steps * close,
        same_activations=all(soft.flipped_activations == [r.flipped_activations[0] for r in plain]),
        diverged=None,
    )


def pairs_of(
    problem: nt.NoisyClusters, seed: int, widths: Sequence[int], turns: int
) -> Iterator[Pair]:
    """All cases at all widths; the schedules take turns, so many of them in each case."""
    names = list(schedules(1.0))
    for row, width in enumerate(widths):
        for column, case in enumerate(CASES):
            for turn in range(turns):
                name = names[(row + column + turn) % len(names)]
                yield pair_of(problem, seed, case, width, name, pairs=(row + turn) % 2 == 0)


def pair_arrays(pairs: Sequence[Pair]) -> dict[str, Array]:
    """What the picture shows."""
    return {
        "identity_widths": np.array([made.width for made in pairs]),
        "identity_difference": np.array([made.difference for made in pairs]),
        "identity_bound": np.array([made.bound for made in pairs]),
    }


def pair_rows(pairs: Sequence[Pair]) -> Iterator[Measurement]:
    """Largest difference in units of what rounding may make, for each loss and choice of layers."""
    for loss, layers in dict.fromkeys((pair.case.loss, pair.case.layers) for pair in pairs):
        ratios = [
            pair.difference / pair.bound
            for pair in pairs
            if (pair.case.loss, pair.case.layers) == (loss, layers)
        ]
        name = f"‖u_soft − u_plain‖ in units of its rounding bound, {loss} loss, {layers} layer"
        name += "s" if layers == "both" else ""
        yield Measurement(name, 0.0, max(ratios), 1.0, (min(ratios), max(ratios)))


def pair_premises(pairs: Sequence[Pair]) -> Iterator[Premise]:
    """Hypotheses of the rounding bound, and that it is small enough to say something."""
    stability = max(pair.stability for pair in pairs)
    undecided = max(pair.undecided for pair in pairs)
    bound = max(pair.bound for pair in pairs)
    moved = float(np.median([pair.moved for pair in pairs]))
    same = all(pair.same_activations for pair in pairs)
    yield Premise("steps enlarge no error", stability, stability <= 1, "ηλ_max(H_m) <= 1")
    yield Premise(
        "activations decided by rounding",
        undecided,
        undecided < 0.01,
        "expected number < 0.01 in the nets of one pair of runs",
    )
    yield Premise("both runs have the same activations", float(same), same, "as many flips")
    yield Premise(
        "rounding bound far below the movement of the outputs",
        bound,
        bound < 1e-6 * moved,
        f"largest bound < {1e-6 * moved:.2g}, a millionth of the median RMS change",
    )

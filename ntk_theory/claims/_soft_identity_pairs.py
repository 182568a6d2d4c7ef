"""The identity net by net: soft self-distillation beside plain training with the rates η α_t."""

from __future__ import annotations

__all__ = ["CASES", "PAIR_NETS", "Case", "Pair", "labels_of", "pair_of", "pair_premises",
           "pair_rows", "pairs_of", "schedules"]  # fmt: skip

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import Array, rms
from ntk_theory.checking.sweep import net_seeds

if TYPE_CHECKING:
    from ntk_theory.kernels import Layers
    from ntk_theory.network import TwoLayerReLU
    from ntk_theory.targets import Loss, Schedule
    from ntk_theory.training import Trajectory

PAIR_NETS, _STREAM = 2, 4
"""Nets of each pair of runs, and what keeps their seeds apart from those of all other nets."""


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
    """Both runs of some nets of one width; all numbers are 0 if one of them diverged."""

    case: Case
    width: int  # m
    schedule: str
    diverged: str | None = None
    difference: float = 0.0  # sup_t ‖u_t − u'_t‖, the largest of the nets
    bound: float = 0.0  # what rounding may make of it
    moved: float = 0.0  # largest RMS change of outputs; 0 if narrow nets are inactive
    stability: float = 0.0  # largest ηλ_max of the nets' NTK, at the start and at the end
    undecided: float = 0.0  # expected number of activations that rounding decides
    same_activations: bool = False  # both runs flipped as many


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


def labels_of(problem: nt.NoisyClusters, outputs: int) -> tuple[Array, Array]:
    """Clean and observed labels: ±1, or one-hot rows; a wrong one is that of the next class."""
    data = problem.dataset
    if outputs == 1:
        return data.clean, data.observed
    classes, every = np.arange(len(data.inputs)) // problem.spectrum.points, np.eye(outputs)
    return every[classes % outputs], every[(classes + data.flipped) % outputs]


def _largest_eigenvalue(net: TwoLayerReLU, inputs: Array, layers: Layers) -> float:
    """λ_max of the empirical NTK over points and outputs, the largest of the nets."""
    kernel = nt.kernels.ntk_empirical(net, inputs, layers=layers)
    if kernel.ndim == 5:
        size = kernel.shape[1] * kernel.shape[3]
        kernel = kernel.transpose(0, 1, 3, 2, 4).reshape(-1, size, size)
    return float(np.linalg.eigvalsh(kernel)[:, -1].max())


@np.errstate(under="ignore")
def _growth(plain: Trajectory, labels: Array, rates: Array, case: Case, width: int) -> float:
    """How much training both layers may enlarge an error of the weights."""
    if case.layers == "first":
        return 1.0
    outputs = plain.outputs[0].reshape(plain.steps.size, len(labels), -1)
    from scipy.special import softmax

    predicted = softmax(outputs, axis=2) if case.loss == "cross-entropy" else outputs
    push = np.linalg.norm(predicted - labels.reshape(len(labels), -1), axis=2).sum(axis=1)
    return float(np.prod(1 + rates * push[: rates.size] / math.sqrt(width)))


def pair_of(
    problem: nt.NoisyClusters, seed: int, case: Case, width: int, name: str, *, pairs: bool
) -> Pair:
    """Train nets on their soft prediction and with the equivalent rates, from the same start.

    Their difference is held against the rounding bound of docs/theory.md, section 5.2.
    """
    inputs, steps = problem.dataset.inputs, problem.steps // 2
    _, labels = labels_of(problem, case.outputs)
    start = nt.network.initialise(
        width, inputs.shape[1], seeds=net_seeds(seed, width, PAIR_NETS, _STREAM),
        outputs=case.outputs, antisymmetric=pairs,
    )  # fmt: skip
    # A narrow net may have no active neuron, and then no rate matters.
    rate = 0.5 / (_largest_eigenvalue(start, inputs, case.layers) or 1.0)
    train = partial(nt.training.train, inputs=inputs, observed=labels, steps=steps,
                    layers=case.layers, loss=case.loss)  # fmt: skip
    target = nt.targets.Distillation(schedules(problem.steps / 16)[name], "soft")
    soft = train(start, distillation=target, learning_rate=rate)
    # The α_t of each net are its own.
    plain = [
        train(
            nt.network.TwoLayerReLU(start.hidden[net : net + 1], start.output[net : net + 1]),
            distillation=nt.targets.PLAIN,
            learning_rate=nt.predictions.equivalent_learning_rates(rate, alphas),
        )
        for net, alphas in enumerate(soft.label_weights)
    ]
    stopped = next((run.diverged for run in (soft, *plain) if run.diverged), None)
    if stopped is not None:
        return Pair(case, width, name, stopped)
    apart = soft.outputs - np.concatenate([run.outputs for run in plain])
    change = soft.outputs[:, -1] - soft.outputs[:, 0]
    assert soft.network is not None
    condition = 1 / (math.sqrt(rate) * float(np.linalg.svd(inputs, compute_uv=False)[-1]))
    largest = float(start.hidden.norm(dim=2).max()) + float(soft.movement.max())
    growths = [_growth(run, labels, rate * alphas, case, width)
               for run, alphas in zip(plain, soft.label_weights, strict=True)]  # fmt: skip
    bound = nt.predictions.rounding_bound(
        steps=steps, width=width, points=len(inputs), outputs=case.outputs,
        largest=max(largest, float(soft.network.output.abs().max())),
        prediction=1 + float(np.abs(soft.outputs).max()), condition=condition, growth=max(growths),
    )  # fmt: skip
    # Pre-activations within twice their own uncertainty, κ times that of the outputs, of zero, at
    # the density 1/√(2π) of the start.
    close = 2 * bound * condition * math.sqrt(rate) / math.sqrt(2 * math.pi)
    return Pair(
        case, width, name,
        difference=float(np.sqrt(np.square(apart.reshape(*apart.shape[:2], -1)).sum(axis=2)).max()),
        bound=bound,
        moved=float(rms(change.reshape(PAIR_NETS, -1)).max()),
        stability=rate * max(_largest_eigenvalue(net, inputs, case.layers)
                             for net in (start, soft.network)),
        undecided=PAIR_NETS * len(inputs) * width * steps * close,
        same_activations=all(soft.flipped_activations == [r.flipped_activations[0] for r in plain]),
    )  # fmt: skip


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


def pair_rows(pairs: Sequence[Pair]) -> Iterator[nt.Measurement]:
    """Largest difference in units of what rounding may make, for each loss and choice of layers."""
    ratios: dict[str, list[float]] = {}
    for pair in pairs:
        loss, layers, _ = pair.case
        kind = f"{loss} loss, {layers} layer{'s' if layers == 'both' else ''}"
        ratios.setdefault(kind, []).append(pair.difference / pair.bound)
    for kind, found in ratios.items():
        name = f"‖u_soft − u_plain‖ in units of its rounding bound, {kind}"
        yield nt.Measurement(name, 0.0, max(found), 1.0, (min(found), max(found)))


def pair_premises(pairs: Sequence[Pair]) -> Iterator[nt.Premise]:
    """Hypotheses of the rounding bound, and that it is small enough to say something."""
    stability = max(pair.stability for pair in pairs)
    undecided = max(pair.undecided for pair in pairs)
    bound = max(pair.bound for pair in pairs)
    allowed = 1e-6 * float(np.median([pair.moved for pair in pairs]))
    same = all(pair.same_activations for pair in pairs)
    yield nt.Premise("steps enlarge no error", stability, stability <= 1, "ηλ_max(H_m) <= 1")
    yield nt.Premise("activations decided by rounding", undecided, undecided < 0.01,
                     "expected number < 0.01 in the nets of one pair of runs")  # fmt: skip
    yield nt.Premise("both runs have the same activations", float(same), same, "as many flips")
    yield nt.Premise("rounding bound far below the movement of the outputs", bound, bound < allowed,
                     f"largest bound < {allowed:.2g}, a millionth of the median RMS change",
                     )  # fmt: skip

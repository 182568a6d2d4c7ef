"""Which of the three exact forms of a step a training takes: the one that costs least."""

from __future__ import annotations

__all__ = [
    "FORMS",
    "Form",
    "cheapest",
    "event_driven_bytes",
    "event_driven_counts",
    "make_neurons",
    "own_block",
]

import importlib.util
import math
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ntk_theory.machine import ranks
from ntk_theory.machine.resources import memory_limit
from ntk_theory.network import Nets
from ntk_theory.training.dense import Blocks, block_size, patterns_fit
from ntk_theory.training.events import EventDriven
from ntk_theory.training.neurons import Neurons
from ntk_theory.training.points import Points

Form = Literal["dense", "event-driven"]
"""Every neuron in every step, in the cheaper of two ways, or those alone whose signs may change."""

FORMS: tuple[Form, ...] = get_args(Form)

_COMPILED = importlib.util.find_spec("numba") is not None

# What follows was fitted to times of `python -m benchmarks --only event-driven training-step` on a
# 2-core x86-64 machine; only the ratios matter, and where the forms are equally fast a wrong one
# costs little.

_OPERATION = {torch.float64: 0.02, torch.float32: 0.01}
"""Nanoseconds that a thread takes for one of the operations of a matrix product."""

_PASS = {torch.float64: 1.6, torch.float32: 1.2}
"""Nanoseconds of a dense step for each pair of a neuron and a point, beside its products."""

_LOOKED_AT = {False: 0.2, True: 1.0}
"""Share of the pairs that is looked at, over what the first step moves them; by whether there are
so many points that no weights fit them, and later steps move as far as the first."""

_STEP, _LOOK, _NUMBER = (2e4, 180.0, 0.2) if _COMPILED else (4e5, 20.0, 3.0)
"""Nanoseconds of an event-driven step, of a look at a pair, and of a number of its neuron."""

_START = 45.0
"""Nanoseconds for each pair of a neuron and a point at the start, beside the counts."""

_PAIR_BYTES = 30
"""Of a pair of a neuron and a point: numbers, and its places in the lists of the calendar."""

_COUNT_BYTES = 32
"""Of a pair of points, for each pair of outputs: counts, their sums, and room to change them."""


def event_driven_bytes(points: int, width: int) -> int:
    """Memory of the event-driven form that grows with the width."""
    return _PAIR_BYTES * points * width


def event_driven_counts(points: int, outputs: int) -> int:
    """Bytes of what the event-driven form counts, at any width."""
    return _COUNT_BYTES * (points * outputs) ** 2


def cheapest(
    points: Points,
    *,
    width: int,
    outputs: int,
    rates: NDArray[np.float64],
    both_layers: bool = False,
) -> Form:
    """The form that is expected to take the least time for one net, if it fits the memory.

    Args:
        points: the inputs.
        width: m.
        outputs: C.
        rates: η/√m of every step.
        both_layers: whether the output weights are trained too, which leaves no running sum.
    """
    inputs, own = points.inputs, math.ceil(width / ranks.size())
    if both_layers or points.precision not in ("float64", "float32"):
        return "dense"
    if inputs.device.type != "cpu":  # the times above are a processor's
        return "dense"
    count, steps = len(inputs), len(rates)
    wanted = event_driven_bytes(count, own) + event_driven_counts(count, outputs)
    if wanted > memory_limit() / 2:
        return "dense"
    # Products take all threads; what an event-driven step does takes one.
    operation = _OPERATION[inputs.dtype] / torch.get_num_threads()
    half = 2 * points.rank if points.many else count
    dense = count * own * (_PASS[inputs.dtype] + 2 * half * operation)
    counts = count * outputs * (outputs + 1) * operation
    events = _STEP + (outputs * count) ** 2 + own * count * (_START + counts) / steps
    if events >= dense:  # and of many points the products below need not be formed
        return "dense"
    moved = float(np.mean(rates)) * float(points.exact_gram.abs().mean()) * count
    looks = own * count * min(_LOOKED_AT[points.many] * moved, 1.0)
    events += looks * (_LOOK + _NUMBER * count * outputs)
    return "event-driven" if events < dense else "dense"


def make_neurons(
    network: Nets, points: Points, form: Form, *, size: int, both_layers: bool = False
) -> Neurons:
    """Neurons of this process at their start.

    Args:
        network: initial nets.
        points: the inputs.
        form: of a step.
        size: neurons of a block.
        both_layers: train the output weights too.
    """
    parts = list(ranks.own(torch.split(network.output, size, dim=2)))
    drawn = ranks.own(network.blocks(size))
    if form == "event-driven":
        return _event_driven(points)(
            points,
            drawn,
            torch.cat(parts, dim=2),
            [part.shape[2] for part in parts],
            network.antisymmetric and ranks.size() == 1,
        )
    own = math.ceil(network.width / ranks.size())
    return Blocks(
        points,
        drawn,
        size,
        neurons=sum(part.shape[2] for part in parts),
        keeps=patterns_fit(len(points.inputs), own, network.count),
        both_layers=both_layers,
    )


def _event_driven(points: Points) -> type[EventDriven]:
    """Compiled steps, where they can be had."""
    if not _COMPILED or points.inputs.device.type != "cpu":
        return EventDriven
    from ntk_theory.training.compiled import CompiledEventDriven

    return CompiledEventDriven


def own_block(network: Nets, points: Points) -> int:
    """Neurons of a block: of all nets together, and no more than this process holds."""
    inputs = points.inputs
    size = block_size(
        len(inputs), network.count, network.width, inputs.element_size(), inputs.device.type
    )
    return min(size, math.ceil(network.width / ranks.size()))

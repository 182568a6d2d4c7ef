"""A step of `EventDriven` as one compiled loop over the pairs that are due; it needs numba.

The arithmetic is the same, pair by pair, and without calls of a library that take longer than what
they do: where few neurons are due, most of a step.
"""

from __future__ import annotations

__all__ = ["CompiledEventDriven"]

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ntk_theory.training.calendar import SLACK
from ntk_theory.training.events import EventDriven

Function = TypeVar("Function", bound=Callable[..., Any])
Array = NDArray[np.float64]
Whole = NDArray[np.int64]

_REORDERED = {"reassoc", "contract"}
"""Sums over points may be taken in the order that the processor likes best."""


def _compiled(function: Function) -> Function:
    """Compiled when it is first called, and kept on disk where that can be written to."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _REORDERED}
    try:
        return cast(Function, numba.njit(function, cache=True, **options))
    except RuntimeError:  # there is no place for it
        return cast(Function, numba.njit(function, **options))


@_compiled
def _move(
    pull: Array,
    gram: Array,
    unit: float,
    signs: Array,
    running: Array,
    moved: Array,
    near: Array,
    growth: Array,
) -> bool:
    """Add a pull to the running sum, and what it moves at most to the calendar.

    Args:
        pull: (S, C, n).
        gram: Γ, (n, n).
        unit: of the distances.
        signs: of half of the kinds of movement, (q/2, C); (0, C) for a single kind.
        running: changed, (S, C, n).
        moved: changed, (S, n, q).
        near: how far the pairs have been taken out, (S, n, q).
        growth: filled, (S, n, q).

    Returns:
        Whether more pairs have to be taken out.
    """
    nets, classes, count = pull.shape
    half = len(signs)
    there, back = np.empty(count), np.empty(count)
    beyond = False
    for net in range(nets):
        for c in range(classes):
            for j in range(count):
                running[net, c, j] += pull[net, c, j]
        for kind in range(max(half, 1)):
            for i in range(count):
                there[i] = back[i] = 0.0
            for j in range(count):
                force = 0.0
                for c in range(classes):
                    force += signs[kind, c] * pull[net, c, j] if half else abs(pull[net, c, j])
                force *= unit
                for i in range(count):
                    move = gram[j, i] * force
                    there[i] += max(move, 0.0)
                    back[i] -= min(move, 0.0)
            for i in range(count):
                if half:
                    growth[net, i, kind], growth[net, i, half + kind] = there[i], back[i]
                else:
                    growth[net, i, 0] = there[i] + back[i]
        for i in range(count):
            for kind in range(max(2 * half, 1)):
                moved[net, i, kind] += SLACK * growth[net, i, kind]
                beyond |= moved[net, i, kind] > near[net, i, kind]
    return beyond


@_compiled
def _look(
    days: Array,
    cells: Whole,
    places: Whole,
    moved: Array,
    gram: Array,
    running: Array,
    a: Array,
    inverse: Array,
    linear: Array,
    active: NDArray[np.int8],
    shift: Array,
    sums: Array,
    halves: Array,
) -> bool:
    """Take the pre-activations of the pairs that are due, and turn on or off what has changed sign.

    The first three are of the page of the calendar, and are changed; all others are those of the
    calendar and of `EventDriven`, the last five changed. Returns whether a sign has changed.
    """
    nets, classes, count = running.shape
    opposite = moved.shape[2] // 2
    reached = moved.reshape(-1)
    pulled = np.empty((nets * count, count))
    if classes == 1:
        for net in range(nets):
            for i in range(count):
                for j in range(count):
                    pulled[net * count + i, j] = gram[i, j] * running[net, 0, j]
    gained = np.zeros((nets, classes, count))
    changed = False
    for p in range(len(days)):
        if days[p] > reached[cells[p]]:
            continue
        row, spot = places[1, p], places[2, p]
        net, i = spot // count, spot % count
        z = 0.0
        if classes == 1:
            for j in range(count):
                z += pulled[spot, j] * active[row, j]
            z *= a[row, 0]
        else:
            for j in range(count):
                if active[row, j]:
                    for c in range(classes):
                        z += gram[i, j] * a[row, c] * running[net, c, j]
        z = linear[row, i] - z
        if (z > 0) != (active[row, i] > 0):
            changed = True
            _switch(row, net, i, z, gram, running, a, linear, active, shift, gained, halves)
            cells[p] ^= opposite
        days[p] = reached[cells[p]] + abs(z) * inverse[row]
    if changed:
        for net in range(nets):
            for c in range(classes):
                for j in range(count):
                    sums[net, j, c] += gained[net, c, j]
    return changed


@_compiled
def _switch(
    row: int,
    net: int,
    i: int,
    z: float,
    gram: Array,
    running: Array,
    a: Array,
    linear: Array,
    active: NDArray[np.int8],
    shift: Array,
    gained: Array,
    halves: Array,
) -> None:
    """Turn one pair on or off; what the sums gain by it is (S, C, n)."""
    _, classes, count = running.shape
    sign = 1.0 if z > 0 else -1.0
    gain = 0.0
    for c in range(classes):
        gain += sign * a[row, c] * running[net, c, i]
        gained[net, c, i] += sign * a[row, c] * linear[row, i]
    shift[row, i] -= gain
    active[row, i] = 1 if z > 0 else 0
    for c in range(classes):
        weight = a[row, c] * gain
        for j in range(count):
            gained[net, c, j] += weight * gram[i, j] * active[row, j]
        for other in range(classes):
            both = sign * a[row, c] * a[row, other]
            for j in range(count):
                halves[net, i, c, other, j] += both * active[row, j]
            # The pair is in one of the two patterns, before and after.
            halves[net, i, c, other, i] += both * (0.5 - active[row, i])
    for j in range(count):
        linear[row, j] += gain * gram[i, j]


@_compiled
def _sum_up(
    changed: bool,
    gram: Array,
    running: Array,
    sums: Array,
    halves: Array,
    coefficients: Array,
    outputs: Array,
) -> None:
    """Fill the outputs, (S, n, C), and the coefficients if they have changed, (S, n, C, C, n)."""
    nets, classes, count = running.shape
    for net in range(nets):
        for i in range(count):
            for c in range(classes):
                moved = 0.0
                for other in range(classes):
                    if changed:
                        for j in range(count):
                            both = halves[net, i, c, other, j] + halves[net, j, other, c, i]
                            coefficients[net, i, c, other, j] = gram[i, j] * both
                    for j in range(count):
                        moved += coefficients[net, i, c, other, j] * running[net, other, j]
                outputs[net, i, c] = sums[net, i, c] - moved


class CompiledEventDriven(EventDriven):
    """`EventDriven` on a processor, with compiled steps."""

    page: Tensor | None = None
    """Of the calendar, when the arrays below were taken."""

    def _take_arrays(self) -> None:
        """Views of the tensors; they are others after a page is turned, and taking them is slow."""
        calendar = self.calendar
        self.page = calendar.soon_day
        gram, running, sums, halves, moved = (
            part.numpy()
            for part in (self.gram, self.running, self.sums, self.halves, calendar.moved)
        )
        signs = np.zeros((0, self.classes)) if self.signs is None else self.signs.numpy()
        self.growth = np.empty(moved.shape)
        self.moving = gram, self.unit, signs, running, moved, calendar.near.numpy(), self.growth
        soon = calendar.soon_day, calendar.soon_cell, calendar.soon_places
        of_neurons = (self.a, self.inverse, self.linear, self.active.view(torch.int8), self.shift)
        self.looking = (
            *(part.numpy() for part in soon),
            *(moved, gram, running),
            *(part.numpy() for part in of_neurons),
            *(sums, halves),
        )
        coefficients = self.coefficients.numpy().reshape(halves.shape)
        self.summing = gram, running, sums, halves, coefficients

    def step(self, residual: Tensor, rate: float) -> Tensor:
        """One gradient step; returns the new `outputs`."""
        if self.page is not self.calendar.soon_day:
            self._take_arrays()
        if _move((rate * residual.mT).numpy(), *self.moving):
            self.calendar.turn_page(torch.from_numpy(self.growth))
            self._take_arrays()
        changed = _look(*self.looking)
        outputs = np.empty(self.sums.shape)
        _sum_up(changed, *self.summing, outputs)
        return torch.from_numpy(outputs)

"""When the sign of a pre-activation could change next.

A pair of a neuron r and a point i is at the distance |z_ri| from a change of sign. A step moves it
at most by a number that is the same for all pairs of a cell: of one point, and of neurons whose
output weights have the same signs, or the opposite ones and the opposite activation. So a pair that
is looked at has its next day when the sum of these numbers has grown by its distance.

Most pairs are so far away that they are never looked at. They wait in three places: at the start,
which is gone through again only when the sums have outgrown what was taken from it; in the list of
the pairs that were taken; and on the page of those that can come due within the next steps.
"""

from __future__ import annotations

__all__ = ["SLACK", "Calendar", "Due"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_AHEAD = 32
"""Steps as large as the last one for which pairs are taken out of a list."""

_TOGETHER, _LOOKED_AT = 2**18, 2**22
"""Numbers of the start that are gone through together, so that they stay in the caches, and of the
neurons of pairs that are looked at together, so that they fit the memory if all pairs are due."""

_ROUNDED_DOWN = 1 - 2.0**-22
"""Factor that makes a distance in float32 no larger than it is."""

SLACK = 1 + 1e-9
"""Factor that makes a sum of movements no smaller than it is."""


@dataclass(frozen=True)
class Due:
    """Pairs to look at.

    Attributes:
        place: where they stand in the list of the pairs that can come due, shape (k,).
        pair: r n + i, r counting the neurons of all nets, shape (k,).
        row: r, shape (k,).
        spot: s n + i, s being the net of r, shape (k,).
    """

    place: Tensor
    pair: Tensor
    row: Tensor
    spot: Tensor


class Calendar:
    """Pairs of neurons and points, by the day of their next possible change of sign.

    Attributes:
        moved: how far the pairs of each cell have moved at most, shape (S, n, q).
        near: how far they may have until `turn_page` is called.
        soon_day, soon_cell, soon_places: of the pairs that can come due until then; pair, row and
            spot, as in `Due`, are the rows of the last.

    Args:
        start: initial distances, positive where the neuron is active, shape (S, kept, n) in
            float32; `kept` is the number m of neurons of a net, or half of it if the second half
            starts like the first.
        kinds: which of the q kinds of movement takes an active neuron across, shape (S, m); an
            inactive one is taken by the kind that is q/2 away from it.
        count: q, a power of 2.
    """

    def __init__(self, start: Tensor, kinds: Tensor, count: int) -> None:
        self.start, self.kinds, self.count = start.mul_(_ROUNDED_DOWN), kinds, count
        nets, _, points = start.shape
        self.moved = start.new_zeros(nets, points, count, dtype=torch.float64)
        self.taken = torch.full_like(self.moved, -1.0)
        self.pair, self.cell = (kinds.new_empty(0) for _ in range(2))
        self.day = self.moved.new_empty(0)
        self._close_page()

    def advance(self, growth: Tensor) -> Iterator[Due]:
        """Move on by a step, and give the pairs that may have changed sign.

        Args:
            growth: what it moves the pairs of each cell at most, in the unit of the distances,
                shape (S, n, q).
        """
        self.moved.add_(growth, alpha=SLACK)
        if bool((self.moved > self.near).any()):
            self.turn_page(growth)
        due = self.soon_day <= self.moved.take(self.soon_cell)
        places = due.nonzero().squeeze(1)
        for place in torch.split(places, max(1, _LOOKED_AT // self.moved.shape[1])):
            if place.numel():
                yield Due(place, *self.soon_places.index_select(1, place))

    def put_back(self, due: Due, distance: Tensor, changed: Tensor) -> None:
        """Give pairs that were looked at their next day.

        Args:
            due: the pairs.
            distance: from a change of sign, shape (k,).
            changed: which of them have just changed it, shape (l,).
        """
        if changed.numel():
            turned = due.place.index_select(0, changed)
            across = self.soon_cell.index_select(0, turned) ^ (self.count // 2)
            self.soon_cell.index_copy_(0, turned, across)
        cell = self.soon_cell.index_select(0, due.place)
        self.soon_day.index_copy_(0, due.place, self.moved.take(cell).add_(distance))

    def turn_page(self, growth: Tensor) -> None:
        """Take out the pairs that can come due within the next steps."""
        self._write_back()
        wanted = self.moved + _AHEAD * growth
        if bool((wanted > self.taken).any()):
            most = growth.amax(dim=2, keepdim=True)
            self._take(torch.maximum(self.moved + _AHEAD * most, 2 * self.moved))
        self.near = torch.minimum(wanted, self.taken)
        chosen = (self.day <= self.near.take(self.cell)).nonzero().squeeze(1)
        self.chosen, pair = chosen, self.pair[chosen]
        self.soon_day, self.soon_cell = self.day[chosen], self.cell[chosen]
        row = torch.div(pair, self.moved.shape[1], rounding_mode="floor")
        spot = torch.div(self.soon_cell, self.count, rounding_mode="floor")
        self.soon_places = torch.stack([pair, row, spot])

    def _write_back(self) -> None:
        """Note what has become of the pairs of the last steps."""
        self.cell.index_copy_(0, self.chosen, self.soon_cell)
        self.day.index_copy_(0, self.chosen, self.soon_day)

    def _close_page(self) -> None:
        """Have no pairs that can come due, so that they are taken out before the next step."""
        self.near = torch.full_like(self.moved, -1.0)
        self.chosen, self.soon_cell = (self.pair.new_empty(0) for _ in range(2))
        self.soon_day, self.soon_places = self.day.new_empty(0), self.pair.new_empty(3, 0)

    def _take(self, until: Tensor) -> None:
        """Take out the pairs of the start whose first day comes until then."""
        until = torch.maximum(self.taken, until)
        parts = [(self.pair, self.cell, self.day), *self._started(until)]
        self.pair, self.cell, self.day = (torch.cat(part) for part in zip(*parts, strict=True))
        self.taken = until

    def _started(self, until: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        nets, kept, points = self.start.shape
        neurons = self.kinds.shape[1]
        size = max(1, _TOGETHER // points)
        highest = until.amax(dim=2).float().mul_(1 / _ROUNDED_DOWN)
        for net in range(nets):
            for first in range(0, kept, size):
                part = self.start[net, first : first + size]
                found = (part.abs() <= highest[net]).view(-1).nonzero().squeeze(1)
                distance = part.reshape(-1)[found].double()
                row = first + torch.div(found, points, rounding_mode="floor")
                point, day = found % points, distance.abs()
                for half in range(0, neurons, kept):
                    kind = self.kinds[net, row + half]
                    kind = torch.where(distance > 0, kind, kind ^ (self.count // 2))
                    cell = (net * points + point) * self.count + kind
                    new = (day > self.taken.take(cell)) & (day <= until.take(cell))
                    pair = (net * neurons + row + half) * points + point
                    yield pair[new], cell[new], day[new]

    @property
    def state(self) -> dict[str, Tensor]:
        """What changes from step to step."""
        self._write_back()
        names = ("moved", "taken", "pair", "cell", "day")
        return {name: getattr(self, name) for name in names}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go to a saved state."""
        for name in ("moved", "taken", "pair", "cell", "day"):
            setattr(self, name, state[name].to(self.start.device))
        self._close_page()

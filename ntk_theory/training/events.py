"""Neurons in training that are looked at only when one of their signs could have changed.

Between two changes of its activations a neuron is linear in the running sum of the residuals,
R_t = Σ_{s<t} (η_s/√m) (u_s − z_s). With A_r its activations, and Q_r what earlier ones have left,

    z_r(t) = z_r(0) − Γ G_r(t),    G_r(t) = A_r ∘ (a_r R_t) + Q_r,

and where the pair (r, i) turns on or off, one number changes: Q_ri loses or gains a_r R_ti. With
P_r = z_r(0) − Γ Q_r the sums over neurons are

    Σ_r a_r relu(z_r) = Σ_r a_r A_r ∘ P_r − (Γ ∘ Σ_r a_r² A_r A_rᵀ) R_t,

whose coefficients change with the activations alone. So a step takes some n² operations, and some n
for every pair that is looked at. None is missed (`calendar.py`): the trajectory is that of gradient
descent, to rounding (docs/theory.md, section 1).
"""

from __future__ import annotations

__all__ = ["EventDriven"]

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntk_theory.training.calendar import Calendar, Due
from ntk_theory.training.neurons import Change, Drawn, Neurons
from ntk_theory.training.points import Points

_LEAST = 2.0**-125
"""Distance of an active pair, at least: a smaller one would be 0 in float32, and inactive."""

_SIGNED = 4
"""Outputs of which every combination of signs of their weights has movements of its own."""


def _of_all_neurons(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros of which a processor takes those from the system that are written to.

    By numpy, which asks it for large pages: a tenth less time where neurons are looked at here and
    there.
    """
    if device.type == "cpu":
        return torch.from_numpy(np.zeros(shape, dtype=bool if dtype is torch.bool else np.float64))
    return torch.zeros(shape, dtype=dtype, device=device)


class EventDriven(Neurons):
    """Neurons whose first layer is trained, known by one running sum and their activations.

    Args:
        points: the inputs.
        drawn: initial weights, block by block.
        output: output weights of all these neurons, shape (S, C, m).
        sizes: neurons of each block.
        pairs: whether the second half of the neurons starts like the first, with opposite output
            weights.
    """

    def __init__(
        self, points: Points, drawn: Drawn, output: Tensor, sizes: Sequence[int], pairs: bool
    ) -> None:
        self.points, self.output, self.sizes = points, output, sizes
        self.nets, self.classes, self.width = output.shape
        self.kept = self.width // 2 if pairs else self.width
        self.gram = points.exact_gram
        count, rows = len(self.gram), self.nets * self.width  # row s m + r is neuron r of net s
        self.grams = self.gram.expand(self.nets, -1, -1).reshape(-1, count)
        self.a = output.double().mT.reshape(rows, self.classes)
        shape, device = (rows, count), self.gram.device
        self.linear = _of_all_neurons(shape, torch.float64, device)
        self.active = _of_all_neurons(shape, torch.bool, device)
        # In units of the largest input and of each output weight distances have a size of 1.
        self.unit = 1 / float(self.gram.diagonal().max().sqrt() or 1.0)
        self.inverse = self.unit / self.a.abs().amax(dim=1)
        self.kinds, self.signs = self._kinds()
        self.start(drawn)

    def _kinds(self) -> tuple[Tensor, Tensor | None]:
        """Kind of movement that takes each active neuron across; signs of half of them, (q/2, C).

        Opposite signs are q/2 apart. With many outputs, or weights of several sizes, there is one
        kind for all.
        """
        size, top = self.a.abs(), self.classes - 1
        if self.classes > _SIGNED or not bool((size == size[:, :1]).all()):
            return torch.zeros(self.nets, self.width, dtype=torch.int64, device=size.device), None
        bits = 2 ** torch.arange(top, device=size.device)
        positive = self.a > 0
        last = positive[:, top:]
        kinds = ((positive[:, :top] ^ last) * bits).sum(dim=1) + 2**top * last[:, 0]
        every = torch.arange(2**top, device=size.device)[:, None]
        signs = size.new_full((2**top, self.classes), -1.0)
        signs[:, :top][(every // bits) % 2 > 0] = 1.0
        return kinds.view(self.nets, self.width), signs

    def start(self, drawn: Drawn) -> None:
        """Go to the initial weights, read once."""
        nets, count = self.nets, len(self.gram)
        linear, active, weights = (
            part.view(nets, self.width, -1) for part in (self.linear, self.active, self.a)
        )
        unweighted = bool((self.a.abs() == 1).all())
        halves = self.gram.new_zeros(nets, count, self.classes, self.classes, count)
        self.sums = self.gram.new_zeros(nets, count, self.classes)
        distances = torch.empty(
            nets, self.kept, count, dtype=torch.float32, device=self.gram.device
        )
        first = 0
        for hidden, _ in drawn:
            last = min(first + hidden.shape[1], self.kept)
            z = (hidden[:, : last - first] @ self.points.inputs.mT).double()
            a, on = weights[:, first:last], z > 0
            linear[:, first:last], active[:, first:last] = z, on
            distances[:, first:last] = self._distance(z, a)
            # Whole numbers below 2^24 are exact in float32.
            on = on.float() if unweighted else on.double()
            for c in range(self.classes):
                for other in range(c + 1):
                    both = (a[..., c] * a[..., other])[..., None].to(on.dtype)
                    halves[:, :, c, other] += ((on * both).mT @ on) / 2
                    if other < c:
                        halves[:, :, other, c] = halves[:, :, c, other]
            if self.kept == self.width:
                self.sums += (z * on).mT @ a
            first = last
            if first == self.kept:
                break
        if self.kept < self.width:
            linear[:, self.kept :], active[:, self.kept :] = (
                part[:, : self.kept] for part in (linear, active)
            )
            halves *= 2
        self.halves = halves
        self.running = self.gram.new_zeros(nets, self.classes, count)
        shape = nets * self.width, count
        self.shift = _of_all_neurons(shape, torch.float64, self.gram.device)
        kinds = 1 if self.signs is None else 2 * len(self.signs)
        self.calendar = Calendar(distances, self.kinds, kinds)
        self.coefficients = self._coefficients(self.halves)

    def _distance(self, z: Tensor, a: Tensor) -> Tensor:
        """Signed, and infinite where nothing moves; kept in float32, which may not lose a sign."""
        scaled = z * (self.unit / a.abs().amax(dim=-1, keepdim=True))
        scaled = torch.where(z > 0, scaled.clamp_min(_LEAST), scaled)
        return torch.where(self.gram.diagonal() > 0, scaled, -math.inf)

    def _coefficients(self, halves: Tensor) -> Tensor:
        """Of the running sum, from half of the weighted counts of what is active together."""
        sums = (halves + halves.transpose(1, 4)).mul_(self.gram[:, None, None, :])
        return sums.view(self.nets, len(self.gram) * self.classes, -1)

    def outputs(self) -> Tensor:
        """Sums over these neurons, shape (S, n, C)."""
        sums = self.sums.view(self.nets, -1, 1)
        moved = self.running.view(self.nets, -1, 1)
        return sums.baddbmm(self.coefficients, moved, alpha=-1).view_as(self.sums)

    def step(self, residual: Tensor, rate: float) -> Tensor:
        """One gradient step; returns the new `outputs`."""
        pull = rate * residual.mT
        self.running.add_(pull)
        for due in self.calendar.advance(self._growth(pull)):
            self._look(due)
        return self.outputs()

    def _growth(self, pull: Tensor) -> Tensor:
        """What the step moves a pair at most, for every point and kind, whatever is active."""
        pull = self.unit * pull
        if self.signs is None:
            return self.gram.abs() @ pull.abs().sum(dim=1)[..., None]
        # Of opposite signs one takes what is active across, the other what is not.
        mixed = self.signs @ pull if self.classes > 1 else -pull
        moves = mixed[:, :, None] * self.gram
        there, back = moves.relu().sum(dim=3), moves.clamp_(max=0).sum(dim=3).neg_()
        return torch.cat([there, back], dim=1).mT

    def _look(self, due: Due) -> None:
        """Take the pre-activations of pairs, and note which have changed sign."""
        a = self.a.index_select(0, due.row)
        patterns = self.active.view(torch.int8).index_select(0, due.row).double()
        if self.classes == 1:
            pulled = (self.gram * self.running).view(-1, len(self.gram)).index_select(0, due.spot)
            moved = pulled.mul_(patterns).sum(dim=1).mul_(a[:, 0])
        else:
            net = torch.div(due.row, self.width, rounding_mode="floor")
            pulled = torch.einsum("kc,kcn->kn", a, self.running.index_select(0, net))
            moved = pulled.mul_(patterns).mul_(self.grams.index_select(0, due.spot)).sum(dim=1)
        z = self.linear.take(due.pair).sub_(moved)
        now = z > 0
        changed = (now != self.active.take(due.pair)).nonzero().squeeze(1)
        if changed.numel():
            parts = due.pair, due.row, due.spot, a, z, patterns
            self._switch(*(part.index_select(0, changed) for part in parts))
        self.calendar.put_back(due, z.abs_().mul_(self.inverse.take(due.row)), changed)

    def _switch(
        self, pair: Tensor, row: Tensor, spot: Tensor, a: Tensor, z: Tensor, before: Tensor
    ) -> None:
        """Turn pairs on or off.

        Those of `Due`, with the output weights (k, C) and the patterns so far (k, n) of their
        neurons, and their pre-activations (k,), which tell on from off.
        """
        on = z > 0
        self.active.put_(pair, on)
        after = self.active.view(torch.int8).index_select(0, row).double()
        turned = a * on.double().mul_(2).sub_(1)[:, None]
        reached = self.running.mT.reshape(-1, self.classes).index_select(0, spot)
        gain = (turned * reached).sum(dim=1)
        self.linear.index_add_(0, row, self.grams.index_select(0, spot).mul_(gain[:, None]))
        self.shift.view(-1).index_add_(0, pair, gain, alpha=-1)
        # What the running sum will be multiplied by from now on is taken out of the rest, so that
        # no output jumps, but by the little that a pair has gone beyond zero.
        both = (turned[:, :, None] * a[:, None, :])[..., None] * before.add_(after)[:, None, None]
        added = torch.zeros_like(self.halves)
        added.view(len(self.grams), -1).index_add_(0, spot, both.flatten(1), alpha=0.5)
        self.halves.add_(added)
        sums, running = (part.view(self.nets, -1, 1) for part in (self.sums, self.running))
        sums.baddbmm_(self._coefficients(added), running)
        self.sums.view(-1, self.classes).index_add_(0, spot, turned.mul_(z[:, None]))
        self.coefficients = self._coefficients(self.halves)

    def changes(self, drawn: Drawn, keep: bool) -> Iterator[Change]:
        """How far the neurons of each block have come."""
        first, weights = 0, iter(drawn)
        inputs = self.points.inputs.double()
        for size in self.sizes:
            block = slice(first, first + size)
            active, shift, a = (
                part.view(self.nets, self.width, -1)[:, block]
                for part in (self.active, self.shift, self.a)
            )
            pulls = (a @ self.running).mul_(active).add_(shift)
            begun = torch.arange(first, first + size, device=a.device) % self.kept
            flips = (active != (self.calendar.start[:, begun] > 0)).sum(dim=(1, 2))
            hidden = None
            if keep:
                start, _ = next(weights)
                hidden = start - (pulls @ inputs).to(start.dtype)
            yield Change((pulls @ self.points.triangle).square().sum(dim=2), flips, hidden)
            first += size

    @property
    def output_weights(self) -> Sequence[Tensor]:
        """Those of each block, shape (S, C, neurons)."""
        return torch.split(self.output, list(self.sizes), dim=2)

    @property
    def state(self) -> dict[str, Any]:
        """What changes in training."""
        names = ("linear", "active", "shift", "running", "sums", "halves")
        return {name: getattr(self, name) for name in names} | {"calendar": self.calendar.state}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state."""
        for name in self.state:
            if name != "calendar":
                setattr(self, name, state[name].to(self.gram.device))
        self.calendar.load(state["calendar"])
        self.coefficients = self._coefficients(self.halves)

"""A ladder of widths: nets against closed forms, and what narrower nets tell of wider ones."""

from __future__ import annotations

__all__ = ["NetPlan", "planned"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ntk_theory.checking.evidence import chosen
from ntk_theory.checking.nets import check_nets, check_widths, train_nets
from ntk_theory.checking.verdicts import Options
from ntk_theory.problems import Recipe
from ntk_theory.training import Trajectory
from ntk_theory.training.products import storage


@dataclass(frozen=True)
class NetPlan:
    """Which nets a claim trains.

    Attributes:
        preset: name of the preset that chose what the user left open.
        seed: of all randomness.
        widths: ascending.
        count: nets at each width.
        dtype: their precision.
        device: where they are trained.
    """

    preset: str
    seed: int
    widths: tuple[int, ...]
    count: int
    dtype: str
    device: str

    def config(self) -> dict[str, Any]:
        """Every number of the plan, under the names of the knobs."""
        return {
            "preset": self.preset,
            "seed": self.seed,
            "seeds": self.count,
            "widths": list(self.widths),
            "device": self.device,
            "dtype": self.dtype,
        }

    @property
    def control_width(self) -> int:
        """Width of control nets: one below the widest."""
        return self.widths[-2]

    def rounding_allowance(self, width: int) -> float:
        """Rounding of an output, a sum of m terms: eps √m (docs/theory.md, section 11)."""
        return float(torch.finfo(storage(self.dtype)).eps) * math.sqrt(width)

    def train(self, recipe: Recipe, width: int, seeds: Sequence[int], **more: Any) -> Trajectory:
        """Nets of the plan's precision on its device, one a seed; `more` is as for `train_nets`."""
        return train_nets(recipe, width, seeds, dtype=self.dtype, device=self.device, **more)


def planned(
    options: Options,
    widths: Sequence[int],
    count: int,
    precisions: Sequence[str],
    least_count: int = 3,
    least_widths: int = 4,
) -> NetPlan:
    """Nets that the user asked for, or else the claim's own.

    Args:
        options: of the run.
        widths: where the options leave them open.
        count: nets at each width where the options leave it open.
        precisions: what the options may ask for; the first where they leave it open.
        least_count: how many nets it takes to tell their spread.
        least_widths: how many widths the claim's fits need.

    Raises:
        ValueError: for too few widths or nets, or another precision.
    """
    ladder = check_widths(chosen(options.widths, tuple(widths)), least_widths)
    nets = check_nets(chosen(options.seeds, count), least_count)
    precision = chosen(options.dtype, precisions[0])
    if precision not in precisions:
        raise ValueError(
            f"dtype must be {' or '.join(sorted(set(precisions)))} for preset {options.preset}, "
            f"whose tolerances leave no room for fewer bits; got {precision}"
        )
    return NetPlan(options.preset, options.seed, ladder, nets, precision, options.device)

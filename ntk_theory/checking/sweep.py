"""Which nets a run trains: widths, how many of each, with which seeds."""

from __future__ import annotations

__all__ = [
    "BOOTSTRAP_STREAM", "CONTROL_STREAM", "EARLY", "NETS_STREAM", "PRESETS", "Sweep", "net_seeds",
    "with_nets",
]  # fmt: skip

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

NETS_STREAM, CONTROL_STREAM, BOOTSTRAP_STREAM = 0, 1, 2
"""Keep the seeds of the claim's nets, of its control nets and of resampling apart."""

_WIDEST = 2**20
"""Width that no sweep passes unless it says so itself."""


@dataclass(frozen=True)
class Sweep:
    """Widths from one to another, as evenly as powers of 2 times the first can be.

    Attributes:
        first: narrowest width.
        last: widest one, a power of 2 times the first.
        count: how many widths.
        nets: trained at each width.
    """

    first: int
    last: int
    count: int
    nets: int

    def widths(self, lazy_width: float = 0.0) -> tuple[int, ...]:
        """The widths where narrow nets are lazy.

        A sweep starts later where narrow nets would not be, and then it ends later, too, if its
        steps would be smaller than factors of 2; but it does not pass 2^20.

        Args:
            lazy_width: m_lazy; the narrowest width is to be four times as large.

        >>> Sweep(512, 2**17, 5, nets=4).widths()
        (512, 2048, 8192, 32768, 131072)
        >>> Sweep(256, 4096, 5, nets=4).widths(lazy_width=321.0)
        (2048, 4096, 8192, 16384, 32768)
        """
        first, shortest = self.first, 2 ** (self.count - 1)
        while first < 4 * lazy_width and 2 * first * shortest <= _WIDEST:
            first *= 2
        span = math.log2(max(self.last // first, shortest))
        return tuple(
            first * 2 ** round(span * place / (self.count - 1)) for place in range(self.count)
        )


PRESETS: Mapping[str, Sweep] = {
    "quick": Sweep(1024, 8192, 4, nets=6),
    "standard": Sweep(2048, 2**17, 4, nets=8),
    "wide": Sweep(4096, 2**20, 5, nets=6),
    "thorough": Sweep(2048, 2**18, 8, nets=12),
}
"""Sweeps of a claim that has none of its own."""

EARLY: Mapping[str, Sweep] = {
    "quick": Sweep(256, 4096, 5, nets=4),
    "standard": Sweep(512, 2**17, 5, nets=6),
    "wide": Sweep(1024, 2**20, 6, nets=4),
    "thorough": Sweep(512, 2**18, 10, nets=16),
}
"""Sweeps that start at narrower nets, and have fewer of each width."""


def with_nets(presets: Mapping[str, Sweep], *nets: int) -> dict[str, Sweep]:
    """The same sweeps with other numbers of nets, in the order of the presets."""
    pairs = zip(presets.items(), nets, strict=True)
    return {name: replace(sweep, nets=count) for (name, sweep), count in pairs}


def net_seeds(seed: int, width: int, count: int, stream: int) -> list[int]:
    """Seeds of the nets of one width: they depend on these numbers alone.

    Args:
        seed: of the run.
        width: m.
        count: how many.
        stream: keeps different uses of one width apart.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, width))
    return [int(word) for word in sequence.generate_state(count, np.uint32)]

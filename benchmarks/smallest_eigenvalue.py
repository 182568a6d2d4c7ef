"""Smallest eigenvalue of a Gram matrix, against dense and iterative solvers."""

from __future__ import annotations

__all__ = ["measure"]

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from scipy.linalg import cho_factor, eigvalsh

from benchmarks.timing import Entry, compare, whole
from ntk_theory import kernels, spectrum

_POINTS, _FEATURES = 2000, 64


def measure(rounds: int) -> Iterator[Entry]:
    """One entry."""
    inputs = np.random.default_rng(0).standard_normal((_POINTS, _FEATURES))
    gram = kernels.ntk_limit(inputs)
    tensor = torch.from_numpy(gram)
    (exact,) = eigvalsh(gram, subset_by_index=(0, 0))
    yield compare(
        "smallest eigenvalue",
        {"n": _POINTS},
        {
            "ours": whole(partial(spectrum.lambda_min, gram)),
            "floor": whole(partial(cho_factor, gram)),
            "scipy eigvalsh": whole(partial(eigvalsh, gram, subset_by_index=(0, 0))),
            "torch eigvalsh": whole(partial(torch.linalg.eigvalsh, tensor)),
            "torch lobpcg": whole(partial(torch.lobpcg, tensor, k=1, largest=False)),
        },
        rounds=rounds,
        accuracy={"relative": abs(spectrum.lambda_min(gram) / exact - 1)},
    )

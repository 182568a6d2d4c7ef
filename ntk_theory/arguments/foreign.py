"""What comes from torch, found and read without loading torch."""

from __future__ import annotations

__all__ = ["article", "is_tensor", "of_tensor"]

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(value: object) -> bool:
    """Whether it is torch's, found without loading torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def of_tensor(name: str, value: Any) -> NDArray[Any]:
    """A tensor's numbers: off its device, off its graph."""
    if value.layout is not sys.modules["torch"].strided:
        raise TypeError(f"{name} must be dense; got a sparse tensor; give {name}.to_dense()")
    if value.is_meta:
        raise TypeError(f"{name} must hold numbers; got a tensor on the device 'meta', which none")
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if plain.is_floating_point() and plain.element_size() < 4:  # bfloat16 is none of numpy's
        plain = plain.double()
    return np.asarray(plain.numpy())


def article(kind: str) -> str:
    """A kind with its article."""
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"

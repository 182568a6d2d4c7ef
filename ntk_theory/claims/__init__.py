"""The claims: each module of this package whose name starts with no _ has one, as `CLAIM`."""

from __future__ import annotations

__all__ = ["all_claims"]

import sys
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def all_claims() -> dict[str, Any]:
    """Every claim by its id, in alphabetical order of the modules."""
    modules = sorted(module.name for module in iter_modules(__path__) if module.name[0] != "_")
    claims = [import_module(f"{__name__}.{name}").CLAIM for name in modules]
    return {claim.id: claim for claim in claims}


class _Callable(ModuleType):
    """So that `ntk_theory.claims()` lists claims, and `ntk_theory.claims` is this package too."""

    def __call__(self) -> dict[str, Any]:
        from ntk_theory.notebook import known_claims

        return known_claims()


sys.modules[__name__].__class__ = _Callable

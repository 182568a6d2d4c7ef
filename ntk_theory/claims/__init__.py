"""The claims: each module of this package defines one, as `CLAIM`, but those with a leading _."""

from __future__ import annotations

__all__ = ["all_claims"]

from importlib import import_module
from pkgutil import iter_modules

from ntk_theory.verdicts import Claim


def all_claims() -> dict[str, Claim]:
    """Every claim by its id, in alphabetical order of the modules."""
    modules = sorted(one.name for one in iter_modules(__path__) if not one.name.startswith("_"))
    claims = [import_module(f"{__name__}.{name}").CLAIM for name in modules]
    return {claim.id: claim for claim in claims}

"""How much is tested: some by default, more by `.ci/run`, all before a release.

`NTK_THEORY_TESTS=more pytest` also makes whole runs once more that have to give the same again, in
this process or in several, trains all wrong nets of every claim but the longest, of which it trains
one, and tries other values of some parameters. `NTK_THEORY_TESTS=all pytest` does all of it for the
longest claims, too; `.github/workflows/ci.yml` asks for that.
"""

import os

import pytest

_ASKED = os.environ.get("NTK_THEORY_TESTS", "")
if _ASKED not in ("", "more", "all"):
    raise pytest.UsageError(f"NTK_THEORY_TESTS must be 'more' or 'all'; got {_ASKED!r}")

ALL = _ASKED == "all"
"""Whether everything is tested."""

MORE = ALL or _ASKED == "more"
"""Whether more is tested than by default."""

again = pytest.mark.skipif(not MORE, reason="takes many seconds; NTK_THEORY_TESTS=more runs it")
"""Marks what takes many seconds."""

LONG = {"convergence", "dark-knowledge", "finite-width", "generalisation", "practice"}
"""Claims whose toy runs take longest."""

SHORT = {"margin", "memorisation", "residual-law", "ridge-rounds", "threshold", "zero-one"}
"""Claims whose toy runs take a second or two: they are made a second time by default, too."""


def again_for(claim: str) -> bool:
    """Whether toy runs of a claim are made more than once."""
    return ALL or (MORE and claim not in LONG)

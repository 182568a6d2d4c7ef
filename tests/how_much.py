"""How much is tested: some by default, more in continuous integration, all before a release.

`NTK_THEORY_TESTS=more pytest` also makes whole runs once more that have to give the same again, in
this process or in several, trains wrong nets of every claim but the longest, and tries other values
of some parameters; `NTK_THEORY_TESTS=all pytest` does so for the longest claims, too.
"""

import os

import pytest

_ASKED = os.environ.get("NTK_THEORY_TESTS")

ALL = _ASKED == "all"
"""Whether everything is tested."""

MORE = ALL or _ASKED == "more"
"""Whether more is tested than by default."""

again = pytest.mark.skipif(not MORE, reason="a whole run again; NTK_THEORY_TESTS=more makes it")
"""Marks what takes many seconds."""

LONG = {"convergence", "dark-knowledge", "finite-width", "generalisation", "practice"}
"""Claims whose toy runs take longest."""

SHORT = {"margin", "memorisation", "residual-law", "ridge-rounds", "threshold", "zero-one"}
"""Claims whose toy runs take a second or two: they are made a second time by default, too."""


def again_for(claim: str) -> bool:
    """Whether toy runs of a claim are made more than once."""
    return ALL or (MORE and claim not in LONG)

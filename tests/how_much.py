"""How much is tested: everything in continuous integration; by default what takes minutes less.

Everything is what `NTK_THEORY_TESTS=all pytest` runs. Left out by default is what makes whole runs
once more: those that have to give the same again, in this process or in several, wrong nets, and
some other values of a parameter.
"""

import os

import pytest

EVERY = os.environ.get("NTK_THEORY_TESTS") == "all"
"""Whether everything is tested."""

again = pytest.mark.skipif(not EVERY, reason="a whole run again; NTK_THEORY_TESTS=all makes it")
"""Marks what takes many seconds."""

LONG = {"convergence", "dark-knowledge", "finite-width", "generalisation", "practice"}
"""Claims whose toy runs take longest: no wrong net of theirs is trained by default."""

SHORT = {"margin", "memorisation", "residual-law", "ridge-rounds", "threshold", "zero-one"}
"""Claims whose toy runs take a second or two: they are made a second time by default, too."""

"""How much is tested: everything in continuous integration; by default what takes minutes less.

Everything is what `NTK_THEORY_TESTS=all pytest` runs. What is left out by default repeats, at
another value or at full length, what some other test does.
"""

import os

import pytest

EVERY = os.environ.get("NTK_THEORY_TESTS") == "all"
"""Whether everything is tested."""

again = pytest.mark.skipif(not EVERY, reason="as another test does; NTK_THEORY_TESTS=all runs it")
"""Marks what takes seconds and differs little from something that is always run."""

LONG = {"convergence", "dark-knowledge", "finite-width", "generalisation", "practice"}
"""Claims whose toy runs take longest: no wrong net of theirs is trained by default."""

SHORT = {"margin", "memorisation", "residual-law", "ridge-rounds", "threshold", "zero-one"}
"""Claims whose toy runs take a second or two: they are made a second time by default, too."""

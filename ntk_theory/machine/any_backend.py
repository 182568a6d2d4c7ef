"""Loads matplotlib, whatever backend the environment names.

A notebook leaves the name of its own backend to all that it starts, where there may be no such
backend, and matplotlib then refuses to be loaded. The figures of this package are drawn by none.
"""

from __future__ import annotations

__all__ = ["mpl"]

import os
import sys
from contextlib import suppress

_first = "matplotlib" not in sys.modules
_name = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib as mpl
finally:
    if _name is not None:
        os.environ["MPLBACKEND"] = _name
if _first and _name is not None:
    with suppress(ValueError):
        mpl.rcParams["backend"] = _name

"""Prediction drawn over measurement, in one style for all figures."""

from __future__ import annotations

__all__ = ["BLACK", "BLUE", "GREY", "ORANGE", "band", "loglog_fit", "prediction"]

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey by lightness.
BLUE, ORANGE, BLACK, GREY = "#0072B2", "#D55E00", "#000000", "#999999"


def band(axes: Axes, x: ArrayLike, runs: ArrayLike, colour: str, label: str) -> None:
    """Mean of runs (rows) as a line over the band from the least to the largest run."""
    values = np.asarray(runs)
    axes.fill_between(
        np.asarray(x), values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, lw=0
    )
    axes.plot(np.asarray(x), values.mean(axis=0), color=colour, lw=2.5, label=label)


def prediction(axes: Axes, x: ArrayLike, y: ArrayLike, label: str | None = None) -> None:
    """A closed form: thin, black, dashed, above everything measured."""
    axes.plot(
        np.asarray(x), np.asarray(y), color=BLACK, lw=1, ls=(0, (4, 2)), label=label, zorder=5
    )


def loglog_fit(
    axes: Axes, widths: ArrayLike, values: ArrayLike, exponent: float, constant: float, label: str
) -> None:
    """Runs (rows of `values`, one for each width) as dots with the fitted power law through them."""
    x = np.asarray(widths, dtype=float)
    dots: dict[str, Any] = {"color": BLUE, "ms": 3.5, "ls": "", "marker": "o", "alpha": 0.7}
    for column in np.asarray(values).T:
        axes.plot(x, column, **dots)
    axes.plot(x, constant * x**exponent, color=BLUE, lw=1.5, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")

"""Prediction drawn over measurement, in one style for all figures."""

from __future__ import annotations

__all__ = ["BLACK", "BLUE", "GREY", "ORANGE", "band", "loglog_fit", "prediction"]

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey by lightness.
BLUE, ORANGE, BLACK, GREY = "#0072B2", "#D55E00", "#000000", "#777777"


def band(axes: Axes, x: ArrayLike, runs: ArrayLike, colour: str, label: str) -> None:
    """Mean of runs (rows) as a line over the band from the least to the largest run."""
    values, x = np.asarray(runs), np.asarray(x)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, lw=0)
    axes.plot(x, values.mean(axis=0), color=colour, lw=2.5, label=label)


def prediction(axes: Axes, x: ArrayLike, y: ArrayLike, label: str | None = None) -> None:
    """A closed form: thin, black, dashed, above everything measured."""
    axes.plot(
        np.asarray(x), np.asarray(y), color=BLACK, lw=1, ls=(0, (4, 2)), label=label, zorder=5
    )


def loglog_fit(axes: Axes, widths: ArrayLike, values: ArrayLike, exponent: float) -> None:
    """Runs (a row for each width) as dots, with the power law of this exponent through them."""
    x, y = np.asarray(widths, dtype=float), np.asarray(values)
    axes.plot(x, y, color=BLUE, marker="o", ms=3.5, ls="", alpha=0.7)
    constant = np.exp(np.log(y).mean() - exponent * np.log(x).mean())
    label = f"fit, slope {exponent:.2f}".replace("-", "−")
    axes.plot(x, constant * x**exponent, color=BLUE, lw=1.5, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")

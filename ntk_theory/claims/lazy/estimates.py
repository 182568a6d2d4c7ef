"""Exponents and constants of many nets, each with the interval that decides about it."""

from __future__ import annotations

__all__ = ["EXPONENT_TOLERANCE", "constant", "exponent_row", "fit", "mean_square"]

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ntk_theory.fitting import PowerLaw, fit_power_law
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]

EXPONENT_TOLERANCE = 0.15
_CONFIDENCE = 1 - 1e-4
"""Of each constant, two-sided: of a run with a dozen of them one in a thousand fails by chance."""

_RESOLUTION = 0.5
"""Relative tolerance under which a constant is told from 0 and from its double."""

_BOOTSTRAP_STREAM = 2


def fit(seed: int, widths: Sequence[int], values: Sequence[Array]) -> PowerLaw:
    """Power law in the width; the seed is that of the run."""
    key = np.random.SeedSequence(seed, spawn_key=(_BOOTSTRAP_STREAM,))
    return fit_power_law(widths, values, rng=np.random.default_rng(key))


def exponent_row(
    seed: int, name: str, predicted: float, widths: Sequence[int], values: Sequence[Array]
) -> Measurement:
    """Exponent of a quantity of the nets; its whole interval has to lie near the prediction."""
    fitted = fit(seed, widths, values)
    return Measurement(
        f"exponent of {name}",
        predicted,
        fitted.exponent,
        EXPONENT_TOLERANCE,
        fitted.interval,
        whole_interval=True,
    )


def constant(
    name: str,
    predicted: float,
    widths: Sequence[int],
    ratios: Sequence[Array],
    theory_error: float = 0.0,
    resolution: float = _RESOLUTION,
) -> Measurement:
    """A constant extrapolated to m = ∞ from its ratios to the prediction, linear in m^{-1/2}.

    The tolerance is the confidence interval of the intercept of that regression, and four standard
    errors of a prediction that was drawn.

    Args:
        name: of the constant.
        predicted: its value.
        widths: of the nets.
        ratios: measured over predicted, one row a width.
        theory_error: relative standard error of the prediction.
        resolution: largest relative tolerance.
    """
    x = np.repeat(np.asarray(widths, dtype=float) ** -0.5, [row.size for row in ratios])
    y = np.concatenate(ratios)
    offset = x - x.mean()
    spread = float(np.square(offset).sum())
    slope = float(offset @ y) / spread
    intercept = float(y.mean()) - slope * float(x.mean())
    variance = float(np.square(y - intercept - slope * x).sum()) / (y.size - 2)
    error = math.sqrt(variance * (1 / y.size + float(x.mean()) ** 2 / spread))
    quantile = float(stdtrit(y.size - 2, (1 + _CONFIDENCE) / 2))
    tolerance = quantile * error + 4 * theory_error
    return Measurement(
        name,
        predicted,
        predicted * intercept,
        predicted * tolerance,
        (predicted * (intercept - quantile * error), predicted * (intercept + quantile * error)),
        resolution=predicted * resolution,
    )


def mean_square(
    name: str, predicted: float, widths: Sequence[int], distances: Sequence[Array]
) -> Measurement:
    """Mean of m ‖·‖² over all nets, with its confidence interval as tolerance."""
    pairs = zip(widths, distances, strict=True)
    values = np.concatenate([width * np.square(row) for width, row in pairs])
    quantile = float(stdtrit(values.size - 1, (1 + _CONFIDENCE) / 2))
    tolerance = quantile * float(values.std(ddof=1)) / math.sqrt(values.size)
    mean = float(values.mean())
    return Measurement(
        name,
        predicted,
        mean,
        tolerance,
        (mean - tolerance, mean + tolerance),
        resolution=predicted * _RESOLUTION,
    )

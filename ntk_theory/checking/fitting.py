"""Power laws in the width: exponent with a bootstrap interval, and extrapolation with a bound."""

from __future__ import annotations

__all__ = [
    "PowerLaw",
    "at_infinite_width",
    "fit_power_law",
    "mean_bound",
    "mean_of",
    "signed_bound",
]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def _student(free: int, confidence: float) -> float:
    """Quantile of Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(free, confidence))


@dataclass(frozen=True)
class PowerLaw:
    """value ≈ constant · width^exponent, fitted to single runs.

    Attributes:
        exponent: slope of mean log value on log width.
        constant: value extrapolated to width 1.
        interval: 95 % percentile-bootstrap interval of the exponent.
        log_widths: log width of each run, shape (N,).
        residual: standard deviation of the log values around the fit.
    """

    exponent: float
    constant: float
    interval: tuple[float, float]
    log_widths: Array
    residual: float

    def at(self, width: float) -> float:
        """Fitted value at a width."""
        return float(self.constant * width**self.exponent)

    def upper(self, width: float, confidence: float = 0.99, mean_of: int = 1) -> float:
        """Bound that one further run at this width, or the mean of several, stays below.

        The one-sided prediction interval of the log-log regression. The mean of log-normal values
        is larger than their geometric mean, by a factor of up to exp(σ²/2).

        Args:
            width: m.
            confidence: one-sided.
            mean_of: how many runs the mean is taken of.

        Reference: docs/theory.md, section 11.
        """
        count = self.log_widths.size
        offset = np.log(width) - self.log_widths.mean()
        spread = np.square(self.log_widths - self.log_widths.mean()).sum()
        quantile = _student(count - 2, confidence)
        margin = quantile * self.residual * np.sqrt(1 / mean_of + 1 / count + offset**2 / spread)
        skewed = self.residual**2 / 2 * (1 - 1 / mean_of)
        return float(self.at(width) * np.exp(margin + skewed))


def _slope(log_widths: Array, mean_logs: Array) -> Array:
    """Least-squares slope along the first axis of `mean_logs`."""
    centred = log_widths - log_widths.mean()
    return np.asarray(np.tensordot(centred, mean_logs, axes=(0, 0)) / np.square(centred).sum())


def fit_power_law(
    widths: Sequence[int],
    values: Sequence[ArrayLike],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> PowerLaw:
    """Fit value ∝ width^exponent to independent runs at several widths.

    Args:
        widths: at least three different ones.
        values: positive values at each width, one a run, at least two each.
        rng: draws the bootstrap resamples (of runs within each width).
        resamples: how many.

    Raises:
        ValueError: for too few widths or runs, or values that are not positive.

    Reference: docs/theory.md, section 11.
    """
    samples = [np.asarray(value, dtype=float) for value in values]
    if any(width <= 0 for width in widths):
        raise ValueError(f"widths must be positive; got {list(widths)}")
    if len(set(widths)) < 3 or len(samples) != len(widths):
        raise ValueError(f"a fit needs at least three widths, each with values; got {widths}")
    if any(sample.ndim != 1 or sample.size < 2 for sample in samples):
        raise ValueError("a fit needs at least two runs at each width")
    if any(not (np.isfinite(sample) & (sample > 0)).all() for sample in samples):
        raise ValueError("a power law fits positive finite values only")
    logs = [np.log(sample) for sample in samples]
    log_widths = np.log(np.asarray(widths, dtype=float))

    def exponent(*data: Array) -> Array:
        return _slope(log_widths, np.stack([sample.mean(axis=-1) for sample in data]))

    slope = float(exponent(*logs))
    means = np.array([sample.mean() for sample in logs])
    intercept = float(means.mean() - slope * log_widths.mean())
    drawn = [sample[rng.integers(sample.size, size=(resamples, sample.size))] for sample in logs]
    low, high = np.quantile(exponent(*drawn), [0.025, 0.975])
    runs = np.repeat(log_widths, [sample.size for sample in logs])
    residuals = np.concatenate(logs) - intercept - slope * runs
    return PowerLaw(
        slope,
        float(np.exp(intercept)),
        (float(low), float(high)),
        runs,
        float(np.sqrt(np.square(residuals).sum() / (residuals.size - 2))),
    )


def signed_bound(
    widths: Sequence[int],
    errors: Sequence[ArrayLike],
    width: int,
    confidence: float,
    mean_of: int = 1,
) -> float:
    """Bound on the size of an error that is N(0, τ²/m), of one further run or the mean of several.

    Student's, from the mean square of √m times the known errors: a power law of their sizes would
    follow those that are small by chance.

    Args:
        widths: of the runs, from the narrowest on.
        errors: with their sign, at as many of these widths as are known, one a run.
        width: m.
        confidence: two-sided.
        mean_of: how many runs the mean is taken of.

    Reference: docs/theory.md, section 6.5.
    """
    known = zip(widths, errors, strict=False)
    scaled = np.concatenate([np.sqrt(m) * np.asarray(row, dtype=float) for m, row in known])
    quantile = _student(scaled.size, (1 + confidence) / 2)
    return quantile * float(np.sqrt(np.square(scaled).mean() / (width * mean_of)))


def mean_of(values: ArrayLike, confidence: float) -> tuple[float, float]:
    """Mean of independent numbers, and half the width of its two-sided confidence interval."""
    sample = np.ravel(np.asarray(values, dtype=float))
    quantile = _student(sample.size - 1, (1 + confidence) / 2)
    return float(sample.mean()), quantile * float(sample.std(ddof=1)) / float(np.sqrt(sample.size))


def at_infinite_width(
    widths: Sequence[int],
    values: Sequence[ArrayLike],
    power: float = 0.0,
    controls: Sequence[Sequence[ArrayLike]] = (),
) -> tuple[float, float, int]:
    """Intercept of a linear regression on m^{-1/2}, its standard error and degrees of freedom.

    Args:
        widths: m.
        values: one for each net, for each width.
        power: of m that the standard deviation of a net goes like; nets are weighted by it.
        controls: numbers of each net, like the values, of mean 0 at infinite width, that explain
            some of their scatter.
    """
    y = np.concatenate([np.asarray(value, dtype=float) for value in values])
    m = np.repeat(np.asarray(widths, dtype=float), [np.size(value) for value in values])
    explained = [np.concatenate([np.asarray(one, dtype=float) for one in own]) for own in controls]
    columns = [np.ones_like(m), m**-0.5, *explained]
    root = m**-power
    design, target = np.stack(columns, axis=1) * root[:, None], y * root
    inverse = np.linalg.pinv(design.T @ design)
    found = inverse @ (design.T @ target)
    free = y.size - len(columns)
    variance = float(np.square(target - design @ found).sum()) / free
    return float(found[0]), float(np.sqrt(variance * inverse[0, 0])), free


def mean_bound(
    widths: Sequence[int],
    errors: Sequence[ArrayLike],
    width: int,
    confidence: float,
    mean_of: int = 1,
) -> float:
    """Bound on the mean error of several runs, biased or not, that shrinks like m^{-1/2}.

    The runs of the narrowest width, shrunk to this one, say how far a finite width shifts the mean,
    and all of them how runs scatter: Student's interval of the difference of two means is added. A
    prediction that is wrong by a constant raises the bound by that times (m_1/m)^{1/2}.

    Args:
        widths: of the runs, from the narrowest on.
        errors: with their sign, at as many of these widths as are known, one a run; two or more
            runs at one width at least.
        width: m.
        confidence: two-sided.
        mean_of: how many runs the mean is taken of.

    Raises:
        ValueError: if there is one run at each width, which says nothing of the scatter.

    Reference: docs/theory.md, section 11.
    """
    known = zip(widths, errors, strict=False)
    shrunk = [np.sqrt(m / width) * np.asarray(row, dtype=float) for m, row in known]
    free = sum(row.size - 1 for row in shrunk)
    if free < 1:
        raise ValueError("errors must hold at least two runs at some width; got one at each")
    variance = sum(row.size * float(row.var()) for row in shrunk) / free
    both = 1 / mean_of + 1 / shrunk[0].size
    reach = _student(free, (1 + confidence) / 2) * float(np.sqrt(variance * both))
    return abs(float(shrunk[0].mean())) + reach

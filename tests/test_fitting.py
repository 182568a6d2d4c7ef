"""Power laws: exact ones are recovered, intervals and bounds cover as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from scipy.stats import t as student_t

from ntk_theory.checking.fitting import fit_power_law, mean_bound, mean_of
from strategies import EPS, rngs, seeds

# A binomial count falls outside its interval once in 1e6 seeds; the seeds are fixed.
MISS = 1e-6
WIDTHS = (256, 512, 1024, 2048)
FEW = 20
"""Resamples where the interval is not looked at."""

exponents = st.floats(-3, 3)
constants = st.floats(-6, 6).map(lambda e: 10**e)
ladders = st.lists(st.integers(0, 14).map(lambda k: 2**k), min_size=3, max_size=6, unique=True)


def runs_at(widths, exponent, constant, spread, count, rng):
    """Independent runs whose log has a normal error, `count` at each width."""
    return [
        constant * width**exponent * np.exp(spread * rng.standard_normal(count)) for width in widths
    ]


def slope_tolerance(widths, values):
    """Rounding error of the fitted exponent.

    A log value of size L is off by eps L from rounding itself and by 2 eps from rounding the value,
    and k sums round k times; of errors e a least-squares slope takes Σ |x| e / Σ x² <= e / rms(x).
    The centred log widths x are off by eps log m, which adds L eps log m / rms(x)².
    """
    logs = np.abs(np.log(np.concatenate(values))).max() + 1
    centred = np.log(widths) - np.mean(np.log(widths))
    spread = np.sqrt(np.mean(centred**2))
    of_widths = logs * (np.log(widths).max() + 1) / spread
    return EPS * (2 * logs + 4 + of_widths) * (len(widths) + 2) / spread


# ---------------------------------------------------------------- the fit


@given(ladders, exponents, constants, st.integers(2, 5), rngs)
def test_an_exact_power_law_is_recovered(widths, exponent, constant, count, rng):
    values = runs_at(widths, exponent, constant, 0.0, count, rng)
    law = fit_power_law(widths, values, rng=rng, resamples=FEW)
    tolerance = slope_tolerance(widths, values)
    assert abs(law.exponent - exponent) <= tolerance
    # Extrapolation to width 1 takes the slope's error max log m <= 10 times.
    reach = 10 * tolerance
    assert law.constant == pytest.approx(constant, rel=2 * reach)
    for width in (*widths, 2**20):
        assert law.at(width) == pytest.approx(constant * width**exponent, rel=3 * reach)
    # Nothing is left for the interval, the residual, or the bound.
    assert np.abs(np.array(law.interval) - exponent).max() <= tolerance
    assert law.residual <= 2 * reach
    # Student's 99 % quantile is at most 7 (N >= 6, 4 degrees of freedom: 3.75), the root at most
    # sqrt(2 + 14²) = 14.1 in units of the least spread.
    assert law.upper(2**20) >= law.at(2**20) * (1 - reach)
    assert law.upper(2**20) == pytest.approx(law.at(2**20), rel=7 * 15 * 2 * reach)


@given(ladders, exponents, constants, st.integers(2, 6), rngs)
def test_the_fit_is_the_least_squares_line_with_its_prediction_bound(
    widths, exponent, constant, count, rng
):
    values = runs_at(widths, exponent, constant, 0.3, count, rng)
    law = fit_power_law(widths, values, rng=rng, resamples=FEW)
    # The oracle: ordinary least squares through all runs, with the design matrix written out.
    x = np.repeat(np.log(widths), count)
    y = np.log(np.concatenate(values))
    design = np.stack([np.ones_like(x), x], axis=1)
    (intercept, slope), _, _, singular = np.linalg.lstsq(design, y, rcond=None)
    residuals = y - design @ [intercept, slope]
    # lstsq and the fit round by some N eps ‖y‖, enlarged by the condition of the design.
    tolerance = len(y) * EPS * (1 + np.abs(y).max()) * (singular[0] / singular[-1]) * 10
    assert abs(law.exponent - slope) <= tolerance
    assert abs(math.log(law.constant) - intercept) <= tolerance
    variance = residuals @ residuals / (len(y) - 2)
    assert law.residual == pytest.approx(math.sqrt(variance), abs=tolerance)
    for width, confidence in ((2**15, 0.99), (64, 0.9), (1, 0.5)):
        point = np.array([1, np.log(width)])
        spread = variance * (1 + point @ np.linalg.solve(design.T @ design, point))
        bound = point @ [intercept, slope] + student_t.ppf(confidence, len(y) - 2) * np.sqrt(spread)
        # Solving the normal equations squares the condition; log m <= 11 and quantiles up to 4.
        allowed = 44 * tolerance * (singular[0] / singular[-1]) * (1 + spread)
        assert abs(math.log(law.upper(width, confidence)) - bound) <= allowed


@given(exponents, rngs, st.lists(st.integers(2, 9), min_size=3, max_size=5))
def test_every_width_counts_once_however_many_runs_it_has(exponent, rng, counts):
    # Section 11: a line through the means over seeds.
    widths = [2 ** (4 + k) for k in range(len(counts))]
    values = [
        runs_at([m], exponent, 2.0, 0.5, c, rng)[0] for m, c in zip(widths, counts, strict=True)
    ]
    law = fit_power_law(widths, values, rng=rng, resamples=FEW)
    slope, intercept = np.polyfit(np.log(widths), [np.log(v).mean() for v in values], 1)
    tolerance = 100 * slope_tolerance(widths, values)  # polyfit: condition of the design, < 30
    assert abs(law.exponent - slope) <= tolerance
    assert abs(math.log(law.constant) - intercept) <= 10 * tolerance
    assert law.log_widths.tolist() == np.repeat(np.log(widths), counts).tolist()


# ---------------------------------------------------------------- symmetries


@given(rngs, constants, seeds)
def test_scaling_the_values_leaves_the_exponent_and_its_interval(rng, factor, seed):
    values = runs_at(WIDTHS, -0.5, 1.0, 0.3, 4, rng)
    scaled = [factor * value for value in values]
    law, other = (
        fit_power_law(WIDTHS, these, rng=np.random.default_rng(seed), resamples=200)
        for these in (values, scaled)
    )
    tolerance = slope_tolerance(WIDTHS, values) + slope_tolerance(WIDTHS, scaled)
    assert abs(law.exponent - other.exponent) <= tolerance
    assert np.abs(np.subtract(law.interval, other.interval)).max() <= tolerance
    # log m <= 8 times the error of the slope.
    assert other.constant == pytest.approx(factor * law.constant, rel=20 * tolerance)
    assert other.upper(2**14) == pytest.approx(factor * law.upper(2**14), rel=200 * tolerance)


@given(rngs, st.integers(1, 100), seeds)
def test_scaling_the_widths_leaves_the_exponent_and_its_interval(rng, factor, seed):
    values = runs_at(WIDTHS, -0.5, 1.0, 0.3, 4, rng)
    law, other = (
        fit_power_law(these, values, rng=np.random.default_rng(seed), resamples=200)
        for these in (WIDTHS, tuple(factor * width for width in WIDTHS))
    )
    tolerance = 2 * slope_tolerance(WIDTHS, values)
    assert abs(law.exponent - other.exponent) <= tolerance
    assert np.abs(np.subtract(law.interval, other.interval)).max() <= tolerance
    assert other.at(factor * 1024) == pytest.approx(law.at(1024), rel=40 * tolerance)


@given(rngs, seeds)
def test_inverse_values_have_the_opposite_exponent(rng, seed):
    values = runs_at(WIDTHS, -0.5, 1.0, 0.3, 4, rng)
    law, other = (
        fit_power_law(WIDTHS, these, rng=np.random.default_rng(seed), resamples=200)
        for these in (values, [1 / value for value in values])
    )
    tolerance = 2 * slope_tolerance(WIDTHS, values)
    assert abs(law.exponent + other.exponent) <= tolerance
    assert law.interval[0] == pytest.approx(-other.interval[1], abs=tolerance)
    assert law.interval[1] == pytest.approx(-other.interval[0], abs=tolerance)


@given(rngs, seeds)
def test_the_same_random_state_gives_the_same_interval(rng, seed):
    values = runs_at(WIDTHS, -0.5, 1.0, 0.3, 4, rng)
    first, second = (
        fit_power_law(WIDTHS, values, rng=np.random.default_rng(seed), resamples=200)
        for _ in range(2)
    )
    assert first.interval == second.interval
    assert first.interval[0] < first.interval[1]
    # Another state resamples other runs; 200 percentiles of continuous values do not coincide.
    third = fit_power_law(WIDTHS, values, rng=np.random.default_rng(seed + 1), resamples=200)
    assert third.interval != first.interval
    assert third.exponent == first.exponent


@given(rngs, st.floats(0.5, 0.98), st.floats(0.01, 0.019))
def test_the_bound_grows_with_confidence_and_is_the_fit_at_one_half(rng, confidence, more):
    law = fit_power_law(WIDTHS, runs_at(WIDTHS, -0.5, 1.0, 0.3, 3, rng), rng=rng, resamples=FEW)
    for width in (16, 1024, 2**16):
        assert law.upper(width, confidence) < law.upper(width, confidence + more)
        # Student's median is 0, to a few eps.
        assert law.upper(width, 0.5) == pytest.approx(law.at(width), rel=64 * EPS)
    # Farther from the fitted widths there is more doubt: relative to the fit the bound grows.
    margins = [law.upper(m) / law.at(m) for m in (2048, 4096, 8192, 2**15)]
    assert margins == sorted(margins)


# ---------------------------------------------------------------- coverage


def assert_binomial(successes, probability):
    trials = len(successes)
    low, high = binom.ppf([MISS, 1 - MISS], trials, probability)
    assert low <= sum(successes) <= high


def test_the_interval_covers_the_truth_at_about_the_nominal_rate():
    rng = np.random.default_rng(1)
    count, covered = 16, []
    for _ in range(1000):
        law = fit_power_law(
            WIDTHS, runs_at(WIDTHS, -0.5, 3.0, 0.4, count, rng), rng=rng, resamples=400
        )
        covered.append(law.interval[0] <= -0.5 <= law.interval[1])
    # Section 11: the percentile interval is too short by sqrt((S − 1)/S), so for normal errors it
    # covers 2Φ(1.96 sqrt(15/16)) − 1 = 0.942; the 2.5 % points of 400 resamples scatter by 0.8 %,
    # which the curvature of Φ turns into less than 0.5 %.
    assert_binomial(covered, 0.94)


@pytest.mark.parametrize("width", [16, 1024, 2**14])
def test_the_bound_covers_a_further_run_as_often_as_it_says(width):
    rng = np.random.default_rng(width)
    levels = (0.99, 0.9, 0.5)
    below = {confidence: [] for confidence in levels}
    for _ in range(1000):
        law = fit_power_law(WIDTHS, runs_at(WIDTHS, -0.5, 3.0, 0.4, 3, rng), rng=rng, resamples=2)
        (further,) = runs_at([width], -0.5, 3.0, 0.4, 1, rng)
        for confidence in levels:
            below[confidence].append(further[0] < law.upper(width, confidence))
    # Exact for normal errors, at every number of runs and every width.
    for confidence in levels:
        assert_binomial(below[confidence], confidence)


# ---------------------------------------------------------------- refusals


def pairs(widths):
    return [[1.0 / width, 2.0 / width] for width in widths]


@pytest.mark.parametrize(
    ("widths", "values"),
    [
        ((2, 4), pairs((2, 4))),
        ((), []),
        ((2, 4, 4, 2), pairs((2, 4, 4, 2))),
        ((2, 4, 8), pairs((2, 4))),
        ((2, 4, 8), pairs((2, 4, 8, 16))),
    ],
)
def test_fewer_than_three_widths_with_values_are_refused(widths, values):
    with pytest.raises(ValueError, match="at least three widths, each with values"):
        fit_power_law(widths, values, rng=np.random.default_rng(0))


@pytest.mark.parametrize("run", [[1.0], [], 1.0, [[1.0, 2.0]]])
def test_fewer_than_two_runs_at_a_width_are_refused(run):
    with pytest.raises(ValueError, match="at least two runs at each width"):
        fit_power_law((2, 4, 8), [*pairs((2, 4)), run], rng=np.random.default_rng(0))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_values_that_are_not_positive_and_finite_are_refused(value):
    with pytest.raises(ValueError, match="positive finite values only"):
        fit_power_law((2, 4, 8), [*pairs((2, 4)), [1.0, value]], rng=np.random.default_rng(0))


def biased(rng, runs, bias=0.5):
    """Errors of unit scatter and some bias, both like m^{-1/2}."""
    return [(bias + rng.standard_normal(runs)) / math.sqrt(width) for width in WIDTHS]


def test_the_bound_on_a_mean_of_biased_runs_is_exceeded_as_often_as_it_says():
    """Of a shift far from 0 on one side alone: in 2000 trials at .9 by one mean in twenty."""
    rng, exceeded = np.random.default_rng(4), 0
    for _ in range(2000):
        *known, last = biased(rng, 3, 20.0)
        exceeded += abs(last.mean()) > mean_bound(WIDTHS, known, WIDTHS[-1], 0.9, 3)
    assert exceeded == pytest.approx(100, abs=4 * math.sqrt(100 * 0.95))


def test_the_bound_on_a_mean_needs_scatter():
    with pytest.raises(ValueError, match="at least two runs at some width; got one at each"):
        mean_bound([1, 2], [[1.0], [2.0]], 4, 0.9)


def test_the_bound_on_a_mean_is_a_shrunk_shift_and_students_interval_of_a_difference():
    errors = [[1.0, 3.0], [2.0, 2.5, 3.0]]  # of variances 2 and 1/4, with 1 and 2 degrees
    bound = mean_bound([16, 64], errors, 256, 0.99, 4)
    variance = (1 / 16 * 1 * 2 + 1 / 4 * 2 * 0.25) / 3
    reach = student_t.ppf(0.995, 3) * math.sqrt(variance * (1 / 4 + 1 / 2))
    assert bound == pytest.approx(2 / 4 + reach, rel=1e-12)


def test_a_wrong_constant_raises_the_bound_on_a_mean_by_its_share_alone():
    errors = biased(np.random.default_rng(5), 3)[:-1]
    bound, wrong = (
        mean_bound(WIDTHS, [row + more for row in errors], WIDTHS[-1], 0.99, 3) for more in (0, 10)
    )
    share = math.sqrt(WIDTHS[0] / WIDTHS[-1])
    assert wrong - bound <= 10 * share * (1 + 1e-12)


def test_half_of_an_interval_is_that_of_student():
    values = np.array([1.0, 2.0, 4.0])
    expected = student_t.ppf(0.99, 2) * values.std(ddof=1) / math.sqrt(3)
    assert mean_of(values, 0.98)[1] == pytest.approx(expected, rel=1e-12)


def test_the_bound_on_a_mean_of_runs_is_exceeded_as_often_as_it_says():
    """By one mean of four in ten, at a confidence of .9, and by fewer at most: it is skewed up."""
    rng, widths, nets, spread = np.random.default_rng(3), (256, 512, 1024), 4, 0.5
    exceeded = 0
    for _ in range(400):
        known = [np.exp(spread * rng.standard_normal(nets)) / math.sqrt(m) for m in widths]
        law = fit_power_law(widths, known, rng=rng, resamples=2)
        new = np.exp(spread * rng.standard_normal(nets)) / math.sqrt(2048)
        exceeded += new.mean() > law.upper(2048, 0.9, nets)
    assert 0.06 < exceeded / 400 < 0.13

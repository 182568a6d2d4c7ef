"""Thresholds and first steps agree with the kernel recursion, run on explicit matrices."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom

from ntk_theory import predictions
from strategies import EPS, clustered

some_wrong = clustered(
    even=True,
    max_points=8,
    least_ratio=1.2,
    wrong=lambda points, draw: draw(st.integers(1, max(1, (points - 1) // 2))),
)
shares = st.floats(0.3, 1.0)


def matrix(spectrum):
    """H from the three projectors: constant on clusters, constant, and the rest."""
    n = spectrum.clusters * spectrum.points
    averages = np.kron(np.eye(spectrum.clusters), np.ones((spectrum.points,) * 2) / spectrum.points)
    mean = np.ones((n, n)) / n
    return (
        spectrum.noise * (np.eye(n) - averages)
        + spectrum.information * (averages - mean)
        + spectrum.mean * mean
    )


def outputs(spectrum, observed, learning_rate, steps):
    """u_1 .. u_T of gradient descent on the observed labels, step by step."""
    gram, u, path = matrix(spectrum), np.zeros(len(observed)), []
    for _ in range(steps):
        u = u - learning_rate * gram @ (u - observed)
        path.append(u)
    return np.array(path)


def setting(design, share):
    """Spectrum and the rate at which ηλ_+ is `share`."""
    angle = predictions.cluster_angle(design.points, design.ratio, design.cross_cosine)
    spectrum = predictions.cluster_spectrum(
        design.clusters, design.points, angle, design.cross_cosine
    )
    return spectrum, share / spectrum.information


def least_relative(path, clean):
    return (path * clean).min(axis=1) / np.sqrt(np.square(path).mean(axis=1))


def rounding(spectrum, learning_rate, steps):
    """Of the recursion, relative to an output: n eps in each step, over the smallest output."""
    n = spectrum.clusters * spectrum.points
    return 8 * n * EPS * steps / (learning_rate * spectrum.noise)


def orthogonal(design):
    """The mean mode is not touched by balanced labels, but only a = 0 keeps it stable here."""
    return type(design)(
        design.clusters, design.points, design.ratio, 0.0, design.wrong, design.seed
    )


# ---------------------------------------------------------------- the relative margin


@given(some_wrong, shares, st.integers(1, 40))
def test_the_relative_margin_is_that_of_the_recursion(design, share, steps):
    design = orthogonal(design)
    assume(design.noise_rate < 0.5)
    spectrum, rate = setting(design, share)
    path = outputs(spectrum, design.observed, rate, steps)
    measured = least_relative(path, design.clean)
    predicted = predictions.relative_margin(
        spectrum, design.noise_rate, rate, np.arange(1, steps + 1)
    )
    np.testing.assert_allclose(predicted, measured, atol=rounding(spectrum, rate, steps), rtol=0)


@given(some_wrong, shares)
def test_the_relative_margin_falls_from_a_value_that_no_rate_changes_to_minus_one(design, share):
    rho = design.noise_rate
    assume(rho < 0.5)
    spectrum, rate = setting(orthogonal(design), share)
    steps = np.unique(np.geomspace(1, 60 / (rate * spectrum.noise), 50).astype(int))
    margin = predictions.relative_margin(spectrum, rho, rate, steps)
    # Strictly until it has arrived at −1 to rounding, which g_− has for (1 − ηλ_−)^t < eps.
    assert (np.diff(margin) < 0)[margin[1:] > -1 + 1e-12].all()
    assert margin[-1] == pytest.approx(-1, abs=1e-12)
    signal = (1 - 2 * rho) * spectrum.ratio
    first = (signal - 2 * (1 - rho)) / math.hypot(signal, 2 * math.sqrt(rho * (1 - rho)))
    # g_− = ηλ_− to relative eps; g_+ likewise.
    assert margin[0] == pytest.approx(first, abs=16 * EPS * (1 + 1 / abs(signal)))


# ---------------------------------------------------------------- the first wrong step


@given(some_wrong, shares)
def test_the_first_wrong_step_is_that_of_the_recursion(design, share):
    design = orthogonal(design)
    assume(design.noise_rate < 0.5)
    spectrum, rate = setting(design, share)
    step = predictions.first_wrong_step(spectrum, design.noise_rate, rate)
    assert step <= math.ceil(predictions.memorisation_time(design.noise_rate, rate, spectrum.noise))
    measured = least_relative(outputs(spectrum, design.observed, rate, step), design.clean)
    # A margin that rounds to either side of 0 has no first wrong step to agree on.
    assume((np.abs(measured[-2:]) > rounding(spectrum, rate, step)).all())
    assert (measured[:-1] > 0).all()
    assert measured[-1] <= 0


def test_beyond_the_threshold_the_first_step_is_wrong():
    angle = predictions.cluster_angle(20, 4.0)
    spectrum = predictions.cluster_spectrum(2, 20, angle)
    for share in (1e-9, 0.5, 1.0):
        rate = share / spectrum.information
        assert predictions.first_wrong_step(spectrum, 0.35, rate) == 1
        assert predictions.first_wrong_step(spectrum, 0.30, rate) > 1


@pytest.mark.parametrize(("rho", "step"), [(0.1, 47), (0.2, 38), (0.3, 27), (0.4, 15)])
def test_first_wrong_steps_at_ratio_eighty(rho, step):
    """Values seen in the kernel limit at ηλ_+ = 1, r = 80 (K = 6, s = 10)."""
    angle = predictions.cluster_angle(10, 80.0)
    spectrum = predictions.cluster_spectrum(6, 10, angle)
    assert predictions.first_wrong_step(spectrum, rho, 1 / spectrum.information) == step


# ---------------------------------------------------------------- the threshold


@given(some_wrong, shares)
def test_balanced_labels_retrieve_most_signal_for_their_noise_at_the_first_step(design, share):
    spectrum, rate = setting(orthogonal(design), share)
    ratio = predictions.retrieval_ratio(spectrum, rate, 50)
    # Two retrievals, each to a few eps.
    assert ratio == pytest.approx(spectrum.ratio, rel=16 * EPS)


@given(clustered(least_ratio=3.0, max_clusters=5, wrong=lambda *_: 1), shares)
def test_the_threshold_of_the_retrieval_ratio_parts_what_is_recovered_from_what_is_not(
    design, share
):
    """Also for odd K and clusters that are not orthogonal."""
    spectrum, _ = setting(design, share)
    rate, steps = share / spectrum.mean, 60
    ratio = predictions.retrieval_ratio(spectrum, rate, steps, design.label_mean)
    threshold = predictions.recoverability_threshold(ratio)
    for rho, recovered in ((threshold - 1e-6, True), (threshold + 1e-6, False)):
        if not 0 < rho < 0.5:
            continue
        curve = predictions.plain_training(spectrum, rho, rate, steps, design.label_mean)
        assert bool((curve.margin()[1:] > 0).any()) is recovered


@given(st.integers(1, 12), st.integers(2, 25), st.floats(0.02, 0.6), st.floats(2.05, 60))
def test_the_recoverable_share_is_that_of_binomials(clusters, points, probability, ratio):
    threshold = predictions.recoverability_threshold(ratio)
    assume(abs(threshold * points - round(threshold * points)) > 1e-6)
    one = binom.cdf(math.floor(threshold * points), points, probability)
    share = predictions.recoverable_share(clusters, points, probability, threshold)
    assert share == pytest.approx(one**clusters, rel=1e-10, abs=1e-14)


def test_a_count_at_the_threshold_itself_is_not_below_it():
    # Of ten points three at most are below 0.4: (10 choose k) / 2^10 for k = 0 to 3.
    share = predictions.recoverable_share(2, 10, 0.5, 0.4)
    assert share == pytest.approx((176 / 1024) ** 2, rel=1e-14)


def test_with_many_points_the_threshold_is_one_of_the_probability():
    shares = [predictions.recoverable_share(4, 1000, p, 0.4) for p in (0.35, 0.45)]
    assert shares == pytest.approx([1, 0], abs=0.01)


# ---------------------------------------------------------------- broken premises


@given(some_wrong)
def test_one_step_that_overshoots_has_the_predicted_error(design):
    design = orthogonal(design)
    rho = design.noise_rate
    assume(rho < 0.5)
    spectrum, _ = setting(design, 1.0)
    rate = 1 / ((1 - 2 * rho) * spectrum.information)
    (u,) = outputs(spectrum, design.observed, rate, 1)
    error = math.sqrt(np.square(u - design.clean).mean())
    predicted = predictions.overshoot_error(spectrum.ratio, rho)
    # The product with H has n terms; its size is that of u + rounding of 1/(1 − 2ρ).
    assert predicted == pytest.approx(error, abs=8 * design.n * EPS / (1 - 2 * rho))


@given(some_wrong, shares, st.integers(1, 40))
def test_whole_flipped_clusters_are_retrieved_like_the_information(design, share, steps):
    design = orthogonal(design)
    assume(design.clusters >= 4)
    spectrum, rate = setting(design, share)
    observed = design.clean.copy()
    observed[: 2 * design.points] *= -1  # one cluster of either label
    path = outputs(spectrum, observed, rate, steps)
    predicted = predictions.whole_cluster_margin(spectrum, rate, np.arange(1, steps + 1))
    np.testing.assert_allclose(
        predicted,
        (path * design.clean).min(axis=1),
        atol=8 * design.n * EPS * steps,
        rtol=0,
    )


# ---------------------------------------------------------------- the U


@given(some_wrong, shares)
def test_the_error_of_plain_training_falls_to_one_minimum_and_rises(design, share):
    rho = design.noise_rate
    assume(rho < 0.5)
    spectrum, rate = setting(orthogonal(design), share)
    steps = min(2000, math.ceil(20 / (rate * spectrum.noise)))
    error = predictions.plain_training(spectrum, rho, rate, steps).rms_error()
    best = int(error.argmin())
    # Squares of order 1 round to eps, and so do errors above 2ρ.
    tolerance = 8 * EPS / rho
    assert (np.diff(error[: best + 1]) < tolerance).all()
    assert (np.diff(error[best:]) > -tolerance).all()
    assert error[best] > 2 * rho

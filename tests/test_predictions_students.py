"""Students, chains and random starts in closed form, against explicit matrices and chance."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ntk_theory import predictions
from strategies import EPS, Clusters, clustered

some_wrong = clustered(wrong=lambda points, draw: draw(st.integers(1, points - 1)))
rates = st.floats(0.01, 1)  # in units of 1/λ_0
stops = st.integers(0, 40)


def angle_of(problem):
    return predictions.cluster_angle(problem.points, problem.ratio, problem.cross_cosine)


def spectrum_of(problem):
    return predictions.cluster_spectrum(
        problem.clusters, problem.points, angle_of(problem), problem.cross_cosine
    )


def projectors(problem):
    """Noise, information and mean of clusters, as explicit n x n matrices."""
    n, s = problem.n, problem.points
    mean = np.full((n, n), 1 / n)
    inside = np.kron(np.eye(problem.clusters), np.full((s, s), 1 / s))
    return np.eye(n) - inside, inside - mean, mean


def kernel_of(problem):
    spectrum = spectrum_of(problem)
    levels = spectrum.noise, spectrum.information, spectrum.mean
    return sum(level * part for level, part in zip(levels, projectors(problem), strict=True))


def trained(kernel, labels, rate, steps):
    """Gradient descent from zero on fixed labels, step by step."""
    outputs = [np.zeros(len(labels))]
    for _ in range(steps):
        outputs.append(outputs[-1] - rate * (kernel @ (outputs[-1] - labels)))
    return np.array(outputs)


def rounding(problem, steps):
    """A step rounds a product of n terms with numbers of RMS <= 2 by 2 n^{3/2} eps in norm.

    So does the closed form once, through its eigenvalues (n eps relative to λ_0 <= 1/η), at every
    step of a filter; no step enlarges what earlier ones left (ηλ_0 <= 1), and a student adds its
    own errors to those of its teacher.
    """
    return 4 * problem.n**1.5 * EPS * (steps + 1)


def curve_of(problem, numbers):
    return predictions.ErrorCurve(*numbers, problem.noise_rate, problem.label_mean)


# ---------------------------------------------------------------- students


@given(some_wrong, st.lists(st.tuples(rates, stops), max_size=3), rates)
def test_a_chain_of_stopped_nets_multiplies_their_filters(problem, chain, share):
    spectrum, kernel, labels = spectrum_of(problem), kernel_of(problem), problem.observed
    teachers = [(rate / spectrum.mean, stop) for rate, stop in chain]
    for rate, stop in teachers:
        labels = trained(kernel, labels, rate, stop)[-1]
    rate = share / spectrum.mean
    numbers = predictions.student_training(spectrum, problem.noise_rate, teachers, rate, 20)
    outputs = curve_of(problem, numbers).outputs(problem.clean, problem.flipped)
    difference = np.abs(trained(kernel, labels, rate, 20) - outputs).max()
    assert difference <= rounding(problem, 20 + sum(stop for _, stop in teachers))


def test_without_a_teacher_a_student_is_plain_training():
    problem = Clusters(clusters=3, points=5, ratio=7.0, cross_cosine=0.2, wrong=1)
    spectrum = spectrum_of(problem)
    plain = predictions.plain_training(spectrum, 0.2, 0.1, 30, problem.label_mean)
    numbers = predictions.student_training(spectrum, 0.2, [], 0.1, 30)
    for ours, theirs in zip(
        numbers, (plain.mean_error, plain.information_error, plain.memorised_noise), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@given(some_wrong, rates, rates, stops)
def test_the_distance_of_a_student_to_its_teacher_is_that_of_their_outputs(
    problem, teachers_share, share, stop
):
    spectrum = spectrum_of(problem)
    teacher, rate = (teachers_share / spectrum.mean, stop), share / spectrum.mean
    labels = trained(kernel_of(problem), problem.observed, *teacher)[-1]
    apart = trained(kernel_of(problem), labels, rate, 20) - labels
    distance = predictions.student_distance(
        spectrum, problem.noise_rate, teacher, rate, 20, problem.label_mean
    )
    measured = np.sqrt(np.square(apart).mean(axis=1))
    assert np.abs(measured - distance).max() <= rounding(problem, 20 + stop)


@given(some_wrong, rates, stops)
def test_a_student_trained_out_is_its_teacher(problem, share, stop):
    spectrum = spectrum_of(problem)
    teacher = (share / spectrum.mean, stop)
    # The slowest mode is left by e^{-40}, below rounding.
    steps = math.ceil(40 * spectrum.mean / spectrum.noise)
    numbers = predictions.student_training(
        spectrum, problem.noise_rate, [teacher], 1 / spectrum.mean, steps
    )
    plain = predictions.plain_training(
        spectrum, problem.noise_rate, teacher[0], stop, problem.label_mean
    )
    ended = curve_of(problem, numbers).rms_error()[-1]
    # (1 − ηλ)^t is rounded by t eps times itself: at most steps · e^{-40} eps here, nothing.
    assert abs(ended - plain.rms_error()[-1]) <= 8 * EPS
    distance = predictions.student_distance(
        spectrum, problem.noise_rate, teacher, 1 / spectrum.mean, steps, problem.label_mean
    )
    assert distance[-1] <= 3 * math.exp(-40)


@given(some_wrong, st.lists(st.tuples(rates, stops), max_size=3), rates)
def test_no_student_of_outputs_beats_twice_the_noise_rate(problem, chain, share):
    assume(problem.noise_rate < 0.5)
    spectrum = spectrum_of(problem)
    numbers = predictions.student_training(
        spectrum,
        problem.noise_rate,
        [(rate / spectrum.mean, stop) for rate, stop in chain],
        share / spectrum.mean,
        50,
    )
    assert curve_of(problem, numbers).rms_error().min() >= 2 * problem.noise_rate - 8 * EPS


@given(clustered(), rates)
def test_a_student_of_right_signs_learns_the_clean_labels(problem, share):
    spectrum = spectrum_of(problem)
    rate = share / spectrum.mean
    numbers = predictions.hardened_student_training(spectrum, rate, 20)
    outputs = curve_of(problem, numbers).outputs(problem.clean, problem.flipped)
    dense = trained(kernel_of(problem), problem.clean, rate, 20)
    assert np.abs(dense - outputs).max() <= rounding(problem, 20)


@given(st.floats(1.05, 6), st.floats(0.02, 0.48), st.integers(1, 3))
def test_a_chain_undoes_noise_up_to_its_threshold_and_no_further(ratio, noise_rate, rounds):
    threshold = predictions.chain_threshold(ratio, rounds)
    assume(abs(noise_rate - threshold) > 1e-6)
    spectrum = predictions.ClusterSpectrum(4, 5, 1.0, ratio, ratio)
    numbers = predictions.student_training(
        spectrum, noise_rate, [(0.9 / ratio, 1)] * (rounds - 1), 0.9 / ratio, 60
    )
    margins = predictions.ErrorCurve(*numbers, noise_rate).margin()[1:]
    # One step a round has the largest ratio of the filters; later steps have smaller ones.
    assert (margins[0] > 0) == (noise_rate < threshold)
    assert noise_rate < threshold or (margins < 0).all()


@given(some_wrong, st.floats(0.05, 1), st.integers(1, 4))
def test_the_relative_margin_of_a_chain_is_that_of_one_step_a_round(problem, share, rounds):
    assume(problem.label_mean == 0)
    kernel, outputs = kernel_of(problem), problem.observed
    for _ in range(rounds):
        outputs = trained(kernel, outputs, share / spectrum_of(problem).mean, 1)[-1]
    size = np.sqrt(np.square(outputs).mean())
    margin = predictions.chain_margin(spectrum_of(problem).ratio, problem.noise_rate, rounds)
    # Outputs shrink from round to round, and what was rounded before need not.
    off = abs((problem.clean * outputs).min() / size - margin)
    assert off <= rounding(problem, rounds) / size


@given(st.floats(1.05, 6), st.floats(0.02, 0.48), st.integers(1, 5))
def test_a_relative_margin_is_positive_below_the_threshold_and_grows_with_the_rounds(
    ratio, noise_rate, rounds
):
    threshold = predictions.chain_threshold(ratio, rounds)
    assume(abs(noise_rate - threshold) > 1e-6)
    margin = predictions.chain_margin(ratio, noise_rate, rounds)
    assert (margin > 0) == (noise_rate < threshold)
    assert predictions.chain_margin(ratio, noise_rate, rounds + 1) > margin
    spectrum = predictions.ClusterSpectrum(2, 5, 1.0, ratio, ratio)
    one = predictions.relative_margin(spectrum, noise_rate, 0.5 / ratio, 1)
    first = predictions.chain_margin(ratio, noise_rate, 1)
    assert first == pytest.approx(float(one), rel=1e-9, abs=1e-12)


def test_one_round_has_the_threshold_of_plain_training_and_many_have_one_half():
    assert predictions.chain_threshold(9.0, 1) == predictions.recoverability_threshold(9.0)
    assert predictions.chain_threshold(1.5, 60) == pytest.approx(0.5, abs=1e-9)


# ---------------------------------------------------------------- blocks


@given(clustered(), st.tuples(*[st.floats(-2, 2)] * 3))
def test_a_block_filter_multiplies_the_three_eigenspaces(problem, factors):
    vector = np.random.default_rng(problem.seed).standard_normal((3, problem.n))
    dense = sum(f * part for f, part in zip(factors, projectors(problem), strict=True))
    filtered = predictions.block_filter(spectrum_of(problem), vector, factors)
    # Sums of n terms of size |φ v|, |φ| <= 2, in three modes, here and there.
    tolerance = 16 * problem.n * EPS * np.abs(vector).max()
    assert np.abs(filtered - vector @ dense).max() <= tolerance


def initial_covariance(problem):
    group = np.repeat(np.arange(problem.clusters), problem.points)
    theta = np.where(group[:, None] == group, angle_of(problem), np.arccos(problem.cross_cosine))
    np.fill_diagonal(theta, 0)
    return (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)


@given(clustered(), rates, st.integers(0, 30), st.floats(0.1, 4))
def test_the_spread_of_a_random_start_is_the_diagonal_of_its_covariance(
    problem, share, steps, scale
):
    spectrum = spectrum_of(problem)
    rate = share / spectrum.mean
    left = np.linalg.matrix_power(np.eye(problem.n) - rate * kernel_of(problem), steps)
    variance = scale**2 * np.diag(left @ initial_covariance(problem) @ left)
    spread = predictions.initial_output_spread(
        spectrum, angle_of(problem), problem.cross_cosine, rate, steps, scale
    )
    # Covariances are at most 1/2 and (1 − ηλ)^t at most 1; products of n terms, twice, t times.
    tolerance = 4 * problem.n**1.5 * EPS * (steps + 1) * scale**2
    assert np.abs(variance - spread[-1] ** 2).max() <= tolerance


def test_a_random_start_has_the_size_of_its_kernel():
    problem = Clusters(clusters=4, points=5, ratio=7.0, cross_cosine=0.0, wrong=1)
    spread = predictions.initial_output_spread(
        spectrum_of(problem), angle_of(problem), 0.0, 0.1, 0, 3.0
    )
    assert spread == pytest.approx([3 / math.sqrt(2)], rel=8 * EPS)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=9), st.floats(0.01, 10))
def test_the_share_of_wrong_signs_is_a_mean_of_normal_tails(margins, spread):
    tails = [math.erfc(margin / spread / math.sqrt(2)) / 2 for margin in margins]
    share = predictions.wrong_sign_share([margins], [spread])
    # Two implementations of the tail, each right to some roundings of numbers up to 1.
    assert share == pytest.approx([np.mean(tails)], abs=32 * EPS)


def test_without_spread_the_wrong_signs_are_those_of_the_zero_start():
    assert predictions.wrong_sign_share([-1.0, 1.0, 2.0, 3.0], 1e-9) == 0.25


@pytest.fixture(scope="module")
def random_starts():
    """A problem with its burn-in, margins, spread at scale 1, and draws of random starts."""
    problem = Clusters(clusters=4, points=5, ratio=8.0, cross_cosine=0.1, wrong=1)
    spectrum, rate, burn_in = spectrum_of(problem), 0.25 / spectrum_of(problem).information, 4
    weights = np.concatenate([np.ones(burn_in), 1 / (1 + np.arange(60) / 4)])
    curve = predictions.self_distillation(spectrum, problem.noise_rate, rate, weights)
    margins = curve.outputs(problem.clean, problem.flipped) * problem.clean
    spread = predictions.initial_output_spread(spectrum, angle_of(problem), 0.1, rate, len(weights))
    draws = predictions.initial_output_samples(
        4, 5, angle_of(problem), 0.1, 1.0, 20_000, np.random.default_rng(0)
    )
    return problem, spectrum, rate, burn_in, weights, margins, spread, draws


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_wrong_signs_after_the_burn_in_are_as_many_as_predicted(random_starts, scale):
    problem, spectrum, rate, burn_in, weights, margins, spread, draws = random_starts
    early = predictions.block_recursion(
        spectrum, problem.observed, rate, weights[:burn_in], scale * draws
    )
    shares = (early * problem.clean < 0).mean(axis=1)
    predicted = predictions.wrong_sign_share(margins[burn_in], scale * spread[burn_in])
    # Six standard errors: missed once in 5e8 draws of the seed.
    assert abs(shares.mean() - predicted) <= 6 * shares.std() / math.sqrt(len(draws))


def test_any_wrong_sign_is_about_as_likely_as_its_two_bounds_say(random_starts):
    problem, spectrum, rate, burn_in, weights, margins, spread, draws = random_starts
    scale = 0.3
    outputs = predictions.block_recursion(
        spectrum, problem.observed, rate, weights[:burn_in], scale * draws
    )
    wrong = np.zeros(len(draws), dtype=bool)
    for weight in weights[burn_in:]:
        wrong |= (outputs * problem.clean <= 0).any(axis=1)
        outputs = predictions.block_recursion(spectrum, problem.observed, rate, [weight], outputs)
    margins, spread = margins[burn_in:-1], scale * spread[burn_in:-1]
    union = predictions.wrong_sign_share(margins, spread).sum() * problem.n
    single = predictions.wrong_sign_share(
        margins[..., None], np.broadcast_to(spread[:, None], margins.shape)
    ).max()
    error = 6 * math.sqrt(union / len(draws))
    assert single - error <= wrong.mean() <= union + error
    assert 0 < union < 1


def test_while_every_sign_is_right_nothing_but_a_decaying_rest_is_left(random_starts):
    problem, spectrum, rate, _, weights, _, spread, draws = random_starts
    scale = 0.05  # no wrong sign among these few
    start = scale * draws[:50]
    final = predictions.block_recursion(spectrum, problem.observed, rate, weights, start)
    zero = predictions.block_recursion(spectrum, problem.observed, rate, weights)
    steps = len(weights)
    factors = [
        (1 - rate * level) ** steps
        for level in (spectrum.noise, spectrum.information, spectrum.mean)
    ]
    left = predictions.block_filter(spectrum, start, tuple(factors))
    assert np.abs(final - zero - left).max() <= 4 * problem.n**1.5 * EPS * (steps + 1)
    # An RMS over 50 · 20 numbers, of which at least 50 are independent: 6 standard errors.
    size = np.sqrt(np.square(final - zero).mean())
    assert abs(size / (scale * spread[-1]) - 1) <= 6 / math.sqrt(2 * 50)

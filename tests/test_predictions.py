"""Closed forms against dense matrices written here, fifty digits, limits and chance."""

import mpmath  # comes with torch, through sympy
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chi2

from ntk_theory import predictions
from strategies import EPS, Clusters, clustered, cross_cosines, ratios, seeds

# Confidence intervals miss once in 1e12 cases, so never in a test run.
MISS = 1e-12


# ---------------------------------------------------------------- oracles


def dense_kernel(angles):
    """Kernel matrix of a matrix of angles, straight from the formula."""
    return np.cos(angles) * (np.pi - angles) / (2 * np.pi)


def cluster_angles(clusters, points, angle, cross_cosine):
    group = np.repeat(np.arange(clusters), points)
    theta = np.where(group[:, None] == group, angle, np.arccos(cross_cosine))
    np.fill_diagonal(theta, 0)
    return theta


def spectrum_of(problem):
    angle = predictions.cluster_angle(problem.points, problem.ratio, problem.cross_cosine)
    return predictions.cluster_spectrum(
        problem.clusters, problem.points, angle, problem.cross_cosine
    )


def kernel_of(problem):
    angle = predictions.cluster_angle(problem.points, problem.ratio, problem.cross_cosine)
    return dense_kernel(
        cluster_angles(problem.clusters, problem.points, angle, problem.cross_cosine)
    )


def dense_recursion(kernel, observed, learning_rate, weights, teach, start=0.0):
    """All outputs u_0 .. u_T of u ← u − ηH(u − α ỹ − (1 − α) h(u)), with an explicit matrix."""
    outputs = [start + np.zeros(len(observed))]
    for alpha in weights:
        u = outputs[-1]
        target = alpha * observed + (1 - alpha) * teach(u)
        outputs.append(u - learning_rate * (kernel @ (u - target)))
    return np.array(outputs)


def soft(outputs):
    return outputs


def dense_tolerance(spectrum, learning_rate, steps):
    """Largest difference of an output between the dense recursion and a closed form, ηλ_0 <= 1.

    A step of the dense recursion rounds a product of n terms and a sum, of outputs and targets that
    are at most 3 in root mean square: 3 n · √n eps/2 + 4√n eps/2 <= 2 n^{3/2} eps in norm. Later
    steps shrink that by 1 − ηλ_− each, so it adds up min(T, 1/(ηλ_−)) times. An entry of the matrix
    is right to 2 eps, hence the eigenvalues to 2 n eps, which a filter (1 − ηλ)^t turns into
    at most 1/e of their relative error, in each of three modes: 4 n eps/λ_−.
    """
    n = spectrum.clusters * spectrum.points
    memory = min(steps, 1 / (learning_rate * spectrum.noise))
    return EPS * (2 * n**1.5 * memory + 4 * n / spectrum.noise)


relative_rates = st.floats(0.01, 1)
weight = st.floats(0, 1)


@st.composite
def schedules(draw):
    """Weights: 1 during a burn-in of at least one step, then anything or something that decays."""
    burn_in = draw(st.integers(1, 10))
    if draw(st.booleans()):
        then = draw(st.lists(weight, max_size=30))
    else:
        decay = draw(st.floats(0.5, 50))
        then = 1 / (1 + np.arange(draw(st.integers(0, 60))) / decay)
    return np.concatenate([np.ones(burn_in), then])


# Every share of wrong labels, and those that are recoverable when the ratio is.
some_wrong = clustered(wrong=lambda points, draw: draw(st.integers(1, points - 1)))
few_wrong = clustered(
    least_ratio=4.0,
    wrong=lambda points, draw: draw(st.integers(int(points > 2), max(1, (points - 1) // 3))),
).filter(lambda problem: problem.noise_rate < predictions.recoverability_threshold(problem.ratio))


# ---------------------------------------------------------------- the kernel of an angle


@given(st.floats(-12, np.log10(np.pi / 2)).map(lambda e: min(10**e, np.pi / 2)))
def test_the_loss_of_kernel_value_has_all_its_digits_up_to_a_right_angle(angle):
    with mpmath.workdps(50):
        theta = mpmath.mpf(angle)
        exact = mpmath.mpf(1) / 2 - mpmath.cos(theta) * (mpmath.pi - theta) / (2 * mpmath.pi)
        # A sum of two terms that are not negative, each with five roundings of eps/2.
        assert abs(predictions.ntk_gap(angle) - exact) <= 3 * EPS * exact


@given(st.floats(0, np.pi))
def test_the_kernel_value_of_an_angle_is_exact_to_rounding(angle):
    with mpmath.workdps(50):
        theta = mpmath.mpf(angle)
        exact = mpmath.cos(theta) * (mpmath.pi - theta) / (2 * mpmath.pi)
        # Below 1/2 in modulus, the gap below 0.6, with terms below 1 and five roundings of eps/2.
        assert abs(predictions.ntk_value(angle) - exact) <= 3 * EPS
        assert abs(predictions.ntk_gap(angle) - (mpmath.mpf(1) / 2 - exact)) <= 3 * EPS


@given(st.floats(0, 1e-3))
def test_the_kernel_loses_value_linearly_in_small_angles(angle):
    # θ/2π + θ²/4 − θ³/4π + O(θ⁴), section 2.
    series = angle / (2 * np.pi) + angle**2 / 4 - angle**3 / (4 * np.pi)
    assert abs(predictions.ntk_gap(angle) - series) <= angle**4 + 4 * EPS * series


# ---------------------------------------------------------------- spectra


@given(st.integers(2, 1000), ratios, cross_cosines)
def test_the_angle_of_a_ratio_gives_that_ratio(points, ratio, cross_cosine):
    angle = predictions.cluster_angle(points, ratio, cross_cosine)
    assert 0 < angle < np.arccos(cross_cosine) * (1 + 4 * EPS)
    found = predictions.cluster_spectrum(3, points, angle, cross_cosine).ratio
    # r + s − 1 = s (κ(1) − κ(a)) / λ_−, and λ_− carries at most 32 eps: of the root-find 5 eps and
    # 1e-17 (15 eps of the smallest angle here, 3e-3), which dlog λ_−/dlog θ <= 1.2 enlarges, and
    # 3 of either gap.
    assert abs(found - ratio) <= 32 * EPS * (points + ratio)


@given(st.integers(2, 50), st.floats(0, 1), st.floats(0.01, 0.99), cross_cosines)
def test_the_ratio_of_an_angle_gives_that_angle(points, exponent, share, cross_cosine):
    angle = np.arccos(cross_cosine) * share * 10 ** (-8 * exponent)
    ratio = predictions.cluster_spectrum(2, points, angle, cross_cosine).ratio
    # λ_− is right to a dozen eps on either way, and dlog θ/dlog λ_− <= 1.3. The root-find stops at
    # 1e-17, which is nothing against what a unit row can hold, eps/2.
    np.testing.assert_allclose(
        predictions.cluster_angle(points, ratio, cross_cosine),
        angle,
        rtol=1.3 * 24 * EPS,
        atol=2e-17,
    )


@given(some_wrong)
def test_the_spectrum_of_clusters_is_that_of_the_dense_matrix(problem):
    spectrum = spectrum_of(problem)
    # The solver's n eps λ_max and entries that are right to 2 eps (Weyl).
    np.testing.assert_allclose(
        np.linalg.eigvalsh(kernel_of(problem)),
        np.repeat(*zip(*spectrum.levels(), strict=True)),
        rtol=0,
        atol=problem.n * EPS * (spectrum.mean + 2),
    )


@given(some_wrong)
def test_the_three_eigenspaces_of_clusters_are_contrasts_and_means(problem):
    spectrum, kernel = spectrum_of(problem), kernel_of(problem)
    clean = problem.clean - problem.clean.mean()
    noise = np.zeros(problem.n)
    noise[:2] = 1, -1
    for vector, eigenvalue in (
        (np.ones(problem.n), spectrum.mean),
        (clean, spectrum.information),
        (noise, spectrum.noise),
    ):
        # n products of numbers below 2 and 1/2, and entries right to 2 eps.
        np.testing.assert_allclose(
            kernel @ vector, eigenvalue * vector, rtol=0, atol=4 * problem.n * EPS * problem.n
        )


@given(
    st.integers(2, 4),
    st.integers(2, 4),
    st.integers(2, 4),
    st.floats(-6, 2).map(lambda e: 1 + 10**e),
    st.floats(-6, 1).map(lambda e: 1 + 10**e),
    cross_cosines,
)
def test_the_spectrum_of_a_tree_is_that_of_the_dense_matrix(
    superclasses, classes, points, class_ratio, step, cross_cosine
):
    super_angle, class_angle = predictions.tree_angles(
        classes, points, class_ratio, class_ratio * step, cross_cosine
    )
    n = superclasses * classes * points
    group = np.arange(n) // points
    theta = np.full((n, n), np.arccos(cross_cosine))
    theta[group[:, None] // classes == group // classes] = super_angle
    theta[group[:, None] == group] = class_angle
    np.fill_diagonal(theta, 0)
    tree = predictions.tree_spectrum(
        superclasses, classes, points, super_angle, class_angle, cross_cosine
    )
    # As for clusters.
    tolerance = n * EPS * (tree.mean + 2)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(dense_kernel(theta)),
        np.repeat(*zip(*tree.levels(), strict=True)),
        rtol=0,
        atol=tolerance,
    )
    assert abs(tree.class_ - class_ratio * tree.noise) <= tolerance
    assert abs(tree.super_ - class_ratio * step * tree.noise) <= tolerance


@given(st.integers(2, 40), st.integers(2, 8), st.floats(0.01, 0.9))
def test_a_tree_whose_two_ratios_agree_has_the_angle_of_clusters(points, classes, cross_cosine):
    # r_2 → r_1: section 3.1 with one cluster for each class.
    super_angle, class_angle = predictions.tree_angles(classes, points, 7.0, 7.0, cross_cosine)
    flat = predictions.cluster_angle(points, 7.0, cross_cosine)
    # Root-finds of relative accuracy 6 eps each.
    np.testing.assert_allclose(class_angle, flat, rtol=16 * EPS)
    np.testing.assert_allclose(super_angle, np.arccos(cross_cosine), rtol=16 * EPS)


@given(st.integers(3, 80))
def test_the_spectrum_of_a_circle_is_that_of_the_dense_matrix(points):
    phase = 2 * np.pi * np.arange(points) / points
    # The angle between two directions; subtracting phases up to 2π costs 4 eps.
    distance = np.abs(phase[:, None] - phase)
    kernel = dense_kernel(np.minimum(distance, 2 * np.pi - distance))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(kernel),
        predictions.circle_eigenvalues(points),
        rtol=0,
        atol=points * EPS * (points / 4 + 4),
    )


# ---------------------------------------------------------------- error curves, dense oracle


def check_curve(curve, problem, outputs, tolerance):
    """Outputs, error and margin of a curve are those of explicit outputs (T + 1, n)."""
    last = len(outputs)
    found = curve.outputs(problem.clean, problem.flipped)[:last]
    np.testing.assert_allclose(found, outputs, rtol=0, atol=tolerance)
    rms = np.sqrt(np.mean((outputs - problem.clean) ** 2, axis=1))
    np.testing.assert_allclose(curve.rms_error()[:last], rms, rtol=0, atol=tolerance)
    if problem.wrong > 0:
        margin = (outputs * problem.clean).min(axis=1)
        np.testing.assert_allclose(curve.margin()[:last], margin, rtol=0, atol=tolerance)


def compare_plain(problem, relative_rate, steps):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    curve = predictions.plain_training(
        spectrum, problem.noise_rate, rate, steps, problem.label_mean
    )
    outputs = dense_recursion(kernel_of(problem), problem.observed, rate, np.ones(steps), soft)
    tolerance = dense_tolerance(spectrum, rate, steps)
    check_curve(curve, problem, outputs, tolerance)
    return tolerance


def compare_soft(problem, relative_rate, weights):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    curve = predictions.soft_self_distillation(
        spectrum, problem.noise_rate, rate, weights, problem.label_mean
    )
    outputs = dense_recursion(kernel_of(problem), problem.observed, rate, weights, soft)
    tolerance = dense_tolerance(spectrum, rate, len(weights))
    check_curve(curve, problem, outputs, tolerance)
    return tolerance


def right_until(curve, weights):
    """Last step up to which the premise makes the closed form of hard targets the trajectory."""
    wrong = (curve.margin()[:-1] <= 1e-9) & (np.asarray(weights) < 1)
    return int(np.argmax(wrong)) if wrong.any() else len(weights)


def compare_hard(problem, relative_rate, weights):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    curve = predictions.self_distillation(
        spectrum, problem.noise_rate, rate, weights, problem.label_mean
    )
    last = right_until(curve, weights)
    outputs = dense_recursion(kernel_of(problem), problem.observed, rate, weights[:last], np.sign)
    tolerance = dense_tolerance(spectrum, rate, len(weights))
    check_curve(curve, problem, outputs, tolerance)
    return last, tolerance


@given(some_wrong, relative_rates, st.integers(0, 60))
def test_plain_training_is_the_dense_recursion(problem, relative_rate, steps):
    compare_plain(problem, relative_rate, steps)


@given(some_wrong, relative_rates, st.lists(weight, max_size=60))
def test_soft_self_distillation_is_the_dense_recursion(problem, relative_rate, weights):
    compare_soft(problem, relative_rate, np.array(weights))


@given(some_wrong, relative_rates, schedules())
def test_hard_self_distillation_is_the_dense_recursion_while_signs_are_right(
    problem, relative_rate, weights
):
    compare_hard(problem, relative_rate, weights)


@given(few_wrong, relative_rates, schedules())
def test_hard_self_distillation_of_recoverable_labels_is_the_dense_recursion(
    problem, relative_rate, weights
):
    compare_hard(problem, relative_rate, weights)


@pytest.mark.parametrize(
    "problem",
    [
        Clusters(clusters=2, points=5, ratio=20.0, cross_cosine=0.0, wrong=1),
        Clusters(clusters=3, points=4, ratio=30.0, cross_cosine=0.0, wrong=1),
        Clusters(clusters=4, points=3, ratio=10.0, cross_cosine=0.1, wrong=0),
    ],
)
def test_moderate_error_curves_are_exact_to_twelve_digits(problem):
    decay = np.concatenate([np.ones(2), 1 / (1 + np.arange(18) / 3)])
    assert compare_plain(problem, 0.8, 20) <= 1e-12
    assert compare_soft(problem, 0.8, decay) <= 1e-12
    last, tolerance = compare_hard(problem, 0.8, decay)
    assert tolerance <= 1e-12
    # All signs are right at every step, so the whole of the curve was compared.
    assert last == 20


@given(some_wrong, relative_rates, schedules())
def test_the_margin_is_the_least_output_on_the_side_of_its_label(problem, relative_rate, weights):
    spectrum = spectrum_of(problem)
    arguments = (problem.noise_rate, relative_rate / spectrum.mean)
    for curve in (
        predictions.plain_training(spectrum, *arguments, len(weights), problem.label_mean),
        predictions.soft_self_distillation(spectrum, *arguments, weights, problem.label_mean),
        predictions.self_distillation(spectrum, *arguments, weights, problem.label_mean),
    ):
        least = (curve.outputs(problem.clean, problem.flipped) * problem.clean).min(axis=1)
        # A sum of four terms that are at most 2 each.
        np.testing.assert_allclose(curve.margin(), least, rtol=0, atol=8 * EPS)


@given(some_wrong, relative_rates, schedules())
def test_the_error_is_the_distance_of_the_outputs_from_the_clean_labels(
    problem, relative_rate, weights
):
    spectrum = spectrum_of(problem)
    curve = predictions.self_distillation(
        spectrum,
        problem.noise_rate,
        relative_rate / spectrum.mean,
        weights,
        problem.label_mean,
    )
    error = curve.outputs(problem.clean, problem.flipped) - problem.clean
    # Outputs carry 8 eps; so does a root mean square of them, to which the mean adds n eps.
    np.testing.assert_allclose(
        curve.rms_error(),
        np.sqrt(np.mean(error**2, axis=1)),
        rtol=problem.n * EPS,
        atol=8 * EPS,
    )


@given(some_wrong, relative_rates, st.integers(0, 60))
def test_all_three_agree_when_only_observed_labels_teach(problem, relative_rate, steps):
    spectrum = spectrum_of(problem)
    arguments = (problem.noise_rate, relative_rate / spectrum.mean)
    plain = predictions.plain_training(spectrum, *arguments, steps, problem.label_mean)
    for distil in (predictions.soft_self_distillation, predictions.self_distillation):
        curve = distil(spectrum, *arguments, np.ones(steps), problem.label_mean)
        for name in ("mean_error", "information_error", "memorised_noise"):
            # Two or three roundings in a step, of numbers below 1.
            np.testing.assert_allclose(
                getattr(curve, name), getattr(plain, name), rtol=0, atol=4 * EPS * (steps + 1)
            )


# ---------------------------------------------------------------- limits


@given(some_wrong, relative_rates, schedules())
def test_every_curve_starts_at_zero_outputs(problem, relative_rate, weights):
    spectrum = spectrum_of(problem)
    arguments = (problem.noise_rate, relative_rate / spectrum.mean)
    for curve in (
        predictions.plain_training(spectrum, *arguments, 3, problem.label_mean),
        predictions.soft_self_distillation(spectrum, *arguments, weights, problem.label_mean),
        predictions.self_distillation(spectrum, *arguments, weights, problem.label_mean),
    ):
        outputs = curve.outputs(problem.clean, problem.flipped)[0]
        np.testing.assert_allclose(outputs, 0, rtol=0, atol=4 * EPS)
        np.testing.assert_allclose(curve.rms_error()[0], 1, rtol=4 * EPS)
        assert abs(curve.margin()[0]) <= 4 * EPS


moderate_wrong = clustered(wrong=lambda points, draw: draw(st.integers(1, points - 1))).filter(
    lambda problem: problem.ratio <= 50
)


def steps_to_the_end(spectrum, rate):
    """Steps after which at most e^{-40} = 4e-18 is left of the slowest mode."""
    return int(np.ceil(40 / (rate * spectrum.noise)))


@given(moderate_wrong, st.floats(0.1, 1))
def test_plain_training_ends_at_the_observed_labels(problem, relative_rate):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    steps = steps_to_the_end(spectrum, rate)
    curve = predictions.plain_training(
        spectrum, problem.noise_rate, rate, steps, problem.label_mean
    )
    # Numbers below 4 with a few roundings.
    np.testing.assert_allclose(
        curve.outputs(problem.clean, problem.flipped)[-1], problem.observed, rtol=0, atol=8 * EPS
    )
    np.testing.assert_allclose(curve.rms_error()[-1], 2 * np.sqrt(problem.noise_rate), rtol=8 * EPS)


@given(moderate_wrong, st.floats(0.1, 1), st.floats(0.5, 1))
def test_soft_targets_memorise_when_their_weights_do_not_sum(problem, relative_rate, exponent):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    alpha = (1 + np.arange(20_000)) ** -exponent
    curve = predictions.soft_self_distillation(
        spectrum, problem.noise_rate, rate, alpha, problem.label_mean
    )
    # Between memorisation and the share Π(1 − ηαλ) <= exp(−ηλ_− Σα) of everything that is left, in
    # each of three modes of size at most 2.
    left = np.exp(-rate * spectrum.noise * alpha.sum())
    limit = 2 * np.sqrt(problem.noise_rate)
    assert abs(curve.rms_error()[-1] - limit) <= 3 * left + alpha.size * EPS


@given(moderate_wrong, st.floats(0.1, 1), st.floats(0, 1))
def test_hard_targets_of_constant_weight_end_at_that_share_of_the_noise(
    problem, relative_rate, level
):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    # The recursion; that signs allow it for α < 1/2 only is the premise, and tested below.
    steps = min(steps_to_the_end(spectrum, rate), 20_000)
    alpha = np.concatenate([np.ones(3), np.full(steps, level)])
    curve = predictions.self_distillation(
        spectrum, problem.noise_rate, rate, alpha, problem.label_mean
    )
    left = np.exp(-rate * spectrum.noise * steps)
    # Rounding adds up over 1/(ηλ_−) steps.
    tolerance = 3 * left + 4 * EPS / (rate * spectrum.noise)
    limit = problem.clean + level * (problem.observed - problem.clean)
    np.testing.assert_allclose(
        curve.outputs(problem.clean, problem.flipped)[-1], limit, rtol=0, atol=2 * tolerance
    )
    np.testing.assert_allclose(
        curve.rms_error()[-1], 2 * level * np.sqrt(problem.noise_rate), rtol=0, atol=tolerance
    )


@given(st.integers(1, 3), st.floats(60, 200), st.integers(1, 3), st.floats(0.01, 0.45))
def test_constant_weights_below_a_half_reach_their_limit_where_signs_hold(
    half_clusters, ratio, wrong, level
):
    problem = Clusters(2 * half_clusters, 10, ratio, 0.0, wrong)
    spectrum = spectrum_of(problem)
    rate = 1 / spectrum.information
    # At α < 1/2 flipped outputs tend to 1 − 2α > 0. From one step on q rises to α from 1/r, so the
    # margin falls from about 1 − 2ρ to 1 − 2α at the least, and signs hold.
    alpha = np.concatenate([[1.0], np.full(int(6 * ratio), level)])
    curve = predictions.self_distillation(spectrum, problem.noise_rate, rate, alpha)
    assert curve.margin()[1:].min() > 0
    outputs = predictions.block_recursion(spectrum, problem.observed, rate, alpha)
    tolerance = dense_tolerance(spectrum, rate, alpha.size)
    error = np.sqrt(np.mean((outputs - problem.clean) ** 2))
    assert abs(error - curve.rms_error()[-1]) <= tolerance
    # What is left of the start is (1 − 1/r)^{6r} < e^{-6}, of noise of size 2√ρ at most.
    limit = 2 * level * np.sqrt(problem.noise_rate)
    assert abs(error - limit) <= 2 * np.sqrt(problem.noise_rate) * np.exp(-6) + tolerance


@given(moderate_wrong, st.floats(0.2, 1), st.floats(0.5, 2))
def test_hard_targets_of_vanishing_weight_end_at_the_clean_labels(problem, relative_rate, exponent):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    # Long enough for the slowest mode to forget the first half of the run but for e^{-20}.
    half = min(int(np.ceil(20 / (rate * spectrum.noise))), 10_000)
    alpha = (1 + np.arange(2 * half) / 3) ** -exponent
    curve = predictions.self_distillation(
        spectrum, problem.noise_rate, rate, alpha, problem.label_mean
    )
    # A mode v ← (1 − ηλ)v + ηλ α w with decreasing α is at most |v_h|(1 − ηλ)^{T−h} + α_h|w| in
    # modulus; sources w add up to the noise 2√ρ, and at h the error is at most 1 + 2√ρ <= 3.
    forgotten = 3 * np.exp(-rate * spectrum.noise * half)
    noise = 2 * np.sqrt(problem.noise_rate)
    rounding = 4 * EPS / (rate * spectrum.noise)
    assert curve.rms_error()[-1] <= alpha[half] * noise + forgotten + rounding


def test_power_schedules_end_at_the_rate_of_their_weights():
    # u_t − y ~ α_t ξ when α_{t+1}/α_t → 1 (section 7.1), to next order by the factor
    # 1 + 1/(ηλ(t + τ)) in the noise mode and a smaller one in the others; its square follows.
    problem = Clusters(clusters=2, points=10, ratio=20.0, cross_cosine=0.0, wrong=3)
    spectrum = spectrum_of(problem)
    rate = 1 / spectrum.mean
    alpha = 1 / (1 + np.arange(20_000) / 10)
    curve = predictions.self_distillation(spectrum, 0.3, rate, alpha)
    relative = curve.rms_error()[-1] * (1 + 20_000 / 10) / (2 * np.sqrt(0.3))
    correction = 1 / (rate * spectrum.noise * 20_010)
    noise_energy = 0.7
    assert relative > 1
    assert abs(relative - (1 + noise_energy * correction)) <= 4 * correction**2 + 2 / 20_010


# ---------------------------------------------------------------- plain training is limited


plain_rates = st.floats(0.001, 0.5, exclude_max=True)
# Steps with ηλ_0 > 1, where the mean mode diverges without being used: λ_0 < 100 λ_+ here, and its
# square stays below 100^120.
FEW = 60


@given(clustered(), plain_rates, relative_rates)
def test_plain_training_never_gets_below_twice_the_noise_rate(problem, noise_rate, relative_rate):
    spectrum = spectrum_of(problem)
    curve = predictions.plain_training(
        spectrum, noise_rate, relative_rate / spectrum.mean, 300, problem.label_mean
    )
    assert curve.rms_error().min() >= 2 * noise_rate - 4 * EPS


@given(clustered(even=True), plain_rates, relative_rates)
def test_with_balanced_labels_only_the_information_limits_the_step(
    problem, noise_rate, relative_rate
):
    spectrum = spectrum_of(problem)
    curve = predictions.plain_training(
        spectrum, noise_rate, relative_rate / spectrum.information, FEW
    )
    assert curve.rms_error().min() >= 2 * noise_rate - 4 * EPS


@given(plain_rates, st.floats(10, 1e6), st.integers(2, 20))
def test_the_bound_of_twice_the_noise_rate_is_tight(noise_rate, ratio, points):
    spectrum = predictions.cluster_spectrum(2, points, predictions.cluster_angle(points, ratio))
    curve = predictions.plain_training(spectrum, noise_rate, 1 / spectrum.information, 1)
    # One step of ηλ_+ = 1 leaves E_+ = −2ρ and q = 1/r: the error is √(4ρ² + 4ρ(1−ρ)/r²), where
    # q is right to 32 (r + s)/r eps (the ratio), and E_+ to 2 eps.
    left = 4 * noise_rate * (1 - noise_rate) / ratio**2
    np.testing.assert_allclose(
        curve.rms_error()[1],
        np.sqrt(4 * noise_rate**2 + left),
        rtol=32 * (1 + points) * EPS,
        atol=4 * EPS,
    )
    assert curve.rms_error()[1] - 2 * noise_rate <= left / (4 * noise_rate) * (1 + 1e-6) + 8 * EPS


@given(st.floats(0.01, 0.24), st.floats(50, 500))
def test_a_larger_step_can_get_below_twice_the_noise_rate(noise_rate, ratio):
    # The step-size condition cannot be dropped: section 6.3.
    spectrum = predictions.cluster_spectrum(2, 5, predictions.cluster_angle(5, ratio))
    rate = 1 / ((1 - 2 * noise_rate) * spectrum.information)
    error = predictions.plain_training(spectrum, noise_rate, rate, 1).rms_error()[1]
    expected = 2 * np.sqrt(noise_rate * (1 - noise_rate)) / ((1 - 2 * noise_rate) * ratio)
    # The ratio is right to 32 (r + s)/r eps, and E_+ = 0 to 2 eps of an error above 1e-3.
    np.testing.assert_allclose(error, expected, rtol=64 * EPS, atol=4 * EPS)
    assert (error < 2 * noise_rate) == (expected < 2 * noise_rate)


# ---------------------------------------------------------------- thresholds


@st.composite
def around_the_threshold(draw):
    """A ratio above 2 and a noise rate on either side of the threshold, by 1e-8 at least."""
    ratio = 2 + 10 ** draw(st.floats(-2, 2.6))
    threshold = (ratio - 2) / (2 * (ratio - 1))
    offset = 10 ** draw(st.floats(-8, -1)) * draw(st.sampled_from([-1, 1]))
    noise_rate = threshold + offset
    assume(0 < noise_rate < 0.5)
    return ratio, noise_rate


@given(
    around_the_threshold(),
    st.integers(2, 9),
    st.sampled_from([2, 4, 6]),
    cross_cosines,
    st.floats(0.05, 1),
)
def test_some_step_gets_flipped_points_right_iff_the_noise_rate_is_below_the_threshold(
    problem, points, clusters, cross_cosine, relative_rate
):
    ratio, noise_rate = problem
    angle = predictions.cluster_angle(points, ratio, cross_cosine)
    spectrum = predictions.cluster_spectrum(clusters, points, angle, cross_cosine)
    rate = relative_rate / spectrum.information
    curve = predictions.plain_training(spectrum, noise_rate, rate, FEW)
    # The first step is the last one to lose its margin ηλ_− 2 (r − 1)(ρ* − ρ), which is above
    # 0.05 · 2 (1 − 1/r) 1e-8 = 5e-10: far above rounding.
    recoverable = noise_rate < predictions.recoverability_threshold(ratio)
    assert (curve.margin()[1:].max() > 0) == recoverable
    flipped = curve.outputs([1.0], [True])[1:, 0]
    assert (flipped.max() > 0) == recoverable


@given(st.floats(1.001, 2), plain_rates)
def test_no_noise_rate_is_recoverable_at_ratios_up_to_two(ratio, noise_rate):
    assert predictions.recoverability_threshold(ratio) <= 0
    spectrum = predictions.cluster_spectrum(2, 5, predictions.cluster_angle(5, ratio))
    curve = predictions.plain_training(spectrum, noise_rate, 1 / spectrum.information, 100)
    assert curve.margin()[1:].max() < 0


@given(clustered(even=True, least_ratio=2.01), plain_rates, st.floats(0.05, 1))
def test_flipped_points_are_right_on_an_initial_interval(problem, noise_rate, relative_rate):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.information
    right = predictions.plain_training(spectrum, noise_rate, rate, FEW).margin()[1:] > 0
    assert (np.diff(right.astype(int)) <= 0).all()
    # And not beyond the memorisation time, whatever the information (section 6.4).
    last = np.flatnonzero(right)[-1] + 1 if right.any() else 0
    assert last <= predictions.memorisation_time(noise_rate, rate, spectrum.noise)


@given(
    st.floats(2.01, 500),
    st.floats(0.01, 0.49),
    st.integers(2, 9),
)
def test_the_first_wrong_step_follows_the_memorisation_time(ratio, noise_rate, points):
    spectrum = predictions.cluster_spectrum(4, points, predictions.cluster_angle(points, ratio))
    # ηλ_+ = 1 retrieves the information in one step, so g_+ = 1 from there on.
    rate = 1 / spectrum.information
    time = predictions.memorisation_time(noise_rate, rate, spectrum.noise)
    # Not at a step itself, where rounding decides.
    assume(abs(time - round(time)) > 1e-6)
    curve = predictions.plain_training(spectrum, noise_rate, rate, int(np.ceil(time)) + 2)
    wrong = np.flatnonzero(curve.margin()[1:] <= 0) + 1
    assert wrong[0] == max(1, np.ceil(time))


@pytest.mark.parametrize(
    ("noise_rate", "rate"), [(0.5, 0.1), (0.7, 0.1), (0.2, 1.0), (0.2, 1.5), (0.6, 2.0)]
)
def test_memorisation_is_immediate_for_half_the_labels_or_a_full_step(noise_rate, rate):
    assert predictions.memorisation_time(noise_rate, rate, 1.0) == 0


@given(st.floats(0.001, 0.499), st.floats(1e-6, 0.999))
def test_at_the_memorisation_time_flipped_points_are_undecided(noise_rate, rate):
    time = predictions.memorisation_time(noise_rate, rate, 1.0)
    memorised = -np.expm1(time * np.log1p(-rate))
    # 1 − 2ρ = 2(1 − ρ) q, in which every factor carries a few eps of numbers below 2.
    assert abs((1 - 2 * noise_rate) - 2 * (1 - noise_rate) * memorised) <= 16 * EPS


# ---------------------------------------------------------------- the block recursion


def until_a_sign_is_undecided(outputs, weights):
    """Steps whose signs rounding cannot change; exact zeros teach zero on both sides."""
    undecided = (np.abs(outputs) < 1e-9) & (outputs != 0)
    # Zeros after the start are a matter of rounding as well.
    undecided[1:] |= outputs[1:] == 0
    unsafe = undecided.any(axis=1)[:-1] & (np.asarray(weights) < 1)
    return int(np.argmax(unsafe)) if unsafe.any() else len(weights)


@given(some_wrong, relative_rates, st.lists(weight, max_size=40), seeds, st.floats(0, 2))
def test_the_block_recursion_is_the_dense_one_whatever_the_signs(
    problem, relative_rate, weights, seed, scale
):
    spectrum, kernel = spectrum_of(problem), kernel_of(problem)
    rng = np.random.default_rng(seed)
    rate = relative_rate / spectrum.mean
    observed = rng.choice([-1.0, 1.0], problem.n)
    starts = np.stack([np.zeros(problem.n), *scale * rng.standard_normal((3, problem.n))])
    for start in starts:
        outputs = dense_recursion(kernel, observed, rate, weights, np.sign, start)
        last = until_a_sign_is_undecided(outputs, weights)
        found = predictions.block_recursion(spectrum, observed, rate, weights[:last], start)
        # Outputs of the size of the start; both sides round.
        size = 1 + np.abs(start).max()
        np.testing.assert_allclose(
            found,
            outputs[last],
            rtol=0,
            atol=2 * size * dense_tolerance(spectrum, rate, len(weights)),
        )


@given(some_wrong, relative_rates, st.lists(weight, max_size=20), seeds)
def test_the_block_recursion_takes_many_starts_at_once(problem, relative_rate, weights, seed):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    starts = np.random.default_rng(seed).standard_normal((2, 3, problem.n))
    # Soft changes of rounding order cannot flip the signs of generic numbers.
    together = predictions.block_recursion(spectrum, problem.observed, rate, weights[:3], starts)
    assert together.shape == starts.shape
    for index in np.ndindex(2, 3):
        alone = predictions.block_recursion(
            spectrum, problem.observed, rate, weights[:3], starts[index]
        )
        # Three steps of n-term means of numbers below 8.
        np.testing.assert_allclose(together[index], alone, rtol=0, atol=64 * problem.n * EPS)


def test_the_block_recursion_leaves_its_start_alone():
    problem = Clusters(2, 3, 5.0, 0.0, 1)
    start = np.ones(6)
    predictions.block_recursion(spectrum_of(problem), problem.observed, 0.1, [0.5], start)
    np.testing.assert_array_equal(start, np.ones(6))


@given(few_wrong, relative_rates, schedules())
def test_the_block_recursion_is_self_distillation_while_signs_are_right(
    problem, relative_rate, weights
):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    curve = predictions.self_distillation(
        spectrum, problem.noise_rate, rate, weights, problem.label_mean
    )
    last = right_until(curve, weights)
    outputs = predictions.block_recursion(spectrum, problem.observed, rate, weights[:last])
    # Both use the same eigenvalues: what is left is rounding, as in dense_tolerance.
    np.testing.assert_allclose(
        outputs,
        curve.outputs(problem.clean, problem.flipped)[last],
        rtol=0,
        atol=dense_tolerance(spectrum, rate, len(weights)),
    )


@given(
    clustered(
        even=True, wrong=lambda points, draw: draw(st.integers(1, max(1, (points - 1) // 2)))
    ),
    st.floats(0.05, 1),
    st.integers(1, 40),
    st.lists(weight, max_size=40),
)
def test_with_flipped_points_wrong_after_the_burn_in_hard_targets_are_plain_training(
    problem, relative_rate, burn_in, then
):
    spectrum = spectrum_of(problem)
    rate = relative_rate / spectrum.mean
    steps = burn_in + len(then)
    plain = predictions.plain_training(spectrum, problem.noise_rate, rate, steps)
    # Clean points are right at every step, by (1 − 2ρ) ηλ_+ + 2ρ ηλ_− > 0 at the first.
    assume(problem.noise_rate < 0.5)
    assume(plain.margin()[burn_in] < -1e-9)
    outputs = predictions.block_recursion(
        spectrum, problem.observed, rate, np.concatenate([np.ones(burn_in), then])
    )
    np.testing.assert_allclose(
        outputs,
        plain.outputs(problem.clean, problem.flipped)[-1],
        rtol=0,
        atol=dense_tolerance(spectrum, rate, steps),
    )


# ---------------------------------------------------------------- random initial outputs


@given(
    st.integers(1, 4),
    st.integers(2, 4),
    st.floats(1e-6, 1),
    st.floats(0, 1),
    st.floats(0.01, 10),
    seeds,
)
def test_initial_outputs_have_the_covariance_of_the_arc_cosine_kernel(
    clusters, points, relative_angle, cross_cosine, scale, seed
):
    cross_cosine = 0.9 * cross_cosine
    angle = relative_angle * np.arccos(cross_cosine)
    samples = 2000
    draws = predictions.initial_output_samples(
        clusters, points, angle, cross_cosine, scale, samples, np.random.default_rng(seed)
    )
    n = clusters * points
    assert draws.shape == (samples, n)
    theta = cluster_angles(clusters, points, angle, cross_cosine)
    covariance = scale**2 * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    # Sums and differences of two outputs are centred Gaussians, so their squares add up to their
    # variance times χ², exactly; a small variance κ_1(1) − κ_1(θ) is tested by the differences.
    low, high = chi2.ppf(MISS / 2, samples), chi2.isf(MISS / 2, samples)
    for sign in (1, -1):
        squares = ((draws[:, :, None] + sign * draws[:, None, :]) ** 2).sum(axis=0)
        diagonal = np.diag(covariance)
        variance = diagonal[:, None] + diagonal + 2 * sign * covariance
        # The variances of differences cancel to eps scale², and so do the draws' own parts.
        slack = 16 * EPS * samples * scale**2
        assert (squares >= low * variance - slack).all()
        assert (squares <= high * variance + slack).all()


def test_initial_outputs_are_reproducible():
    first, second = (
        predictions.initial_output_samples(2, 3, 0.1, 0.2, 1.0, 5, np.random.default_rng(7))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


# ---------------------------------------------------------------- the lazy width


@given(clustered(), st.floats(0.01, 0.5), st.floats(0.01, 1), st.floats(0.1, 3))
def test_the_lazy_width_scales_as_it_says(problem, noise_rate, memorised, scale):
    spectrum = spectrum_of(problem)
    angle = predictions.cluster_angle(problem.points, problem.ratio, problem.cross_cosine)
    width = predictions.lazy_width(spectrum, angle, noise_rate, memorised, scale)
    # n 4ρ(1−ρ) q²/(λ_− θ² σ²), from the definition; a dozen roundings.
    noise = dense_noise(problem)
    expected = noise_rate * (1 - noise_rate) * problem.n * (2 * memorised / (angle * scale)) ** 2
    # λ_− = 1/2 − κ(θ) cancels to 2 eps.
    np.testing.assert_allclose(width, expected / noise, rtol=16 * EPS + 4 * EPS / noise)

    twice = predictions.cluster_spectrum(
        2 * problem.clusters, problem.points, angle, problem.cross_cosine
    )
    for changed, factor in (
        (predictions.lazy_width(twice, angle, noise_rate, memorised, scale), 2),
        (predictions.lazy_width(spectrum, 2 * angle, noise_rate, memorised, scale), 1 / 4),
        (predictions.lazy_width(spectrum, angle, noise_rate, 2 * memorised, scale), 4),
        (predictions.lazy_width(spectrum, angle, noise_rate, memorised, 2 * scale), 1 / 4),
        (predictions.lazy_width(spectrum, angle, 1 - noise_rate, memorised, scale), 1),
    ):
        np.testing.assert_allclose(changed, factor * width, rtol=16 * EPS)


def dense_noise(problem):
    """λ_− as the Rayleigh quotient of a contrast inside a cluster."""
    kernel = kernel_of(problem)
    return kernel[0, 0] - kernel[0, 1]

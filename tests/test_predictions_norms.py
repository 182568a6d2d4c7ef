"""Closed forms about unseen points, norms and the margin bound, against measured kernels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk_theory import data, kernels, predictions
from ntk_theory.targets import PLAIN, BurnIn, Distillation, Power, weights
from ntk_theory.training import train_kernel_limit

EPS = np.finfo(float).eps


@st.composite
def designs(draw):
    """Clusters with fresh points and one more cluster, ratios from barely separated to 200."""
    clusters, points = draw(st.integers(2, 5)), draw(st.integers(3, 8))
    ratio = draw(st.floats(1.2, 200.0))
    cross = draw(st.sampled_from([0.0, 0.2, 0.7]))
    flipped = draw(st.integers(1, max(1, (points - 1) // 2)))
    return clusters, points, ratio, cross, flipped / points


def problem(case):
    """Spectrum, training rows, fresh rows of the clusters, rows of a new cluster, labels."""
    clusters, points, ratio, cross, rate = case
    angle = predictions.cluster_angle(points, ratio, cross)
    design = data.equicorrelated_clusters(clusters + 1, points + 1, angle=angle, cross_cosine=cross)
    place, old = np.arange(len(design.inputs)) % (points + 1), design.groups < clusters
    trained = old & (place < points)
    labels = data.noisy_labels(
        data.Design("trained", design.inputs[trained], design.groups[trained]),
        noise_rate=rate,
        rng=np.random.default_rng(0),
    )
    spectrum = predictions.cluster_spectrum(clusters, points, angle, cross)
    fresh = design.inputs[old & (place == points)]
    return spectrum, labels, fresh, design.inputs[~old]


@given(designs(), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_fresh_margins_are_those_of_the_kernel_predictor(case, steps):
    spectrum, labels, fresh, strangers = problem(case)
    gram, rate, mean = kernels.ntk_limit(labels.inputs), 1 / spectrum.mean, labels.clean.mean()
    outputs = train_kernel_limit(gram, labels.observed, PLAIN, learning_rate=rate, steps=steps)[-1]
    weights_ = np.linalg.solve(gram, outputs)
    curve = predictions.plain_training(spectrum, case[-1], rate, steps, mean)
    errors = curve.mean_error[-1], curve.information_error[-1]
    # Outputs lose n eps λ_max/λ_− ; the solve divides by λ_−, the kernel row sums up n/2 of them.
    tolerance = len(gram) ** 2 * EPS * spectrum.mean / spectrum.noise**2 + 100 * EPS
    margins = kernels.ntk_limit(fresh, labels.inputs) @ weights_ * labels.clean[:: spectrum.points]
    assert margins.min() == pytest.approx(
        float(predictions.unseen_margin(spectrum, *errors, mean)), abs=tolerance
    )
    new = kernels.ntk_limit(strangers, labels.inputs) @ weights_
    expected = float(predictions.new_cluster_output(spectrum, errors[0], mean))
    np.testing.assert_allclose(new, expected, rtol=0, atol=tolerance)


@given(designs())
@settings(deadline=None, max_examples=40)
def test_measures_of_clean_and_observed_labels_are_those_of_the_kernel(case):
    spectrum, labels, _, _ = problem(case)
    gram = kernels.ntk_limit(labels.inputs)
    n, mean, rho = len(gram), labels.clean.mean(), case[-1]
    tolerance = n * EPS * spectrum.mean / spectrum.noise
    for target, error, noise in ((labels.clean, 0.0, 0.0), (labels.observed, -2 * rho, 1.0)):
        slow = math.sqrt(2 * target @ np.linalg.solve(gram, target) / n)
        distance = predictions.linearised_distance(spectrum, rho, error, error, noise, mean)
        assert predictions.generalisation_measure(distance, n) == pytest.approx(slow, rel=tolerance)


def test_the_measure_of_balanced_clean_labels_is_two_over_the_information_eigenvalue():
    spectrum = predictions.cluster_spectrum(4, 6, 0.4)
    distance = predictions.linearised_distance(spectrum, 0.2, 0.0, 0.0, 0.0)
    measure = predictions.generalisation_measure(distance, 24)
    assert measure == pytest.approx(math.sqrt(2 / spectrum.information), rel=8 * EPS)


@given(designs())
@settings(deadline=None, max_examples=40)
def test_the_information_ratio_compares_the_measures_of_noise_and_clean_labels(case):
    spectrum, labels, _, _ = problem((case[0] + case[0] % 2, *case[1:]))  # balanced
    gram = kernels.ntk_limit(labels.inputs)
    inverse = np.linalg.inv(gram)
    slow = np.trace(inverse) / (labels.clean @ inverse @ labels.clean)
    tolerance = len(gram) * EPS * spectrum.mean / spectrum.noise
    assert predictions.information_ratio(spectrum) == pytest.approx(slow, rel=tolerance)


@given(st.floats(0.001, 0.499))
def test_the_least_ratio_of_two_classes_is_where_the_recoverability_threshold_is(rate):
    ratio = predictions.least_ratio(rate)
    # The threshold subtracts numbers of order r, divided by r.
    assert predictions.recoverability_threshold(ratio) == pytest.approx(rate, abs=8 * EPS)


@pytest.mark.parametrize("classes", [3, 4, 7])
@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_a_flipped_point_is_right_after_one_small_step_exactly_above_the_least_ratio(classes, rate):
    """One step shows it: the share of information to noise falls from r on, as for two classes."""
    points = 4 * (classes - 1)
    flips = int(rate * points) // (classes - 1) * (classes - 1)
    least = predictions.least_ratio(flips / points, classes)
    for ratio, right in ((1.01 * least, True), (0.99 * least, False)):
        design = data.equicorrelated_clusters(classes, points, ratio=ratio)
        observed = design.groups.copy()
        for group in range(classes):
            wrong = [other for other in range(classes) if other != group]
            first = group * points
            observed[first : first + flips] = np.tile(wrong, flips // (classes - 1))
        outputs = kernels.ntk_limit(design.inputs) @ data.encode(observed, classes)
        predicted = outputs.argmax(axis=1)
        assert (predicted == design.groups).all() == right


def test_no_ratio_recovers_labels_of_which_the_right_one_is_not_the_most_frequent():
    assert predictions.least_ratio(0.75, 4) == math.inf
    assert predictions.least_ratio(0.5) == math.inf
    assert predictions.least_ratio(0.0, 5) == 2.0


def test_the_margin_bound_is_monotone_and_adds_its_three_terms():
    assert predictions.margin_bound(0.0, 1.0, 50) == pytest.approx(math.sqrt(math.log(20) / 100))
    base = predictions.margin_bound(0.3, 0.5, 50, below=0.1)
    assert base == pytest.approx(0.1 + 0.6 + math.sqrt(math.log(20) / 100), rel=4 * EPS)
    assert predictions.margin_bound(0.4, 0.5, 50, below=0.1) > base
    assert predictions.margin_bound(0.3, 0.4, 50, below=0.1) > base
    assert predictions.margin_bound(0.3, 0.5, 40, below=0.1) > base
    assert predictions.margin_bound(0.3, 0.5, 50, below=0.1, confidence=0.99) > base


def test_the_rademacher_complexity_of_a_ball_is_below_half_the_measure():
    """E sup over the ball is B E sqrt(σᵀHσ)/n; Jensen and κ(1) = 1/2 give B/sqrt(2n)."""
    rng = np.random.default_rng(5)
    inputs = rng.standard_normal((30, 4))
    gram = kernels.ntk_limit(inputs / np.linalg.norm(inputs, axis=1, keepdims=True))
    signs = rng.choice([-1.0, 1.0], size=(4000, 30))
    suprema = np.sqrt(np.einsum("si,ij,sj->s", signs, gram, signs)) / 30
    error = 5 * suprema.std() / math.sqrt(len(suprema))
    half = float(predictions.generalisation_measure(1.0, 30)) / 2
    assert suprema.mean() <= half + error
    assert suprema.mean() >= half / 2  # Khinchine: Jensen loses at most a factor √2


@pytest.mark.parametrize("radius", [0.3, 1.5])
def test_the_margin_bound_holds_on_independent_points(radius):
    """Hard margins of kernel interpolants on fresh draws: the bound fails at most 5 % of the time.

    With 100 draws of failure probability at most 0.05 each, more than 17 failures have a binomial
    probability below 1e-5.
    """
    failures = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        centres = np.array([[1.0, 0, 0], [-0.5, 0.8, 0.2]])
        label = rng.choice([0, 1], 240)
        rows = centres[label] + radius * rng.standard_normal((240, 3)) / math.sqrt(3)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        y = 2.0 * label - 1
        gram = kernels.ntk_limit(rows[:40])
        alpha = np.linalg.solve(gram + 0.1 * np.eye(40), y[:40])
        margins = gram @ alpha * y[:40]
        fresh = kernels.ntk_limit(rows[40:], rows[:40]) @ alpha * y[40:]
        measure = float(predictions.generalisation_measure(math.sqrt(alpha @ gram @ alpha), 40))
        bound = predictions.margin_bound(measure, 0.5, 40, float((margins <= 0.5).mean()))
        failures += float((fresh <= 0).mean()) > bound
    assert failures <= 17


def test_self_distillation_needs_no_longer_way_than_clean_labels_do():
    spectrum = predictions.cluster_spectrum(4, 10, predictions.cluster_angle(10, 20.0))
    rate = 0.5 / spectrum.information
    schedule = Distillation(BurnIn(3, Power(3.0))).schedule
    curve = predictions.self_distillation(spectrum, 0.2, rate, weights(schedule, 20_000))
    ends = curve.mean_error[-1], curve.information_error[-1], curve.memorised_noise[-1]
    way = predictions.linearised_distance(spectrum, 0.2, *ends)
    clean = predictions.linearised_distance(spectrum, 0.2, 0.0, 0.0, 0.0)
    # Both errors are of the order of the last weight: α_T (1 + 1/(ηλ_− T)) at most.
    last = 2 * schedule.weight(20_000)
    assert way <= clean * (1 + last * math.sqrt(spectrum.ratio))
    assert way >= clean * (1 - last)

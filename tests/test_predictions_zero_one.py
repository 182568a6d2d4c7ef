"""What is promised of 0-1 recovery, against measured centres, kernels and explicit recursions."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ntk_theory import data, kernels, predictions
from ntk_theory.targets import PLAIN
from ntk_theory.training import train_kernel_limit

EPS = np.finfo(float).eps
few = st.integers(2, 5)
sizes = st.integers(2, 8)
ratios = st.floats(1.5, 300.0)
cosines = st.just(0.0) | st.floats(0.0, 0.8)
noise_rates = st.floats(1e-3, 0.499)
shares = st.floats(1e-3, 1.0)


@given(few, sizes, ratios, cosines)
def test_centres_are_those_of_the_points(clusters, points, ratio, cross):
    angle = predictions.cluster_angle(points, ratio, cross)
    found = predictions.cluster_centres(clusters, points, angle, cross)
    design = data.equicorrelated_clusters(clusters, points, angle=angle, cross_cosine=cross)
    blocks = design.inputs.reshape(clusters, points, -1)
    means = data.unit_rows(blocks.mean(axis=1))
    far = np.linalg.norm(blocks - means[:, None], axis=-1)
    np.testing.assert_allclose(far, found.radius, rtol=1e-9)
    assert np.linalg.norm(means, 2) ** 2 == pytest.approx(found.norm, rel=1e-9)
    gram = kernels.ntk_limit(means)
    assert np.linalg.eigvalsh(gram)[0] == pytest.approx(found.least, rel=1e-6, abs=1e-9)
    labels = np.resize([1.0, -1.0], clusters)
    if clusters % 2 == 0:
        learned = math.sqrt(labels @ np.linalg.solve(gram, labels))
        assert learned == pytest.approx(found.distance, rel=1e-6)


@given(few, sizes, ratios, st.integers(0, 2**32 - 1))
def test_no_other_unit_centre_is_nearer_to_all_points(clusters, points, ratio, seed):
    angle = predictions.cluster_angle(points, ratio)
    radius = predictions.cluster_centres(clusters, points, angle).radius
    inputs = data.equicorrelated_clusters(clusters, points, angle=angle).inputs[:points]
    near = inputs.mean(axis=0) + 0.1 * np.random.default_rng(seed).standard_normal(
        inputs.shape[1]
    ) / math.sqrt(inputs.shape[1])
    other = near / np.linalg.norm(near)
    assert np.linalg.norm(inputs - other, axis=1).max() >= radius * (1 - 1e-9)


@given(few, sizes, ratios, shares)
def test_training_times_are_the_same_in_steps_of_any_rate(clusters, points, ratio, rate):
    angle = predictions.cluster_angle(points, ratio)
    centres = predictions.cluster_centres(clusters, points, angle)
    own = clusters / (clusters * points * centres.norm)
    assert centres.steps_at(rate, points) * rate == pytest.approx(centres.steps * own)


def test_tight_clusters_are_their_centres():
    """As ε_0 → 0 the distance that learns the labels is that of the centres, and T the form's."""
    rho, rate = 0.1, 1e-5
    for ratio in (1e3, 1e5):
        angle = predictions.cluster_angle(6, ratio)
        centres = predictions.cluster_centres(4, 6, angle)
        spectrum = predictions.cluster_spectrum(4, 6, angle)
        learned = float(predictions.linearised_distance(spectrum, 0.0, 0.0, 0.0, 0.0))
        near = 10 / ratio
        assert learned == pytest.approx(centres.distance, rel=near)
        time = predictions.recovery_time(rho, rate, spectrum.information)
        form = centres.steps_at(rate, 6) * math.log(1 / (2 * rho))
        assert time == pytest.approx(form, rel=near + 1e-4)


@given(noise_rates, shares)
def test_the_recovery_time_is_the_first_step_with_so_little_missing(rho, share):
    assume(share > 1e-2 or rho > 0.05)
    time = predictions.recovery_time(rho, share / 3.0, 3.0)
    left = (1 - share) ** np.arange(time + 1)
    assert time >= 1
    assert left[time] <= 2 * rho * (1 + 1e-9)
    assert time == 1 or left[time - 1] > 2 * rho * (1 - 1e-9)


@pytest.mark.parametrize(("rho", "share", "time"), [(0.4, 0.2, 1), (0.32, 0.2, 2), (0.1, 1.0, 1)])
def test_a_power_that_is_exactly_the_limit_has_reached_it(rho, share, time):
    assert predictions.recovery_time(rho, share, 1.0) == time


@given(few.filter(lambda k: k % 2 == 0), st.integers(3, 8), ratios, shares, st.integers(1, 2))
def test_outputs_are_as_near_as_promised_from_the_recovery_time_on(k, s, ratio, share, wrong):
    assume(2 * wrong < s)
    angle = predictions.cluster_angle(s, ratio)
    design = data.equicorrelated_clusters(k, s, angle=angle)
    labels = data.noisy_labels(design, noise_rate=wrong / s, rng=np.random.default_rng(0))
    spectrum, rho = predictions.cluster_spectrum(k, s, angle), wrong / s
    rate = max(share, 0.05) / spectrum.mean
    first = predictions.recovery_time(rho, rate, spectrum.information)
    outputs = train_kernel_limit(
        kernels.ntk_limit(labels.inputs),
        labels.observed,
        PLAIN,
        learning_rate=rate,
        steps=first + 5,
    )
    largest = np.abs(outputs - labels.clean).max(axis=1)[first:]
    curve = predictions.plain_training(spectrum, rho, rate, first + 5)
    bound = predictions.recovery_error(rho, curve.memorised_noise[first:])
    assert (largest <= bound + 1e-9).all()
    # A step less of the information, and there is nothing to be promised but that it is near.
    right = (labels.clean * outputs[first:] > 0).all(axis=1)
    assert right[bound < 1].all()


@given(st.floats(1e-3, 2.0))
def test_the_promise_is_half_the_distance_of_two_labels(separation):
    rho = predictions.tolerated_noise(separation)
    assert 4 * rho == pytest.approx(separation / 2)
    if separation == 2.0:
        assert predictions.recovery_error(rho, 0.0) < 1

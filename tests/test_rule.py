"""The rule for noisy labels: what is left out, what the noise is, what a net is taught."""

import numpy as np
import pytest
from scipy.special import softmax

from ntk_theory import data, kernels, rule, spectrum

EPS = np.finfo(float).eps


def draw(points=24, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    design = data.gaussian_clusters(classes, points // classes, 6, radius=0.7, rng=rng)
    noisy = data.noisy_labels(design, noise_rate=0.25, classes=classes, rng=rng)
    targets = np.eye(classes)[noisy.observed_class] - 1 / classes
    return kernels.ntk_limit(design.inputs), targets, noisy


def filters(gram, targets, rate, steps):
    """Diagonals b_s of (I − ηH)^s, and what e_s is left of the targets."""
    power, found = np.eye(len(gram)), []
    for _ in range(steps + 1):
        found.append((np.diag(power), power @ targets))
        power = power @ (np.eye(len(gram)) - rate * gram)
    return map(np.array, zip(*found, strict=True))


def left_out_exactly(gram, targets, rate, steps):
    """Section 13.1: e_t = Σ_s b_{t−s} (r_s − r_{s−1}), solved for the residuals r."""
    own, left = filters(gram, targets, rate, steps)
    rises = np.zeros_like(left)
    for t in range(steps + 1):
        rises[t] = left[t] - np.einsum("si,sic->ic", own[t:0:-1], rises[:t])
    return targets - rises.cumsum(axis=0)


def left_out_by_training(gram, targets, rate, steps, point):
    others = np.delete(np.arange(len(gram)), point)
    coefficients = np.zeros_like(targets[others])
    for _ in range(steps):
        pulls = targets[others] - gram[np.ix_(others, others)] @ coefficients
        coefficients = coefficients + rate * pulls
    return gram[point, others] @ coefficients


@pytest.mark.parametrize("steps", [0, 1, 7, 40])
def test_the_convolution_is_training_without_the_point(steps):
    gram, targets, _ = draw()
    rate = 0.5 / np.linalg.eigvalsh(gram)[-1]
    exact = left_out_exactly(gram, targets, rate, steps)[-1]
    trained = [left_out_by_training(gram, targets, rate, steps, i) for i in range(len(gram))]
    # Each of the steps adds a rounding of sums over n numbers below 1, weighted by at most 1.
    np.testing.assert_allclose(exact, trained, atol=4 * EPS * len(gram) * (steps + 1))


def test_the_shortcut_is_off_by_the_second_order_of_the_time():
    gram, targets, _ = draw()
    spectra = spectrum.eigendecomposition(gram)
    off = []
    for rate in 1e-3, 0.5e-3:
        short = rule.leave_one_out(spectra, targets, learning_rate=rate, times=[4])[0]
        exact = left_out_exactly(gram, targets, rate, 4)[-1]
        assert np.abs(exact).max() > 100 * np.abs(short - exact).max()
        off.append(np.abs(short - exact).max())
    # The third order is ηtλ ≈ 0.01 of the second, a few times over.
    assert off[0] / off[1] == pytest.approx(4, rel=0.1)


def test_nothing_is_predicted_after_no_step():
    gram, targets, _ = draw()
    spectra = spectrum.eigendecomposition(gram)
    found = rule.leave_one_out(spectra, targets, learning_rate=0.1, times=[0.0])
    np.testing.assert_allclose(found, 0, atol=8 * len(gram) * EPS)  # V Vᵀ is not quite I


def test_a_point_that_has_nothing_in_common_with_others_is_not_predicted_at_any_time():
    gram, targets, _ = draw()
    gram[0, 1:] = gram[1:, 0] = 0
    spectra = spectrum.eigendecomposition(gram)
    rate = 0.5 / spectra.eigenvalues[-1]
    times = rule.stopping_times(spectra.eigenvalues)
    assert (1 - rate * gram[0, 0]) ** times[-1] < rule._VISIBLE
    found = rule.leave_one_out(spectra, targets, learning_rate=rate, times=times)
    # A residual with n roundings, over a share of the label that is still visible.
    assert np.abs(found[:, 0]).max() < 8 * len(gram) * EPS / rule._VISIBLE


def test_leaving_out_and_the_noise_do_not_depend_on_the_order_of_points():
    gram, targets, noisy = draw()
    order = np.random.default_rng(1).permutation(len(gram))
    ways = []
    for some in (np.arange(len(gram)), order):
        spectra = spectrum.eigendecomposition(gram[np.ix_(some, some)])
        found = rule.leave_one_out(spectra, targets[some], learning_rate=0.1, times=[3.0])[0]
        ways.append((found, rule.noise_model(found, noisy.observed_class[some])))
    (one, model), (other, again) = ways
    # Conditioned by the least share of a label that is left, above 0.1 here.
    np.testing.assert_allclose(one[order], other, atol=1e3 * len(gram) * EPS)
    assert model.log_likelihood == pytest.approx(again.log_likelihood, rel=1e-9)


def test_planted_pair_noise_is_found():
    rng, points, classes = np.random.default_rng(0), 3000, 3
    right = rng.integers(0, classes, points)
    outputs = 5 * np.eye(classes)[right] + 0.1 * rng.standard_normal((points, classes))
    labels = np.where(rng.random(points) < 0.3, (right + 1) % classes, right)
    found = rule.noise_model(outputs, labels)
    planted = 0.7 * np.eye(classes) + 0.3 * np.roll(np.eye(classes), 1, axis=1)
    # Four standard deviations of a share among a thousand, and three prior labels among them.
    np.testing.assert_allclose(found.transition, planted, atol=4 * (0.21 / 1000) ** 0.5 + 0.003)
    assert softmax(found.sharpness * outputs, axis=1).max(axis=1).min() > 0.99
    np.testing.assert_allclose(found.transition.sum(axis=1), 1, rtol=8 * EPS)


def test_labels_that_say_nothing_correct_nothing_and_sure_labels_correct_all():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]])
    labels = np.array([1, 2])
    same = rule.corrected_labels(probabilities, np.full((3, 3), 1 / 3), labels)
    np.testing.assert_allclose(same, probabilities, rtol=8 * EPS)
    sure = rule.corrected_labels(probabilities, np.eye(3), labels)
    np.testing.assert_array_equal(sure, np.eye(3)[labels])


@pytest.mark.parametrize("classes", [2, 4])
def test_labels_of_separated_clusters_are_right_in_the_end(classes):
    rng = np.random.default_rng(0)
    design = data.equicorrelated_clusters(4, 30, ratio=20.0)
    noisy = data.noisy_labels(design, noise_rate=0.3, classes=classes, rng=rng)
    gram = kernels.ntk_limit(design.inputs)
    found = rule.distilled_targets(gram, noisy.observed_class, classes=classes, rng=rng)
    np.testing.assert_array_equal(found.corrected.argmax(axis=1), noisy.clean_class)
    np.testing.assert_array_equal(found.targets.argmax(axis=1), noisy.clean_class)
    wrong = 1 - found.corrected[np.arange(120), noisy.observed_class]
    assert wrong.mean() == pytest.approx(0.3, abs=0.02)  # the three prior labels of 120
    np.testing.assert_allclose(found.corrected.sum(axis=1), 1, rtol=1e-12)


def test_a_net_that_is_trained_out_has_the_coefficients():
    gram, _, noisy = draw(60)
    rng = np.random.default_rng(0)
    found = rule.distilled_targets(gram, noisy.observed_class, classes=3, rng=rng)
    out = np.linalg.solve(gram, found.targets)
    np.testing.assert_allclose(out, found.coefficients, atol=1e3 * EPS * np.linalg.cond(gram))
    assert found.stopping_time in found.times
    assert found.weights.sum() == pytest.approx(1)


def test_names_of_classes_and_the_size_of_the_kernel_do_not_matter():
    gram, _, noisy = draw(60)
    names = np.array([2, 0, 1])

    def of(matrix, labels):
        rng = np.random.default_rng(0)
        return rule.distilled_targets(matrix, labels, classes=3, rng=rng)

    found = of(gram, noisy.observed_class)
    renamed, larger = of(gram, names[noisy.observed_class]), of(4 * gram, noisy.observed_class)
    # Rounding, through twenty times as many steps as there are eigenvalues between.
    np.testing.assert_allclose(renamed.targets[:, names], found.targets, atol=1e-8)
    np.testing.assert_allclose(larger.targets, found.targets, atol=1e-8)
    np.testing.assert_allclose(4 * larger.coefficients, found.coefficients, rtol=1e-6)


def test_times_reach_from_the_first_step_to_the_last_mode():
    times = rule.stopping_times([0.0, 1e-3, 2.0])
    assert times[0] == 1
    assert (1 - 0.5 * 1e-3 / 2.0) ** times[-1] == pytest.approx(np.exp(-3), rel=1e-3)
    assert rule.stopping_times([1e-12, 1.0])[-1] == 1e6


def test_what_cannot_be_taken_is_refused():
    gram, targets, noisy = draw()
    spectra, rng = spectrum.eigendecomposition(gram), np.random.default_rng(0)
    with pytest.raises(ValueError, match="ascending"):
        rule.leave_one_out(spectra, targets, learning_rate=0.1, times=[2.0, 1.0])
    with pytest.raises(ValueError, match="begin sooner"):
        rule.leave_one_out(spectra, targets, learning_rate=0.1, times=[1e6])
    with pytest.raises(ValueError, match="one of them positive"):
        rule.stopping_times([0.0, -1.0])
    with pytest.raises(ValueError, match="at least 2 points"):
        rule.distilled_targets([[1.0]], [0], classes=2, rng=rng)
    with pytest.raises(ValueError, match="class numbers"):
        rule.distilled_targets(gram, noisy.observed_class, classes=2, rng=rng)
    with pytest.raises(ValueError, match="one class has no wrong label"):
        rule.noise_model(targets[:, :1], np.zeros(len(targets)))
    with pytest.raises(TypeError, match="rng must be"):
        rule.distilled_targets(gram, noisy.observed_class, classes=3, rng=0)

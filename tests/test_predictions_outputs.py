"""Closed-form outputs under self-distillation are those of the kernel recursion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_theory import data, kernels, predictions
from ntk_theory.targets import PLAIN, BurnIn, Constant, Distillation, Power, weights
from ntk_theory.training import train_kernel_limit

EPS = float(np.finfo(float).eps)


def rounding(levels, points, steps):
    """Each step rounds a product with H by n eps λ_max η, and outputs are of order one."""
    return 4 * points * EPS * steps * (levels.mean / levels.noise)


@st.composite
def cluster_problems(draw):
    classes = draw(st.integers(2, 5))
    clusters = classes * draw(st.integers(1, 2))
    points = draw(st.integers(3, 8))
    design = data.equicorrelated_clusters(
        clusters,
        points,
        ratio=draw(st.floats(1.01, 200.0)),
        cross_cosine=draw(st.sampled_from([0.0, 0.1, 0.5])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    wrong = draw(st.integers(1, points - 1)) / points
    dataset = data.noisy_labels(
        design,
        noise_rate=wrong,
        rng=rng,
        classes=classes,
        noise=draw(st.sampled_from(["symmetric", "pair"])),
        count=draw(st.sampled_from(["exact", "balanced"])),
    )
    (noise, _), (information, _), (mean, _) = design.levels
    levels = predictions.ClusterSpectrum(clusters, points, noise, information, mean)
    return dataset, levels


@given(cluster_problems(), st.floats(0.1, 1.0), st.integers(1, 30))
def test_plain_training_on_any_number_of_classes(problem, share, steps):
    dataset, levels = problem
    eta = share / levels.mean
    predicted = predictions.cluster_outputs(
        levels, dataset.clean, dataset.observed, eta, np.ones(steps)
    )
    gram = kernels.ntk_limit(dataset.inputs)
    run = train_kernel_limit(gram, dataset.observed, PLAIN, learning_rate=eta, steps=steps)
    atol = rounding(levels, len(dataset.clean), steps)
    np.testing.assert_allclose(predicted, run, rtol=0, atol=atol)


@given(cluster_problems(), st.floats(0.1, 1.0), st.integers(1, 30), st.floats(0.5, 20.0))
def test_on_clusters_the_recursion_with_the_gram_matrix_is_the_closed_form(
    problem, share, steps, decay
):
    dataset, levels = problem
    eta, alpha = share / levels.mean, weights(BurnIn(1, Power(decay)), steps)
    closed = predictions.cluster_outputs(levels, dataset.clean, dataset.observed, eta, alpha)
    gram = kernels.ntk_limit(dataset.inputs)
    stepped = predictions.gram_outputs(gram, dataset.clean, dataset.observed, eta, alpha)
    atol = rounding(levels, len(dataset.clean), steps)
    np.testing.assert_allclose(closed, stepped, rtol=0, atol=atol)


def test_two_classes_are_the_three_numbers_of_the_error_curve():
    design = data.equicorrelated_clusters(5, 10, ratio=15.0, cross_cosine=0.1)
    dataset = data.noisy_labels(design, noise_rate=0.3, rng=np.random.default_rng(0))
    angle = predictions.cluster_angle(10, 15.0, 0.1)
    levels = predictions.cluster_spectrum(5, 10, angle, 0.1)
    eta, alpha = 0.5 / levels.mean, weights(BurnIn(3, Power(4.0)), 50)
    curve = predictions.self_distillation(levels, 0.3, eta, alpha, float(dataset.clean.mean()))
    outputs = predictions.cluster_outputs(levels, dataset.clean, dataset.observed, eta, alpha)
    np.testing.assert_allclose(
        outputs, curve.outputs(dataset.clean, dataset.flipped), rtol=0, atol=100 * EPS
    )


@pytest.mark.parametrize("epoch", [1, 3, 7])
def test_a_restarted_net_begins_every_epoch_at_zero(epoch):
    design = data.equicorrelated_clusters(4, 10, ratio=30.0)
    dataset = data.noisy_labels(design, noise_rate=0.2, rng=np.random.default_rng(0))
    levels = predictions.ClusterSpectrum(4, 10, *(value for value, _ in design.levels))
    eta, steps = 0.5 / levels.mean, 3 * 7
    schedule = BurnIn(epoch, Constant(0.25))
    predicted = predictions.cluster_outputs(
        levels, dataset.clean, dataset.observed, eta, weights(schedule, steps), epoch
    )
    run = train_kernel_limit(
        kernels.ntk_limit(dataset.inputs),
        dataset.observed,
        Distillation(schedule, epoch=epoch, restart=True),
        learning_rate=eta,
        steps=steps,
    )
    np.testing.assert_allclose(predicted, run, rtol=0, atol=rounding(levels, 40, steps))


def test_the_label_gap_is_the_lead_of_the_right_class_in_the_worst_group():
    groups = np.repeat([0, 1], 10)
    clean = groups.copy()
    observed = clean.copy()
    observed[:3] = 1
    observed[10:14] = [0, 0, 2, 2]
    # 7 against 3 in group 0; 6 against 2 in group 1.
    assert predictions.label_gap(clean, observed, groups) == pytest.approx(0.4)
    observed[:6] = 2
    assert predictions.label_gap(clean, observed, groups) == pytest.approx(-0.2)


@given(st.integers(2, 6), st.integers(2, 30), st.integers(1, 29))
def test_of_two_classes_the_label_gap_is_1_minus_2_rho(clusters, points, wrong):
    design = data.equicorrelated_clusters(clusters, points, ratio=5.0)
    rate = min(wrong, points - 1) / points
    dataset = data.noisy_labels(design, noise_rate=rate, rng=np.random.default_rng(0))
    gap = predictions.label_gap(dataset.clean_class, dataset.observed_class, design.groups)
    assert gap == pytest.approx(1 - 2 * dataset.noise_rate, abs=4 * EPS)


@given(st.floats(1e-6, np.pi / 2))
def test_the_gap_of_the_features_is_that_of_the_arc_cosine_kernel(angle):
    inputs = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    added = kernels.ntk_limit(inputs, layers="both") - kernels.ntk_limit(inputs)
    # Cancellation of two numbers near 1/2.
    assert predictions.feature_gap(angle) == pytest.approx(added[0, 0] - added[0, 1], abs=8 * EPS)


@given(
    st.integers(2, 5),
    st.integers(2, 8),
    st.floats(1.05, 200.0),
    st.sampled_from([0.0, 0.2, 0.6]),
)
def test_training_both_layers_has_three_eigenvalues_too(clusters, points, ratio, cosine):
    design = data.equicorrelated_clusters(clusters, points, ratio=ratio, cross_cosine=cosine)
    angle = predictions.cluster_angle(points, ratio, cosine)
    levels = predictions.cluster_spectrum(clusters, points, angle, cosine, both_layers=True)
    expected = np.repeat(*(np.array(column) for column in zip(*levels.levels(), strict=True)))
    measured = np.linalg.eigvalsh(kernels.ntk_limit(design.inputs, layers="both"))
    atol = 8 * len(measured) * EPS * levels.mean
    np.testing.assert_allclose(measured, np.sort(expected), rtol=0, atol=atol)

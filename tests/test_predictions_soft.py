"""Soft self-distillation: small steps, other policies and rounding, against slow oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_theory import predictions
from ntk_theory.targets import Distillation, Power
from ntk_theory.training import train_kernel_limit
from strategies import EPS, clustered, grams, rngs

rates = st.lists(st.floats(0, 0.5), min_size=1, max_size=60).map(np.array)


@given(rates, st.floats(-6, 0))
def test_small_steps_lag_behind_the_flow_by_the_bounds_of_the_theorem(steps, exponent):
    # ηλ <= 1/2: λ = 1 at most.
    level = 10**exponent
    gap = predictions.small_step_gap([level], steps)[0]
    time, square = steps.sum(), level**2 * np.square(steps).sum()
    left = np.exp(-level * time)
    # A product of T factors is known to T eps.
    rounding = 2 * (len(steps) + 2) * EPS
    assert gap <= left * -np.expm1(-square) + rounding
    assert gap >= left * -np.expm1(-square / 2) - rounding


def test_the_gap_from_the_flow_is_of_first_order_with_its_constant():
    level, time = 0.7, 2.0
    halved = [
        predictions.small_step_gap([level], np.full(n, time / n))[0] for n in (500, 1000, 2000)
    ]
    # The next order is relative ηλ, here below 0.003.
    assert abs(halved[0] / halved[1] - 2) < 0.01
    assert abs(halved[1] / halved[2] - 2) < 0.005
    predicted = level**2 / 2 * np.exp(-level * time) * time**2 / 2000
    assert abs(halved[2] / predicted - 1) < 0.002


@given(clustered(), st.integers(1, 50), st.floats(0.1, 1), st.floats(0.5, 20))
def test_the_soft_curve_is_the_flow_and_the_gap(case, steps, share, decay):
    angle = predictions.cluster_angle(case.points, case.ratio, case.cross_cosine)
    spectrum = predictions.cluster_spectrum(case.clusters, case.points, angle, case.cross_cosine)
    eta = share / spectrum.mean
    weights = (1 + np.arange(steps) / decay) ** -1.0
    curve = predictions.soft_self_distillation(
        spectrum, case.noise_rate, eta, weights, case.label_mean
    )
    learned = predictions.equivalent_learning_rates(eta, weights)
    levels = np.array([spectrum.mean, spectrum.information, spectrum.noise])
    retrieved = predictions.gradient_flow(levels, learned.sum()) + predictions.small_step_gap(
        levels, learned
    )
    clean = 1 - 2 * case.noise_rate
    expected = [clean * retrieved[0] - 1, clean * retrieved[1] - 1, retrieved[2]]
    found = [curve.mean_error[-1], curve.information_error[-1], curve.memorised_noise[-1]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * (steps + 4) * EPS)


# ---------------------------------------------------------------- other policies


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("epoch", [None, 1, 3])
@pytest.mark.parametrize("target", ["soft", "hard", "tempered"])
@pytest.mark.parametrize("loss", ["square", "cross-entropy"])
def test_the_policy_recursion_is_gradient_descent_of_the_kernel(epoch, target, loss):
    rng = np.random.default_rng(7)
    entropy, steps, temperature = loss == "cross-entropy", 20, 0.6
    rows = rng.standard_normal((6, 6))
    kernel = rows @ rows.T
    kernel *= 0.8 / np.linalg.eigvalsh(kernel)[-1]
    labels = np.eye(3)[[0, 1, 2, 0, 1, 2]] if entropy else np.array([1.0, -1, 1, 1, -1, -1])
    policies = {
        ("soft", True): softmax,
        ("soft", False): lambda u: u,
        ("hard", False): np.sign,
        ("hard", True): lambda u: (
            (u == u.max(axis=1, keepdims=True))
            / (u == u.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
        ),
        ("tempered", True): lambda u: softmax(u / temperature),
        ("tempered", False): lambda u: np.tanh(u / temperature),
    }
    schedule = Power(4.0)
    found = predictions.policy_recursion(
        lambda v: kernel @ v,
        labels,
        [schedule.weight(step) for step in range(steps)],
        policies[target, entropy],
        epoch,
        softmax if entropy else None,
    )
    expected = train_kernel_limit(
        kernel,
        labels,
        Distillation(schedule, target, temperature, epoch),
        learning_rate=1.0,
        steps=steps,
        loss=loss,
    )
    # Steps with ηλ <= 1 and maps h of slope 1/T at most: a step rounds by n eps and errors grow by
    # at most 1 + 1/T a step, here 2.7^20 = 4e8 in the worst case.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(grams(least_exponent=-3, singular=False), rngs)
def test_soft_targets_retrieve_the_product_of_the_factors(gram, rng):
    rate = 0.9 / gram.eigenvalues[-1]
    weights = rng.uniform(0, 1, 12)
    labels = rng.choice([-1.0, 1.0], len(gram.matrix))
    found = predictions.policy_recursion(
        lambda v: rate * gram.matrix @ v, labels, weights, lambda u: u
    )
    left = np.prod(1 - rate * weights[:, None] * gram.eigenvalues, axis=0)
    expected = gram.eigenvectors @ ((1 - left) * (gram.eigenvectors.T @ labels))
    np.testing.assert_allclose(found[-1], expected, atol=12 * 16 * len(labels) * EPS)


# ---------------------------------------------------------------- rounding


def test_the_rounding_bound_grows_with_all_that_rounds():
    base = {
        "steps": 10,
        "width": 64,
        "points": 8,
        "outputs": 2,
        "largest": 3.0,
        "prediction": 2.0,
        "condition": 4.0,
    }
    bound = predictions.rounding_bound(**base)
    for name, value in base.items():
        assert predictions.rounding_bound(**base | {name: 2 * value}) > bound
    assert predictions.rounding_bound(**base, growth=3.0) == pytest.approx(3 * bound)
    single = float(np.finfo(np.float32).eps)
    assert predictions.rounding_bound(**base, eps=single) == pytest.approx(bound * single / EPS)
    # By hand: 22 eps [4 (24 + 6) + 12 (√8 + √2) 4].
    assert bound == pytest.approx(22 * EPS * (120 + 48 * (np.sqrt(8) + np.sqrt(2))))

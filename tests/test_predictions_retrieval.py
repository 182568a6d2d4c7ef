"""Filters, half-times and shares, against dense recursions, all sign patterns, and order."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ntk_theory import predictions
from strategies import EPS, clustered, grams, seeds

rates = st.floats(0.01, 0.999)
"""η λ_max."""

lengths = st.integers(1, 30)


def recursion(kernel, labels, learning_rate, steps):
    """Outputs u_0 .. u_T of u ← u − ηH(u − z), for labels (n,) or columns (n, k)."""
    outputs = [np.zeros_like(labels)]
    for _ in range(steps):
        outputs.append(outputs[-1] - learning_rate * (kernel @ (outputs[-1] - labels)))
    return np.array(outputs)


def rounding(n, steps):
    """A product with ηH, ‖ηH‖ <= 1, errs by n eps a step; eigenvalues are off by 8 n eps λ_max."""
    return 9 * n * (steps + 1) * EPS


def cluster_kernel(problem):
    angle = predictions.cluster_angle(problem.points, problem.ratio, problem.cross_cosine)
    group = np.repeat(np.arange(problem.clusters), problem.points)
    theta = np.where(group[:, None] == group, angle, np.arccos(problem.cross_cosine))
    np.fill_diagonal(theta, 0)
    levels = predictions.cluster_spectrum(
        problem.clusters, problem.points, angle, problem.cross_cosine
    )
    return np.cos(theta) * (np.pi - theta) / (2 * np.pi), levels


# ---------------------------------------------------------------- filter and half-times


@given(grams(), rates, lengths, seeds)
def test_the_filter_is_what_the_recursion_retrieves_along_each_eigenvector(gram, rate, steps, seed):
    labels = np.random.default_rng(seed).standard_normal(len(gram.matrix))
    learning_rate = rate / gram.eigenvalues[-1]
    share = predictions.retrieval_filter(gram.eigenvalues, learning_rate, steps)
    expected = (share * (labels @ gram.eigenvectors)) @ gram.eigenvectors.T
    found = recursion(gram.matrix, labels, learning_rate, steps)
    tolerance = rounding(len(labels), steps) * np.linalg.norm(labels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@given(st.floats(1e-6, 0.999))
def test_half_is_retrieved_at_the_half_time(rate):
    time = predictions.half_time(rate, 1.0)
    # The exponent is −log 2 up to a few eps, whatever the rate.
    np.testing.assert_allclose(np.exp(time * np.log1p(-rate)), 0.5, rtol=8 * EPS)


@given(st.floats(1e-6, 0.999), st.floats(1e-6, 1))
def test_half_times_differ_by_the_ratio_and_at_least_by_that_of_the_eigenvalues(rate, share):
    noise = share * rate
    ratio = predictions.half_time_ratio(rate, noise, 1.0)
    quotient = predictions.half_time(noise, 1.0) / predictions.half_time(rate, 1.0)
    np.testing.assert_allclose(ratio, quotient, rtol=8 * EPS)
    assert ratio >= rate / noise * (1 - 8 * EPS)


def test_the_ratio_of_half_times_tends_to_that_of_the_eigenvalues():
    for learning_rate in (1e-3, 1e-6):
        # log(1 − x) = −x (1 + x/2 + ..): relative distance at most ηλ_+.
        assert abs(predictions.half_time_ratio(5.0, 1.0, learning_rate) / 5 - 1) <= (
            5 * learning_rate
        )


# ---------------------------------------------------------------- information minus noise


@given(grams(), rates, lengths, seeds)
def test_the_gap_is_that_of_the_recursion_on_labels_and_on_every_unit_vector(
    gram, rate, steps, seed
):
    n = len(gram.matrix)
    labels = np.random.default_rng(seed).choice([-1.0, 1.0], n)
    energy = (labels @ gram.eigenvectors) ** 2 / n
    learning_rate = rate / gram.eigenvalues[-1]
    found = recursion(gram.matrix, np.column_stack([labels, np.eye(n)]), learning_rate, steps)
    trace = np.trace(found[:, :, 1:], axis1=1, axis2=2)
    expected = (found[:, :, 0] @ labels - trace) / n
    gap = predictions.retrieval_gap(gram.eigenvalues, energy, learning_rate, steps)
    np.testing.assert_allclose(gap, expected, rtol=0, atol=2 * rounding(n, steps))


@st.composite
def spectra_and_energies(draw):
    """Eigenvalues ascending, with ties and zeros, and energies that lean to the top."""
    size = draw(st.integers(2, 10))
    values = sorted(
        draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)),
    )
    copies = draw(st.integers(1, size))
    values[:copies] = [values[0]] * copies
    rng = np.random.default_rng(draw(seeds))
    energy = np.sort(rng.dirichlet(np.full(size, 0.5)))
    # Any rearrangement that moves energy upwards keeps the premise; swap some neighbours.
    return np.array(values), energy, rng


@given(spectra_and_energies(), rates, lengths)
def test_energy_that_leans_to_the_top_puts_information_ahead_at_every_step(drawn, rate, steps):
    values, energy, rng = drawn
    for _ in range(3):  # shuffled energies too, where they still lean
        tolerance = rounding(len(energy), steps)
        if predictions.energy_dominance(energy) >= 0:
            gap = predictions.retrieval_gap(values, energy, rate, steps)
            assert gap.min() >= -tolerance
        energy = rng.permutation(energy)


@given(spectra_and_energies(), rates, lengths)
def test_energy_at_the_bottom_puts_noise_ahead(drawn, rate, steps):
    values, energy, _ = drawn
    assume(np.ptp(values) > 0.1)
    assume(np.ptp(energy) > 0.1)
    gap = predictions.retrieval_gap(values, energy[::-1], rate, steps)
    assert predictions.energy_dominance(energy[::-1]) < 0
    assert gap.max() <= rounding(len(energy), steps)
    assert gap[1] < 0


def test_noise_in_the_top_eigenspace_is_not_behind():
    values = np.array([0.1, 0.5, 0.5])
    top = predictions.retrieval_gap(values, np.array([0, 0.5, 0.5]), 1.0, 20)
    for energy in ([0, 1, 0], [0, 0, 1.0]):
        same = predictions.retrieval_gap(values, energy, 1.0, 20)
        np.testing.assert_allclose(same, top, rtol=0, atol=4 * EPS)
    other = predictions.retrieval_gap(values, np.array([0.4, 0.3, 0.3]), 1.0, 20)
    assert (other[1:] < top[1:]).all()


@given(st.integers(1, 8), seeds)
def test_dominance_is_the_least_excess_of_energy(size, seed):
    energy = np.random.default_rng(seed).dirichlet(np.ones(size))
    excess = [sum(energy[size - k :]) - k / size for k in range(1, size)]
    expected = min(excess, default=0.0)
    assert predictions.energy_dominance(energy) == pytest.approx(expected, abs=size * EPS)


@given(clustered(even=True, max_clusters=6, max_points=6), rates, lengths)
def test_the_gap_on_clusters_is_that_of_the_dense_kernel(problem, rate, steps):
    kernel, levels = cluster_kernel(problem)
    learning_rate = rate / levels.mean
    found = recursion(
        kernel, np.column_stack([problem.clean, np.eye(problem.n)]), learning_rate, steps
    )
    trace = np.trace(found[:, :, 1:], axis1=1, axis2=2)
    expected = (found[:, :, 0] @ problem.clean - trace) / problem.n
    gap = predictions.cluster_gap(levels, learning_rate, steps)
    np.testing.assert_allclose(gap, expected, rtol=0, atol=2 * rounding(problem.n, steps))
    if problem.cross_cosine == 0:
        shares = predictions.retrieval_filter(
            [levels.noise, levels.information], learning_rate, steps
        )
        ahead = (1 - problem.clusters / problem.n) * (shares[:, 1] - shares[:, 0])
        np.testing.assert_allclose(gap, ahead, rtol=0, atol=rounding(problem.n, steps))


@given(clustered(max_clusters=4, max_points=4), rates, lengths)
def test_the_spread_over_random_labels_is_that_over_all_of_them(problem, rate, steps):
    assume(problem.n <= 8)
    kernel, levels = cluster_kernel(problem)
    learning_rate = rate / levels.mean
    retrieved = recursion(kernel, np.eye(problem.n), learning_rate, steps)
    signs = np.array(list(product([-1.0, 1.0], repeat=problem.n)))
    shares = np.einsum("ki,tij,kj->tk", signs, retrieved, signs) / problem.n
    spread = predictions.random_label_spread(levels, learning_rate, steps)
    # Squares, as the root of a rounded 0 is not small.
    np.testing.assert_allclose(
        spread**2, shares.var(axis=1), rtol=0, atol=2 * rounding(problem.n, steps)
    )
    values, counts = zip(*levels.levels(), strict=True)
    filters = predictions.retrieval_filter(values, learning_rate, steps)
    mean = np.repeat(filters, counts, axis=1).mean(axis=1)
    np.testing.assert_allclose(
        shares.mean(axis=1), mean, rtol=0, atol=2 * rounding(problem.n, steps)
    )

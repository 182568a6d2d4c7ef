"""Constants of lazy training against linear algebra, exact integrals and simulated neurons."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk_theory import data, kernels, predictions
from ntk_theory.network import TwoLayerReLU, initialise
from ntk_theory.predictions.movement import _root
from ntk_theory.targets import PLAIN
from ntk_theory.training import train
from strategies import EPS, clustered, grams, rngs

DENSITY = 1 / np.sqrt(2 * np.pi)

# ---------------------------------------------------------------- exact identities


@pytest.mark.parametrize("output_exponent", [-0.5, 0.0, 0.25, 0.5])
def test_a_step_moves_a_neuron_by_the_power_of_the_width(output_exponent):
    # The same two pairs of neurons, repeated: a step then moves all copies equally.
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((4, 3))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    seed = initialise(4, 3, seeds=[1])
    labels = rng.choice([-1.0, 1.0], 4)
    moved = {}
    for copies in (1, 64):
        width = 4 * copies
        hidden = seed.hidden[:, :2].repeat(1, copies, 1)
        signs = seed.output[:, :, :2].repeat(1, 1, copies) * width**output_exponent
        net = TwoLayerReLU(torch.cat([hidden, hidden], dim=1), torch.cat([signs, -signs], dim=2))
        assert net.antisymmetric
        rate = 0.1 * width ** (-2 * output_exponent)
        moved[copies] = train(net, inputs, labels, PLAIN, learning_rate=rate, steps=1).movement[0]
    expected = 64 ** predictions.movement_exponent(output_exponent)
    # Movement is formed by a pseudo-inverse of condition below 100.
    assert abs(moved[64] / moved[1] / expected - 1) < 1e4 * EPS


def test_output_scale_multiplies_the_output_weights_alone():
    plain, scaled = initialise(8, 3, seeds=[0, 1]), initialise(8, 3, seeds=[0, 1], output_scale=0.5)
    assert torch.equal(plain.hidden, scaled.hidden)
    assert torch.equal(0.5 * plain.output, scaled.output)
    for value in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="output_scale must be positive and finite"):
            initialise(8, 3, seeds=[0], output_scale=value)


@given(clustered(least_ratio=1.1))
def test_three_values_make_the_cosines_and_the_kernel_of_clusters(case):
    design = data.equicorrelated_clusters(
        case.clusters, case.points, ratio=case.ratio, cross_cosine=case.cross_cosine
    )
    angle = predictions.cluster_angle(case.points, case.ratio, case.cross_cosine)
    shape, cross = (case.clusters, case.points), case.cross_cosine
    cosines = predictions.cluster_matrix(*shape, 1.0, np.cos(angle), cross)
    inputs = design.inputs
    np.testing.assert_allclose(cosines, inputs @ inputs.T, atol=64 * EPS)
    value = predictions.ntk_value
    kernel = predictions.cluster_matrix(*shape, 0.5, value(angle), value(np.arccos(cross)))
    # The angle is known to some eps, or to sqrt(eps) where the points of a cluster coincide.
    np.testing.assert_allclose(kernel, kernels.ntk_limit(inputs), atol=1e-9)


@given(clustered(least_ratio=1.5), st.integers(1, 200))
def test_the_distance_is_that_of_linear_algebra(case, steps):
    angle = predictions.cluster_angle(case.points, case.ratio, case.cross_cosine)
    spectrum = predictions.cluster_spectrum(case.clusters, case.points, angle, case.cross_cosine)
    eta = 0.9 / spectrum.mean
    curve = predictions.plain_training(spectrum, case.noise_rate, eta, steps, case.label_mean)
    outputs = curve.outputs(case.clean, case.flipped)[-1]
    value = predictions.ntk_value
    kernel = predictions.cluster_matrix(
        case.clusters, case.points, 0.5, value(angle), value(np.arccos(case.cross_cosine))
    )
    distance = predictions.linearised_distance(
        spectrum,
        case.noise_rate,
        curve.mean_error,
        curve.information_error,
        curve.memorised_noise,
        case.label_mean,
    )
    assert distance.shape == (steps + 1,)
    assert distance[0] == 0
    condition = spectrum.mean / spectrum.noise
    expected = np.sqrt(outputs @ np.linalg.solve(kernel, outputs))
    assert abs(distance[-1] / expected - 1) < 16 * case.n * condition * EPS


@given(grams(least_exponent=-6))
def test_what_neurons_are_drawn_with_is_the_symmetric_root_of_their_covariance(gram):
    root, values = _root(gram.matrix), gram.eigenvalues
    # A small multiple of n eps, of a solver and of a product; what is taken for zero adds as much.
    rounding = 16 * len(root) * EPS * values[-1]
    np.testing.assert_allclose(root @ root, gram.matrix, atol=rounding)
    np.testing.assert_array_equal(np.abs(root - root.T) <= rounding / values[-1] ** 0.5, True)
    # Zero to rounding is zero, as its root would be half of the digits: the root has of its vectors
    # what rounding turns others into them by.
    turned = rounding / values[values > 0][0] ** 0.5
    assert np.abs(root @ gram.eigenvectors[:, values == 0]).max(initial=0) <= 4 * turned


# ---------------------------------------------------------------- exact integrals in the plane


def arcs(inputs):
    """Activation patterns of neurons in the plane, and the share of directions that have each."""
    angle = np.arctan2(inputs[:, 1], inputs[:, 0])
    edges = np.sort(np.concatenate([angle + np.pi / 2, angle - np.pi / 2]) % (2 * np.pi))
    edges = np.append(edges, edges[0] + 2 * np.pi)
    middle = (edges[1:] + edges[:-1]) / 2
    directions = np.stack([np.cos(middle), np.sin(middle)], axis=1)
    return (directions @ inputs.T > 0).astype(float), np.diff(edges) / (2 * np.pi)


planes = st.builds(
    lambda rng, n: (lambda a: np.stack([np.cos(a), np.sin(a)], axis=1))(
        rng.uniform(0, 2 * np.pi, n)
    ),
    rngs,
    st.integers(1, 6),
)


@given(planes, st.booleans())
def test_the_kernel_fluctuates_by_the_variance_of_its_activations(inputs, pairs):
    patterns, share = arcs(inputs)
    products = patterns[:, :, None] * patterns[:, None, :] * (inputs @ inputs.T)
    mean = np.einsum("p,pij->ij", share, products)
    variance = np.einsum("p,pij->ij", share, np.square(products)) - mean**2
    found = predictions.kernel_fluctuation(inputs @ inputs.T, pairs=pairs)
    # arccos loses half of the digits where directions nearly coincide.
    assert abs(found - (2 if pairs else 1) * variance.sum()) < 36 * np.sqrt(EPS)


def crossing_means(inputs, pulls):
    """√m E(u_m(1) − η H z) exactly: a mean over both normals of every point."""
    gram, means = inputs @ inputs.T, 0.0
    for side in (1, -1):
        active = side * (inputs[:, [1, 0]] * [-1, 1]) @ inputs.T > 0
        np.fill_diagonal(active, False)
        others = (active * gram) @ pulls
        for sign, moved in ((1, others), (-1, others + pulls)):  # inputs have unit norm
            means = means + sign * np.sign(moved) * moved**2 / 2
    return DENSITY / 4 * means


@given(planes, rngs)
def test_crossings_of_a_first_step_are_within_a_reach_that_pulls_of_one_sign_attain(inputs, rng):
    pulls, outputs = rng.standard_normal((2, len(inputs)))
    for one_sign in (False, True):
        if one_sign:  # no negative cosines either
            inputs, pulls, outputs = np.abs(inputs), np.abs(pulls), np.abs(outputs)
        reach = np.abs(inputs @ inputs.T) @ np.abs(pulls)
        bound = predictions.crossing_of_reach(np.abs(pulls), reach, outputs)
        found = abs(outputs @ crossing_means(inputs, pulls)) / (outputs @ outputs)
        rounding = 64 * len(inputs) * EPS * bound  # sums of n terms, none larger than the bound's
        assert found <= bound + rounding
    assert found >= bound - rounding


@settings(max_examples=10)
@given(planes, rngs)
def test_the_largest_of_many_neurons_is_the_largest_there_is(inputs, rng):
    patterns, share = arcs(inputs)
    pull = rng.standard_normal(len(inputs))
    moves = np.linalg.norm((patterns * pull) @ inputs, axis=1)
    neurons = 4096
    # Mean of the largest of N independent draws, exactly.
    order = np.argsort(moves)
    below = np.concatenate([[0.0], np.cumsum(share[order])]) ** neurons
    exact = moves[order] @ np.diff(below)
    found = predictions.largest_movement(inputs @ inputs.T, pull, neurons, np.random.default_rng(0))
    # A pattern of share p has 32 N p draws, off by four standard errors: the probability that the
    # largest of N misses it, e^{-Np}, is then off by at most 4 max sqrt(Np/32) e^{-Np} < 0.31.
    # That happens only to patterns of share about 1/N; all others are seen, or are not.
    rare = share[order][(share[order] * neurons < 12)].sum() > 0
    assert abs(found - exact) <= (0.31 * np.ptp(moves) if rare else 1e-5 * moves.max() + 1e-6)


# ---------------------------------------------------------------- the boundary layer


def test_the_boundary_layer_of_orthogonal_points_is_known():
    # Only neurons that are active on a point are pushed by it: by a r_0, here r > 0. Those of sign
    # −1 that start below r leave: length r of the two signs' 2. They lack r − ξ of the linearised
    # fall: r²/2, of the sign −1.
    pull, draws = np.array([[0.7, -0.4, 0.2]]), 4000
    size = np.abs(pull[0])
    layer = predictions.boundary_layer(
        np.eye(3), np.zeros((3, 3)), pull, np.random.default_rng(0), draws
    )
    # Each of them starts in a cell that ends where the last one leaves, so lengths are exact.
    allowed = 1e-12
    lost = -DENSITY * size / 2
    np.testing.assert_allclose(np.diag(layer.kernel_change), lost, rtol=allowed)
    assert not layer.kernel_change[~np.eye(3, dtype=bool)].any()
    assert abs(layer.flipped / np.mean(-lost) - 1) < allowed
    assert abs(layer.kernel_scatter / np.sum(-lost) - 1) < allowed
    curved = -DENSITY * pull[0] * size / 4
    np.testing.assert_allclose(layer.deviation[1], curved, rtol=0.5 / np.sqrt(draws))
    # The same in squares: ∫ (r − ξ)² = r³/3, shared by two neurons; coarse cells, fewer draws.
    cubes = DENSITY * size**3 / 6
    assert abs(layer.deviation_scatter[1] / cubes.sum() - 1) < 0.15


def test_nothing_happens_without_pulls():
    layer = predictions.boundary_layer(
        np.eye(2), np.eye(2), np.zeros((3, 2)), np.random.default_rng(0), 10
    )
    assert layer.flipped == 0
    assert not layer.kernel_change.any()
    assert not layer.deviation.any()
    assert layer.kernel_change_norm(64) == 0
    assert not layer.deviation_norm(64).any()


def simulate(inputs, pulls, width, rng):
    """Neurons in pairs under given pulls, with and without changes of their activations.

    Returns the share of flips, the change of the empirical NTK, and what the outputs gain over
    those of the linearised neurons.
    """
    gram = inputs @ inputs.T
    start = np.tile(rng.standard_normal((width // 2, inputs.shape[1])) @ inputs.T, (2, 1))
    sign = np.repeat([1.0, -1.0], width // 2)[:, None]
    z, linear = start.copy(), start.copy()
    for pull in pulls:
        z = z + sign / np.sqrt(width) * ((z > 0) * pull) @ gram
        linear = linear + sign / np.sqrt(width) * ((start > 0) * pull) @ gram
    before, after = (start > 0).astype(float), (z > 0).astype(float)
    change = gram * (after.T @ after - before.T @ before) / width
    excess = sign * (np.maximum(z, 0) - np.maximum(start, 0) - before * (linear - start))
    return (before != after).mean(), change, excess.sum(axis=0) / np.sqrt(width)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_boundary_layer_is_that_of_simulated_neurons(seed):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((4, 4))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    # Pulls of changing sign: neurons come and go.
    pulls = rng.standard_normal((5, 4))
    layer = predictions.boundary_layer(
        inputs @ inputs.T, np.zeros((4, 4)), pulls, np.random.default_rng(2), 4000
    )
    width, runs = 2**14, 96
    flips, changes, excesses = map(
        np.array, zip(*(simulate(inputs, pulls, width, rng) for _ in range(runs)), strict=True)
    )
    root = np.sqrt(width)

    def agree(measured, predicted):
        # Five standard errors, and a next order of m^{-1/2} that is a tenth of Σ|r|, some 15, at
        # most, relative to the size of the law.
        error = 5 * measured.std(axis=0) / np.sqrt(runs)
        assert (np.abs(measured.mean(axis=0) - predicted) < error + 1.5 / root * 2).all()

    agree(root * flips, layer.flipped)
    agree(root * changes, layer.kernel_change)
    agree(root * excesses, layer.deviation[-1])
    squares = np.square(changes - changes.mean(axis=0)).sum(axis=(1, 2)) * width**1.5
    assert abs(squares.mean() / layer.kernel_scatter - 1) < 5 * squares.std() / squares.mean() / (
        np.sqrt(runs)
    )
    apart = np.square(excesses - excesses.mean(axis=0)).sum(axis=1) * width**1.5
    relative = 5 * apart.std() / apart.mean() / np.sqrt(runs)
    # Drawn from an eighth of the neurons, in coarse cells: another five per cent.
    assert abs(apart.mean() / layer.deviation_scatter[-1] - 1) < relative + 0.05


def test_norms_put_mean_and_scatter_together():
    layer = predictions.BoundaryLayer(
        0.1, np.full((2, 2), 2.0), 8.0, np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0.0, 10.0])
    )
    assert layer.kernel_change_norm(16) == np.sqrt(16 / 16 + 8 / 64)
    np.testing.assert_allclose(layer.deviation_norm(16), [0, np.sqrt((25 / 16 + 10 / 64) / 2)])


# ---------------------------------------------------------------- the first step


def crossings(inputs, pulls, predicted, width=2**12):
    """√m times what neurons that cross in one step add along the prediction, of 40 nets."""
    nets = initialise(width, inputs.shape[1], seeds=range(40), outputs=pulls.shape[1])
    targets = 4 * pulls  # at the rate 1/4
    labels = targets[:, 0] if targets.shape[1] == 1 else targets
    trained = train(nets, inputs, labels, PLAIN, learning_rate=0.25, steps=1)
    outputs = trained.outputs[:, 1].reshape(40, len(inputs), -1)
    kernel = kernels.ntk_empirical(nets, inputs).reshape(
        40, *[pulls.shape[1]] * 2, *[len(inputs)] * 2
    )
    linear = np.einsum("sceij,je->sic", kernel, pulls)
    along = ((outputs - linear) * predicted).sum(axis=(1, 2)) / np.square(predicted).sum()
    return np.sqrt(width) * along


def test_crossings_take_what_the_bound_says_from_pulls_of_one_sign_on_orthogonal_clusters():
    design = data.equicorrelated_clusters(4, 6, ratio=6.0)
    inputs = np.asarray(design.inputs)
    pulls = 0.3 * np.repeat([1.0, -1.0, 1.0, -1.0], 6)[:, None]
    predicted = kernels.ntk_limit(inputs) @ pulls
    found = crossings(inputs, pulls, predicted)
    bound = predictions.first_step_crossing(inputs @ inputs.T, pulls, predicted)
    # Equality to leading order; the next one is a share of m^{-1/2} = 1/64.
    error = 6 * found.std(ddof=1) / np.sqrt(len(found))
    assert error < bound / 4
    assert abs(found.mean() + bound) <= error + bound / 16


@pytest.mark.parametrize("classes", [1, 3])
def test_crossings_stay_within_the_bound_for_any_pulls(classes):
    rng = np.random.default_rng(classes)
    inputs = rng.standard_normal((12, 5)) * rng.uniform(0.5, 2, (12, 1))
    pulls = 0.2 * rng.standard_normal((12, classes))
    predicted = kernels.ntk_limit(inputs) @ pulls
    found = crossings(inputs, pulls, predicted)
    bound = predictions.first_step_crossing(inputs @ inputs.T, pulls, predicted)
    assert abs(found.mean()) <= bound + 6 * found.std(ddof=1) / np.sqrt(len(found))

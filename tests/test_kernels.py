"""Gram matrices against slow oracles: fifty digits, explicit Jacobians, chance, another library."""

import mpmath  # comes with torch, through sympy
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from ntk_theory import kernels, network
from strategies import EPS, inputs, rngs, seeds, turned

LAYERS = ["first", "both"]
both_or_first = st.sampled_from(LAYERS)
# Confidence intervals miss once in 1e12 cases, so never in a test run.
MISS = 1e-12


def rounding(dimension):
    """Error of an entry of the kernel in units of ‖x‖‖x'‖.

    In units of eps/2: dividing rows by their norms, subtracting and summing d squares moves the
    angle by at most 3 + (d + 5), twice that with both layers, and |dκ/dθ| <= 0.38; the formula
    itself adds 5 and the product of the norms d/2 + 1. Together less than d + 9, doubled for both.
    """
    return (dimension + 9) * EPS


def norms(rows):
    return np.linalg.norm(rows, axis=1)


def scale(left, right=None):
    return norms(left)[:, None] * norms(left if right is None else right)


def exact(left, right, layers="first"):
    """The kernel of the rows as they are stored, with fifty digits."""
    kernel = np.empty((len(left), len(right)))
    with mpmath.workdps(50):
        for i, u in enumerate(left.tolist()):
            for j, v in enumerate(right.tolist()):
                inner = mpmath.fdot(u, v)
                size = mpmath.sqrt(mpmath.fdot(u, u) * mpmath.fdot(v, v))
                sine = mpmath.sqrt(max(size**2 - inner**2, mpmath.mpf(0))) / size
                theta = mpmath.atan2(sine, inner / size)
                value = inner * (mpmath.pi - theta)
                if layers == "both":
                    value = 2 * value + sine * size
                kernel[i, j] = value / (2 * mpmath.pi)
    return kernel


def through_arccos(rows):
    """The textbook formula, which the half-angle form replaces."""
    cosine = np.clip(rows @ rows.T / scale(rows), -1, 1)
    return scale(rows) * cosine * (np.pi - np.arccos(cosine)) / (2 * np.pi)


# ---------------------------------------------------------------- the limiting kernel: accuracy


@given(inputs(unit=False), both_or_first)
def test_the_kernel_is_exact_to_rounding_whatever_the_angle(rows, layers):
    error = np.abs(kernels.ntk_limit(rows, layers=layers) - exact(rows, rows, layers))
    assert (error <= rounding(rows.shape[1]) * scale(rows)).all()


NEAR = np.array([1e-8, 1.3e-8, 2e-8, 5e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])


def near_parallel(angle):
    """A pair of plane rows at about this angle."""
    start = 0.7
    return np.array([[np.cos(phase), np.sin(phase)] for phase in (start, start + angle)])


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("angle", [*NEAR, 0.1, 0.3, 0.32, 0.33, 1.0, 2.0, 2.82, 2.83, 3.0, 3.14])
def test_every_angle_keeps_the_digits_of_the_precision(angle, dtype, layers):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4, 50))
    rows /= norms(rows)[:, None]
    rows = np.vstack([rows, [turned(row, angle, rng) for row in rows]])
    kernel = kernels.ntk_limit(rows, layers=layers, dtype=dtype)
    assert kernel.dtype == dtype
    # Rows rounded to single precision have moved by eps/2; sums of 50 squares, by far the largest
    # error, add up like a random walk.
    unit = float(np.finfo(dtype).eps)
    error = np.abs(kernel - exact(rows, rows, layers))
    assert error.max() <= 6 * unit
    assert np.abs(kernel.diagonal() - exact(rows, rows, layers).diagonal()).max() <= 2 * unit


def test_blocks_of_entries_and_of_neurons_add_up(monkeypatch):
    rng = np.random.default_rng(0)
    rows, others = rng.standard_normal((7, 3)), rng.standard_normal((4, 3))
    others[0] = rows[2]
    net = network.initialise(50, 3, seeds=[1, 2], outputs=2)

    def computed():
        yield kernels.ntk_limit(rows, others)
        yield kernels.ntk_limit(np.vstack([rows, others]))
        yield kernels.ntk_empirical(net, rows, layers="both")

    whole = list(computed())
    sizes = ("_TILE_ROWS", 2), ("_TILE_COLUMNS", 3), ("_NORMED", 2), ("_GATHERED", 3)
    for name, size in (*sizes, ("_NEURONS", 16)):
        monkeypatch.setattr(kernels, name, size)
    for found, expected, units in zip(computed(), whole, (8, 8, 200), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=units * EPS)


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("points", [1, 255, 600])
def test_a_kernel_of_points_with_themselves_is_symmetric_to_the_bit(points, layers):
    rows = np.random.default_rng(points).standard_normal((points, 5)).astype(np.float32)
    rows[points // 2] = -rows[0]
    net = network.initialise(64, 5, seeds=[1], dtype=torch.float32)
    for kernel in (
        kernels.ntk_limit(rows, layers=layers, dtype="float32"),
        kernels.ntk_empirical(net, rows, layers=layers)[0],
    ):
        np.testing.assert_array_equal(kernel, kernel.T)


@pytest.mark.parametrize("angle", NEAR)
def test_near_parallel_rows_keep_fifteen_digits(angle):
    rows = near_parallel(angle)
    # Here |dκ/dθ| = 1/(2π), so the bound of `rounding` at d = 2 is 7 eps/2 = 8e-16.
    assert np.abs(kernels.ntk_limit(rows) - exact(rows, rows)).max() <= 1e-15


def test_the_arccos_form_would_lose_half_the_digits():
    # An error of eps/2 in the cosine is one of √eps in the angle: √eps/(2π) = 2e-9 in the kernel.
    worst = max(
        np.abs(through_arccos(rows) - exact(rows, rows)).max() for rows in map(near_parallel, NEAR)
    )
    assert 1e-9 < worst < 1e-8


@given(inputs(), st.floats(-8, -3).map(lambda e: 10**e), rngs)
def test_the_angle_of_a_near_copy_is_the_one_it_was_turned_by(rows, angle, rng):
    row = rows[0]
    other = turned(row, angle, rng)
    # Storing a row of d coordinates moves it by at most eps/2, and computing it by 4 eps.
    np.testing.assert_allclose(kernels.angles([row], [other]), angle, rtol=0, atol=16 * EPS)


@given(inputs(unit=False))
def test_angles_lie_between_zero_and_pi_and_are_zero_with_oneself(rows):
    theta = kernels.angles(rows)
    assert theta.min() >= 0
    assert theta.max() <= np.pi
    np.testing.assert_array_equal(np.diag(theta), 0)


# ---------------------------------------------------------------- the limiting kernel: identities


@given(inputs(unit=False), both_or_first)
def test_the_kernel_is_symmetric(rows, layers):
    kernel = kernels.ntk_limit(rows, layers=layers)
    # Both entries come from the same numbers; vector units may round the same cosine in two ways.
    assert (np.abs(kernel - kernel.T) <= 4 * EPS * scale(rows)).all()


@given(inputs(unit=False, max_points=14), both_or_first)
def test_the_kernel_is_positive_semi_definite(rows, layers):
    values = np.linalg.eigvalsh(kernels.ntk_limit(rows, layers=layers))
    # Weyl: the solver moves eigenvalues by n eps λ_max, and the entries by n times their error,
    # where λ_max >= max ‖x‖²/2, the largest diagonal entry.
    assert values[0] >= -len(rows) * (EPS + 2 * rounding(rows.shape[1])) * values[-1]


@given(inputs(unit=False), both_or_first, rngs)
def test_a_rotation_of_the_inputs_changes_nothing(rows, layers, rng):
    d = rows.shape[1]
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    # Q is orthogonal, and the product right, to about d^{3/2} eps relative to the row; the angle of
    # two rows moves by twice that, and both the angle and the norms enter with a factor below 1.
    tolerance = (2 * rounding(d) + 8 * d**1.5 * EPS) * scale(rows)
    difference = kernels.ntk_limit(rows @ turn, layers=layers) - kernels.ntk_limit(
        rows, layers=layers
    )
    assert (np.abs(difference) <= tolerance).all()


@given(inputs(unit=False), both_or_first, rngs)
def test_a_permutation_of_the_points_permutes_the_kernel(rows, layers, rng):
    order = rng.permutation(len(rows))
    permuted = kernels.ntk_limit(rows[order], layers=layers)
    expected = kernels.ntk_limit(rows, layers=layers)[np.ix_(order, order)]
    # The same operations on the same numbers, up to what vector units do at their edges.
    assert (np.abs(permuted - expected) <= 4 * EPS * scale(rows[order])).all()


@given(inputs(unit=False))
def test_the_diagonal_is_half_the_squared_norm_for_each_layer(rows):
    d = rows.shape[1]
    half = norms(rows) ** 2 / 2
    # Angles with oneself are exactly 0; what is left is the product of two norms.
    np.testing.assert_allclose(np.diag(kernels.ntk_limit(rows)), half, rtol=(d + 4) * EPS)
    np.testing.assert_allclose(
        np.diag(kernels.ntk_limit(rows, layers="both")), 2 * half, rtol=(d + 4) * EPS
    )


@given(inputs(), both_or_first, seeds)
def test_the_kernel_scales_with_the_norms_of_the_rows(rows, layers, seed):
    factors = 10 ** np.random.default_rng(seed).uniform(-3, 3, len(rows))
    scaled = kernels.ntk_limit(rows * factors[:, None], layers=layers)
    expected = factors[:, None] * kernels.ntk_limit(rows, layers=layers) * factors
    # Scaling rounds every coordinate, which adds 2 eps to the angle.
    assert (
        np.abs(scaled - expected)
        <= (2 * rounding(rows.shape[1]) + 2 * EPS) * factors[:, None] * factors
    ).all()


@given(inputs(), st.floats(0.01, 100))
def test_opposite_rows_have_no_kernel(rows, factor):
    opposite = kernels.ntk_limit(rows, -rows)
    np.testing.assert_array_equal(np.diag(opposite), 0)
    # The sine of the double next to π is 1.2e-16.
    assert np.abs(np.diag(kernels.ntk_limit(rows, -rows, layers="both"))).max() <= EPS
    scaled = np.abs(np.diag(kernels.ntk_limit(rows, -factor * rows)))
    assert scaled.max() <= rounding(rows.shape[1]) * factor


@given(st.integers(1, 8), both_or_first)
def test_orthogonal_rows_have_the_kernel_of_a_right_angle(points, layers):
    kernel = kernels.ntk_limit(np.eye(points), layers=layers)
    across = {"first": 0.0, "both": 1 / (2 * np.pi)}[layers]
    expected = np.full((points, points), across)
    np.fill_diagonal(expected, {"first": 0.5, "both": 1.0}[layers])
    # The right angle is exact, π and the division by 2π are right to eps/2.
    np.testing.assert_allclose(kernel, expected, rtol=2 * EPS, atol=0)


@given(inputs(unit=False), st.data(), both_or_first)
def test_a_block_of_test_points_is_a_block_of_the_joint_kernel(rows, draws, layers):
    train = draws.draw(st.integers(1, len(rows) - 1))
    joint = kernels.ntk_limit(rows, layers=layers)
    block = kernels.ntk_limit(rows[train:], rows[:train], layers=layers)
    assert block.shape == (len(rows) - train, train)
    assert (
        np.abs(block - joint[train:, :train]) <= 4 * EPS * scale(rows[train:], rows[:train])
    ).all()


@given(inputs(unit=False))
def test_both_layers_add_the_arc_cosine_kernel_of_order_one(rows):
    theta = kernels.angles(rows)
    order_one = scale(rows) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    difference = kernels.ntk_limit(rows, layers="both") - kernels.ntk_limit(rows)
    # Terms below 1 in units of the norms, a few roundings of eps/2 in each.
    assert (np.abs(difference - order_one) <= 8 * EPS * scale(rows)).all()


@given(inputs(unit=False))
def test_both_layers_agree_with_scikit_ntk(rows):
    skntk = pytest.importorskip("skntk")
    d = rows.shape[1]
    theirs = skntk.NeuralTangentKernel(depth=1, bias=0.0)(rows)
    # They take the arccos of a cosine that carries an error of d eps, hence min(d eps/sin θ,
    # √(2 d eps)) in the angle, and at most 3/(2π) < 0.5 times that in the kernel.
    with np.errstate(divide="ignore"):
        conditioning = np.minimum(d * EPS / np.sin(kernels.angles(rows)), np.sqrt(2 * d * EPS))
    tolerance = (0.5 * conditioning + rounding(d)) * scale(rows)
    assert (np.abs(kernels.ntk_limit(rows, layers="both") - theirs) <= tolerance).all()


@pytest.mark.parametrize("layers", LAYERS)
def test_the_kernel_is_the_mean_over_random_neurons(layers):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, 3))
    rows = np.vstack([rows, turned(rows[0] / norms(rows)[0], 1e-3, rng), -rows[1]])
    z = rng.standard_normal((200_000, 3)) @ rows.T
    active = z > 0
    terms = (active[:, :, None] & active[:, None, :]) * (rows @ rows.T)
    if layers == "both":
        relu = np.maximum(z, 0)
        terms = terms + relu[:, :, None] * relu[:, None, :]
    # Mean of 200000 neurons: normal to high accuracy; six standard errors miss twice in 1e9.
    error = terms.std(axis=0) / np.sqrt(len(z))
    assert (
        np.abs(terms.mean(axis=0) - kernels.ntk_limit(rows, layers=layers)) <= 6 * error + 8 * EPS
    ).all()


# ---------------------------------------------------------------- the empirical kernel


def from_jacobian(net, left, right, layers):
    """∇f·∇f' of every net, pair of outputs and pair of points, by automatic differentiation."""
    left, right = (torch.as_tensor(rows) for rows in (left, right))

    def outputs(parameters, rows):
        hidden, output = parameters
        return torch.relu(rows @ hidden.T) @ output.T / net.width**0.5

    blocks = []
    for parameters in zip(net.hidden, net.output, strict=True):
        jacobians = [
            [part.flatten(2) for part in torch.func.jacrev(outputs)(parameters, rows)]
            for rows in (left, right)
        ]
        trained = [0] if layers == "first" else [0, 1]
        # Points i, j; outputs c, e; parameters p.
        blocks.append(
            sum(
                torch.einsum("icp,jep->ceij", jacobians[0][k], jacobians[1][k]) for k in trained
            ).numpy()
        )
    stacked = np.array(blocks)
    return stacked[:, 0, 0] if net.outputs == 1 else stacked


@st.composite
def nets(draw, dimension, *, outputs=None, dtype=torch.float64):
    return network.initialise(
        2 * draw(st.integers(1, 8)),
        dimension,
        seeds=draw(st.lists(st.integers(0, 2**31), min_size=1, max_size=2)),
        outputs=draw(st.integers(1, 3)) if outputs is None else outputs,
        antisymmetric=draw(st.booleans()),
        dtype=dtype,
    )


@given(st.data(), inputs(unit=False), both_or_first)
def test_the_empirical_kernel_is_the_product_of_explicit_jacobians(draws, rows, layers):
    # A zero row sits on the kink of every neuron, where relu' = 0.
    rows = np.vstack([rows, np.zeros(rows.shape[1])])
    net = draws.draw(nets(rows.shape[1]))
    others = rows[: draws.draw(st.integers(1, len(rows)))]
    # A sum of at most m (d + 1) products over m, of rows and of features relu(w·x) <= ‖w‖‖x‖.
    largest = net.hidden.norm(dim=-1).max().item() ** 2 + 1
    tolerance = net.width * (rows.shape[1] + 1) * EPS * largest
    for right in (None, others):
        kernel = kernels.ntk_empirical(net, rows, right, layers=layers)
        expected = from_jacobian(net, rows, rows if right is None else right, layers)
        assert kernel.shape == expected.shape
        assert (np.abs(kernel - expected) <= tolerance * scale(rows, right)).all()


@pytest.mark.parametrize("layers", LAYERS)
def test_a_neuron_is_off_on_its_kink(layers):
    # Small integers, so that w·x = 0 exactly; the third neuron is zero.
    hidden = torch.tensor([[[0.0, 1.0], [1.0, -1.0], [0.0, 0.0], [-2.0, 1.0]]], dtype=torch.float64)
    output = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]], dtype=torch.float64)
    net = network.TwoLayerReLU(hidden, output)
    rows = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [0.0, 3.0]])
    # Integers over 4; the oracle divides twice by a square root that is exact.
    np.testing.assert_array_equal(
        kernels.ntk_empirical(net, rows, layers=layers), from_jacobian(net, rows, rows, layers)
    )


@given(st.data(), inputs(), both_or_first)
def test_a_net_in_single_precision_has_the_kernel_of_its_weights_but_for_its_kinks(
    draws, rows, layers
):
    net = draws.draw(nets(rows.shape[1], dtype=torch.float32))
    double = network.TwoLayerReLU(net.hidden.double(), net.output.double())
    kernel = kernels.ntk_empirical(net, rows, layers=layers)
    exact_kernel = kernels.ntk_empirical(double, rows, layers=layers)
    # Pre-activations of unit rows, a sum of d products, are right to (d + 1) eps ‖w‖.
    single = float(np.finfo(np.float32).eps)
    size = net.hidden.double().norm(dim=-1).numpy()
    error = (rows.shape[1] + 1) * single * size
    z = double.hidden.numpy() @ rows.T
    unsure = (np.abs(z) <= error[..., None]).any(axis=2).sum(axis=1)
    counted = size.max(axis=1) ** 2 if layers == "both" else np.zeros(len(size))
    rounding_of_features = 3 * (rows.shape[1] + net.width) * single * counted
    bound = (unsure + EPS * net.width) / net.width + rounding_of_features
    difference = np.abs(kernel - exact_kernel).reshape(len(size), -1).max(axis=1)
    assert (difference <= bound).all()


@given(st.data(), inputs())
def test_activation_counts_are_integers(draws, rows):
    net = draws.draw(nets(rows.shape[1]))
    gram = rows @ rows.T
    far = np.abs(gram) > 1e-3
    counts = kernels.ntk_empirical(net, rows)[..., far] * net.width / gram[far]
    # A product and two divisions, each of them eps/2, and inner products of unit rows that are
    # summed in any order, each of them right to d eps.
    rounding = 2 * EPS + 2 * rows.shape[1] * EPS / 1e-3
    np.testing.assert_allclose(counts, np.round(counts), rtol=rounding, atol=0)
    assert np.abs(np.round(counts)).max() <= net.width


@given(st.data(), inputs(), both_or_first, rngs)
def test_the_order_of_the_neurons_does_not_matter(draws, rows, layers, rng):
    net = draws.draw(nets(rows.shape[1]))
    order = rng.permutation(net.width)
    permuted = network.TwoLayerReLU(net.hidden[:, order], net.output[..., order])
    # First layer: integers. Both: a sum of m products of features in another order.
    largest = net.hidden.norm(dim=-1).max().item() ** 2
    np.testing.assert_allclose(
        kernels.ntk_empirical(permuted, rows, layers=layers),
        kernels.ntk_empirical(net, rows, layers=layers),
        rtol=0,
        atol=4 * EPS if layers == "first" else (net.width + rows.shape[1]) * EPS * largest,
    )


@given(st.data(), inputs(), both_or_first)
def test_a_joint_sign_flip_of_the_outputs_does_not_matter(draws, rows, layers):
    net = draws.draw(nets(rows.shape[1]))
    flipped = network.TwoLayerReLU(net.hidden, -net.output)
    np.testing.assert_array_equal(
        kernels.ntk_empirical(flipped, rows, layers=layers),
        kernels.ntk_empirical(net, rows, layers=layers),
    )


@given(st.data(), inputs())
def test_one_output_flipped_flips_its_blocks_with_the_others(draws, rows):
    net = draws.draw(nets(rows.shape[1], outputs=2))
    signs = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    flipped = kernels.ntk_empirical(network.TwoLayerReLU(net.hidden, signs * net.output), rows)
    kernel = kernels.ntk_empirical(net, rows)
    assert kernel.shape == (net.hidden.shape[0], 2, 2, len(rows), len(rows))
    np.testing.assert_array_equal(flipped[:, 0, 0], kernel[:, 0, 0])
    np.testing.assert_array_equal(flipped[:, 1, 1], kernel[:, 1, 1])
    np.testing.assert_array_equal(flipped[:, 0, 1], -kernel[:, 0, 1])


@given(st.data(), inputs(max_points=12), both_or_first)
def test_the_empirical_kernel_of_all_outputs_is_positive_semi_definite(draws, rows, layers):
    net = draws.draw(nets(rows.shape[1], outputs=2))
    for blocks in kernels.ntk_empirical(net, rows, layers=layers):
        joint = blocks.transpose(0, 2, 1, 3).reshape(2 * len(rows), 2 * len(rows))
        values = np.linalg.eigvalsh((joint + joint.T) / 2)
        # Entries are right to (m + d) eps times the largest; Weyl, as for the limiting kernel.
        size = np.abs(joint).max() + net.hidden.norm(dim=-1).max().item() ** 2
        assert values[0] >= -len(joint) * (net.width + rows.shape[1]) * EPS * size


@given(st.data(), inputs(), st.floats(0.01, 100))
def test_the_scale_of_the_weights_does_not_matter_to_the_first_layer(draws, rows, factor):
    net = draws.draw(nets(rows.shape[1]))
    scaled = network.TwoLayerReLU(factor * net.hidden, net.output)
    np.testing.assert_array_equal(
        kernels.ntk_empirical(scaled, rows), kernels.ntk_empirical(net, rows)
    )


@given(inputs(max_points=6), st.booleans(), st.integers(0, 2**31))
def test_the_empirical_kernel_has_the_limiting_one_as_its_mean(rows, antisymmetric, seed):
    net = network.initialise(
        200,
        rows.shape[1],
        seeds=range(seed, seed + 10),
        antisymmetric=antisymmetric,
    )
    gram = rows @ rows.T
    far = np.abs(gram) > 1e-3
    counts = kernels.ntk_empirical(net, rows)[..., far].sum(axis=0) * net.width / gram[far]
    # Neurons active on both rows: binomial. Pairs share their pattern, so only half of the 2000 are
    # independent. H/x·x' is its parameter, right to rounding, and 1/2 at most.
    share = np.clip(kernels.ntk_limit(rows)[far] / gram[far], 0, 0.5)
    independent, per_pattern = (1000, 2) if antisymmetric else (2000, 1)
    low, high = binom.interval(1 - MISS, independent, share)
    assert (low - 1e-6 <= counts / per_pattern).all()
    assert (counts / per_pattern <= high + 1e-6).all()


# ---------------------------------------------------------------- refusals

NAN = float("nan")
ROWS = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0],), r"inputs must be a non-empty matrix \(points, features\); got the shape"),
        ((np.empty((0, 3)),), "inputs must be a non-empty matrix"),
        ((np.empty((3, 0)),), "inputs must be a non-empty matrix"),
        ((ROWS, [1.0, 2.0]), "others must be a non-empty matrix"),
        (([[1.0, NAN]],), "inputs must be finite"),
        (([[1.0, np.inf]],), "inputs must be finite"),
        ((ROWS, [[NAN, 0.0]]), "others must be finite"),
        (([[0.0, 0.0]],), "inputs holds a zero row"),
        ((ROWS, [[0.0, 0.0]]), "others holds a zero row"),
        ((ROWS, [[1.0, 0.0, 0.0]]), r"others must have 2 features.*got the shape \(1, 3\)"),
    ],
)
@pytest.mark.parametrize("function", [kernels.angles, kernels.ntk_limit])
def test_the_limiting_kernel_refuses(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0],), "inputs must be a non-empty matrix"),
        (([[1.0, NAN]],), "inputs must be finite"),
        ((ROWS, [[np.inf, 0.0]]), "others must be finite"),
    ],
)
def test_the_empirical_kernel_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        kernels.ntk_empirical(network.initialise(4, 2, seeds=[0]), *arguments)


def test_unknown_layers_are_refused():
    with pytest.raises(ValueError, match="layers must be 'first' or 'both'; got 'second'"):
        kernels.ntk_limit(ROWS, layers="second")
    with pytest.raises(ValueError, match="layers must be 'first' or 'both'; got 'second'"):
        kernels.ntk_empirical(network.initialise(4, 2, seeds=[0]), ROWS, layers="second")


def test_rows_in_float32_have_their_kernel_to_the_digits_of_float64():
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    rows[1::2] = rows[::2] * np.float32(1.5) + np.float32(1e-4)
    np.testing.assert_array_equal(kernels.ntk_limit(rows), kernels.ntk_limit(rows.astype(float)))


def rescaled(rows, powers, dtype):
    """Rows times powers of two, exactly."""
    return np.ldexp(rows.astype(dtype), np.asarray(powers)[:, None])


SPREAD = np.random.default_rng(1).uniform(0.5, 1, (5, 3)) * np.array([1, -1, 1])
"""Entries that keep their digits at the end of the numbers."""


@pytest.mark.parametrize(
    ("dtype", "powers"),
    [
        (np.float64, [0, 1020, -1021, 600, -500]),
        (np.float64, [-1021] * 5),
        (np.float64, [1023] * 5),
        (np.float32, [0, 120, -120, 70, -66]),
        (np.float32, [-125] * 5),
        (np.float32, [127] * 5),
    ],
)
def test_angles_are_right_whatever_the_size_of_a_row(dtype, powers):
    rows = np.random.default_rng(0).uniform(0.5, 1, (5, 3)).astype(dtype) * np.array([1, -1, 1])
    sized = rescaled(rows, powers, dtype)
    np.testing.assert_array_equal(kernels.angles(sized), kernels.angles(rows))
    np.testing.assert_array_equal(kernels.angles(sized, rows), kernels.angles(rows))


def test_rows_below_the_normal_numbers_have_the_angles_of_the_digits_that_they_have():
    tiny = float(np.ldexp(1.0, -1074))
    np.testing.assert_array_equal(
        kernels.angles([[3 * tiny, 4 * tiny]], [[4 * tiny, -3 * tiny], [tiny, 0.0]]),
        kernels.angles([[3.0, 4.0]], [[4.0, -3.0], [1.0, 0.0]]),
    )


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize(("dtype", "power"), [("float64", 505), ("float32", 61)])
def test_a_kernel_scales_with_the_size_of_rows_to_the_end_of_the_numbers(dtype, power, layers):
    powers = np.array([power, -power, 0, power // 2, 1 - power])
    rows, options = SPREAD.astype(dtype), {"dtype": dtype, "layers": layers}
    sized = rescaled(rows, powers, dtype)
    exponents = powers[:, None] + powers
    expected = np.ldexp(kernels.ntk_limit(rows, **options), exponents)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(kernels.ntk_limit(sized, **options), expected)
    crossed = np.ldexp(kernels.ntk_limit(rows[2:], rows, **options), exponents[2:])
    np.testing.assert_array_equal(kernels.ntk_limit(sized[2:], sized, **options), crossed)
    net = network.initialise(8, 3, seeds=[0], dtype=getattr(torch, dtype))
    before = kernels.ntk_empirical(net, rows, layers=layers)
    np.testing.assert_array_equal(
        kernels.ntk_empirical(net, sized, layers=layers), np.ldexp(before, exponents)
    )


@pytest.mark.parametrize("scale", [1e20, 1e30, 1e-30, 1e-37])
def test_rows_beyond_single_precision_have_their_kernel_where_it_holds_the_products(scale):
    """Rows of 1e20 against those of 1e-20 have a kernel of size 1, and in float64 all have one."""
    expected = kernels.ntk_limit(SPREAD)
    single = kernels.ntk_limit(SPREAD * scale, SPREAD / scale, dtype="float32")
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        kernels.ntk_limit(SPREAD * scale), expected * scale**2, rtol=1e-12, atol=1e-13 * scale**2
    )
    with pytest.raises(ValueError, match="inputs must have norms whose products float32 holds"):
        kernels.ntk_limit(SPREAD * scale, dtype="float32")


@pytest.mark.parametrize("size", [1e200, 1e-161, 1e-200])
def test_rows_whose_products_are_no_numbers_are_refused(size):
    with pytest.raises(ValueError, match=r"products float64 holds, .* divide inputs"):
        kernels.ntk_limit([[size, 0.0], [0.0, size]])
    with pytest.raises(ValueError, match="inputs must have products that float64 holds"):
        kernels.ntk_empirical(network.initialise(4, 2, seeds=[0]), [[size, 0.0], [0.0, size]])

"""Nets at initialisation: exact zeros, seeds, precision, variance, and an explicit loop."""

import math
from operator import mul

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from ntk_theory import network
from ntk_theory.network import DrawnNets, TwoLayerReLU, initialise
from ntk_theory.targets import PLAIN
from ntk_theory.training import train
from strategies import rngs

# Confidence intervals miss once in 1e12 cases, so never in a test run.
MISS = 1e-12

net_seeds = st.integers(0, 2**32 - 1)
even_widths = st.integers(1, 100).map(lambda pairs: 2 * pairs)
dimensions = st.integers(1, 6)
precisions = st.sampled_from([torch.float32, torch.float64])


def points(rng, count, dimension):
    return rng.standard_normal((count, dimension))


def summation_tolerance(net, inputs):
    """Largest rounding error of an output, with the terms added in whatever order.

    A pre-activation rounds d products and sums, a term one product more, the sum of m terms m − 1
    times and the division once: (d + m + 2) eps/2 of Σ_r |a_r| ‖w_r‖ ‖x‖ / √m, for either of the
    two values compared.
    """
    eps = torch.finfo(net.hidden.dtype).eps
    roundings = inputs.shape[1] + net.width + 2
    size = float(net.hidden.double().norm(dim=2).sum(dim=1).max())  # |a_r| = 1
    norm = np.linalg.norm(inputs, axis=1).max()
    return roundings * eps * size * norm / math.sqrt(net.width)


# ---------------------------------------------------------------- outputs


@given(rngs, even_widths, dimensions, st.integers(1, 3), precisions, st.floats(1e-3, 1e3))
def test_antisymmetric_nets_output_exactly_zero(rng, width, dimension, outputs, dtype, scale):
    net = initialise(width, dimension, seeds=[0, 1], outputs=outputs, scale=scale, dtype=dtype)
    assert net.antisymmetric
    assert not net(points(rng, 5, dimension)).any()


def test_rounding_alone_would_leave_antisymmetric_nets_a_sign():
    # Why the zero above is written, not summed: the terms cancel, their rounded sum does not.
    net = initialise(1000, 5, seeds=range(10))
    x = torch.as_tensor(points(np.random.default_rng(0), 10, 5))
    assert (torch.relu(x @ net.hidden.mT) @ net.output.mT).any()


@given(rngs, st.integers(2, 40), dimensions, st.integers(1, 3), precisions)
def test_outputs_are_those_of_an_explicit_loop(rng, width, dimension, outputs, dtype):
    net = initialise(
        width, dimension, seeds=[3, 4], outputs=outputs, antisymmetric=False, dtype=dtype
    )
    x = points(rng, 4, dimension).astype(np.float32)  # the same inputs in both precisions
    values = net(x)
    assert values.dtype == np.float64
    assert values.shape == ((2, 4) if outputs == 1 else (2, 4, outputs))
    tolerance = summation_tolerance(net, x)
    for s, found in enumerate(values.reshape(2, 4, outputs)):
        hidden, output = net.hidden[s].tolist(), net.output[s].tolist()
        for i, row in enumerate(x.tolist()):
            features = [max(sum(map(mul, w, row)), 0.0) for w in hidden]
            for c, signs in enumerate(output):
                expected = math.fsum(map(mul, signs, features)) / math.sqrt(width)
                assert abs(found[i, c] - expected) <= tolerance


@given(rngs, st.integers(2, 60), dimensions, st.integers(1, 3))
def test_the_order_of_neurons_does_not_matter(rng, width, dimension, outputs):
    net = initialise(width, dimension, seeds=[7], outputs=outputs, antisymmetric=False)
    order = torch.as_tensor(rng.permutation(width))
    permuted = TwoLayerReLU(net.hidden[:, order], net.output[:, :, order])
    x = points(rng, 5, dimension)
    np.testing.assert_allclose(permuted(x), net(x), rtol=0, atol=summation_tolerance(net, x))


@given(rngs, st.integers(2, 60), dimensions, st.integers(-10, 10), st.integers(1, 3))
def test_outputs_are_positively_homogeneous_in_weights_and_inputs(
    rng, width, dimension, exponent, outputs
):
    # Powers of two multiply without rounding.
    factor = 2.0**exponent
    net, scaled = (
        initialise(width, dimension, seeds=[5], outputs=outputs, antisymmetric=False, scale=scale)
        for scale in (1.0, factor)
    )
    x = points(rng, 5, dimension)
    np.testing.assert_array_equal(scaled(x), factor * net(x))
    np.testing.assert_array_equal(net(factor * x), factor * net(x))


# ---------------------------------------------------------------- weights


@given(st.lists(net_seeds, min_size=1, max_size=4), st.booleans(), even_widths, st.integers(1, 3))
def test_a_net_depends_on_its_own_seed_alone(seeds, antisymmetric, width, outputs):
    def nets(these):
        return initialise(width, 3, seeds=these, outputs=outputs, antisymmetric=antisymmetric)

    together = nets(seeds)
    for s, seed in enumerate(seeds):
        alone = nets([seed])
        assert torch.equal(together.hidden[s], alone.hidden[0])
        assert torch.equal(together.output[s], alone.output[0])


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2, unique=True))
def test_different_seeds_give_different_nets(seeds):
    # torch's generator on the CPU looks at the lower 32 bits of a seed only. Up to there, 20 equal
    # normal variables would be no chance.
    first, second = initialise(20, 1, seeds=seeds, antisymmetric=False).hidden
    assert not torch.equal(first, second)


def test_drawing_weights_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    initialise(8, 3, seeds=[0])
    assert torch.equal(torch.get_rng_state(), before)


@given(net_seeds, even_widths, dimensions, st.booleans(), st.floats(1e-3, 1e3))
def test_float32_weights_are_the_rounded_float64_ones(seed, width, dimension, antisymmetric, scale):
    double, single = (
        initialise(
            width, dimension, seeds=[seed], antisymmetric=antisymmetric, scale=scale, dtype=dtype
        )
        for dtype in (torch.float64, torch.float32)
    )
    assert torch.equal(single.hidden, double.hidden.float())
    assert torch.equal(single.output, double.output.float())


@given(net_seeds, even_widths, st.integers(1, 4), st.booleans())
def test_shapes_signs_and_pairs_are_as_declared(seed, width, outputs, antisymmetric):
    net = initialise(width, 5, seeds=[seed] * 3, outputs=outputs, antisymmetric=antisymmetric)
    assert (net.width, net.outputs) == (width, outputs)
    assert net.hidden.shape == (3, width, 5)
    assert net.output.shape == (3, outputs, width)
    assert (net.output.abs() == 1).all()
    # Independently drawn neurons form pairs with probability 0.
    assert net.antisymmetric is antisymmetric


@given(net_seeds, even_widths, st.floats(1e-3, 1e3))
def test_the_scale_multiplies_the_same_draw(seed, width, scale):
    unit, scaled = (
        initialise(width, 3, seeds=[seed], antisymmetric=False, scale=s) for s in (1.0, scale)
    )
    assert torch.equal(scaled.hidden, scale * unit.hidden)
    assert torch.equal(scaled.output, unit.output)


def test_an_odd_width_is_no_antisymmetric_net():
    net = initialise(3, 2, seeds=[0], antisymmetric=False)
    assert not net.antisymmetric


def test_weights_have_the_declared_variance_and_fair_independent_signs():
    scale, count = 0.7, 200_000
    net = initialise(count // 4, 4, seeds=[11], antisymmetric=False, scale=scale, outputs=2)
    # Σ w²/scale² is chi-squared with as many degrees of freedom as there are weights.
    square = float(net.hidden.square().sum()) / scale**2
    assert chi2.ppf(MISS, count) < square < chi2.isf(MISS, count)
    # Hoeffding: a mean of N signs exceeds sqrt(2 log(2/miss)/N) with probability below the miss.
    bound = math.sqrt(2 * math.log(2 / MISS) / net.width)
    assert net.output.mean(dim=2).abs().max() < bound
    assert abs(float((net.output[:, 0] * net.output[:, 1]).mean())) < bound


# ---------------------------------------------------------------- the law of the initial outputs


@pytest.mark.parametrize("scale", [1.0, 0.1, 3.0])
@pytest.mark.parametrize("width", [2, 3, 64])
def test_plain_nets_start_with_the_variance_of_theory(width, scale):
    nets, count = 4000, 2
    # Two orthogonal unit rows.
    outputs = initialise(width, count, seeds=range(nets), antisymmetric=False, scale=scale)(
        np.eye(count)
    )
    # Section 2: E f(x) f(x') = σ² κ_1, where κ_1 = 1/2 for one unit row, 1/2π for orthogonal ones,
    # at every width. f² has mean σ²/2 and fourth moment
    # E f⁴ = σ⁴ (3 (m − 1) E[relu²]² + E relu⁴)/m = σ⁴ (3 (m − 1)/4 + 3/2)/m <= 9/8 σ⁴ (m = 2),
    # so a mean over N nets has a standard deviation of at most σ² sqrt((9/8 − 1/4)/N); six of them.
    allowed = 6 * scale**2 * math.sqrt((9 / 8 - 1 / 4) / nets)
    second = outputs.T @ outputs / nets
    expected = scale**2 * np.array([[0.5, 1 / (2 * math.pi)], [1 / (2 * math.pi), 0.5]])
    # E f² f'² <= E f⁴ by Cauchy-Schwarz: the same bound off the diagonal.
    np.testing.assert_allclose(second, expected, rtol=0, atol=allowed)
    # The interval can tell the variance from one with balanced signs, σ² (1/2 − 1/2π).
    assert allowed < scale**2 / (2 * math.pi)
    # The mean of f is 0, with standard deviation σ/sqrt(2N).
    assert (abs(outputs.mean(axis=0)) < 6 * scale / math.sqrt(2 * nets)).all()


def test_different_outputs_of_a_net_start_uncorrelated():
    nets = 4000
    first, second = initialise(16, 1, seeds=range(nets), antisymmetric=False, outputs=2)([[1.0]])[
        :, 0
    ].T
    # E f_1 f_2 = 0; E f_1² f_2² <= E f⁴ <= 9/8 as above.
    assert abs(np.mean(first * second)) < 6 * math.sqrt(9 / 8 / nets)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("width", [3, 7, 101])
def test_an_odd_antisymmetric_width_is_refused(width):
    with pytest.raises(ValueError, match=f"even for antisymmetric.*got {width}"):
        initialise(width, 3, seeds=[0])


@pytest.mark.parametrize("width", [1, 0, -2])
@pytest.mark.parametrize("antisymmetric", [True, False])
def test_a_width_below_two_is_refused(width, antisymmetric):
    with pytest.raises(ValueError, match=f"width must be at least 2.*got {width}"):
        initialise(width, 3, seeds=[0], antisymmetric=antisymmetric)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_and_finite_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be positive and finite"):
        initialise(4, 3, seeds=[0], scale=scale)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds must not be empty"),
        ({"dimension": 0}, "dimension must be at least 1; got 0"),
        ({"outputs": 0}, "outputs must be at least 1; got 0"),
    ],
)
def test_no_seeds_inputs_or_outputs_are_refused(change, message):
    arguments = {"width": 4, "dimension": 3, "seeds": [0], "outputs": 1} | change
    with pytest.raises(ValueError, match=message):
        initialise(**arguments)


# ---------------------------------------------------------------- drawn anew


@pytest.mark.parametrize("piece", [1, 48, 2**20])
@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(("width", "dimension"), [(2, 1), (6, 3), (34, 1), (100, 7), (1000, 5)])
def test_weights_drawn_in_pieces_are_those_of_one_draw(width, dimension, pairs, piece, monkeypatch):
    monkeypatch.setattr(network, "_PIECE", piece)
    nets = DrawnNets(width, dimension, (5, 7), outputs=2, antisymmetric=pairs)
    free = width // 2 if pairs else width
    for net, seed in enumerate(nets.seeds):
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randn(free, dimension, generator=generator, dtype=torch.float64)
        signs = torch.randint(0, 2, (2, free), generator=generator).double() * 2 - 1
        if pairs:
            hidden, signs = torch.cat([hidden, hidden]), torch.cat([signs, -signs], dim=1)
        for size in (1, 16, 77, 2048):
            blocks = list(nets.blocks(size))
            assert torch.equal(torch.cat([weights[net] for weights, _ in blocks]), hidden)
            assert torch.equal(torch.cat([out[net] for _, out in blocks], dim=1), signs)


def test_drawn_nets_are_the_kept_ones():
    arguments = {"outputs": 3, "scale": 0.5, "output_scale": 2.0, "dtype": torch.float32}
    nets = DrawnNets(20, 4, (1, 2), **arguments)
    kept = initialise(20, 4, seeds=[1, 2], **arguments)
    assert torch.equal(nets.keep().hidden, kept.hidden)
    assert torch.equal(nets.output, kept.output)
    for name in ("width", "dimension", "count", "outputs", "dtype", "antisymmetric"):
        assert getattr(nets, name) == getattr(kept, name)


@pytest.mark.parametrize("name", ["scale", "output_scale"])
@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_scales_that_the_precision_does_not_hold_are_refused(name, size):
    with pytest.raises(ValueError, match=f"{name} must lie in .* as float32 holds; got"):
        initialise(4, 3, seeds=[1], dtype=torch.float32, **{name: size})
    assert initialise(4, 3, seeds=[1], **{name: size}).count == 1


def test_a_net_of_weights_that_are_no_numbers_is_not_trained():
    net = initialise(4, 3, seeds=[1])
    hidden = net.hidden.clone()
    hidden[0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="network must have finite weights"):
        train(
            TwoLayerReLU(hidden, net.output), np.eye(3), [1.0, -1.0, 1.0], PLAIN,
            learning_rate=0.1, steps=2,
        )  # fmt: skip

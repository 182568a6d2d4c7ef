"""The kernel as an operator: the same products whether it is kept or formed anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_theory import data, kernels, predictions, spectrum
from ntk_theory.streaming import KernelOperator
from strategies import EPS, inputs, rngs


@given(inputs(), rngs, st.sampled_from(["first", "both"]), st.integers(1, 9), st.integers(0, 3))
def test_products_are_those_of_the_matrix_at_any_height_of_the_blocks(
    rows, rng, layers, height, columns
):
    matrix = kernels.ntk_limit(rows, layers=layers)
    vectors = rng.standard_normal((len(rows), columns) if columns else len(rows))
    operator = KernelOperator(rows, layers=layers, memory=4 * height * len(rows) * 8)
    if not operator.kept:
        assert operator.height == min(height, len(rows))
    product = operator @ vectors
    assert product.shape == vectors.shape
    # n terms of a product in either, each rounded; entries are right to a few eps of the norms.
    size = np.abs(matrix).max() * np.abs(vectors).sum(axis=0).max(initial=0)
    np.testing.assert_allclose(product, matrix @ vectors, rtol=0, atol=16 * len(rows) * EPS * size)
    assert operator.trace == pytest.approx(np.trace(matrix), rel=1e-12)


def test_a_matrix_that_fits_is_kept_and_one_that_does_not_is_not():
    rows = np.random.default_rng(0).standard_normal((30, 4))
    whole = 30 * 30 * 8
    assert KernelOperator(rows).kept
    assert KernelOperator(rows, memory=1.5 * whole).kept
    streamed = KernelOperator(rows, memory=whole)
    assert not streamed.kept
    np.testing.assert_array_equal(KernelOperator(rows).dense(), kernels.ntk_limit(rows))
    with pytest.raises(ValueError, match="the kernel is not kept"):
        streamed.dense()
    single = KernelOperator(rows, dtype="float32", memory=1.5 * whole)
    assert single.kept
    np.testing.assert_allclose(single @ np.ones(30), kernels.ntk_limit(rows).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("rows", "memory", "message"),
    [
        (np.ones((30, 4)), 100.0, "memory must hold 4 rows of the kernel, 960 bytes; got 100"),
        (np.zeros((3, 2)), np.inf, "zero row"),
    ],
)
def test_memory_that_holds_no_row_and_zero_rows_are_refused(rows, memory, message):
    with pytest.raises(ValueError, match=message):
        KernelOperator(rows, memory=memory)


# ---------------------------------------------------------------- its extreme eigenvalues


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    return data.gaussian_clusters(5, 30, 60, radius=1.0, rng=rng)


@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_extreme_eigenpairs_are_those_of_the_matrix_within_their_residuals(clusters, end):
    exact = np.linalg.eigvalsh(kernels.ntk_limit(clusters.inputs))
    exact = exact[::-1] if end == "largest" else exact
    operator = KernelOperator(clusters.inputs, memory=20_000)
    found = spectrum.extreme_eigenpairs(operator, 7, end=end, rng=np.random.default_rng(1))
    rounding = 8 * len(exact) * EPS * exact.max()
    # Within a residual of each value lies an eigenvalue; that it is this one, the solver gives.
    assert np.all(np.abs(found.values - exact[:7]) <= found.residuals + rounding)
    image = operator @ found.vectors
    np.testing.assert_allclose(
        np.linalg.norm(image - found.vectors * found.values, axis=0),
        found.residuals,
        atol=rounding,
    )
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(7), atol=1e-12)


def test_a_guess_takes_fewer_products_and_too_few_are_said_by_the_residuals(clusters):
    operator = KernelOperator(clusters.inputs)
    guess = np.eye(5)[clusters.groups]
    residuals = [
        spectrum.extreme_eigenpairs(
            operator, 5, rng=np.random.default_rng(2), guess=known, iterations=3
        ).residuals.max()
        for known in (guess, None)
    ]
    assert residuals[0] < residuals[1] / 3
    assert residuals[1] > 1e-3


@pytest.mark.parametrize("count", [0, 31])
def test_a_count_out_of_range_is_refused(clusters, count):
    with pytest.raises(ValueError, match=r"count must lie in 1\.\.30"):
        spectrum.extreme_eigenpairs(
            KernelOperator(clusters.inputs), count, rng=np.random.default_rng(0)
        )


def test_the_recursion_of_the_predictions_takes_an_operator(clusters):
    clean = np.where(clusters.groups % 2 == 0, 1.0, -1.0)
    observed = clean * np.where(np.arange(clean.size) % 5 == 0, -1.0, 1.0)
    arguments = (clean, observed, 0.1, np.full(12, 0.5))
    operator = KernelOperator(clusters.inputs, memory=20_000)
    np.testing.assert_allclose(
        predictions.gram_outputs(operator, *arguments),
        predictions.gram_outputs(kernels.ntk_limit(clusters.inputs), *arguments),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([[1.0, np.nan]], {}, "inputs must be finite"),
        ([[0.0, 0.0]], {}, "inputs holds a zero row"),
        ([[1.0, 2.0]], {"layers": "second"}, "layers must be 'first' or 'both'"),
    ],
)
def test_what_makes_no_kernel_is_refused(rows, options, message):
    with pytest.raises(ValueError, match=message):
        KernelOperator(rows, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("memory", [np.inf, 2e3])
def test_products_of_rows_and_vectors_of_any_size(dtype, memory):
    rng = np.random.default_rng(0)
    rows, vectors = rng.uniform(0.5, 1, (30, 4)).astype(dtype), rng.standard_normal((30, 3))
    powers = np.array([70, -70, 0])
    plain = KernelOperator(rows, dtype=dtype, memory=memory)
    np.testing.assert_array_equal(
        plain @ np.ldexp(vectors, powers), np.ldexp(plain @ vectors, powers)
    )
    for power in (120, -120):
        sized = KernelOperator(np.ldexp(rows, power), dtype=dtype, memory=memory)
        np.testing.assert_array_equal(sized @ vectors, np.ldexp(plain @ vectors, 2 * power))
        assert sized.trace == np.ldexp(plain.trace, 2 * power)
        if sized.kept:
            np.testing.assert_array_equal(sized.dense(), np.ldexp(plain.dense(), 2 * power))
    with pytest.raises(ValueError, match="vectors must be of a size that leaves products finite"):
        KernelOperator(np.ldexp(rows, 120), dtype=dtype) @ np.full(30, 1e300)

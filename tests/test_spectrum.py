"""Eigenspaces, the smallest eigenvalue and the retrieved share, on matrices of known spectrum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_theory import data, kernels, predictions, spectrum
from strategies import EPS, Gram, clustered, cross_cosines, grams, inputs, ratios, rngs, seeds


def solver_error(gram):
    """Error of an eigenvalue: by Weyl, the error of the matrix.

    A dense solver makes a small multiple of n eps ‖H‖, and so does forming the matrix from its
    eigenvalues: 4 of each.
    """
    return 8 * len(gram.matrix) * EPS * np.abs(gram.eigenvalues).max()


def skewness(n):
    """Distance of eigenvectors from orthonormal ones: a small multiple of n eps.

    Divide and conquer multiplies orthogonal matrices; each is orthogonal to a few eps per row.
    """
    return 8 * n * EPS


# ---------------------------------------------------------------- eigendecomposition


@given(grams())
def test_the_eigendecomposition_reconstructs_the_matrix(gram):
    found = spectrum.eigendecomposition(gram.matrix)
    rebuilt = (found.eigenvectors * found.eigenvalues) @ found.eigenvectors.T
    # Eigenvectors that are skew by this much each stand for an error of the matrix of that size.
    assert np.linalg.norm(rebuilt - gram.matrix, 2) <= skewness(len(rebuilt)) * gram.eigenvalues[-1]


@given(grams())
def test_eigenvalues_are_those_the_matrix_was_made_of_and_ascend(gram):
    found = spectrum.eigendecomposition(gram.matrix).eigenvalues
    assert (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found, gram.eigenvalues, rtol=0, atol=solver_error(gram))


@given(grams())
def test_eigenvectors_are_orthonormal_however_close_the_eigenvalues(gram):
    vectors = spectrum.eigendecomposition(gram.matrix).eigenvectors
    n = len(vectors)
    assert np.linalg.norm(vectors.T @ vectors - np.eye(n), 2) <= skewness(n)


@given(grams(), st.data())
def test_information_and_noise_are_orthogonal_and_complete(gram, draws):
    found = spectrum.eigendecomposition(gram.matrix)
    n = len(gram.matrix)
    rank = draws.draw(st.integers(0, n))
    information, noise = found.information(rank), found.noise(rank)
    assert information.shape == (n, rank)
    assert noise.shape == (n, n - rank)
    assert np.abs(information.T @ noise).max(initial=0) <= skewness(n)
    complete = information @ information.T + noise @ noise.T
    assert np.linalg.norm(complete - np.eye(n), 2) <= skewness(n)


@given(grams(), st.data())
def test_information_holds_the_top_of_the_spectrum(gram, draws):
    found = spectrum.eigendecomposition(gram.matrix)
    rank = draws.draw(st.integers(1, len(gram.matrix)))
    basis = found.information(rank)
    # Rayleigh quotients of the top subspace are the top eigenvalues.
    quotients = np.linalg.eigvalsh(basis.T @ gram.matrix @ basis)
    np.testing.assert_allclose(
        quotients,
        gram.eigenvalues[-rank:],
        rtol=0,
        atol=2 * skewness(len(gram.matrix)) * gram.eigenvalues[-1],
    )


@given(grams(), rngs)
def test_projecting_gives_the_coefficients_along_the_eigenvectors(gram, rng):
    found = spectrum.eigendecomposition(gram.matrix)
    values = rng.standard_normal((3, len(gram.matrix)))
    coefficients = found.project(values)
    assert coefficients.shape == values.shape
    n = len(gram.matrix)
    assert found.project(values[0]).shape == (n,)
    # An orthonormal basis: nothing is lost.
    error = np.linalg.norm(coefficients @ found.eigenvectors.T - values, axis=1)
    assert (error <= skewness(n) * np.linalg.norm(values, axis=1)).all()


# ---------------------------------------------------------------- the largest gap


@given(clustered(least_ratio=1 + 1e-6))
def test_the_largest_gap_of_clusters_is_below_the_clusters_or_below_the_mean(problem):
    design = data.equicorrelated_clusters(
        problem.clusters, problem.points, ratio=problem.ratio, cross_cosine=problem.cross_cosine
    )
    (noise, _), (information, _), (mean, _) = design.levels
    found = spectrum.eigendecomposition(kernels.ntk_limit(design.inputs))
    # Measured eigenvalues, hence their ratios, are right to this in relative terms (test_data).
    error = 2 * problem.n * EPS * (mean + 8) / noise
    above_noise, above_information = information / noise, mean / information
    if above_noise * (1 - error) > above_information * (1 + error):
        assert found.largest_gap() == problem.clusters
    if above_information * (1 - error) > above_noise * (1 + error):
        assert found.largest_gap() == 1


@given(st.integers(2, 8), st.integers(2, 8), ratios.filter(lambda r: r > 1.001))
def test_the_largest_gap_of_orthogonal_clusters_counts_them(clusters, points, ratio):
    design = data.equicorrelated_clusters(clusters, points, ratio=ratio)
    found = spectrum.eigendecomposition(kernels.ntk_limit(design.inputs))
    # Here λ_0 = λ_+; rounding leaves gaps of n eps λ_+/λ_− < 1e-10 between the others.
    assert found.largest_gap() == clusters


@st.composite
def gapped(draw):
    """Eigenvalues above 1, and others below them by more than they differ among themselves."""
    upper = draw(st.lists(st.floats(1, 1.5), min_size=1, max_size=6))
    lower = draw(st.lists(st.floats(1, 1.5), min_size=1, max_size=6))
    gap = 10 ** draw(st.floats(np.log10(2.5), 6))
    return np.sort(np.concatenate([upper, np.array(lower) / gap])), len(upper)


@given(gapped(), st.floats(-100, 100))
def test_the_largest_gap_is_the_prescribed_one_at_every_scale(problem, exponent):
    values, above = problem
    gram = np.diag(10**exponent * values)
    assert spectrum.eigendecomposition(gram).largest_gap() == above


@given(
    st.lists(st.floats(-3, 0), min_size=1, max_size=6),
    st.lists(st.sampled_from([0.0, 1e-18, -1e-18, 1e-30, 1e-300]), min_size=1, max_size=6),
)
def test_eigenvalues_that_are_zero_up_to_rounding_are_below_the_largest_gap(exponents, zeros):
    # From n eps λ_max <= 3e-15 to 1e-3 the gap is 3e11, more than all the others together.
    values = np.concatenate([zeros, [1.0], 10 ** np.array(exponents)])
    assert spectrum.eigendecomposition(np.diag(values)).largest_gap() == len(exponents) + 1


@pytest.mark.parametrize("value", [1e-200, 1.0, 1e200])
def test_a_single_positive_eigenvalue_is_information(value):
    assert spectrum.eigendecomposition([[value]]).largest_gap() == 1


# ---------------------------------------------------------------- the smallest eigenvalue


@given(grams(singular=False, least_exponent=-12))
def test_lambda_min_is_the_smallest_eigenvalue(gram):
    assert abs(spectrum.lambda_min(gram.matrix) - gram.eigenvalues[0]) <= solver_error(gram)


@given(grams(singular=False, least_exponent=-12))
def test_lambda_min_agrees_with_the_full_decomposition(gram):
    full = spectrum.eigendecomposition(gram.matrix).eigenvalues[0]
    assert abs(spectrum.lambda_min(gram.matrix) - full) <= solver_error(gram)


@given(
    st.integers(2, 6),
    st.integers(2, 9),
    ratios,
    cross_cosines,
)
def test_lambda_min_of_clusters_is_found_although_it_is_highly_degenerate(
    clusters, points, ratio, cross_cosine
):
    design = data.equicorrelated_clusters(clusters, points, ratio=ratio, cross_cosine=cross_cosine)
    smallest, largest = design.levels[0][0], design.levels[-1][0]
    n = clusters * points
    # n eps λ_max of the solver, n · 8 eps of the entries (test_data).
    tolerance = n * EPS * (largest + 8)
    assert abs(spectrum.lambda_min(kernels.ntk_limit(design.inputs)) - smallest) <= tolerance


@given(grams(singular=False, least_exponent=-12))
def test_lambda_min_is_deterministic(gram):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (the global state, left alone)
    assert spectrum.lambda_min(gram.matrix) == spectrum.lambda_min(gram.matrix)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@st.composite
def of_either_sign(draw):
    """A symmetric matrix with its eigenvalues: of both signs, tiny, equal or zero, at any scale."""
    size = draw(st.integers(1, 12))
    tiny = st.sampled_from([0.0, 1e-17, -1e-17, 1e-12, -1e-12, 1e-6, -1e-6])
    values = draw(st.lists(st.floats(-1, 1) | tiny, min_size=size, max_size=size))
    shift = draw(st.sampled_from([-1.0, 0.0, 1.0]))
    eigenvalues = 10 ** draw(st.floats(-100, 100)) * np.sort(np.array(values) + shift)
    vectors = np.linalg.qr(draw(rngs).standard_normal((size, size)))[0]
    matrix = (vectors * eigenvalues) @ vectors.T
    return Gram((matrix + matrix.T) / 2, eigenvalues, vectors)


@given(of_either_sign())
def test_lambda_min_is_the_smallest_eigenvalue_of_a_matrix_of_any_sign(gram):
    assert abs(spectrum.lambda_min(gram.matrix) - gram.eigenvalues[0]) <= solver_error(gram)


@given(of_either_sign())
def test_the_eigenvalue_nearest_zero_has_its_sign(gram):
    found = spectrum.eigenvalue_nearest_zero(gram.matrix)
    # The one that it is may be either of two equally near ones.
    assert np.abs(gram.eigenvalues - found).min() <= solver_error(gram)
    assert abs(abs(found) - np.abs(gram.eigenvalues).min()) <= solver_error(gram)


@pytest.mark.parametrize(
    ("diagonal", "smallest", "nearest"),
    [
        ([-0.239, 0.1, 0.3, 0.5], -0.239, 0.1),
        ([-0.239, 0.1], -0.239, 0.1),
        ([-3.0], -3.0, -3.0),
        ([5.0, -1e-3, 2.0], -1e-3, -1e-3),
        ([-5.0, 1e-3, 2.0], -5.0, 1e-3),
        ([-5.0, -4.0, -3.0, -2.0], -5.0, -2.0),
        ([-1.0, 0.0, 1.0, 2.0], -1.0, 0.0),
        ([1e-17, -1e-17, 1.0, -1.0, 2.0], -1.0, 0.0),
    ],
)
def test_the_smallest_eigenvalue_and_the_one_nearest_zero_are_two_things(
    diagonal, smallest, nearest
):
    allowed = 8 * len(diagonal) * EPS * np.abs(diagonal).max()
    assert abs(spectrum.lambda_min(np.diag(diagonal)) - smallest) <= allowed
    assert abs(spectrum.eigenvalue_nearest_zero(np.diag(diagonal)) - nearest) <= allowed


@pytest.mark.parametrize("shift", [-1e-3, -1e-9, 0.0, 1e-9, 1e-3, 0.3, 20.0])
def test_lambda_min_of_a_kernel_follows_every_shift(shift):
    # 60 points, 40 of them in 20 pairs that nearly coincide: a cluster of tiny eigenvalues.
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 30))
    rows[20:40] = rows[:20] + 1e-4 * rng.standard_normal((20, 30))
    gram = kernels.ntk_limit(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    exact = np.linalg.eigvalsh(gram) - shift
    allowed = 8 * 60 * EPS * np.abs(exact).max()
    moved = gram - shift * np.eye(60)
    assert abs(spectrum.lambda_min(moved) - exact[0]) <= allowed
    assert abs(abs(spectrum.eigenvalue_nearest_zero(moved)) - np.abs(exact).min()) <= allowed


@pytest.mark.parametrize("matrix", [np.eye(40) + 1, kernels.ntk_limit(data.circle(40).inputs)])
def test_positive_matrices_and_singular_ones_take_no_dense_solver(matrix, monkeypatch):
    monkeypatch.setattr(spectrum, "eigvalsh", None)
    exact = np.linalg.eigvalsh(matrix)
    assert abs(spectrum.lambda_min(matrix) - exact[0]) <= 8 * 40 * EPS * exact[-1]


def test_a_value_that_is_not_the_smallest_is_noticed_and_found_anew(monkeypatch):
    # As if the iterations had come to an end elsewhere.
    monkeypatch.setattr(spectrum, "eigsh", lambda *_, **__: np.array([7.0]))
    assert spectrum.lambda_min(np.diag([1.0, 7.0, 9.0])) == pytest.approx(1.0)


# ---------------------------------------------------------------- the retrieved share


def share_tolerance(gram, rate, steps):
    """Rounding of the retrieved share.

    An error of an eigenvalue λ changes (1 − ηλ)^t by at most η t times that, for 0 <= ηλ <= 1; the
    energies are right to twice the skewness of the vectors.
    """
    return 2 * skewness(len(gram.matrix)) + rate * np.asarray(steps) * solver_error(gram)


@st.composite
def trained(draw, **options):
    """A Gram matrix with a learning rate of at most 1/λ_max."""
    gram = draw(grams(**options))
    return gram, draw(st.floats(0.01, 1)) / gram.eigenvalues[-1]


steps = st.lists(st.integers(0, 300), min_size=1, max_size=5)


@given(trained(), rngs)
def test_nothing_is_retrieved_before_the_first_step(problem, rng):
    gram, rate = problem
    labels = rng.standard_normal(len(gram.matrix))
    found = spectrum.eigendecomposition(gram.matrix)
    # A sum of n terms, divided by itself.
    (share,) = spectrum.retrieved_share(found, rate, [0], labels)
    assert abs(share) <= len(labels) * EPS


@given(trained(singular=False, least_exponent=-2), rngs)
def test_everything_is_retrieved_in_the_end(problem, rng):
    gram, rate = problem
    labels = rng.standard_normal(len(gram.matrix))
    found = spectrum.eigendecomposition(gram.matrix)
    # After 40/(ηλ_min) steps at most e^{-40} = 4e-18 is left.
    end = int(np.ceil(40 / (rate * gram.eigenvalues[0])))
    (share,) = spectrum.retrieved_share(found, rate, [end], labels)
    assert abs(share - 1) <= len(labels) * EPS


@given(trained(), steps, st.data())
def test_an_eigenvector_is_retrieved_at_the_rate_of_its_eigenvalue(problem, times, draws):
    gram, rate = problem
    i = draws.draw(st.integers(0, len(gram.matrix) - 1))
    found = spectrum.eigendecomposition(gram.matrix)
    shares = spectrum.retrieved_share(found, rate, times, gram.eigenvectors[:, i])
    expected = 1 - (1 - rate * gram.eigenvalues[i]) ** np.array(times)
    assert shares.shape == (len(times),)
    assert (np.abs(shares - expected) <= share_tolerance(gram, rate, times)).all()


@given(trained(), st.integers(0, 60), rngs)
def test_the_retrieved_share_is_the_one_of_the_explicit_iteration(problem, time, rng):
    gram, rate = problem
    labels = rng.standard_normal(len(gram.matrix))
    outputs = np.zeros_like(labels)
    for _ in range(time):
        outputs = outputs - rate * gram.matrix @ (outputs - labels)
    (share,) = spectrum.retrieved_share(
        spectrum.eigendecomposition(gram.matrix), rate, [time], labels
    )
    expected = labels @ outputs / (labels @ labels)
    # Each iteration adds rounding of n eps.
    assert abs(share - expected) <= share_tolerance(gram, rate, time) + time * len(labels) * EPS


@given(trained(), rngs)
def test_the_retrieved_share_never_falls_and_stays_a_share(problem, rng):
    gram, rate = problem
    labels = rng.standard_normal(len(gram.matrix))
    found = spectrum.eigendecomposition(gram.matrix)
    shares = spectrum.retrieved_share(found, rate, np.arange(50), labels)
    # An eigenvalue of 0 may be found as a negative one.
    tolerance = share_tolerance(gram, rate, np.arange(50))
    assert (np.diff(shares) >= -tolerance[1:]).all()
    assert (shares >= -tolerance).all()
    assert (shares <= 1 + tolerance).all()


@given(
    clustered(even=True, wrong=lambda s, draw: draw(st.integers(1, s - 1))),
    seeds,
    st.floats(0.01, 1),
)
def test_clean_labels_are_retrieved_as_information_and_label_noise_as_the_mixture(
    problem, seed, relative_rate
):
    design = data.equicorrelated_clusters(
        problem.clusters, problem.points, ratio=problem.ratio, cross_cosine=problem.cross_cosine
    )
    dataset = data.noisy_labels(
        design, noise_rate=problem.noise_rate, rng=np.random.default_rng(seed)
    )
    (noise, _), (information, _), (mean, _) = design.levels
    rate, times = relative_rate / mean, np.array([0, 1, 2, 5, 20, 100])
    found = spectrum.eigendecomposition(kernels.ntk_limit(design.inputs))

    def filtered(eigenvalue):
        return 1 - (1 - rate * eigenvalue) ** times

    # As in share_tolerance, with eigenvalues that are right to n eps (λ_0 + 8) (test_data).
    tolerance = 2 * skewness(problem.n) + problem.n * EPS * rate * (mean + 8) * times
    clean = spectrum.retrieved_share(found, rate, times, dataset.clean)
    assert (np.abs(clean - filtered(information)) <= tolerance).all()
    wrong = spectrum.retrieved_share(found, rate, times, dataset.observed - dataset.clean)
    rho = problem.noise_rate
    mixture = rho * filtered(information) + (1 - rho) * filtered(noise)
    assert (np.abs(wrong - mixture) <= tolerance).all()


def test_noise_takes_at_least_the_ratio_longer_than_information():
    # Half-times (section 6.1): log(1 − ηλ_+)/log(1 − ηλ_−) >= r, and → r as η → 0.
    clusters = predictions.cluster_spectrum(2, 5, predictions.cluster_angle(5, 20.0))
    gram = np.diag([clusters.noise, clusters.information])
    found = spectrum.eigendecomposition(gram)
    for rate in (1e-3, 0.5, 0.99):
        rate /= clusters.information
        noise_half = np.log(0.5) / np.log1p(-rate * clusters.noise)
        information_half = np.log(0.5) / np.log1p(-rate * clusters.information)
        assert noise_half / information_half >= 20
        shares = [
            spectrum.retrieved_share(found, rate, [time], vector)[0]
            for time, vector in ((noise_half, [1, 0]), (information_half, [0, 1]))
        ]
        # t eps <= 700 · 20 eps.
        np.testing.assert_allclose(shares, 0.5, rtol=0, atol=14_000 * EPS)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([1.0, 2.0], r"square and non-empty; got shape \(2,\)"),
        ([[1.0, 2.0]], r"square and non-empty; got shape \(1, 2\)"),
        (np.empty((0, 0)), "square and non-empty"),
        ([[1.0, np.nan], [np.nan, 1.0]], "must be finite"),
        ([[np.inf]], "must be finite"),
        ([[1.0, np.inf], [np.inf, 1.0]], "must be finite"),
        ([[1j]], "must hold real numbers; got complex ones"),
        (3.0, r"square and non-empty; got shape \(\)"),
        (np.ones((1, 2, 2)), r"square and non-empty; got shape \(1, 2, 2\)"),
        ([[1.0, 0.5], [0.4, 1.0]], "must be symmetric; got .*; use the train/train block"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [spectrum.eigendecomposition, spectrum.lambda_min, spectrum.eigenvalue_nearest_zero],
)
def test_what_is_no_gram_matrix_is_refused(function, matrix, message):
    with pytest.raises((ValueError, TypeError), match=message):
        function(matrix)


@pytest.mark.parametrize("rank", [-1, 4])
def test_ranks_that_do_not_exist_are_refused(rank):
    found = spectrum.eigendecomposition(np.eye(3))
    with pytest.raises(ValueError, match=rf"rank must lie in 0..3; got {rank}"):
        found.information(rank)
    with pytest.raises(ValueError, match=rf"rank must lie in 0..3; got {rank}"):
        found.noise(rank)


@pytest.mark.parametrize("rank", [1.0, 2.5, np.float64(1), "1", None, True, [1]])
def test_ranks_that_are_no_whole_numbers_are_refused(rank):
    found = spectrum.eigendecomposition(np.eye(3))
    for part in (found.information, found.noise):
        with pytest.raises(TypeError, match="rank must be a whole number; got"):
            part(rank)


@pytest.mark.parametrize("rank", [np.int64(2), np.uint8(2)])
def test_ranks_of_any_integer_type_are_taken(rank):
    assert spectrum.eigendecomposition(np.eye(3)).information(rank).shape == (3, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.ones((3, 2))}, r"labels must have the shape \(3,\).*got the shape \(3, 2\)"),
        ({"labels": np.ones((1, 3))}, r"labels must have the shape \(3,\).*got the shape \(1, 3\)"),
        ({"labels": np.ones(4)}, r"labels must have the shape \(3,\).*got the shape \(4,\)"),
        ({"labels": 1.0}, r"labels must have the shape \(3,\).*got a number"),
        ({"labels": [1, np.nan, 1]}, "labels must be finite"),
        ({"labels": ["a", "b", "c"]}, "labels must hold real numbers; got text"),
        ({"steps": 3}, r"steps must have the shape \(k,\); got a number; give a list of times"),
        ({"steps": [[1, 2]]}, r"steps must have the shape \(k,\); got the shape \(1, 2\)"),
        ({"steps": [3, -1]}, "steps must not be negative; got -1"),
        ({"steps": [np.inf]}, "steps must be finite"),
        ({"learning_rate": np.nan}, "learning_rate must be positive and finite; got nan"),
        ({"learning_rate": np.inf}, "learning_rate must be positive and finite; got inf"),
        ({"learning_rate": -0.1}, "learning_rate must be positive and finite; got -0.1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite; got 0.0"),
        ({"learning_rate": 1.5, "steps": [0.5]}, "steps must be whole numbers where learning_rate"),
    ],
)
def test_what_has_no_retrieved_share_is_refused(changes, message):
    found = spectrum.eigendecomposition(np.eye(3))
    arguments = {"learning_rate": 0.1, "steps": [1, 2], "labels": [1.0, -1.0, 1.0]} | changes
    with pytest.raises((ValueError, TypeError), match=message):
        spectrum.retrieved_share(found, **arguments)


def test_a_column_of_labels_has_the_share_and_the_bands_of_a_row():
    found = spectrum.eigendecomposition(np.diag([1.0, 1.0, 4.0]))
    labels = np.array([1.0, -1.0, 1.0])
    row, column = (
        spectrum.retrieved_share(found, 0.1, [1, 2], z) for z in (labels, labels[:, None])
    )
    assert np.array_equal(row, column)
    assert found.bands(labels) == found.bands(labels[:, None]) == (slice(0, 2), slice(2, 3))


@pytest.mark.parametrize(
    ("values", "vectors"),
    [(np.ones(3), np.eye(2)), (np.ones((3, 1)), np.eye(3)), (np.ones(0), np.eye(0)),
     (np.full(3, np.nan), np.eye(3)), (np.ones(3), np.full((3, 3), np.inf))],
)  # fmt: skip
def test_what_is_no_decomposition_is_refused(values, vectors):
    with pytest.raises(ValueError, match=r"^eigenv(alues|ectors) must"):
        spectrum.Spectrum(values, vectors)


def test_overshooting_and_fractions_of_steps_have_a_share_where_there_is_one():
    found = spectrum.eigendecomposition(np.eye(3))
    labels = [1.0, -1.0, 1.0]
    assert spectrum.retrieved_share(found, 1.5, [0, 1, 2], labels) == pytest.approx([0, 1.5, 0.75])
    assert spectrum.retrieved_share(found, 0.75, [0.5], labels) == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.ones((4, 2)), {}, r"labels must have the shape \(4,\) or \(4, 1\)"),
        (np.ones(3), {}, r"labels must have the shape \(4,\) or \(4, 1\)"),
        (np.zeros(4), {}, "labels must not be all zero"),
        (np.ones(4), {"factor": 0.5}, "factor must be at least 1, and finite; got 0.5"),
        (np.ones(4), {"factor": np.nan}, "factor must be at least 1, and finite; got nan"),
        (np.ones(4), {"least": 1.5}, r"least must lie in \[0, 1\]"),
        (np.ones(4), {"least": np.nan}, r"least must lie in \[0, 1\]"),
    ],
)
def test_what_makes_no_bands_is_refused(labels, options, message):
    found = spectrum.eigendecomposition(np.diag(np.arange(4.0)))
    with pytest.raises(ValueError, match=message):
        found.bands(labels, **options)


@pytest.mark.parametrize("values", [np.ones((4, 1)), np.ones((4, 2)), np.ones(3), 1.0])
def test_values_of_another_shape_have_no_coefficients(values):
    found = spectrum.eigendecomposition(np.eye(4))
    with pytest.raises(ValueError, match=r"values must have the shape \(\.\.\., 4\)"):
        found.project(values)


def test_eigenspaces_are_told_apart_by_rounding_of_the_largest_size_of_an_eigenvalue():
    spaces = spectrum.eigendecomposition(np.diag([-3.0, -3.0, -2.0, 1e-17, -1e-17])).eigenspaces()
    assert [space.stop - space.start for space in spaces] == [2, 1, 2]
    assert spectrum.eigendecomposition(-0.5 * np.eye(5)).eigenspaces() == (slice(0, 5),)


@pytest.mark.parametrize("turn", range(5))
def test_of_gaps_that_rounding_makes_larger_or_smaller_the_lowest_counts(turn):
    vectors = np.linalg.qr(np.random.default_rng(turn).standard_normal((6, 6)))[0]
    values = np.array([1.0, 1.0, 7.0, 7.0, 49.0, 49.0])
    matrix = (vectors * values) @ vectors.T
    assert spectrum.eigendecomposition((matrix + matrix.T) / 2).largest_gap() == 4


def test_labels_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match="labels must not be all zero"):
        spectrum.retrieved_share(spectrum.eigendecomposition(np.eye(3)), 0.1, [1], np.zeros(3))


# ---------------------------------------------------------------- singular matrices


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((4, 4)),
        np.ones((5, 5)),
        np.diag([0.0, 1.0, 2.0, 3.0]),
        np.diag([0.0, 0.0, 2.0, 3.0]),
        kernels.ntk_limit(np.vstack([np.eye(6), np.eye(6)])),
    ],
)
def test_lambda_min_of_an_exactly_singular_matrix_is_zero(matrix):
    assert abs(spectrum.lambda_min(matrix)) <= len(matrix) * EPS * max(np.abs(matrix).sum(axis=0))


@given(grams(), st.data())
def test_lambda_min_of_a_singular_matrix_is_zero(gram, draws):
    # A copy of a row and column makes it singular, often with an exactly zero pivot.
    copies = np.arange(len(gram.matrix) + 1) % len(gram.matrix)
    matrix = gram.matrix[np.ix_(copies, copies)]
    assert abs(spectrum.lambda_min(matrix)) <= 8 * len(matrix) * EPS * np.linalg.norm(matrix, 2)


@given(inputs(min_points=3, max_points=14))
def test_lambda_min_takes_copies_and_opposites_of_inputs(rows):
    gram = kernels.ntk_limit(rows)
    full = np.linalg.eigvalsh(gram)
    assert abs(spectrum.lambda_min(gram) - full[0]) <= 8 * len(rows) * EPS * full[-1]


@given(st.integers(3, 20).map(lambda half: 2 * half))
def test_lambda_min_of_an_even_circle_is_zero(points):
    gram = kernels.ntk_limit(data.circle(points).inputs)
    assert abs(spectrum.lambda_min(gram)) <= points * EPS * points


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_zero_matrix_has_no_information(size):
    assert spectrum.eigendecomposition(np.zeros((size, size))).largest_gap() == 0


@given(grams())
def test_eigenvectors_are_orthonormal_to_n_eps(gram):
    vectors = spectrum.eigendecomposition(gram.matrix).eigenvectors
    n = len(vectors)
    assert np.linalg.norm(vectors.T @ vectors - np.eye(n), 2) <= 8 * n * EPS

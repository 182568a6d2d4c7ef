"""The right end of a spectrum from products alone, whatever the guess."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ntk_theory import data, kernels, spectrum
from ntk_theory.streaming import KernelOperator
from strategies import EPS, rngs

TOLERANCE = 1e-8


class Counted:
    """A matrix that is known by its products, and says how many there were."""

    def __init__(self, matrix, wrong=None):
        self.matrix, self.wrong = np.asarray(matrix), wrong
        self.shape, self.products = self.matrix.shape, 0

    def __matmul__(self, vectors):
        self.products += 1
        image = self.matrix @ vectors
        return image if self.wrong is None else self.wrong(image)


def extreme(exact, count, end):
    """The `count` most extreme of ascending eigenvalues."""
    return exact[::-1][:count] if end == "largest" else exact[:count]


def assert_the_end(matrix, found, count, end):
    """Eigenpairs of the end that was asked for, each within the tolerance of the search."""
    exact = np.linalg.eigvalsh(matrix)
    scale = np.abs(exact).max()
    allowed = (TOLERANCE + 16 * len(matrix) * EPS) * scale
    assert found.values.shape == found.residuals.shape == (count,)
    # A Ritz value is off by its residual at most, if it is of this end.
    np.testing.assert_allclose(found.values, extreme(exact, count, end), rtol=0, atol=2 * allowed)
    apart = matrix @ found.vectors - found.vectors * found.values
    np.testing.assert_allclose(np.linalg.norm(apart, axis=0), found.residuals, atol=allowed)
    assert found.residuals.max() <= 2 * allowed
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(count), atol=1e-12)


# ---------------------------------------------------------------- symmetric designs


DESIGNS = {
    "clusters": data.equicorrelated_clusters(4, 9, ratio=20.0, cross_cosine=0.3),
    "orthogonal clusters": data.equicorrelated_clusters(5, 7, ratio=8.0),
    "tree": data.tree(2, 2, 8, class_ratio=6.0, super_ratio=15.0, cross_cosine=0.2),
    "circle": data.circle(36, arcs=4),
    "odd circle": data.circle(35, arcs=5),
}


def contrasts(groups):
    """Differences of neighbours inside each group: noise that no cluster sees."""
    same = np.flatnonzero(groups[1:] == groups[:-1])
    columns = np.zeros((groups.size, same.size))
    columns[same, np.arange(same.size)] = 1
    columns[same + 1, np.arange(same.size)] = -1
    return columns


def guesses(groups):
    """Columns that lie in invariant subspaces of a symmetric design, or say nothing."""
    n = groups.size
    return {
        "clean labels": np.where(groups % 2 == 0, 1.0, -1.0)[:, None],
        "ones": np.ones((n, 1)),
        "clusters": np.eye(groups.max() + 1)[groups],
        "contrasts": contrasts(groups),
        "alternating": np.where(np.arange(n) % 2 == 0, 1.0, -1.0)[:, None],
        "zero": np.zeros((n, n)),
        "one direction": np.ones((n, n)),
    }


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_a_guess_in_an_invariant_subspace_does_not_lead_to_the_wrong_end(name, end):
    design = DESIGNS[name]
    gram = kernels.ntk_limit(design.inputs)
    for count in range(1, len(gram) // 5 + 1):
        for columns in guesses(design.groups).values():
            rng = np.random.default_rng(count)
            guess = columns[:, :count]
            found = spectrum.extreme_eigenpairs(gram, count, end=end, rng=rng, guess=guess)
            assert_the_end(gram, found, count, end)


@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_eigenvectors_of_the_other_end_are_no_obstacle_as_a_guess(end):
    gram = kernels.ntk_limit(DESIGNS["tree"].inputs)
    vectors = np.linalg.eigh(gram)[1]
    vectors = vectors if end == "largest" else vectors[:, ::-1]
    for count in range(1, len(gram) // 5 + 1):
        found = spectrum.extreme_eigenpairs(
            gram, count, end=end, rng=np.random.default_rng(0), guess=vectors[:, :count]
        )
        assert_the_end(gram, found, count, end)


def test_the_reported_case_is_of_the_end_that_was_asked_for():
    design = data.equicorrelated_clusters(4, 25, ratio=20.0, cross_cosine=0.3)
    dataset = data.noisy_labels(design, noise_rate=0.2, rng=np.random.default_rng(0))
    operator, exact = KernelOperator(dataset.inputs), design.eigenvalues()
    for end, guess in (("largest", dataset.clean), ("smallest", np.ones(100))):
        found = spectrum.extreme_eigenpairs(
            operator, 1, end=end, rng=np.random.default_rng(0), guess=guess
        )
        assert found.values[0] == pytest.approx(extreme(exact, 1, end)[0], rel=1e-7)


# ---------------------------------------------------------------- prescribed spectra


@st.composite
def separated(draw):
    """A symmetric matrix whose `count` extreme eigenvalues, some equal, lie apart from the rest."""
    size = draw(st.integers(10, 40))
    count = draw(st.integers(1, size // 5))
    rng = draw(rngs)
    rest = rng.uniform(-1, 1, size - count) * draw(st.sampled_from([0.0, 1e-6, 1.0]))
    apart = 1 + draw(st.floats(0.05, 2)) * rng.choice([0.5, 1.0, 1 + 1e-12], count)
    end = draw(st.sampled_from(["largest", "smallest"]))
    values = np.concatenate([rest, apart if end == "largest" else -apart])
    vectors = np.linalg.qr(rng.standard_normal((size, size)))[0]
    # Those of eigenvectors are in the order of `values`: a guess of the first ones is of the rest.
    scale = 10 ** draw(st.floats(-6, 6))
    matrix = scale * (vectors * values) @ vectors.T
    kind = draw(st.sampled_from(["none", "wrong end", "right end", "mixed", "random"]))
    guess = {
        "none": None,
        "wrong end": vectors[:, :count],
        "right end": vectors[:, -count:],
        "mixed": vectors[:, :count] + vectors[:, -count:],
        "random": rng.standard_normal((size, count)),
    }[kind]
    return (matrix + matrix.T) / 2, count, end, guess


@given(separated(), rngs)
def test_eigenvalues_of_either_end_are_found_from_any_guess(problem, rng):
    matrix, count, end, guess = problem
    found = spectrum.extreme_eigenpairs(matrix, count, end=end, rng=rng, guess=guess)
    assert_the_end(matrix, found, count, end)


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-5, 1e-7, 1e-9])
def test_a_guess_of_the_neighbouring_eigenvector_is_not_taken_for_the_extreme_one(gap):
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((200, 200)))[0]
    values = np.concatenate([rng.uniform(0, 0.9, 198), [1 - gap, 1.0]])
    matrix = (vectors * values) @ vectors.T
    for seed in range(10):
        found = spectrum.extreme_eigenpairs(
            matrix, 1, rng=np.random.default_rng(seed), guess=vectors[:, -2]
        )
        assert abs(found.values[0] - 1) <= 2 * TOLERANCE


def test_a_start_in_general_position_needs_no_second_look(monkeypatch):
    monkeypatch.setattr("ntk_theory.extreme._PROBE", 0)
    design = DESIGNS["clusters"]
    gram = kernels.ntk_limit(design.inputs)
    for end in ("largest", "smallest"):
        for name in ("clean labels", "ones", "clusters", "contrasts"):
            guess = guesses(design.groups)[name][:, :2]
            rng = np.random.default_rng(0)
            found = spectrum.extreme_eigenpairs(gram, 2, end=end, rng=rng, guess=guess)
            assert_the_end(gram, found, 2, end)


def test_what_a_search_has_overlooked_is_found_after_it(monkeypatch):
    # Without what is random in it, a guess in an invariant subspace is the end of the search.
    monkeypatch.setattr("ntk_theory.extreme._starting_block", lambda *_: np.eye(50)[:, 20:23])
    for values in (np.arange(50.0), np.where(np.arange(50) < 20, 1.0, 2.0)):
        matrix = np.diag(values)
        for end in ("largest", "smallest"):
            found = spectrum.extreme_eigenpairs(matrix, 2, end=end, rng=np.random.default_rng(0))
            assert_the_end(matrix, found, 2, end)
    # Even if there is nothing left for going on, what is returned is not called converged.
    cut = spectrum.extreme_eigenpairs(
        np.diag(np.arange(50.0)), 2, rng=np.random.default_rng(0), iterations=1
    )
    assert cut.values.min() > 40
    assert cut.residuals.max() > 1e-4


@pytest.mark.parametrize("matrix", [np.zeros((10, 10)), np.eye(10), np.ones((10, 10))])
@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_matrices_of_one_or_two_eigenvalues_have_their_ends(matrix, end):
    found = spectrum.extreme_eigenpairs(matrix, 2, end=end, rng=np.random.default_rng(0))
    assert_the_end(matrix, found, 2, end)


def test_a_good_guess_saves_products_and_the_second_look_costs_at_most_32():
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    matrix = (vectors * np.concatenate([rng.uniform(0, 1, 295), [3, 4, 5, 6, 7]])) @ vectors.T
    taken = []
    for guess in (vectors[:, -5:], None):
        operator = Counted(matrix)
        spectrum.extreme_eigenpairs(operator, 5, rng=np.random.default_rng(1), guess=guess)
        taken.append(operator.products)
    assert taken[0] < taken[1] <= 32 + 25
    operator = Counted(matrix)
    found = spectrum.extreme_eigenpairs(
        operator, 5, rng=np.random.default_rng(1), end="smallest", iterations=3
    )
    assert operator.products <= 3 + 32 + 1
    assert found.residuals.max() > 1e-4


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"end": "LA"}, "end must be 'largest' or 'smallest'; got 'LA'"),
        ({"end": "LM"}, "end must be 'largest' or 'smallest'; got 'LM'"),
        ({"end": None}, "end must be 'largest' or 'smallest'; got None"),
        ({"count": 0}, r"count must lie in 1\.\.4"),
        ({"count": 5}, r"count must lie in 1\.\.4"),
        ({"count": 2.0}, "count must be a whole number; got 2.0"),
        ({"count": True}, "count must be a whole number; got True"),
        ({"guess": np.ones((20, 4))}, r"guess must hold columns, shape \(20, j\) with j <= 2"),
        ({"guess": np.ones((2, 20))}, r"guess must hold columns.*got the shape \(2, 20\)"),
        ({"guess": np.ones(19)}, r"guess must hold columns.*got the shape \(19,\)"),
        ({"guess": np.ones((20, 1, 1))}, r"guess must hold columns.*got the shape \(20, 1, 1\)"),
        ({"guess": np.full(20, np.nan)}, "guess must be finite"),
        ({"guess": np.full(20, 1j)}, "guess must hold real numbers; got complex"),
        ({"tolerance": 0.0}, "tolerance must be positive and finite; got 0.0"),
        ({"tolerance": np.nan}, "tolerance must be positive and finite; got nan"),
        ({"iterations": 0}, "iterations must be at least 1; got 0"),
        ({"iterations": 2.5}, "iterations must be a whole number; got 2.5"),
    ],
)
def test_arguments_that_make_no_search_are_refused(options, message):
    arguments = {"count": 2, "rng": np.random.default_rng(0)} | options
    with pytest.raises((ValueError, TypeError), match=message):
        spectrum.extreme_eigenpairs(np.eye(20), **arguments)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((20, 19)), r"operator must be square; got the shape \(20, 19\)"),
        (np.triu(np.ones((20, 20))), "operator must be symmetric"),
        (np.diag(np.full(20, np.nan)), "operator must give finite products"),
        (np.diag(np.full(20, np.inf)), "operator must give finite products"),
    ],
)
def test_what_is_no_symmetric_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        spectrum.extreme_eigenpairs(Counted(matrix), 1, rng=np.random.default_rng(0))


def test_products_of_another_shape_and_ones_that_turn_nan_are_refused():
    rng = np.random.default_rng(0)
    short = Counted(np.eye(20), wrong=lambda image: image[1:])
    with pytest.raises(ValueError, match=r"operator must map vectors of shape \(20, 2\)"):
        spectrum.extreme_eigenpairs(short, 1, rng=rng)
    late = Counted(np.diag(np.arange(20.0)))
    late.wrong = lambda image: image * (np.nan if late.products > 2 else 1)
    with pytest.raises(ValueError, match="operator must give finite products"):
        spectrum.extreme_eigenpairs(late, 1, rng=rng)


def test_a_guess_may_have_any_size_and_is_left_alone():
    matrix = np.diag(np.arange(20.0))
    for size in (1e-300, 1e300):
        guess = size * np.ones((20, 2))
        guess.flags.writeable = False
        found = spectrum.extreme_eigenpairs(matrix, 2, rng=np.random.default_rng(0), guess=guess)
        assert_the_end(matrix, found, 2, "largest")


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e150, 1e200])
def test_the_size_of_an_operator_does_not_matter(size):
    gram = kernels.ntk_limit(DESIGNS["clusters"].inputs)
    for end in ("largest", "smallest"):
        one, other = (
            spectrum.extreme_eigenpairs(g, 2, end=end, rng=np.random.default_rng(0))
            for g in (gram, gram * size)
        )
        np.testing.assert_allclose(other.values, one.values * size, rtol=1e-9)
        assert np.isfinite(other.residuals).all()


def test_a_matrix_is_taken_in_any_form_and_a_complex_one_in_none():
    gram = kernels.ntk_limit(DESIGNS["clusters"].inputs)
    expected = spectrum.extreme_eigenpairs(gram, 1, rng=np.random.default_rng(0)).values
    for form in (gram.tolist(), np.ma.masked_array(gram), torch.tensor(gram, requires_grad=True)):
        found = spectrum.extreme_eigenpairs(form, 1, rng=np.random.default_rng(0))
        np.testing.assert_array_equal(found.values, expected)
    with pytest.raises(TypeError, match="operator must hold real numbers; got complex"):
        spectrum.extreme_eigenpairs(gram + 1j, 1, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 5 dimensions; got 4"):
        spectrum.extreme_eigenpairs(np.eye(4), 1, rng=np.random.default_rng(0))


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1e300])
def test_the_size_of_labels_does_not_matter_to_the_share_that_is_retrieved(size):
    design = DESIGNS["clusters"]
    pairs = spectrum.eigendecomposition(kernels.ntk_limit(design.inputs))
    labels = np.where(design.groups % 2, 1.0, -1.0)
    shares = (spectrum.retrieved_share(pairs, 0.05, [1, 5], labels * c) for c in (1.0, size))
    np.testing.assert_allclose(*shares, rtol=1e-9)

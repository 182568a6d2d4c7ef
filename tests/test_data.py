"""Designs have the spectrum they state, and labels the noise that was asked for."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from ntk_theory import data, kernels, predictions
from strategies import EPS, cross_cosines, ratios, seeds

# Confidence intervals miss once in 1e12 cases, so never in a test run.
MISS = 1e-12


def spectrum_tolerance(n, largest):
    """Distance of a stated eigenvalue from a measured one.

    By Weyl an eigenvalue moves by at most the norm of the error of the matrix. The dense solver
    makes n eps λ_max; entries that are right to 8 eps (four non-zero features) make n · 8 eps.
    """
    return n * EPS * (largest + 8)


def measured(design):
    return np.linalg.eigvalsh(kernels.ntk_limit(design.inputs))


@st.composite
def cluster_designs(draw, **options):
    return data.equicorrelated_clusters(
        draw(st.integers(2, 7)),
        draw(st.integers(2, 9)),
        ratio=draw(ratios),
        cross_cosine=draw(cross_cosines),
        **options,
    )


tree_arguments = st.fixed_dictionaries(
    {
        "superclasses": st.integers(2, 4),
        "classes": st.integers(2, 4),
        "points": st.integers(2, 4),
        "class_ratio": st.floats(-9, 2).map(lambda e: 1 + 10**e),
        "cross_cosine": cross_cosines,
    }
)
# super_ratio / class_ratio − 1
steps_up = st.floats(-9, 1).map(lambda e: 1 + 10**e)


def a_tree(arguments, step):
    return data.tree(**arguments, super_ratio=arguments["class_ratio"] * step)


@st.composite
def label_problems(draw):
    """Groups of different sizes; a class may hold several groups or none."""
    sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return data.Design("groups", np.ones((groups.size, 1)), groups)


# ---------------------------------------------------------------- exact spectra


@given(cluster_designs())
def test_the_spectrum_of_clusters_is_exact(design):
    stated = design.eigenvalues()
    np.testing.assert_allclose(
        measured(design), stated, rtol=0, atol=spectrum_tolerance(stated.size, stated[-1])
    )


@given(tree_arguments, steps_up)
def test_the_spectrum_of_a_tree_is_exact(arguments, step):
    stated = a_tree(arguments, step).eigenvalues()
    np.testing.assert_allclose(
        measured(a_tree(arguments, step)),
        stated,
        rtol=0,
        atol=spectrum_tolerance(stated.size, stated[-1]),
    )


@pytest.mark.parametrize(
    "design",
    [
        data.equicorrelated_clusters(2, 2, ratio=1.5),
        data.equicorrelated_clusters(3, 4, ratio=10.0, cross_cosine=0.3),
        data.equicorrelated_clusters(5, 3, ratio=6.0, cross_cosine=0.1),
        data.tree(2, 2, 2, class_ratio=2.0, super_ratio=4.0),
        data.tree(2, 3, 2, class_ratio=3.0, super_ratio=5.0, cross_cosine=0.2),
    ],
)
def test_moderate_spectra_are_exact_to_twelve_digits_of_every_eigenvalue(design):
    stated = design.eigenvalues()
    assert spectrum_tolerance(stated.size, stated[-1]) / stated[0] <= 1e-12
    np.testing.assert_allclose(measured(design), stated, rtol=1e-12)


@given(st.integers(3, 60))
def test_the_spectrum_of_a_circle_is_exact(points):
    stated = data.circle(points, arcs=1).eigenvalues()
    # λ_max >= the mean of the n eigenvalues of trace n/2, so 8 <= 16 λ_max.
    assert spectrum_tolerance(points, stated[-1]) <= 1e-12 * stated[-1]
    np.testing.assert_allclose(
        measured(data.circle(points, arcs=1)), stated, rtol=0, atol=1e-12 * stated[-1]
    )


@given(st.integers(2, 30).map(lambda half: 2 * half))
def test_an_even_circle_has_n_over_2_minus_2_zero_eigenvalues(points):
    stated = data.circle(points).eigenvalues()
    # The smallest other one is n(ĉ_k + ...) > n/(2π²) · 4/n² with k <= n/2: 1e-3 at n = 60.
    assert np.count_nonzero(np.abs(stated) <= 1e-12 * stated[-1]) == points // 2 - 2
    assert np.count_nonzero(np.abs(measured(data.circle(points))) <= 1e-12) == points // 2 - 2


@given(st.integers(1, 29).map(lambda half: 2 * half + 1))
def test_an_odd_circle_is_positive_definite(points):
    assert data.circle(points, arcs=1).eigenvalues()[0] > 1e-12 * points


@given(cluster_designs())
def test_multiplicities_of_clusters_add_up_to_n(design):
    clusters = design.groups.max() + 1
    n = design.groups.size
    assert [count for _, count in design.levels] == [n - clusters, clusters - 1, 1]
    assert design.eigenvalues().shape == (n,)


@given(tree_arguments, steps_up)
def test_multiplicities_of_a_tree_add_up_to_n(arguments, step):
    design = a_tree(arguments, step)
    top = arguments["superclasses"]
    classes = top * arguments["classes"]
    n = classes * arguments["points"]
    assert design.groups.size == n
    assert [count for _, count in design.levels] == [n - classes, classes - top, top - 1, 1]
    assert sum(count for _, count in design.levels) == n


@given(st.integers(2, 9), ratios, cross_cosines)
def test_the_ratio_of_clusters_is_the_one_asked_for(points, ratio, cross_cosine):
    design = data.equicorrelated_clusters(3, points, ratio=ratio, cross_cosine=cross_cosine)
    noise, information = (value for value, _ in design.levels[:2])
    # r + s − 1 = s (κ(1) − κ(a)) / λ_−, and λ_− carries at most 32 eps: of the root-find 5 eps and
    # 1e-17 (15 eps of the smallest angle here, 3e-3), which dlog λ_−/dlog θ <= 1.2 enlarges, and
    # 3 of either gap.
    assert abs(information / noise - ratio) <= 32 * EPS * (ratio + points)


@given(tree_arguments, steps_up)
def test_the_ratios_of_a_tree_are_the_ones_asked_for(arguments, step):
    noise, class_, super_, _ = (value for value, _ in a_tree(arguments, step).levels)
    points, classes, ratio = (arguments[k] for k in ("points", "classes", "class_ratio"))
    # As for clusters, the gaps of both angles are right to 32 eps. In units of λ_− the gap of the
    # super angle is (s + r_1 − 1)/s and that across is below (s + r_1 + (r_2 − r_1)/c)/s; they are
    # multiplied by s c.
    tolerance = 32 * EPS * (ratio * step + points + ratio) * classes
    assert abs(class_ / noise - ratio) <= tolerance
    assert abs(super_ / noise - ratio * step) <= tolerance


@given(st.integers(2, 5), st.integers(2, 6), st.floats(1e-8, 1.0), st.sampled_from([0.0, 0.3, 0.5]))
def test_an_angle_gives_that_angle_inside_and_the_cosine_across(clusters, points, angle, cosine):
    design = data.equicorrelated_clusters(clusters, points, angle=angle, cross_cosine=cosine)
    theta = kernels.angles(design.inputs)
    same = design.groups[:, None] == design.groups
    np.fill_diagonal(same, False)
    # An angle is right to about eps times the number of non-zero features (kernels).
    np.testing.assert_allclose(theta[same], angle, rtol=8 * EPS, atol=8 * EPS)
    across = design.groups[:, None] != design.groups
    np.testing.assert_allclose(theta[across], np.arccos(cosine), atol=8 * EPS)


@given(tree_arguments, steps_up)
def test_a_tree_has_one_angle_for_each_level(arguments, step):
    design = a_tree(arguments, step)
    super_angle, class_angle = predictions.tree_angles(
        arguments["classes"],
        arguments["points"],
        arguments["class_ratio"],
        arguments["class_ratio"] * step,
        arguments["cross_cosine"],
    )
    group, parent = design.groups, design.groups // arguments["classes"]
    expected = np.full((group.size, group.size), np.arccos(arguments["cross_cosine"]))
    expected[parent[:, None] == parent] = super_angle
    expected[group[:, None] == group] = class_angle
    np.fill_diagonal(expected, 0)
    # Coordinates are differences of cosines, right to eps; dθ = dc/sin θ, and 1 − w = 2 sin²(θ/2)
    # is right in every digit, so only the angles across classes (sin θ > 0.05) see the division.
    np.testing.assert_allclose(kernels.angles(design.inputs), expected, rtol=0, atol=100 * EPS)


# ---------------------------------------------------------------- shapes and directions


@st.composite
def any_designs(draw):
    rng = np.random.default_rng(draw(seeds))
    clusters, points = draw(st.integers(2, 5)), draw(st.integers(2, 6))
    dimension = draw(st.integers(2, 8))
    return draw(
        st.sampled_from(
            [
                lambda: data.equicorrelated_clusters(clusters, points, ratio=draw(ratios)),
                lambda: data.equicorrelated_clusters(
                    clusters, points, ratio=5.0, cross_cosine=0.5, dimension=dimension, rng=rng
                ),
                lambda: data.tree(2, clusters, points, class_ratio=2.0, super_ratio=3.0),
                lambda: data.circle(clusters * points, arcs=clusters),
                lambda: data.power_law(
                    points, dimension, exponent=draw(st.floats(0.1, 6)), rng=rng
                ),
                lambda: data.gaussian_clusters(
                    clusters, points, dimension, radius=10 ** draw(st.floats(-9, 1)), rng=rng
                ),
            ]
        )
    )()


@given(any_designs())
def test_rows_are_unit_rows(design):
    # A norm of d terms is right to (d/2 + 2) eps/2, and so is the division by it.
    np.testing.assert_allclose(
        np.linalg.norm(design.inputs, axis=1), 1, rtol=0, atol=(design.inputs.shape[1] + 4) * EPS
    )


@given(any_designs())
def test_points_of_a_group_are_contiguous(design):
    assert design.groups.shape == (design.inputs.shape[0],)
    assert set(np.diff(design.groups)) <= {0, 1}
    assert design.groups[0] >= 0


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 6))
def test_more_features_than_needed_are_zero(clusters, points, extra):
    plain = data.equicorrelated_clusters(clusters, points, ratio=5.0, cross_cosine=0.2)
    full = 1 + clusters + clusters * points
    padded = data.equicorrelated_clusters(
        clusters, points, ratio=5.0, cross_cosine=0.2, dimension=full + extra
    )
    assert plain.inputs.shape == (clusters * points, full)
    np.testing.assert_array_equal(padded.inputs[:, :full], plain.inputs)
    np.testing.assert_array_equal(padded.inputs[:, full:], np.zeros((clusters * points, extra)))
    assert padded.levels == plain.levels


@given(seeds, st.integers(2, 12))
def test_fewer_features_give_a_spectrum_that_has_to_be_measured(seed, dimension):
    design = data.equicorrelated_clusters(
        3, 4, ratio=9.0, dimension=dimension, rng=np.random.default_rng(seed)
    )
    assert design.inputs.shape == (12, dimension)
    assert design.levels is None
    assert np.linalg.matrix_rank(design.inputs) <= dimension
    with pytest.raises(ValueError, match="not known in closed form"):
        design.eigenvalues()


@given(seeds, st.integers(2, 6), st.floats(-6, -2).map(lambda e: 10**e))
def test_a_narrow_cluster_stays_narrow_in_few_features(seed, dimension, angle):
    design = data.equicorrelated_clusters(
        2, 4, angle=angle, dimension=dimension, rng=np.random.default_rng(seed)
    )
    same = design.groups[:, None] == design.groups
    # Before normalisation rows are √b e_k + √c e_i with unit vectors, b = 1 − c and c = θ²/2 up to
    # θ⁴: at most 2√c apart and at least √b − √c long, so at most √2 θ (1 + 2θ) apart in angle.
    assert kernels.angles(design.inputs)[same].max() <= np.sqrt(2) * angle * (1 + 2 * angle)


@given(seeds, st.integers(2, 300), st.integers(2, 6), st.floats(0.1, 8), st.floats(0.1, 10))
def test_power_law_rows_have_the_stated_scales(seed, points, dimension, exponent, quantile):
    rows = data.power_law(
        points, dimension, exponent=exponent, rng=np.random.default_rng(seed)
    ).inputs
    # x_j/x_1 is j^{-p/2} times a ratio of two independent standard normals, which is a Cauchy
    # variable, whatever the row was divided by.
    for j in range(2, dimension + 1):
        beyond = np.abs(rows[:, j - 1] / rows[:, 0]) > quantile * j ** (-exponent / 2)
        low, high = binom.interval(1 - MISS, points, 1 - 2 * np.arctan(quantile) / np.pi)
        assert low <= np.count_nonzero(beyond) <= high


@given(seeds, st.integers(2, 40))
def test_power_law_groups_are_the_signs_of_the_top_direction(seed, points):
    design = data.power_law(points, 5, exponent=1.0, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(design.groups == 1, design.inputs[:, 0] < 0)


@given(seeds, st.integers(2, 5), st.integers(2, 30), st.integers(2, 8), st.floats(-7, -5))
def test_gaussian_clusters_have_the_radius_asked_for(seed, clusters, points, dimension, exponent):
    radius = 10**exponent
    design = data.gaussian_clusters(
        clusters, points, dimension, radius=radius, rng=np.random.default_rng(seed)
    )
    # Projection removes the radial one of the d directions of variance ε²/d, so the scatter about
    # the cluster means is ε²/d times χ² with K(s−1)(d−1) degrees of freedom. A row's curvature adds
    # a relative error of the order of its offset, at most 10 ε, and ε² of a radial part.
    blocks = design.inputs.reshape(clusters, points, dimension)
    scatter = ((blocks - blocks.mean(axis=1, keepdims=True)) ** 2).sum()
    freedom = clusters * (points - 1) * (dimension - 1)
    low, high = chi2.ppf(MISS / 2, freedom), chi2.isf(MISS / 2, freedom)
    # Entries of size 1 are stored to eps/2, so a deviation of size ε/√d to eps √d/ε.
    slack = 20 * radius + 8 * EPS * dimension / radius
    assert low * (1 - slack) <= scatter * dimension / radius**2 <= high * (1 + slack) + slack


@given(seeds)
def test_the_same_seed_gives_the_same_data(seed):
    def draw():
        rng = np.random.default_rng(seed)
        designs = [
            data.gaussian_clusters(2, 5, 4, radius=0.1, rng=rng),
            data.power_law(10, 4, exponent=1.0, rng=rng),
            data.equicorrelated_clusters(2, 5, ratio=4.0, dimension=4, rng=rng),
        ]
        return designs, [
            data.noisy_labels(design, noise_rate=0.4, rng=rng, classes=3, count="iid")
            for design in designs
        ]

    for ours, theirs in zip(*(draw() for _ in range(2)), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.inputs, other.inputs)
    first, second = (draw()[1] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.observed_class, other.observed_class)


# ---------------------------------------------------------------- labels


@given(
    label_problems(),
    st.integers(1, 100),
    st.integers(2, 5),
    st.sampled_from(["symmetric", "pair"]),
    seeds,
)
def test_every_group_gets_the_floor_of_its_share_of_wrong_labels(
    design, percent, classes, noise, seed
):
    # In exact arithmetic, so that 29 % of 100 points are 29 although 0.29 * 100 < 29.
    rate = Fraction(percent - 1, 100)
    expected = [int(rate * size) for size in np.bincount(design.groups)]
    arguments = {
        "noise_rate": float(rate),
        "rng": np.random.default_rng(seed),
        "classes": classes,
        "noise": noise,
    }
    if percent > 1 and min(expected) == 0:
        with pytest.raises(ValueError, match="less than one label"):
            data.noisy_labels(design, **arguments)
        return
    dataset = data.noisy_labels(design, **arguments)
    wrong = np.bincount(design.groups, weights=dataset.observed_class != dataset.clean_class)
    np.testing.assert_array_equal(wrong, expected)
    np.testing.assert_array_equal(dataset.flipped, dataset.clean_class != dataset.observed_class)
    # A mean is right to eps.
    assert dataset.noise_rate <= float(rate) + EPS
    np.testing.assert_allclose(dataset.noise_rate, sum(expected) / design.groups.size, rtol=2 * EPS)


@given(st.integers(2, 50), st.data(), seeds)
def test_a_rate_of_k_points_in_s_is_met_exactly(points, draws, seed):
    wrong = draws.draw(st.integers(0, points - 1))
    design = data.equicorrelated_clusters(3, points, ratio=3.0)
    dataset = data.noisy_labels(design, noise_rate=wrong / points, rng=np.random.default_rng(seed))
    assert np.bincount(design.groups, weights=dataset.flipped).tolist() == [wrong] * 3


@pytest.mark.parametrize(
    ("rate", "points", "wrong"), [(0.29, 100, 29), (0.57, 100, 57), (0.58, 50, 29)]
)
def test_a_product_that_rounds_below_an_integer_does_not_lose_a_label(rate, points, wrong):
    assert rate * points < wrong
    design = data.equicorrelated_clusters(2, points, ratio=3.0)
    dataset = data.noisy_labels(design, noise_rate=rate, rng=np.random.default_rng(0))
    assert np.bincount(design.groups, weights=dataset.flipped).tolist() == [wrong] * 2


@given(label_problems(), st.integers(2, 5), seeds)
def test_a_group_has_the_class_of_its_number(design, classes, seed):
    dataset = data.noisy_labels(
        design, noise_rate=0.0, rng=np.random.default_rng(seed), classes=classes
    )
    np.testing.assert_array_equal(dataset.clean_class, design.groups % classes)
    np.testing.assert_array_equal(dataset.observed_class, dataset.clean_class)
    assert dataset.noise_rate == 0


@given(label_problems(), st.floats(0, 0.999), st.integers(2, 5), seeds)
def test_pair_noise_gives_the_next_class(design, rate, classes, seed):
    dataset = data.noisy_labels(
        design,
        noise_rate=rate,
        rng=np.random.default_rng(seed),
        classes=classes,
        noise="pair",
        count="iid",
    )
    wrong = dataset.flipped
    np.testing.assert_array_equal(
        dataset.observed_class[wrong], (dataset.clean_class[wrong] + 1) % classes
    )


@given(
    st.floats(0, 0.999),
    st.integers(2, 5),
    st.sampled_from(["symmetric", "pair"]),
    st.integers(1, 5000),
    seeds,
)
def test_iid_noise_has_the_rate_asked_for_and_never_maps_a_class_to_itself(
    rate, classes, noise, points, seed
):
    design = data.Design("one group", np.ones((points, 1)), np.zeros(points, dtype=np.int64))
    dataset = data.noisy_labels(
        design,
        noise_rate=rate,
        rng=np.random.default_rng(seed),
        classes=classes,
        noise=noise,
        count="iid",
    )
    # Wrong labels that a class kept would lower this count below its interval.
    low, high = binom.interval(1 - MISS, points, rate)
    assert low <= np.count_nonzero(dataset.flipped) <= high
    assert dataset.observed_class.min() >= 0
    assert dataset.observed_class.max() < classes


@given(st.integers(3, 5), seeds)
def test_symmetric_noise_reaches_all_other_classes_alike(classes, seed):
    points = 2000
    design = data.Design("one group", np.ones((points, 1)), np.zeros(points, dtype=np.int64))
    dataset = data.noisy_labels(
        design, noise_rate=0.5, rng=np.random.default_rng(seed), classes=classes
    )
    counts = np.bincount(dataset.observed_class, minlength=classes)
    assert counts[0] == points // 2
    low, high = binom.interval(1 - MISS, points // 2, 1 / (classes - 1))
    assert low <= counts[1:].min()
    assert counts[1:].max() <= high


def test_two_classes_are_plus_and_minus_one():
    np.testing.assert_array_equal(data.encode(np.array([0, 1, 1, 0]), 2), [1, -1, -1, 1])


@given(st.integers(3, 6), st.lists(st.integers(0, 2), min_size=1, max_size=9))
def test_more_classes_are_one_hot_rows(classes, labels):
    targets = data.encode(np.array(labels), classes)
    assert targets.shape == (len(labels), classes)
    np.testing.assert_array_equal(targets.argmax(axis=1), labels)
    np.testing.assert_array_equal(np.sort(targets, axis=1)[:, -2:], [[0, 1]] * len(labels))


def test_a_dataset_encodes_its_classes():
    design = data.equicorrelated_clusters(3, 2, ratio=3.0)
    two, three = (
        data.noisy_labels(design, noise_rate=0.5, rng=np.random.default_rng(0), classes=classes)
        for classes in (2, 3)
    )
    np.testing.assert_array_equal(two.clean, [1, 1, -1, -1, 1, 1])
    np.testing.assert_array_equal(two.observed, np.where(two.flipped, -two.clean, two.clean))
    np.testing.assert_array_equal(three.clean, np.eye(3)[[0, 0, 1, 1, 2, 2]])
    np.testing.assert_array_equal(three.observed, np.eye(3)[three.observed_class])
    np.testing.assert_array_equal(two.inputs, design.inputs)


# ---------------------------------------------------------------- refusals

NAN, INF = float("nan"), float("inf")


def an_rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clusters": 1}, "clusters must be at least 2"),
        ({"points": 1}, "points must be at least 2"),
        ({"cross_cosine": -0.1}, r"cross_cosine must lie in \[0, 1\)"),
        ({"cross_cosine": 1.0}, r"cross_cosine must lie in \[0, 1\)"),
        ({"cross_cosine": NAN}, r"cross_cosine must lie in \[0, 1\)"),
        ({"ratio": None}, "either ratio or angle"),
        ({"angle": 0.1}, "either ratio or angle"),
        ({"ratio": 1.0}, "ratio must be above 1"),
        ({"ratio": 0.5}, "ratio must be above 1"),
        ({"ratio": INF}, "ratio must be above 1 and finite"),
        ({"ratio": NAN}, "ratio must be above 1"),
        ({"ratio": None, "angle": 0.0}, "angle must lie in"),
        ({"ratio": None, "angle": np.pi / 2}, "angle must lie in"),
        ({"ratio": None, "angle": 1.1, "cross_cosine": 0.5}, "angle must lie in"),
        ({"ratio": None, "angle": NAN}, "angle must lie in"),
        ({"dimension": 1}, "dimension must be at least 2"),
        ({"dimension": 5}, "rng is needed: dimension 5 is below 9"),
    ],
)
def test_clusters_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.equicorrelated_clusters(**({"clusters": 2, "points": 3, "ratio": 4.0} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"superclasses": 1}, "superclasses must be at least 2"),
        ({"classes": 1}, "classes must be at least 2"),
        ({"points": 1}, "points must be at least 2"),
        ({"cross_cosine": 1.0}, r"cross_cosine must lie in \[0, 1\)"),
        ({"class_ratio": 1.0}, "1 < class_ratio < super_ratio"),
        ({"class_ratio": 3.0}, "1 < class_ratio < super_ratio"),
        ({"class_ratio": NAN}, "1 < class_ratio < super_ratio"),
        ({"super_ratio": INF}, "1 < class_ratio < super_ratio, finite"),
    ],
)
def test_a_tree_refuses(arguments, message):
    valid = {"superclasses": 2, "classes": 2, "points": 2, "class_ratio": 2.0, "super_ratio": 3.0}
    with pytest.raises(ValueError, match=message):
        data.tree(**(valid | arguments))


@pytest.mark.parametrize(
    ("points", "arcs", "message"),
    [
        (2, 1, "points must be at least 3"),
        (6, 0, "arcs must divide the number of points 6"),
        (6, -2, "arcs must divide the number of points 6"),
        (7, 2, "arcs must divide the number of points 7"),
    ],
)
def test_a_circle_refuses(points, arcs, message):
    with pytest.raises(ValueError, match=message):
        data.circle(points, arcs=arcs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": 1}, "points must be at least 2"),
        ({"dimension": 1}, "dimension must be at least 2"),
        ({"exponent": 0.0}, "exponent must be positive and finite"),
        ({"exponent": -1.0}, "exponent must be positive and finite"),
        ({"exponent": INF}, "exponent must be positive and finite"),
        ({"exponent": NAN}, "exponent must be positive and finite"),
    ],
)
def test_a_power_law_refuses(arguments, message):
    valid = {"points": 5, "dimension": 3, "exponent": 1.0, "rng": an_rng()}
    with pytest.raises(ValueError, match=message):
        data.power_law(**(valid | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clusters": 1}, "clusters must be at least 2"),
        ({"points": 1}, "points must be at least 2"),
        ({"dimension": 1}, "dimension must be at least 2"),
        ({"radius": 0.0}, "radius must be positive and finite"),
        ({"radius": INF}, "radius must be positive and finite"),
    ],
)
def test_gaussian_clusters_refuse(arguments, message):
    valid = {"clusters": 2, "points": 2, "dimension": 2, "radius": 0.1, "rng": an_rng()}
    with pytest.raises(ValueError, match=message):
        data.gaussian_clusters(**(valid | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_rate": -0.1}, r"noise_rate must lie in \[0, 1\)"),
        ({"noise_rate": 1.0}, r"noise_rate must lie in \[0, 1\)"),
        ({"noise_rate": NAN}, r"noise_rate must lie in \[0, 1\)"),
        ({"classes": 1}, "classes must be at least 2"),
        ({"noise": "uniform"}, "noise must be 'symmetric' or 'pair'; got 'uniform'"),
        ({"count": "poisson"}, "count must be 'exact', 'balanced' or 'iid'; got 'poisson'"),
        ({"noise_rate": 0.09}, "less than one label; use at least 0.1"),
    ],
)
def test_labels_refuse(arguments, message):
    design = data.equicorrelated_clusters(2, 10, ratio=4.0)
    with pytest.raises(ValueError, match=message):
        data.noisy_labels(design, **({"noise_rate": 0.2, "rng": an_rng()} | arguments))


# ---------------------------------------------------------------- balanced noise, kept rows


@given(st.integers(3, 6), st.integers(4, 20), st.floats(0.1, 0.9), st.integers(0, 2**32))
def test_balanced_noise_spreads_the_wrong_classes_evenly_in_every_group(
    classes, points, rate, seed
):
    design = data.equicorrelated_clusters(classes, points, ratio=5.0)
    rate = max(rate, 1 / points)
    dataset = data.noisy_labels(
        design,
        noise_rate=rate,
        rng=np.random.default_rng(seed),
        classes=classes,
        count="balanced",
    )
    wrong = int(np.floor(rate * points + 1e-9))
    for group in range(classes):
        inside = design.groups == group
        counts = np.bincount(dataset.observed_class[inside], minlength=classes)
        assert counts[group] == points - wrong
        others = np.delete(counts, group)
        assert others.sum() == wrong
        assert others.max() - others.min() <= 1


def test_kept_rows_of_a_power_law_are_those_farthest_from_the_boundary():
    def first_coordinates(kept, points):
        rng = np.random.default_rng(3)
        return data.power_law(points, 8, exponent=1.0, rng=rng, kept=kept).inputs[:, 0]

    every = np.abs(first_coordinates(1.0, 40))
    half = np.abs(first_coordinates(0.5, 20))
    np.testing.assert_array_equal(np.sort(half), np.sort(every)[20:])


@pytest.mark.parametrize("kept", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_of_kept_rows_out_of_range_is_refused(kept):
    with pytest.raises(ValueError, match=r"kept must lie in \(0, 1\]"):
        data.power_law(10, 5, exponent=1.0, rng=np.random.default_rng(0), kept=kept)


def test_a_ratio_at_which_the_points_of_a_cluster_coincide_is_refused_by_name():
    with pytest.raises(ValueError, match="ratio must leave the points of a cluster apart"):
        data.equicorrelated_clusters(4, 5, ratio=1e300)

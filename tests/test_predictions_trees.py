"""Outputs on trees and the dark knowledge in them, against dense kernels and fine searches."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from ntk_theory import predictions
from strategies import EPS, cross_cosines, seeds

rates = st.floats(0.01, 0.999)
"""η λ_max."""

lengths = st.integers(1, 30)


@dataclass(frozen=True)
class Tree:
    """G superclasses of c classes of s points, with their spectrum and dense kernel."""

    superclasses: int
    classes: int
    points: int
    super_angle: float
    class_angle: float
    cross_cosine: float

    @property
    def count(self):
        return self.superclasses * self.classes

    @property
    def groups(self):
        return np.repeat(np.arange(self.count), self.points)

    @property
    def spectrum(self):
        return predictions.tree_spectrum(
            self.superclasses,
            self.classes,
            self.points,
            self.super_angle,
            self.class_angle,
            self.cross_cosine,
        )

    def kernel(self, left, right, same=True):
        """Between points of these classes; `same`: equal positions are the same point."""
        siblings = left[:, None] // self.classes == right // self.classes
        angle = np.where(siblings, self.super_angle, np.arccos(self.cross_cosine))
        angle = np.where(left[:, None] == right, self.class_angle, angle)
        if same:
            np.fill_diagonal(angle, 0)
        return np.cos(angle) * (np.pi - angle) / (2 * np.pi)

    def outputs(self, labels, learning_rate, steps):
        """Recursion on the dense kernel, shape (T + 1, n, C)."""
        kernel = self.kernel(self.groups, self.groups)
        outputs = [np.zeros_like(labels)]
        for _ in range(steps):
            outputs.append(outputs[-1] - learning_rate * (kernel @ (outputs[-1] - labels)))
        return np.array(outputs)

    def tolerance(self, steps):
        """A product with ηH, ‖ηH‖ <= 1, errs by n eps a step."""
        return 9 * self.count * self.points * (steps + 1) * EPS


@st.composite
def trees(draw, max_points=4):
    """Two to four superclasses and classes; angles from nearly equal to far apart."""
    cross_cosine = draw(cross_cosines)
    widest = np.arccos(cross_cosine)
    super_angle = widest * draw(st.floats(1e-6, 1 - 1e-6))
    return Tree(
        draw(st.integers(2, 4)),
        draw(st.integers(2, 4)),
        draw(st.integers(1, max_points)),
        super_angle,
        super_angle * draw(st.floats(1e-3, 1 - 1e-6)),
        cross_cosine,
    )


def contrast(outputs, siblings):
    """Mean over pairs of siblings minus mean over pairs of other superclasses, by loops."""
    near, far = [], []
    count = outputs.shape[-1]
    for p in range(count):
        for q in range(count):
            if p // siblings != q // siblings:
                far.append(outputs[..., p, q])
            elif p != q:
                near.append(outputs[..., p, q])
    return np.mean(near, axis=0) - np.mean(far, axis=0)


# ---------------------------------------------------------------- outputs


@given(trees(), rates, lengths, seeds)
def test_class_means_of_any_labels_are_those_of_the_dense_kernel(tree, rate, steps, seed):
    rng = np.random.default_rng(seed)
    labels = np.eye(tree.count)[rng.integers(tree.count, size=tree.groups.size)]
    learning_rate = rate / tree.spectrum.mean
    found = tree.outputs(labels, learning_rate, steps)
    by_class = found.reshape(steps + 1, tree.count, tree.points, tree.count).mean(axis=2)
    shares = labels.reshape(tree.count, tree.points, tree.count).mean(axis=1)
    expected = predictions.tree_outputs(tree.spectrum, learning_rate, steps, shares)
    np.testing.assert_allclose(by_class, expected, rtol=0, atol=tree.tolerance(steps))


@given(trees(), rates, lengths)
def test_right_labels_give_every_point_the_output_of_its_class(tree, rate, steps):
    learning_rate = rate / tree.spectrum.mean
    found = tree.outputs(np.eye(tree.count)[tree.groups], learning_rate, steps)
    expected = predictions.tree_outputs(tree.spectrum, learning_rate, steps)[:, tree.groups]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tree.tolerance(steps))


@given(trees(), st.floats(0, 1), st.sampled_from(["symmetric", "superclass"]))
def test_confusion_spreads_the_noise_rate_evenly_over_the_wrong_classes(tree, rho, noise):
    shares = predictions.label_confusion(tree.superclasses, tree.classes, rho, noise)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=4 * tree.count * EPS)
    np.testing.assert_allclose(np.diag(shares), 1 - rho, atol=EPS)
    wrong = shares[0, 1 : tree.classes if noise == "superclass" else None]
    np.testing.assert_allclose(wrong, rho / wrong.size, atol=2 * EPS)


# ---------------------------------------------------------------- dark knowledge


@given(trees(), rates, lengths, st.floats(0, 1), st.sampled_from(["symmetric", "superclass"]))
def test_dark_knowledge_is_the_contrast_of_the_outputs(tree, rate, steps, rho, noise):
    learning_rate = rate / tree.spectrum.mean
    shares = predictions.label_confusion(tree.superclasses, tree.classes, rho, noise)
    outputs = predictions.tree_outputs(tree.spectrum, learning_rate, steps, shares)
    expected = contrast(outputs, tree.classes)
    found = predictions.dark_knowledge(tree.spectrum, learning_rate, steps, rho, noise)
    # Sums of C² numbers up to 1.
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * tree.count**2 * EPS)
    assert found[0] == 0


@given(trees(), rates)
def test_the_peak_is_where_a_fine_search_finds_it(tree, rate):
    learning_rate = rate / tree.spectrum.super_ if rate < 0.999 else 0.9 / tree.spectrum.super_
    time, height = predictions.dark_knowledge_peak(tree.spectrum, learning_rate)
    log_class = np.log1p(-learning_rate * tree.spectrum.class_)
    log_super = np.log1p(-learning_rate * tree.spectrum.super_)

    def knowledge(t):
        return (np.exp(t * log_class) - np.exp(t * log_super)) / tree.classes

    # Where q is near 1 the logarithm of it loses digits; both exponentials are at most 1.
    gap = abs(log_super / log_class - 1)
    assert knowledge(time) == pytest.approx(height, rel=1e2 * EPS / min(gap, 1), abs=8 * EPS)
    search = minimize_scalar(lambda t: -knowledge(t), bounds=(0, 4 * time + 4), method="bounded")
    assert -search.fun <= height + 8 * EPS / min(gap, 1)


@given(trees(), rates, lengths)
def test_no_step_exceeds_the_height_of_the_peak_and_neighbours_of_it_are_largest(tree, rate, steps):
    learning_rate = min(rate, 0.99) / tree.spectrum.mean
    time, height = predictions.dark_knowledge_peak(tree.spectrum, learning_rate)
    curve = predictions.dark_knowledge(tree.spectrum, learning_rate, steps)
    assert curve.max() <= height + 16 * EPS
    if np.ceil(time) <= steps and height > 1e-6:
        largest = max(curve[int(np.floor(time))], curve[int(np.ceil(time))])
        assert largest >= curve.max() - 4 * EPS


def test_the_height_depends_on_the_ratio_of_logarithms_alone_and_fills_the_range():
    def height(class_, super_, classes):
        spectrum = predictions.TreeSpectrum(2, classes, 3, class_ / 2, class_, super_, super_)
        return predictions.dark_knowledge_peak(spectrum, 1.0)[1]

    # (1 − 0.19)^½ = 0.9: both pairs have q = 2, with height (1/2)(1/2)/c.
    assert height(0.1, 0.19, 4) == pytest.approx(1 / 16, rel=64 * EPS)
    assert height(0.5, 0.75, 4) == pytest.approx(1 / 16, rel=64 * EPS)
    assert height(1e-9, 0.999, 4) > 0.249
    assert height(0.1, 0.1001, 4) < 1e-3


def test_noise_within_the_superclass_leaves_its_own_knowledge():
    spectrum = predictions.TreeSpectrum(3, 3, 4, 0.1, 0.4, 0.8, 0.9)
    end = predictions.dark_knowledge(spectrum, 1.0, 400, 0.5, "superclass")[-1]
    assert end == pytest.approx(0.25, rel=8 * EPS)
    assert predictions.dark_knowledge(spectrum, 1.0, 400, 0.5)[-1] == pytest.approx(0, abs=EPS)


# ---------------------------------------------------------------- students


@given(trees(max_points=3), rates, lengths)
def test_hard_labels_are_right_on_fresh_points_of_the_exact_tree(tree, rate, steps):
    fresh = np.arange(tree.count)
    kernel = tree.kernel(tree.groups, tree.groups)
    spectrum = tree.spectrum
    learning_rate = rate / spectrum.mean
    # Increments of the predictor: η k_*(z − u).
    labels = np.eye(tree.count)[tree.groups]
    cross = tree.kernel(fresh, tree.groups, same=False)
    u, found = np.zeros_like(labels), np.zeros((tree.count, tree.count))
    for _ in range(steps):
        found = found + learning_rate * (cross @ (labels - u))
        u = u - learning_rate * (kernel @ (u - labels))
    part = {
        level: (1 - spectrum.noise / value) * (1 - (1 - learning_rate * value) ** steps)
        for level, value in (("class", spectrum.class_), ("super", spectrum.super_))
    }
    tolerance = tree.tolerance(steps)
    own, sibling, other = found[0, 0], found[0, 1], found[0, -1]
    assert own - sibling == pytest.approx(part["class"], abs=tolerance)
    difference = (part["super"] - part["class"]) / tree.classes
    assert sibling - other == pytest.approx(difference, abs=tolerance)
    assert part["class"] > 0
    assert difference >= -EPS


@given(st.integers(2, 4), st.integers(2, 4), seeds, st.floats(0.01, 1), st.floats(0, 1))
def test_targets_of_the_tree_alone_never_change_the_choice_between_siblings(
    superclasses, classes, seed, own, sibling
):
    rng = np.random.default_rng(seed)
    count = superclasses * classes
    predictor = rng.standard_normal((50, count))
    block = np.kron(np.eye(superclasses), np.ones((classes, classes)))
    taught = predictor @ (own * np.eye(count) + sibling * block + rng.standard_normal())
    hard = predictor.reshape(50, superclasses, classes)
    differences = taught.reshape(50, superclasses, classes)
    np.testing.assert_allclose(
        differences - differences[..., :1],
        own * (hard - hard[..., :1]),
        atol=64 * count * EPS * (1 + np.abs(taught).max()),
    )

"""The classifier for noisy labels: scikit-learn's conventions, with and without scikit-learn."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import ntk_theory as nt
from ntk_theory import estimator


def draw(noise=0.25, classes=3, points=40, seed=0):
    rng = np.random.default_rng(seed)
    clean = np.repeat(np.arange(classes), points)
    inputs = 4 * np.eye(classes, 5)[clean] + rng.standard_normal((len(clean), 5))
    wrong = rng.permutation(len(clean))[: int(noise * len(clean))]
    noisy = clean.copy()
    noisy[wrong] = (clean[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return inputs, noisy, clean, np.sort(wrong)


if importlib.util.find_spec("sklearn"):
    from sklearn.utils.estimator_checks import parametrize_with_checks

    @parametrize_with_checks([estimator.DistilledClassifier()])
    @pytest.mark.filterwarnings("ignore:Skipping check")
    def test_scikit_learn_takes_it(estimator, check):
        check(estimator)


def test_wrong_labels_are_found_and_corrected():
    inputs, noisy, clean, wrong = draw()
    model = nt.distill(inputs, noisy)
    # Clusters four standard deviations apart leave about 1 % of the points in doubt.
    assert model.score(inputs, clean) > 0.97
    assert (model.corrected_labels_ == clean).mean() > 0.97
    assert np.isin(wrong, model.suspects_).mean() > 0.9
    assert np.isin(model.suspects_, wrong).mean() > 0.9
    # A binomial standard deviation of the share is 0.04, but the planted one is exact.
    assert model.noise_rate_ == pytest.approx(len(wrong) / len(clean), abs=0.05)
    assert (np.diff(model.suspicion_[model.suspects_]) <= 0).all()
    np.testing.assert_allclose(model.predict_proba(inputs).sum(axis=1), 1, rtol=1e-12)


def test_clean_labels_are_left_alone():
    inputs, noisy, clean, _ = draw(noise=0.0)
    model = nt.distill(inputs, noisy)
    assert model.score(inputs, clean) > 0.99
    assert model.noise_rate_ < 0.02


@pytest.mark.parametrize("names", [["a", "b", "c"], [10, 20, 30], [-1.0, 0.0, 7.0]])
def test_labels_may_be_of_any_kind(names):
    inputs, noisy, _, _ = draw()
    numbered, named = nt.distill(inputs, noisy), nt.distill(inputs, np.array(names)[noisy])
    np.testing.assert_array_equal(named.classes_, names)
    np.testing.assert_array_equal(named.predict(inputs), np.array(names)[numbered.predict(inputs)])


def test_shifts_rotations_and_units_of_the_features_do_not_matter():
    inputs, noisy, _, _ = draw()
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    one, other = nt.distill(inputs, noisy), nt.distill(7 + 30 * inputs @ turn, noisy)
    np.testing.assert_array_equal(one.predict(inputs), other.predict(7 + 30 * inputs @ turn))
    # Rounding of 37 / 30 and more, through sharp probabilities and the filter of slow modes.
    np.testing.assert_allclose(other.suspicion_, one.suspicion_, atol=1e-6)


def test_rows_that_are_zero_or_all_the_same_are_taken():
    inputs, noisy, _, _ = draw()
    inputs[0] = 0
    assert np.isfinite(nt.distill(inputs, noisy).predict_proba(np.zeros((1, 5)))).all()
    flat = nt.distill(np.ones((10, 2)), np.arange(10) % 2).predict_proba(np.ones((1, 2)))
    np.testing.assert_allclose(flat, 0.5, atol=0.05)  # a class more in some of the folds


def test_a_net_is_trained_out_on_targets_of_its_own_kernel():
    inputs, noisy, clean, _ = draw()
    model = nt.distill(inputs, noisy, width=512, seed=3)
    assert model.network_.width == 512
    outputs = model.network_(model._units)[0]
    away = np.linalg.norm(outputs - model.distilled_.targets)
    # Trained out to _LEFT in its kernel at the start, which training changes a little.
    assert away < estimator._SLOW * np.linalg.norm(model.distilled_.targets)
    assert model.score(inputs, clean) > 0.97
    agree = model.predict(inputs) == nt.distill(inputs, noisy).predict(inputs)
    assert agree.mean() > 0.97  # as the limit, but for points in doubt


def test_a_net_that_is_too_narrow_to_be_trained_out_says_so():
    inputs, noisy, _, _ = draw(points=60)
    with pytest.warns(RuntimeWarning, match="give a larger width"):
        nt.distill(inputs, noisy, width=4)


@pytest.mark.parametrize(
    ("labels", "options", "match"),
    [
        ([1, 1, 1, 1], {}, "at least two classes; got one class"),
        ([0.5, 1, 2, 1], {}, "Unknown label type"),
        ([0, 1, 0, 1], {"width": 3}, "width must be at least 2, and even"),
        ([0, 1, 0, 1], {"seed": -1}, "seed must"),
    ],
)
def test_what_cannot_be_taken_is_refused(labels, options, match):
    with pytest.raises(ValueError, match=match):
        nt.distill(np.eye(4), labels, **options)


def test_it_works_without_scikit_learn_and_never_loads_it_with_the_package():
    code = """
import sys
import ntk_theory as nt
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None
inputs, labels = [[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]], list("aaabbb")
model = nt.DistilledClassifier(seed=1)
try:
    model.predict(inputs)
except ValueError as wrong:
    assert "not fitted" in str(wrong)
assert model.fit(inputs, labels).score(inputs, labels) == 1.0
assert model.n_features_in_ == 1
assert model.get_params() == {"width": None, "seed": 1}
assert model.set_params(seed=2).seed == 2
for call, part in (
    (lambda: model.set_params(depth=1), "'depth'"),
    (lambda: model.predict([[0.0, 1.0]]), "1 features"),
    (lambda: model.fit(inputs, "ab"), "shape"),
    (lambda: model.fit([[float("nan")]] * 6, labels), "finite"),
):
    try:
        call()
    except ValueError as wrong:
        assert part in str(wrong), wrong
    else:
        raise AssertionError(part)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

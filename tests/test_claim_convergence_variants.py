"""Every variant's prediction is what the infinitely wide net does under its own teaching."""

import numpy as np
import pytest

from ntk_theory import data, kernels
from ntk_theory.claims.convergence.variants import variant_on_clusters, variants
from ntk_theory.targets import Agreement
from ntk_theory.training import train_kernel_limit

EPS = float(np.finfo(float).eps)
ALL = {variant.name: variant for variant in variants(np.random.SeedSequence(11))}


@pytest.mark.parametrize("name", ALL)
def test_the_prediction_is_the_kernel_recursion_with_hardened_targets(name):
    variant = ALL[name]
    recipe = variant.recipe
    gram = kernels.ntk_limit(recipe.inputs, layers=recipe.layers)
    run = train_kernel_limit(
        gram,
        recipe.observed,
        recipe.distillation,
        learning_rate=recipe.learning_rate,
        steps=recipe.steps,
    )
    # n eps λ_max/λ_min, as in the claim's own row for the kernel limit.
    eigenvalues = np.linalg.eigvalsh(gram)
    tolerance = len(gram) * EPS * eigenvalues[-1] / eigenvalues[0]
    np.testing.assert_allclose(variant.predicted, run, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ALL)
def test_every_taught_prediction_is_right_and_the_run_is_long_enough(name):
    variant = ALL[name]
    assert variant.worst_margin > 0.05
    assert variant.taught[0] > 0
    assert variant.taught[-1] < variant.recipe.steps
    assert variant.rms_error[0] == pytest.approx(1.0)
    assert variant.rms_error[-1] < 0.4
    assert variant.margin[-1] > 0.3


def test_the_limits_are_those_of_constant_and_agreement_schedules():
    limits = {name: variant.limit for name, variant in ALL.items() if variant.limit is not None}
    assert limits == {
        "constant weight 1/4": pytest.approx(0.5 * 0.3**0.5),
        "agreement schedule": pytest.approx(2 * 0.3**1.5),
    }
    for name, limit in limits.items():
        longer = ALL[name].rms_error
        assert abs(longer[-1] - limit) < abs(longer[len(longer) // 2] - limit)
        assert longer[-1] == pytest.approx(limit, rel=0.05)  # e^{-3} of the noise is missing


def test_the_agreement_weight_is_the_noise_rate_once_all_is_right():
    variant = ALL["agreement schedule"]
    policy = variant.recipe.distillation
    assert isinstance(policy.schedule.then, Agreement)
    signs = np.sign(variant.predicted[variant.taught])
    assert (signs == variant.clean).all()
    assert np.mean(variant.clean != variant.recipe.observed) == pytest.approx(0.3)


def test_more_than_half_of_five_classes_is_wrong_and_one_seed_draws_one_set_of_data():
    variant = ALL["5 classes, 58 % symmetric noise"]
    wrong = (variant.clean != variant.recipe.observed).any(axis=1).mean()
    assert wrong == pytest.approx(7 / 12)
    again = {v.name: v for v in variants(np.random.SeedSequence(11))}
    other = {v.name: v for v in variants(np.random.SeedSequence(12))}
    for name, variant in ALL.items():
        np.testing.assert_array_equal(again[name].recipe.inputs, variant.recipe.inputs)
        np.testing.assert_array_equal(again[name].recipe.observed, variant.recipe.observed)
        assert (other[name].recipe.observed != variant.recipe.observed).any()


def test_a_lagged_teacher_that_has_predicted_nothing_never_teaches():
    design = data.equicorrelated_clusters(4, 10, ratio=20.0)
    dataset = data.noisy_labels(design, noise_rate=0.2, rng=np.random.default_rng(0))
    for epoch in (1, 2, 3):
        variant = variant_on_clusters("lag", dataset, epoch=epoch)
        schedule = variant.recipe.distillation.schedule
        assert all(schedule.weight(step) == 1 for step in range(2 * epoch))
        # The prediction at step k teaches from k + epoch to k + 2 epoch − 1.
        assert variant.taught[0] + 2 * epoch > schedule.steps
        assert 0 not in variant.taught

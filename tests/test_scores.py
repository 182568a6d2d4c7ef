"""Parameters of theory that outputs of nets show, and how wrong a theory may be unnoticed."""

from dataclasses import replace

import numpy as np
import pytest

import ntk_theory as nt
from cases.memorisation import TOY
from made_up import made_up
from ntk_theory.checking.laws import law_of
from ntk_theory.checking.scores import estimates, tangents
from ntk_theory.checking.verdicts import Measurement, Verdict, judge
from ntk_theory.claims.memorisation import CLAIM

ERROR = 1e-4


@pytest.fixture(scope="module")
def run():
    return made_up(CLAIM, TOY)


@pytest.fixture(scope="module", params=["square", "self-distillation", "restart", "classes"])
def training(request):
    """Of several ways to train, on few points."""
    problem = nt.noisy_clusters(clusters=2, points=10, ratio=6.0, noise_rate=0.2, steps=20, seed=0)
    if request.param == "square":
        return problem.plain_training("plain")
    if request.param == "self-distillation":
        return problem.distilled_training("own")
    if request.param == "restart":
        taught = nt.targets.Distillation(
            nt.targets.Constant(0.5), target="soft", epoch=5, restart=True
        )
        recipe = replace(problem.recipe, distillation=taught)
    else:
        classes = np.stack([problem.recipe.observed, -problem.recipe.observed], axis=1)
        recipe = nt.Recipe.plain(problem.recipe.inputs, classes, share=0.5, steps=20)
    return nt.Training(request.param, recipe, recipe.kernel_limit(), labels=problem.dataset.clean)


def recursion(recipe, kernel, observed):
    """Of hard targets and the square loss, for any labels."""
    outputs = [np.zeros_like(observed)]
    for weight in nt.targets.weights(recipe.distillation.schedule, recipe.steps):
        target = weight * observed + (1 - weight) * np.sign(outputs[-1])
        outputs.append(outputs[-1] - recipe.learning_rate * kernel @ (outputs[-1] - target))
    return np.stack(outputs)


def changed(training, parameter, error):
    """Outputs of the limit, with a parameter that is off."""
    recipe = training.recipe
    kernel, observed = nt.kernels.ntk_limit(recipe.inputs), recipe.observed
    if parameter == "learning rate":
        return replace(recipe, learning_rate=recipe.learning_rate * (1 + error)).kernel_limit()
    if parameter == "noise eigenvalues":
        values, vectors = np.linalg.eigh(kernel)
        kernel = (vectors * np.where(values < values.mean(), (1 + error) * values, values)) @ (
            vectors.T
        )
    else:
        clean, rate = training.labels, float((training.labels != observed).mean())
        noise = (observed - (1 - 2 * rate) * clean) / np.sqrt(rate * (1 - rate))
        off = rate * (1 + error)
        observed = (1 - 2 * off) * clean + np.sqrt(off * (1 - off)) * noise
        if recipe.distillation.target == "hard":  # which takes labels ±1 alone
            return recursion(recipe, kernel, observed)
    return nt.training.train_kernel_limit(
        kernel, observed, recipe.distillation, learning_rate=recipe.learning_rate,
        steps=recipe.steps,
    )  # fmt: skip


def testtangents_are_derivatives_of_the_limit(training):
    law = law_of(training, 0, count=4)
    found = dict(tangents(law))
    assert {"learning rate", "noise eigenvalues"} <= set(found)
    for parameter, tangent in found.items():
        up, down = (changed(training, parameter, sign * ERROR) for sign in (1, -1))
        expected = ((up - down) / (2 * ERROR)).reshape(tangent.shape)
        np.testing.assert_allclose(tangent, expected, atol=1e-6)


def test_only_two_classes_with_noise_have_a_noise_rate(training):
    observed = training.recipe.observed
    assert ("noise rate" in dict(tangents(law_of(training, 0, count=4)))) == (observed.ndim == 1)
    clean = replace(training, labels=None)
    assert "noise rate" not in dict(tangents(law_of(clean, 0, count=4)))


def test_an_estimate_moves_by_what_a_parameter_is_off(training):
    law, width, error = law_of(training, 0, count=100), 10**6, 0.01
    for shown in estimates(law, width, 4):
        exact = shown.read(training.predicted[None], width)
        off = shown.read(changed(training, shown.parameter, error)[None], width)
        assert off - exact == pytest.approx(error, rel=0.1)


def test_nets_of_the_law_are_within_reach_and_nearly_fill_it(training):
    law, width, nets = law_of(training, 0, count=200), 4096, 4
    other = law_of(training, 1, count=2000).outputs(width)
    for shown in estimates(law, width, nets):
        means = shown.read(other, width).reshape(-1, nets).mean(axis=1) - 1
        within = shown.reach(width, nets, 0.999)
        assert np.mean(np.abs(means) > within) < 0.01
        assert np.abs(means).max() > within / 2


def test_wider_nets_notice_less(run):
    law = run.law(run.trainings[next(iter(run.trainings))])
    for narrow, wide in zip(estimates(law, 1024, 8), estimates(law, 16384, 8), strict=True):
        reach = [one.reach(m, 8, 1 - 1e-6) for one, m in ((narrow, 1024), (wide, 16384))]
        assert reach[1] < reach[0] / 3
        assert wide.scatter(16384, 8) == pytest.approx(narrow.scatter(1024, 8) / 4, rel=0.3)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_nets_at_another_rate_contradict_the_rate_by_ten_percent(factor):
    def faster(outputs, width, training, on):
        recipe = training.recipe
        return replace(recipe, learning_rate=factor * recipe.learning_rate).kernel_limit()

    run = made_up(CLAIM, TOY, faster)
    (rate,) = [row for row in run.parameters() if "learning rate" in row.name]
    assert rate.measured == pytest.approx(factor, abs=0.03)
    assert rate.holds is False
    assert run.evidence.notices["learning rate"] < 0.1


def test_a_number_outside_its_tolerance_is_decisive_only_farther_out():
    rows = [Measurement("", 1.0, value, 0.1, decisive=0.15) for value in (1.05, 1.12, 0.88, 1.16)]
    assert [row.holds for row in rows] == [True, None, None, False]
    assert judge((), (rows[1],)) is Verdict.INCONCLUSIVE
    assert Measurement("", 1.0, float("nan"), 0.1, decisive=0.15).holds is False


def test_widths_that_lie_too_near_to_each_other_say_nothing_of_what_they_would_notice():
    near = replace(TOY, widths=(2048, 2560, 3072, 3584))
    run = made_up(CLAIM, near)
    assert all(row.holds for row in run.parameters())
    assert run.evidence.notices == {}

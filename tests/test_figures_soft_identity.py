"""The pictures of `soft-identity`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from ntk_theory.claims.soft_identity.plan import MEMORISING, STOPPING, make_plan

from cases import toy
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn
from progress import Silent

CLAIM = all_claims()["soft-identity"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("soft-identity"), Silent())


def test_every_difference_is_drawn_below_its_bound(result):
    series = drawn(CLAIM, result, "identity")
    measured, bound = series["measured"][0], series["prediction smallest rounding bound"][0]
    assert measured["y"].size == result.arrays["identity_difference"].size
    least = dict(zip(bound["x"], bound["y"], strict=True))
    assert all(y <= least[x] for x, y in zip(measured["x"], measured["y"], strict=True))


def test_soft_targets_are_drawn_over_their_closed_forms(result):
    series, plan = drawn(CLAIM, result, "soft-targets"), make_plan(toy("soft-identity"))
    problem = plan.problem
    for label, key, dashed, name in (
        (r"$\Sigma\,\alpha_t=\infty$", "memorising", "prediction of Σ α_t = ∞", MEMORISING),
        (r"$\Sigma\,\alpha_t<\infty$", "stopping", "prediction of Σ α_t < ∞", STOPPING),
    ):
        nets = result.arrays[f"{key}_error"]
        np.testing.assert_allclose(series[label][0]["y"], nets.mean(axis=0), rtol=1e-12)
        curve = predictions.soft_self_distillation(
            problem.spectrum, problem.noise_rate, problem.learning_rate, plan.weights(name)
        )
        np.testing.assert_allclose(series[dashed][0]["y"], curve.rms_error(), rtol=1e-10)
        assert series[dashed][0]["y"].min() >= 2 * result.config["noise_rate"]


def test_hard_targets_alone_pass_the_bound_of_every_stopping_time(result):
    series = drawn(CLAIM, result, "policies")
    bound = series["2ρ: bound of stopping"][0]["y"][0]
    assert bound == 2 * result.config["noise_rate"]
    assert series["soft, $u$"][0]["y"].min() > bound
    assert series[r"hard, $\mathrm{sign}(u)$"][0]["y"][-1] < bound / 2


def test_the_policies_are_drawn_over_the_recursion_of_section_8(result):
    series, plan = drawn(CLAIM, result, "policies"), make_plan(toy("soft-identity"))
    problem, weights = plan.problem, plan.weights(STOPPING)
    known = problem.spectrum, problem.dataset.observed, problem.learning_rate
    soft, tempered, dashed = (
        series[f"prediction of {policy}"][0] for policy in ("soft", "tempered", "hard")
    )
    for step in (0, len(weights) // 2, len(weights)):
        outputs = predictions.block_recursion(*known, weights[:step])
        error = np.sqrt(np.square(outputs - problem.dataset.clean).mean())
        assert dashed["y"][step] == pytest.approx(error, rel=1e-10)
    allowed = min(one.failure.tolerance for one in result.controls if "entropy" not in one.id)
    assert allowed < 0.1
    for label, expected in (
        ("soft, $u$", soft),
        (r"tempered, $\tanh(u/T)$", tempered),
        (r"hard, $\mathrm{sign}(u)$", dashed),
    ):
        np.testing.assert_allclose(series[label][0]["y"], expected["y"], atol=allowed)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}, measurements=()), panel) == {}

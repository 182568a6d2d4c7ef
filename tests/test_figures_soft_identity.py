"""The pictures of `soft-identity`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from ntk_theory.claims.soft_identity import HARD, MEMORISING, STOPPING, TEMPERED
from panels import drawn

CLAIM = all_claims()["soft-identity"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_every_difference_is_drawn_below_its_bound(result):
    series = drawn(CLAIM, result, "identity")
    measured, bound = series["measured"][0], series["prediction smallest rounding bound"][0]
    assert measured["y"].size == result.arrays["identity_difference"].size
    least = dict(zip(bound["x"], bound["y"], strict=True))
    assert all(y <= least[x] for x, y in zip(measured["x"], measured["y"], strict=True))


def test_soft_targets_are_drawn_over_their_closed_forms(result):
    series, problem = drawn(CLAIM, result, "soft-targets"), CLAIM.build(result.options)
    assert TEMPERED not in series
    rows = {m.name: m for m in result.measurements}
    for name in (MEMORISING, STOPPING):
        (mean,), (dashed,) = series[name], series[f"prediction of {name}"]
        row = rows[f"{name}: RMS error after {problem.steps} steps"]
        assert mean["y"][-1] == pytest.approx(row.measured, rel=1e-12)
        assert dashed["y"][-1] == pytest.approx(row.predicted, rel=1e-12)
        assert dashed["y"].min() >= 2 * result.config["noise_rate"]


def test_policies_are_drawn_over_their_recursions_and_hard_targets_alone_pass_the_bound(result):
    series, problem = drawn(CLAIM, result, "policies"), CLAIM.build(result.options)
    known = problem.spectrum, problem.dataset.observed, problem.learning_rate
    dashed = series[f"prediction of {HARD}"][0]["y"]
    for step in (0, problem.steps // 2, problem.steps):
        outputs = predictions.block_recursion(*known, problem.stopping[:step])
        error = np.sqrt(np.square(outputs - problem.dataset.clean).mean())
        assert dashed[step] == pytest.approx(error, rel=1e-10)
    allowed = min(one.failure.tolerance for one in result.controls if "entropy" not in one.id)
    for name in (STOPPING, TEMPERED, HARD):
        nets, predicted = series[name][0]["y"], series[f"prediction of {name}"][0]["y"]
        np.testing.assert_allclose(nets, predicted, atol=allowed)
    bound = series["2ρ: bound of stopping"][0]["y"][0]
    assert series[STOPPING][0]["y"].min() > bound > 2 * series[HARD][0]["y"][-1]


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}, measurements=()), panel) == {}

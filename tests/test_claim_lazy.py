"""What is special to the claim `lazy`: exponents and constants that can fail, controls."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from made_up import failing, made_up
from ntk_theory.checking import fitting
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.running import Run
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims import lazy
from ntk_theory.claims.lazy import CLAIM
from progress import Silent

WIDTHS = (256, 512, 1024, 2048)
TINY = Options(preset="quick", seeds=3, widths=WIDTHS, clusters=2, points=5, ratio=6.0)


@pytest.fixture(scope="module")
def run():
    return made_up(CLAIM, replace(TINY, seeds=12))


def constants(run, intercept, slope=0.0, scatter=0.01, error=0.0):
    """Rows of nets that measure other constants than the predicted ones, by their names."""
    rng, widths = np.random.default_rng(0), np.array(WIDTHS)[:, None]
    laws = {key: (np.full((4, 1), 2.0), error) for key in lazy._TITLES}
    ratios = intercept + slope / np.sqrt(widths) + scatter * rng.standard_normal((4, 60))
    found = {key: list(2.0 * ratios) for key in laws}
    found |= {key: list(rng.standard_normal((4, 60))) for key in lazy._EXPLAIN}
    return list(lazy._constants(run, lazy.PLAIN, found, laws))


def test_constants_are_extrapolated_through_their_first_correction(run):
    # At width 256 the ratio is 0.81; a mean over widths would miss the constant by a tenth.
    for row in constants(run, 1.0, -3.0):
        assert row.holds is True
        assert row.tolerance < 0.1 * row.predicted


@pytest.mark.parametrize("intercept", [0.0, 0.5, 0.9, 1 / np.sqrt(2), np.sqrt(2), 2.0])
def test_other_constants_fail(run, intercept):
    assert {row.holds for row in constants(run, intercept, 0.5, 0.02)} == {False}


def test_constants_off_by_what_chance_may_do_are_left_open(run):
    exact = constants(run, 1.0)[0]
    beyond = (exact.tolerance + exact.decisive) / 2 / exact.predicted
    off = constants(run, 1.0 + beyond - exact.measured / exact.predicted + 1)[0]
    assert off.holds is None
    assert off.tolerance < abs(off.measured - off.predicted) < off.decisive


def test_constants_that_scatter_too_much_are_left_open(run):
    rows = [row for row in constants(run, 1.0, 0.0, 2.0) if "along" not in row.name]
    assert {row.holds for row in rows} == {None}


def test_the_error_of_a_drawn_prediction_widens_the_tolerance(run):
    pairs = zip(constants(run, 1.0), constants(run, 1.0, error=0.05), strict=True)
    for exact, drawn in pairs:
        # Student's quantile of its few batches, at the row's share of the risk.
        assert drawn.tolerance > exact.tolerance + 4 * 0.05 * exact.predicted
        assert drawn.decisive > drawn.tolerance


def test_an_estimate_is_outside_its_tolerance_by_chance_as_often_as_the_risk_of_the_run_says(run):
    few = run.estimate("x", 0.0, 0.0, [(1.0, 4)], rows=1).tolerance
    both = run.estimate("x", 0.0, 0.0, [(1.0, 4), (1.0, 4)], rows=1).tolerance
    eight = run.estimate("x", 0.0, 0.0, [(1.0, 8)], rows=1).tolerance
    many = run.estimate("x", 0.0, 0.0, [(1.0, 10**6)], rows=1).tolerance
    assert both == pytest.approx(np.sqrt(2) * eight)  # Welch and Satterthwaite, of equal errors
    risk = 2 * norm.sf(many) * (run.bounds + 1)
    assert risk == pytest.approx(1e-3, rel=1e-3)
    assert few > eight > many


def test_no_constant_is_claimed_of_the_largest_movement_in_self_distillation(run):
    plain, distilled = (run.problem.theories[name].laws(WIDTHS) for name in run.trainings)
    assert plain.keys() - distilled.keys() == {"movement"}
    found = {key: 1 + np.random.default_rng(0).random((4, 12)) for key in (*plain, *lazy._EXPLAIN)}
    assert len(list(lazy._constants(run, lazy.DISTILLED, found, distilled))) == len(distilled)


def test_a_mean_has_the_interval_of_its_own_scatter():
    values = np.random.default_rng(1).chisquare(8, (4, 50)) / 8
    mean, half = fitting.mean_of(values, 0.9999)
    assert abs(mean - 1) < half < 0.3


@pytest.mark.parametrize(
    ("exponent", "holds"), [(-0.5, True), (0.0, False), (-0.25, False), (-0.75, False), (-1, False)]
)
def test_exponents_other_than_a_half_fail(run, exponent, holds):
    rng = np.random.default_rng(2)
    values = [width**exponent * np.exp(0.02 * rng.standard_normal(8)) for width in WIDTHS]
    assert run.exponent("x", values).holds is holds


def test_a_wrong_sign_that_is_taught_is_seen(run):
    narrowest = made_up(CLAIM, TINY, lambda outputs, width, *_: outputs * (-1) ** (width == 256))
    assert failing(run) == set()
    assert len(failing(narrowest)) == 1


@pytest.mark.parametrize("rate", [None, 50.0])
def test_a_control_with_the_exponent_of_the_claim_or_none_does_not_hold(rate):
    """Of nets with the usual output scale, and of nets that diverge."""
    declared = declare(CLAIM, TINY)
    plain = declared.trainings[lazy.PLAIN]
    recipe = replace(plain.recipe, learning_rate=rate or plain.recipe.learning_rate)
    run = Run(declared, Silent())
    found, claimed, tolerance = lazy._scaled(replace(plain, recipe=recipe), 0.0, run)
    assert found.predicted == claimed == -0.5
    assert not abs(found.measured - claimed) > tolerance
    assert np.isnan(found.measured) == (rate is not None)


@pytest.mark.parametrize(
    ("change", "unmet"),
    [
        ({"widths": (16, 32, 64, 128)}, "narrowest net moves little"),
        ({"noise_rate": 0.45, "points": 20, "ratio": 3.0}, "signs right at every step"),
        ({"learning_rate": 5.0}, "stable learning rate"),
    ],
)
def test_broken_premises_are_named(change, unmet):
    result = CLAIM.run(replace(TINY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert unmet in {premise.name for premise in result.premises if not premise.holds}


def test_default_widths_start_well_above_the_lazy_width():
    low, high = (CLAIM.predict(Options(preset="quick", ratio=ratio))[0] for ratio in (8.0, 20.0))
    assert low["widths"][0] == 512
    assert high["widths"][0] >= 4 * high["lazy_width"] > 512

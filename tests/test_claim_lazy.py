"""The lazy claim: rows and controls fail where they should, and nonsense is refused."""

from dataclasses import replace

import numpy as np
import pytest

from ntk_theory.claims.lazy import CLAIM, controls, estimates
from ntk_theory.claims.lazy.plan import make_plan
from ntk_theory.network import initialise
from ntk_theory.verdicts import Options, Verdict
from progress import Silent

TINY = Options(
    preset="quick", seeds=3, widths=(256, 512, 1024, 2048), clusters=2, points=5, ratio=6.0
)
WIDTHS = (256, 512, 1024, 2048)


def ratios(intercept, slope, scatter=0.0, nets=12):
    rng = np.random.default_rng(0)
    return [
        intercept + slope / np.sqrt(width) + scatter * rng.standard_normal(nets) for width in WIDTHS
    ]


# ---------------------------------------------------------------- constants


def test_a_constant_is_extrapolated_through_its_first_correction():
    row = estimates.constant("c", 2.0, WIDTHS, ratios(1.0, -3.0, 0.01))
    # At width 256 the ratio is 0.81; a mean over widths would miss the constant by a tenth.
    assert row.predicted == 2.0
    assert row.holds is True
    assert row.tolerance < 0.1
    assert abs(row.measured - 2.0) < row.tolerance


@pytest.mark.parametrize("intercept", [0.0, 0.5, 0.9, 1 / np.sqrt(2), np.sqrt(2), 2.0])
def test_another_constant_fails(intercept):
    assert estimates.constant("c", 2.0, WIDTHS, ratios(intercept, 0.5, 0.02)).holds is False


def test_a_constant_that_scatters_too_much_is_left_open():
    assert estimates.constant("c", 2.0, WIDTHS, ratios(1.0, 0.0, 1.0)).holds is None


def test_the_error_of_a_drawn_prediction_widens_the_tolerance():
    exact = estimates.constant("c", 2.0, WIDTHS, ratios(1.0, 0.0, 0.01))
    drawn = estimates.constant("c", 2.0, WIDTHS, ratios(1.0, 0.0, 0.01), 0.05)
    assert drawn.tolerance == pytest.approx(exact.tolerance + 2.0 * 4 * 0.05)


def test_a_mean_square_is_compared_at_every_width():
    rng = np.random.default_rng(1)
    distances = [np.sqrt(rng.chisquare(8, 50) / 8 * 3.0 / width) for width in WIDTHS]
    for predicted, holds in ((3.0, True), (1.5, False), (6.0, False)):
        assert estimates.mean_square("d", predicted, WIDTHS, distances).holds is holds


# ---------------------------------------------------------------- exponents


@pytest.mark.parametrize(
    ("exponent", "holds"), [(-0.5, True), (0.0, False), (-0.25, False), (-0.75, False), (-1, False)]
)
def test_exponents_other_than_a_half_fail(exponent, holds):
    rng = np.random.default_rng(2)
    values = [width**exponent * np.exp(0.02 * rng.standard_normal(8)) for width in WIDTHS]
    assert estimates.exponent_row(0, "x", -0.5, WIDTHS, values).holds is holds


def test_a_control_whose_exponent_is_that_of_the_claim_does_not_hold(monkeypatch):
    plan = make_plan(TINY)
    recipe = replace(plan.problem.recipe, steps=8)
    monkeypatch.setattr(
        "ntk_theory.network.initialise",
        lambda *args, output_scale=1.0, **kwargs: initialise(*args, **kwargs),
    )
    usual = controls._Scale("usual", "nothing is broken", 0.0)
    # The nets have the usual output scale, at the usual rate where γ = 0.
    control = controls._scaling_control(plan, recipe, usual, Silent())
    assert control.failure.predicted == -0.5
    assert control.verdict is Verdict.SUPPORTED
    assert not control.holds


def test_a_control_that_diverges_does_not_hold():
    plan = make_plan(replace(TINY, learning_rate=50.0, steps=40))
    recipe = plan.problem.recipe
    control = controls._scaling_control(plan, recipe, controls._SCALES[0], Silent())
    assert not control.holds
    assert np.isnan(control.failure.measured)


# ---------------------------------------------------------------- premises and refusals


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
    assert unmet in result.finding


def test_default_widths_start_well_above_the_lazy_width():
    low, high = (CLAIM.predict(Options(preset="quick", ratio=ratio))[0] for ratio in (8.0, 20.0))
    assert low["widths"][0] == 512
    assert high["widths"][0] >= 4 * high["lazy_width"] > 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"widths": (256, 512, 1024)}, "widths must be at least 4"),
        ({"steps": 3}, "steps must be at least"),
        ({"noise_rate": 0.0}, "noise_rate must lie in"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TINY, **change))

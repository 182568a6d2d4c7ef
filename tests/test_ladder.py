"""The ladder of widths: what its rows demand of the deviation, and which nets a claim trains."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from ntk_theory import data, problems
from ntk_theory.checking.evidence import falling_row, first_step_row
from ntk_theory.checking.ladder import planned
from ntk_theory.checking.sweep import CONTROL_STREAM, NETS_STREAM, net_seeds
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims import all_claims
from ntk_theory.problems import Recipe
from ntk_theory.targets import PLAIN

WIDTHS = (256, 512, 1024, 2048, 4096)
PRECISIONS = ("float64", "float32")


def row_of(law, scatter=0.05, nets=6):
    """Row of nets that deviate by law(width), with some scatter."""
    rng = np.random.default_rng(0)
    off = [law(width) * np.exp(scatter * rng.standard_normal(nets)) for width in WIDTHS]
    return falling_row(WIDTHS, off, "plain")


def test_a_deviation_of_order_one_over_root_width_falls():
    row = row_of(lambda width: 3 * width**-0.5)
    assert row.holds is True
    assert row.predicted == pytest.approx(0.25)
    assert row.name == "plain: deviation at width 4096 over that at 256"


@pytest.mark.parametrize(
    "law",
    [
        lambda width: 0.1,
        lambda width: width**-0.1,
        lambda width: math.hypot(width**-0.5, 0.04),  # off by a constant, which the widest nets see
        lambda width: width**0.5,
    ],
)
def test_a_deviation_that_does_not_fall_like_that_is_seen(law):
    assert row_of(law).holds is False


@given(st.floats(-1.0, 0.5), st.floats(1e-6, 1e3))
def test_the_bound_is_half_way_between_the_predicted_ratio_and_one(exponent, constant):
    deviations = [np.full(3, constant * width**exponent) for width in WIDTHS]
    row = falling_row(WIDTHS, deviations, "any")
    # Ratio 16^exponent against 16^{-1/4}.
    if abs(exponent + 0.25) > 1e-9:
        assert (row.holds is True) == (exponent < -0.25)


def first_steps(rng, mean=1.0, spread=0.02):
    """Ratios of four nets at each of three widths, with a variance like 1/m."""
    widths = (256, 512, 1024)
    roots = np.sqrt(1024 / np.array(widths))[:, None]
    return widths, mean + spread * roots * rng.standard_normal((3, 4))


def test_the_interval_of_the_first_step_covers_its_own_law():
    rng = np.random.default_rng(0)
    rows = [first_step_row(*first_steps(rng), "made up", 0.0, 0.99) for _ in range(400)]
    # Four misses are expected; 13 or more have probability 3e-4.
    assert sum(row.slack < 0 for row in rows) < 13
    # N = 12 ratios 1 ± δ/√m: Student's quantile at 0.995, 3.106, times √(12/11) δ/√(Σm).
    signs = np.array([[1.0, -1.0]] * 3)
    widths, signs = (256, 512, 1024), np.repeat(signs, 2, axis=1)
    row = first_step_row(widths, 1 + signs / np.sqrt(widths)[:, None], "made up", 0.0, 0.99)
    expected = 3.106 * math.sqrt(12 / 11 / (4 * sum(widths)))
    assert row.tolerance == pytest.approx(expected, rel=1e-3)
    # A miss of one in a hundred leaves it open, one of one in a hundred thousand does not.
    assert row.decisive / row.tolerance == pytest.approx(t.isf(5e-6, 11) / t.isf(5e-3, 11))


def test_crossings_widen_the_first_step_by_their_mean_over_nets():
    widths, ratios = first_steps(np.random.default_rng(3))
    rows = [first_step_row(widths, ratios, "made up", crossing) for crossing in (0.0, 0.1)]
    # Nets of width m weigh m, and their bound is 0.1/√m: 0.1 Σ√m/Σm.
    added = 0.1 * np.sqrt(widths).sum() / sum(widths)
    assert rows[1].tolerance - rows[0].tolerance == pytest.approx(added)


@pytest.mark.parametrize("factor", [1.2, 1.1, 0.9])
def test_the_first_step_tells_a_rate_that_is_off_by_a_tenth(factor):
    rng = np.random.default_rng(1)
    assert first_step_row(*first_steps(rng), "made up", 0.0).holds
    assert first_step_row(*first_steps(rng, factor), "made up", 0.0).holds is False


def test_first_steps_that_scatter_too_much_leave_the_rate_open():
    widths, ratios = first_steps(np.random.default_rng(2), spread=0.2)
    assert first_step_row(widths, ratios - np.average(ratios) + 1, "made up", 0.0).holds is None


def test_a_plan_of_nets_takes_what_the_options_say_and_the_claims_own_where_they_say_nothing():
    own = planned(Options(seed=3), WIDTHS, 5, PRECISIONS)
    assert (own.widths, own.count, own.dtype, own.seed) == (WIDTHS, 5, "float64", 3)
    asked = Options(preset="quick", widths=(64, 32, 128, 256), seeds=4, dtype="float32")
    plan = planned(asked, WIDTHS, 5, PRECISIONS)
    assert plan.config() == {
        "preset": "quick",
        "seed": 0,
        "seeds": 4,
        "widths": [32, 64, 128, 256],
        "device": "cpu",
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(seeds=2), "seeds must be at least 3"),
        (Options(seeds=1_000_000), "at most 10000; got 1000000"),
        (Options(widths=(64, 128)), "widths must be at least 4"),
        (Options(widths=(63, 128, 256, 512)), "widths must be even"),
        (Options(dtype="bf16"), "dtype must be float32 or float64"),
    ],
)
def test_a_plan_of_nets_refuses_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        planned(options, WIDTHS, 5, PRECISIONS)


@pytest.mark.parametrize("preset", ["quick", "cifar-mini"])
def test_nets_that_do_not_fit_the_memory_are_refused(preset):
    options = Options(preset, widths=(2048, 4096, 8192, 16384, 2**40))
    with pytest.raises(ValueError, match="GiB of memory"):
        all_claims()["convergence"].predict(options)


def test_control_nets_are_no_nets_of_the_claim():
    design = data.equicorrelated_clusters(2, 3, ratio=4.0)
    recipe = Recipe(design.inputs, np.ones(6), PLAIN, 0.1, 2)
    plan = planned(Options(), (32, 64, 128, 256), 3, PRECISIONS)
    own, others, again = (
        plan.train(recipe, 32, net_seeds(0, 32, 3, stream)).outputs
        for stream in (NETS_STREAM, CONTROL_STREAM, CONTROL_STREAM)
    )
    assert not np.isclose(own[:, -1], others[:, -1]).any()
    np.testing.assert_array_equal(others, again)


def test_runs_of_other_seeds_have_other_nets():
    assert net_seeds(1, 64, 3, NETS_STREAM) != net_seeds(2, 64, 3, NETS_STREAM)


def test_the_premise_of_little_movement_names_the_width_it_takes():
    premise = problems.lazy_premise(100.0, 256)
    assert not premise.holds
    assert "widths from 400 on" in premise.requirement
    assert problems.lazy_premise(100.0, 400).holds

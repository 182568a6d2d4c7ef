"""The pictures of `convergence`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory.claims.convergence import CLAIM, DISTILLED, PLAIN
from panels import drawn

SCHEDULES = ("agreement schedule", "constant weight 1/4", "geometric schedule", "power schedule")


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def row(result, name):
    (found,) = (m for m in result.measurements if m.name == name)
    return found


@pytest.mark.parametrize(
    ("panel", "name", "title"),
    [
        ("error-over-time", DISTILLED, f"{DISTILLED}: RMS error after 256 steps"),
        ("error-over-time", PLAIN, f"{PLAIN}: RMS error after 128 steps (limit 2√ρ)"),
        *(("schedules", name, f"{name}: final RMS error") for name in SCHEDULES),
    ],
)
def test_errors_and_their_predictions_end_where_the_table_says(result, panel, name, title):
    series, end = drawn(CLAIM, result, panel), row(result, title)
    assert series[name][0]["y"][-1] == pytest.approx(end.measured, rel=1e-12)
    assert series[f"prediction of {name}"][0]["y"][-1] == pytest.approx(end.predicted, rel=1e-12)


def test_bounds_are_those_of_theory(result):
    over_time, schedules = (drawn(CLAIM, result, p) for p in ("error-over-time", "schedules"))
    np.testing.assert_allclose(over_time["2ρ: bound of stopping"][0]["y"], 0.4, rtol=1e-12)
    np.testing.assert_allclose(schedules[r"limit $2\rho\sqrt{\rho}$"][0]["y"], 2 * 0.3**1.5)
    np.testing.assert_allclose(schedules[r"limit $2\alpha\sqrt{\rho}$"][0]["y"], 0.5 * 0.3**0.5)


def test_deviations_of_nets_with_the_widths_of_the_run_are_drawn(result):
    series = drawn(CLAIM, result, "deviation-over-width")
    nets = np.stack([one["y"] for one in series[DISTILLED]], axis=1)
    np.testing.assert_array_equal(nets, result.arrays[f"deviation of {DISTILLED}"])
    assert "deviation of power law" not in result.arrays


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}, measurements=()), panel) == {}

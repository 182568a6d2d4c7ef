"""The pictures of `separation`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["separation"]
DISTILLED, PLAIN = "self-distillation, ρ = 0.2", "plain training, ρ = 0.2"


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


@pytest.fixture(scope="module")
def rows(result):
    return {row.name: row for row in result.measurements}


def test_errors_over_time_end_and_are_best_where_the_table_says(result, rows):
    series = drawn(CLAIM, result, "error-over-time")
    end = rows[f"{DISTILLED}: RMS error in the end"]
    assert series[DISTILLED][0]["y"][-1] == pytest.approx(end.measured, rel=1e-12)
    best = rows[f"{PLAIN}: best RMS error at any step"]
    (dashed,) = series[f"prediction of {PLAIN}"]
    assert dashed["y"].min() == pytest.approx(best.predicted, rel=1e-12)
    np.testing.assert_array_equal(series["2ρ"][0]["y"], [0.4, 0.4])


def test_the_memorisation_time_is_that_of_the_closed_form(result):
    (mark,) = drawn(CLAIM, result, "error-over-time")[r"prediction $t_\mathrm{mem}$"]
    angle = predictions.cluster_angle(5, 8.0)
    noise = predictions.cluster_spectrum(4, 5, angle).noise
    time = predictions.memorisation_time(0.2, result.config["learning_rate"][0], noise)
    np.testing.assert_allclose(mark["x"], time, rtol=1e-12)


def test_the_best_errors_are_those_of_the_nets(result, rows):
    series = drawn(CLAIM, result, "best-errors")
    for label, name in (("best stopped", f"{PLAIN}: best RMS error at any step"),
                        ("self-distilled", f"{DISTILLED}: RMS error in the end")):  # fmt: skip
        nets = [one["y"][0] for one in series[label]]
        assert (min(nets), max(nets)) == rows[name].interval
        (dashed,) = series[f"prediction of {label}"]
        assert dashed["y"][0] == pytest.approx(rows[name].predicted, rel=1e-12)
    (line,) = series["2ρ"]
    np.testing.assert_array_equal(line["y"], 2 * line["x"])


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

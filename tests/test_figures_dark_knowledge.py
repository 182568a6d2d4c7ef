"""The pictures of `dark-knowledge`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory.claims.dark_knowledge import CLAIM
from panels import drawn


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def row(result, name):
    (match,) = [one for one in result.measurements if one.name.endswith(name)]
    return match


def test_the_rise_and_fall_is_that_of_the_table(result):
    series = drawn(CLAIM, result, "rise-and-fall")
    (dashed,), (mean,) = (series[f"{of}one-hot labels"] for of in ("prediction of ", ""))
    time, height = (row(result, f"{one} of the peak").predicted for one in ("time", "height"))
    np.testing.assert_allclose(series[r"prediction $t_\mathrm{peak}$"][0]["x"], time)
    assert abs(dashed["x"][dashed["y"].argmax()] - time) <= 1
    assert 0.95 * height <= dashed["y"].max() <= height
    rows = [one for one in result.measurements if ": dark knowledge after" in one.name]
    assert len(rows) == 3
    for one in rows:
        step = int(one.name.split()[-2])
        assert dashed["y"][step] == pytest.approx(one.predicted, abs=1e-12)
        assert mean["y"][step] == pytest.approx(one.measured, abs=1e-12)


def test_the_maps_are_the_outputs_of_the_table_and_of_the_closed_form(result):
    series = drawn(CLAIM, result, "class-outputs")
    (found,), (predicted,) = series["mean output"], series["prediction closed form"]
    np.testing.assert_array_equal(found["y"], predicted["y"])
    assert predicted["x"].min() - found["x"].max() == 2  # one column is left free
    of_table = row(result, "mean output on the own class after 5 steps")
    for one, expected in ((found, of_table.measured), (predicted, of_table.predicted)):
        own = np.diag(one["value"].reshape(9, 9))
        assert own.mean() == pytest.approx(expected, abs=1e-12)


def test_the_gains_of_students_are_those_of_the_table_and_the_controls(result):
    series = drawn(CLAIM, result, "students")
    dashed = [of[0] for name, of in series.items() if name.startswith("prediction of ")]
    rows = [
        row(result, "gained from the stopped teacher over hard labels"),
        row(result, "gained from its averages over the tree alone"),
        *(one.failure for one in result.controls[3:]),
    ]
    np.testing.assert_allclose(series["their mean"][0]["y"], [one.measured for one in rows])
    for columns, one in zip(dashed, rows, strict=True):
        np.testing.assert_allclose(columns["y"], one.predicted, atol=1e-12)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

"""The pictures of `teacher-student`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["teacher-student"]
STUDENT, SIGNS = "student of the teacher stopped at {}", "student of hardened outputs"


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_students_are_drawn_over_the_u_of_the_teacher(result):
    series, problem = drawn(CLAIM, result, "error-of-students"), CLAIM.build(result.options)
    np.testing.assert_allclose(
        series["prediction closed form"][0]["y"], problem.plain.rms_error(), rtol=1e-12
    )
    nets = np.stack([one["y"] for one in series["students of its outputs"]], axis=1)
    rows = {m.name: m.measured for m in result.measurements}
    for stop, values in zip(problem.stops, nets, strict=True):
        assert values.mean() == pytest.approx(rows[f"{STUDENT.format(stop)}: RMS error"], rel=1e-12)
    signs = np.mean([one["y"][0] for one in series["students of its signs"]])
    assert signs == pytest.approx(rows[f"{SIGNS}: RMS error"], rel=1e-12)
    assert series["2ρ"][0]["y"][0] == 2 * result.config["noise_rate"]
    (mark,) = series[r"prediction $t_\mathrm{mem}$"]
    assert mark["x"][0] == result.config["memorisation_time"]


def test_students_over_time_are_drawn_with_their_closed_forms(result):
    series, problem = drawn(CLAIM, result, "students-over-time"), CLAIM.build(result.options)
    rows = {m.name: m.measured for m in result.measurements}
    shown = {STUDENT.format(stop): problem.student(stop) for stop in problem.stops[1:]}
    for name, curve in {**shown, SIGNS: problem.hardened}.items():
        (dashed,), (mean,) = series[f"prediction of {name}"], series[name]
        np.testing.assert_allclose(dashed["y"], curve.rms_error(), rtol=1e-10, atol=1e-12)
        assert mean["y"][-1] == pytest.approx(rows[f"{name}: RMS error"], rel=1e-9)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

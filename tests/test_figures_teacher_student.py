"""The pictures of `teacher-student`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy
from ntk_theory import drawing, predictions
from ntk_theory.claims import all_claims
from progress import Silent

CLAIM = all_claims()["teacher-student"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("teacher-student"), Silent())


def drawn(result, panel):
    """Series of a panel by name; several of one name in a list."""
    axes = Figure().subplots()
    CLAIM.panels[panel](axes, result)
    series = {}
    for one in drawing.plotted(axes):
        series.setdefault(one.name, []).append(one.columns)
    return series


def test_students_are_drawn_over_the_u_of_the_teacher(result):
    series, config = drawn(result, "error-of-students"), result.config
    (curve,) = series["prediction closed form"]
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    spectrum = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    teacher = predictions.plain_training(
        spectrum, config["noise_rate"], config["learning_rate"], config["teacher_steps"]
    )
    np.testing.assert_allclose(curve["y"], teacher.rms_error(), rtol=1e-10)
    nets = np.stack([one["y"] for one in series["its students, trained out"]], axis=1)
    rows = {m.name: m.measured for m in result.measurements}
    for stop, values in zip(config["stopping_times"], nets, strict=True):
        name = f"student of the teacher stopped at {stop}: RMS error"
        assert values.mean() == pytest.approx(rows[name], rel=1e-12)
    assert series["2ρ"][0]["y"][0] == 2 * config["noise_rate"]


def test_students_of_signs_end_at_the_clean_labels(result):
    series = drawn(result, "error-of-students")
    assert max(one["y"][0] for one in series["students of its signs"]) < 1e-3
    over_time = drawn(result, "students-over-time")["students of early signs"][0]["y"]
    assert over_time[0] == pytest.approx(1.0)
    assert over_time[-1] < 1e-3


def test_the_memorisation_time_is_marked(result):
    (mark,) = drawn(result, "error-of-students")[r"prediction $t_\mathrm{mem}$"]
    assert mark["x"][0] == result.config["memorisation_time"]


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(replace(result, arrays={}), panel) == {}

"""The pictures of `teacher-student`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn
from progress import Silent

CLAIM = all_claims()["teacher-student"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("teacher-student"), Silent())


def spectrum_of(config):
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    return predictions.cluster_spectrum(config["clusters"], config["points"], angle)


def test_students_are_drawn_over_the_u_of_the_teacher(result):
    series, config = drawn(CLAIM, result, "error-of-students"), result.config
    (curve,) = series["prediction closed form"]
    teacher = predictions.plain_training(
        spectrum_of(config),
        config["noise_rate"],
        config["learning_rate"],
        config["teacher_steps"],
    )
    np.testing.assert_allclose(curve["y"], teacher.rms_error(), rtol=1e-10)
    nets = np.stack([one["y"] for one in series["students of its outputs"]], axis=1)
    rows = {m.name: m.measured for m in result.measurements}
    for stop, values in zip(config["stopping_times"], nets, strict=True):
        name = f"student of the teacher stopped at {stop}: RMS error"
        assert values.mean() == pytest.approx(rows[name], rel=1e-12)
    assert series["2ρ"][0]["y"][0] == 2 * config["noise_rate"]


def test_students_of_signs_end_at_the_clean_labels(result):
    series = drawn(CLAIM, result, "error-of-students")
    measured = np.mean([one["y"][0] for one in series["students of its signs"]])
    rows = {m.name: m.measured for m in result.measurements}
    assert measured == pytest.approx(rows["student of hardened outputs: RMS error"], rel=1e-12)
    assert measured < 1e-3


def test_students_over_time_are_drawn_with_their_closed_forms(result):
    series, config = drawn(CLAIM, result, "students-over-time"), result.config
    spectrum, rho, rate = spectrum_of(config), config["noise_rate"], config["student_learning_rate"]
    rows = {m.name: m.measured for m in result.measurements}
    taught = [
        predictions.student_training(
            spectrum, rho, [(config["learning_rate"], stop)], rate, config["student_steps"]
        )
        for stop in config["stopping_times"][1:]
    ]
    for stop, numbers in zip(config["stopping_times"][1:], taught, strict=True):
        (curve,) = series[f"prediction of outputs, τ = {stop}"]
        expected = predictions.ErrorCurve(*numbers, rho, 0.0).rms_error()
        np.testing.assert_allclose(curve["y"], expected, rtol=1e-10)
    for stop in config["stopping_times"][1:]:
        (mean,) = series[rf"outputs, $\tau={stop}$"]
        name = f"student of the teacher stopped at {stop}: RMS error"
        assert mean["y"][-1] == pytest.approx(rows[name], rel=1e-12)
    (signs,) = series[rf"signs, $\tau={config['stopping_times'][0]}$"]
    assert signs["y"][0] == pytest.approx(1.0)
    assert signs["y"][-1] == pytest.approx(rows["student of hardened outputs: RMS error"])
    numbers = predictions.hardened_student_training(spectrum, rate, config["student_steps"])
    (curve,) = series[f"prediction of signs, τ = {config['stopping_times'][0]}"]
    expected = predictions.ErrorCurve(*numbers, rho, 0.0).rms_error()
    np.testing.assert_allclose(curve["y"], expected, atol=1e-12)
    assert series["2ρ"][0]["y"][0] == 2 * rho


def test_no_dot_is_cut_off_at_the_edge(result):
    axes = Figure().subplots()
    CLAIM.panels["error-of-students"](axes, result)
    assert axes.get_xlim()[1] > 1.3 * max(result.config["stopping_times"])


def test_the_memorisation_time_is_marked(result):
    (mark,) = drawn(CLAIM, result, "error-of-students")[r"prediction $t_\mathrm{mem}$"]
    assert mark["x"][0] == result.config["memorisation_time"]


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

"""The pictures of `separation`: what is drawn is what was found, and what theory says."""

import numpy as np
import pytest

from cases import toy
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn
from progress import Silent

CLAIM = all_claims()["separation"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("separation"), Silent())


def test_the_error_over_time_ends_where_the_table_says(result):
    series = drawn(CLAIM, result, "error-over-time")
    rows = {m.name: m for m in result.measurements}
    (curve,) = series["self-distillation"]
    row = rows["self-distilled RMS error, ρ = 0.2"]
    assert curve["y"][-1] == pytest.approx(row.measured, rel=1e-12)
    (plain,) = series["plain training"]
    assert plain["y"].min() >= 2 * 0.2
    (predicted,) = series["prediction of plain training"]
    best = rows["best RMS error at any step, ρ = 0.2"].predicted
    assert predicted["y"].min() == pytest.approx(best, rel=1e-12)
    (bound,) = series["2ρ (ρ = 0.2)"]
    np.testing.assert_array_equal(bound["y"], [0.4, 0.4])


def test_the_memorisation_time_is_that_of_the_closed_form(result):
    (mark,) = drawn(CLAIM, result, "error-over-time")[r"prediction $t_\mathrm{mem}$"]
    config = result.config
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    spectrum = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    time = predictions.memorisation_time(0.2, config["learning_rate"], spectrum.noise)
    np.testing.assert_allclose(mark["x"], time, rtol=1e-12)


def test_the_best_errors_are_those_of_the_nets(result):
    series = drawn(CLAIM, result, "best-errors")
    nets = np.array([one["y"][0] for one in series["best stopped"]])
    np.testing.assert_array_equal(nets, result.arrays["plain"].min(axis=1))
    final = np.array([one["y"][0] for one in series["self-distilled"]])
    rows = {m.name: m for m in result.measurements}
    for name, values, label in (
        ("self-distilled RMS error, ρ = 0.2", final, "self-distilled"),
        ("best RMS error at any step, ρ = 0.2", nets, "best stopped"),
    ):
        assert values.mean() == pytest.approx(rows[name].measured, rel=1e-12)
        assert series[f"prediction of {label}"][0]["y"][0] == pytest.approx(
            rows[name].predicted, rel=1e-12
        )
    (line,) = series["2ρ"]
    np.testing.assert_array_equal(line["y"], 2 * line["x"])


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    from dataclasses import replace

    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

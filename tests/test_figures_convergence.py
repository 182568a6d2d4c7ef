"""The pictures of `convergence`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy
from ntk_theory import drawing, predictions
from ntk_theory.claims import all_claims
from progress import Silent

CLAIM = all_claims()["convergence"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("convergence"), Silent())


def drawn(result, panel):
    """Series of a panel by name; several of one name in a list."""
    axes = Figure().subplots()
    CLAIM.panels[panel](axes, result)
    series = {}
    for one in drawing.plotted(axes):
        series.setdefault(one.name, []).append(one.columns)
    return series


def row(result, name):
    (found,) = (m for m in result.measurements if m.name == name)
    return found


def test_the_error_over_time_ends_where_the_table_says(result):
    series, config = drawn(result, "error-over-time"), result.config
    name = f"RMS error after {config['steps']} steps"
    assert series["self-distillation"][0]["y"][-1] == pytest.approx(row(result, name).measured)
    dashed, plain = series["prediction closed forms"][0], series["prediction"][0]
    assert dashed["y"][-1] == pytest.approx(row(result, name).predicted, rel=1e-12)
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    spectrum = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    curve = predictions.plain_training(
        spectrum, config["noise_rate"], config["learning_rate"], plain["x"].size - 1
    )
    np.testing.assert_allclose(plain["y"], curve.rms_error(), rtol=1e-10)
    assert series["2ρ: bound of stopping"][0]["y"][0] == 2 * config["noise_rate"]


def test_the_deviation_is_drawn_with_its_fitted_exponent(result):
    series = drawn(result, "deviation-over-width")
    fitted = row(result, "exponent of sup_t ‖u_m − u_∞‖/√n in m").measured
    for name, slope in (
        (f"fit, slope {fitted:.2f}".replace("-", "−"), fitted),
        ("slope −1/2", -0.5),
    ):
        line = series.get(name, series.get(f"prediction {name}"))[0]
        assert np.diff(np.log(line["y"])) == pytest.approx(slope * np.diff(np.log(line["x"])))
    nets = np.stack([one["y"] for one in series["trained nets"]], axis=1)
    np.testing.assert_array_equal(nets, result.arrays["largest_deviation"])


def test_schedules_end_where_the_table_says_and_their_limits_are_drawn(result):
    series = drawn(result, "schedules")
    for label, name in (
        ("agreement", "agreement schedule"),
        (r"constant $\alpha = 1/4$", "constant weight 1/4"),
        ("geometric", "geometric schedule"),
    ):
        measured = row(result, f"{name}: final RMS error").measured
        assert series[label][0]["y"][-1] == pytest.approx(measured, rel=1e-12)
    rho = 0.3
    (agreement,) = series[r"limit $2\rho\sqrt{\rho}$"]
    (constant,) = series[r"limit $2\alpha\sqrt{\rho}$"]
    assert agreement["y"][0] == pytest.approx(2 * rho**1.5)
    assert constant["y"][0] == pytest.approx(0.5 * rho**0.5)


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(replace(result, arrays={}, measurements=()), panel) == {}

"""The pictures of `convergence`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn
from progress import Silent

CLAIM = all_claims()["convergence"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("convergence"), Silent())


def row(result, name):
    (found,) = (m for m in result.measurements if m.name == name)
    return found


def test_the_error_over_time_ends_where_the_table_says(result):
    series, config = drawn(CLAIM, result, "error-over-time"), result.config
    (distilled,), (plain,) = series["self-distillation"], series["plain training"]
    end = row(result, f"RMS error after {config['steps']} steps")
    assert distilled["y"][-1] == pytest.approx(end.measured, rel=1e-12)
    name = f"plain training: RMS error after {config['plain_steps']} steps (limit 2√ρ)"
    assert plain["y"][-1] == pytest.approx(row(result, name).measured, rel=1e-12)
    (bound,) = series["2ρ: bound of stopping"]
    np.testing.assert_array_equal(bound["y"], 2 * config["noise_rate"])


def test_the_predicted_errors_are_the_closed_forms(result):
    series, config = drawn(CLAIM, result, "error-over-time"), result.config
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    spectrum = predictions.cluster_spectrum(config["clusters"], config["points"], angle)
    known = spectrum, config["noise_rate"], config["learning_rate"]
    distilled = predictions.self_distillation(*known, result.arrays["weights"])
    plain = predictions.plain_training(*known, config["plain_steps"])
    for name, curve in (("self-distillation", distilled), ("plain training", plain)):
        (dashed,) = series[f"prediction of {name}"]
        np.testing.assert_allclose(dashed["y"], curve.rms_error(), rtol=1e-10)


def test_the_deviation_is_drawn_with_its_exponent_and_the_predicted_one(result):
    series = drawn(CLAIM, result, "deviation-over-width")
    nets = np.stack([one["y"] for one in series["trained nets"]], axis=1)
    np.testing.assert_array_equal(nets, result.arrays["largest_deviation"])
    (spread,) = series["trained nets: range over nets"]
    np.testing.assert_array_equal(spread["low"], nets.min(axis=1))
    np.testing.assert_array_equal(spread["high"], nets.max(axis=1))
    fitted = row(result, "exponent of sup_t ‖u_m − u_∞‖/√n in m").measured
    (fit,) = series[f"fit, slope {fitted:.2f}".replace("-", "−")]
    np.testing.assert_allclose(np.diff(np.log(fit["y"])), fitted * np.diff(np.log(fit["x"])))
    (predicted,) = series["prediction slope −1/2 from the mean of the widest"]
    np.testing.assert_array_equal(predicted["x"], result.config["widths"])
    expected = nets[-1].mean() * np.sqrt(predicted["x"][-1] / predicted["x"])
    np.testing.assert_allclose(predicted["y"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("label", "name", "variant"),
    [
        ("by agreement", "by agreement", "agreement schedule"),
        (r"constant, $\alpha=1/4$", "constant", "constant weight 1/4"),
        ("geometric", "geometric", "geometric schedule"),
        ("power", "power", "power schedule"),
    ],
)
def test_schedules_end_where_the_table_says(result, label, name, variant):
    series = drawn(CLAIM, result, "schedules")
    final = row(result, f"{variant}: final RMS error")
    assert series[label][0]["y"][-1] == pytest.approx(final.measured, rel=1e-12)
    (dashed,) = series[f"prediction of {name}"]
    assert dashed["y"][-1] == final.predicted


def test_only_fading_weights_pass_below_the_limits_of_the_others(result):
    series, rho = drawn(CLAIM, result, "schedules"), 0.3
    (agreement,) = series[r"limit $2\rho\sqrt{\rho}$"]
    (constant,) = series[r"limit $2\alpha\sqrt{\rho}$"]
    np.testing.assert_allclose(agreement["y"], 2 * rho**1.5, rtol=1e-12)
    np.testing.assert_allclose(constant["y"], 0.5 * rho**0.5, rtol=1e-12)
    for label in ("geometric", "power"):
        errors = series[label][0]["y"]
        assert errors[-1] < constant["y"][0] / 2
        assert errors[-1] == errors.min()
    for label in ("by agreement", r"constant, $\alpha=1/4$"):
        assert series[label][0]["y"][-1] > 0.9 * constant["y"][0]


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}, measurements=()), panel) == {}

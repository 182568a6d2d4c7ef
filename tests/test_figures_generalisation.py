"""What the pictures of `generalisation` show, against arrays, rows, and closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cases.generalisation import TOY
from figures import generalisation as figure
from ntk_theory import predictions
from ntk_theory.claims.generalisation import CLAIM
from ntk_theory.claims.generalisation.plan import SWEEP_TRAINED
from panels import drawn
from progress import Silent


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(TOY, Silent())


def row(result, name):
    """The row of this name, or else the one whose name starts like that."""
    rows = result.measurements
    matches = [one for one in rows if one.name == name]
    (match,) = matches or [one for one in rows if one.name.startswith(name)]
    return match


def levels(config):
    points = config["points"]
    angle = predictions.cluster_angle(points, config["ratio"])
    return predictions.cluster_spectrum(config["clusters"], points, angle)


def test_the_figure_has_panels_of_the_claim():
    assert figure.PICTURE.number == 12
    assert all(
        claim == "generalisation" and name in CLAIM.panels for claim, name in figure.PICTURE.panels
    )


def test_the_measure_is_drawn_at_every_noise_rate_over_its_closed_form(result):
    shown, config = drawn(CLAIM, result, "measure"), result.config
    spectrum, steps = levels(config), config["steps"]
    (clean,) = shown["clean labels"]
    assert clean["y"] == pytest.approx(math.sqrt(2 / spectrum.information), rel=1e-12)
    (memorised,) = shown["prediction of memorised"]
    rates = memorised["x"]
    kept = 1 - (1 - config["learning_rate"] * spectrum.noise) ** steps
    learnt = 1 - (1 - config["learning_rate"] * spectrum.information) ** steps
    square = ((1 - 2 * rates) * learnt) ** 2 / spectrum.information
    square += 4 * rates * (1 - rates) * kept**2 / spectrum.noise
    np.testing.assert_allclose(memorised["y"], np.sqrt(2 * square), rtol=1e-12)
    (distilled,) = shown["prediction of self-distilled"]
    assert distilled["y"][0] == pytest.approx(clean["y"][0], rel=1e-3)
    own = np.interp(config["noise_rate"], distilled["x"], distilled["y"])
    points = config["clusters"] * config["points"]
    measured = row(result, "self-distillation: ‖W_T − W_0‖")
    # The claim's noise rate is one of the curve's 34.
    assert own == pytest.approx(math.sqrt(2 / points) * measured.predicted, rel=1e-9)


@pytest.mark.parametrize(
    ("series", "way"),
    [("memorised", "plain training"), ("self-distilled", "self-distillation")],
)
def test_dots_of_the_measure_are_the_distances_of_the_rows(result, series, way):
    dots = drawn(CLAIM, result, "measure")[series]
    points = result.config["clusters"] * result.config["points"]
    assert len(dots) == result.config["cluster_noise_rate_seeds"]
    for rate in (0.1, 0.3):
        at = [net["y"][np.argmin(np.abs(net["x"] - rate))] for net in dots]
        measured = row(result, f"{way}: ‖W_T − W_0‖ at ρ = {rate}").measured
        assert np.mean(at) == pytest.approx(math.sqrt(2 / points) * measured, rel=1e-12)


def test_the_test_error_of_nets_gives_the_lead_in_the_table(result):
    """Over the data sets of the picture, which are the first ones of the row."""
    shown = drawn(CLAIM, result, "test-error")
    (best,), (own,) = shown["best stopping"], shown["self-distilled"]
    np.testing.assert_allclose(best["x"], sorted([*SWEEP_TRAINED, 0.4]))
    errors = result.arrays["sweep_error"]
    assert errors.shape == (3, result.config["sweep_datasets"], 3)
    np.testing.assert_allclose(own["y"], errors[..., 0].mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(best["y"], errors[..., 1].mean(axis=1), rtol=1e-14)
    for series, column in (("self-distilled", 0), ("best stopping", 1), ("memorised", 2)):
        for bar, sample in zip(shown[f"{series}: bar"], errors[..., column], strict=True):
            error = sample.std(ddof=1) / math.sqrt(sample.size)
            np.testing.assert_allclose(bar["y"], sample.mean() + error * np.array([-1, 1]))
    lead = row(result, "Gaussian clusters: ahead of the best of 16 stopping times").measured
    at = list(best["x"]).index(0.4)
    spread = float((errors[at, :, 1] - errors[at, :, 0]).std(ddof=1))
    # Part of the same nets: at most four standard errors of the part's mean apart.
    assert best["y"][at] - own["y"][at] == pytest.approx(
        lead, abs=4 * spread / math.sqrt(errors.shape[1])
    )


def test_the_kernel_limit_over_the_noise_rate_is_that_of_the_data_sets_of_the_nets(result):
    shown = drawn(CLAIM, result, "test-error")
    own, best, memorised = (
        shown[f"prediction of {way}"][0] for way in ("self-distilled", "best stopping", "memorised")
    )
    nets = result.config["family_seeds"]
    at = int(np.argmin(np.abs(own["x"] - 0.4)))
    # Data sets of the nets on the families come first in both.
    few = 1 - result.arrays["sweep_limit"][at, :nets, 0].mean()
    accuracy = row(result, "Gaussian clusters: nets' accuracy, as in the limit").predicted
    assert few == pytest.approx(accuracy, rel=1e-12)
    lead = row(
        result, "Gaussian clusters: nets' lead over the memorised net, as in the limit"
    ).predicted
    gap = result.arrays["sweep_limit"][at, :nets] @ np.array([-1, 0, 1])
    assert gap.mean() == pytest.approx(lead, rel=1e-12)
    for series, column in ((own, 0), (best, 1), (memorised, 2)):
        expected = result.arrays["sweep_limit"][..., column].mean(axis=1)
        np.testing.assert_allclose(series["y"], expected, rtol=1e-14)
    assert memorised["y"][0] < memorised["y"][-1] / 4


def test_the_end_of_self_distillation_lies_below_every_stopping_time_as_in_the_table(result):
    shown = drawn(CLAIM, result, "stopping-time")
    (own,) = shown["self-distillation, at its end"]
    (plain,) = shown["plain training, stopped"]
    assert 1 - own["y"][0] == pytest.approx(
        row(result, "Gaussian clusters: nets' accuracy, as in the limit").measured,
        rel=1e-12,
    )
    memorised = row(
        result, "Gaussian clusters: nets' lead over the memorised net, as in the limit"
    ).measured
    assert plain["y"][-1] - own["y"][-1] == pytest.approx(memorised, rel=1e-9)
    (band,) = shown["plain training, stopped: range over nets"]
    assert np.all(band["low"] <= plain["y"])
    assert np.all(plain["y"] <= band["high"])
    (level,) = shown["prediction of self-distillation, at its end"]
    predicted = row(result, "Gaussian clusters: nets' accuracy, as in the limit").predicted
    np.testing.assert_allclose(1 - level["y"], predicted, rtol=1e-12)


@pytest.mark.parametrize("panel", list(CLAIM.panels))
def test_a_run_that_ended_early_draws_nothing_or_what_it_has(result, panel):
    for kept in ((), ("cluster_rate", "predicted_rate", "clean_measure")):
        arrays = {
            name: array
            for name, array in result.arrays.items()
            if name in kept or (kept and name.endswith("measure"))
        }
        shown = drawn(CLAIM, replace(result, arrays=arrays), panel)
        assert bool(shown) is (bool(kept) and panel == "measure")

"""The pictures of `air`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn

CLAIM = all_claims()["air"]


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def clusters(result):
    """Closed-form spectrum of the clusters."""
    config = result.config
    angle = predictions.cluster_angle(config["points"], config["ratio"])
    return predictions.cluster_spectrum(config["clusters"], config["points"], angle)


def test_information_and_noise_are_retrieved_as_their_eigenvalues_say(result):
    series = drawn(CLAIM, result, "retrieved-shares")
    spectrum, rate = clusters(result), result.config["learning_rate"]
    dashed = [series[f"prediction of {name}"][0] for name in ("information", "noise")]
    for one, level in zip(dashed, (spectrum.information, spectrum.noise), strict=True):
        np.testing.assert_allclose(one["y"], 1 - (1 - rate * level) ** one["x"], atol=1e-10)
    for name, one in zip(("information", "noise"), dashed, strict=True):
        assert np.abs(series[name][0]["y"] - one["y"]).max() < 0.1


def test_every_eigenspace_of_the_tree_follows_its_own_filter(result):
    series = drawn(CLAIM, result, "eigenspaces")
    dashed = {name: of[0] for name, of in series.items() if name.startswith("prediction of λ")}
    assert len(dashed) == 3
    assert set(series) > {name.removeprefix("prediction of ") for name in dashed}
    speeds = [one["y"][1] for one in dashed.values()]  # one step retrieves ηλ
    assert speeds == sorted(speeds)
    for speed, one in zip(speeds, dashed.values(), strict=True):
        np.testing.assert_allclose(one["y"], 1 - (1 - speed) ** one["x"], atol=1e-9)


def test_the_lead_is_that_of_the_table(result):
    series = drawn(CLAIM, result, "information-ahead")
    rows = {m.name: m for m in result.measurements}
    row = next(m for name, m in rows.items() if name.startswith("clusters: R(clean) − E R(noise)"))
    assert series["prediction of clusters"][0]["y"].max() == pytest.approx(row.predicted, abs=1e-9)
    least = rows["tree: least R(clean) − E R(noise) at any step"]
    assert series["tree"][0]["y"][1:].min() == pytest.approx(least.measured, rel=1e-9)


def test_eigenvalues_are_drawn_over_their_closed_form(result):
    series, spectrum = drawn(CLAIM, result, "eigenvalues"), clusters(result)
    k, n = result.config["clusters"], result.config["clusters"] * result.config["points"]
    expected = [spectrum.mean] + [spectrum.information] * (k - 1) + [spectrum.noise] * (n - k)
    values = np.concatenate([one["y"] for one in series["clusters"]])
    np.testing.assert_allclose(np.sort(values)[::-1], np.sort(expected)[::-1], rtol=1e-12)
    np.testing.assert_allclose(
        series["prediction of clusters"][0]["y"], np.sort(expected)[::-1], rtol=1e-12
    )


def test_clean_labels_lie_in_the_top_and_noise_everywhere(result):
    series = drawn(CLAIM, result, "energy")
    clean, noise = (series[f"{what}, clusters"][0] for what in ("clean labels", "noise"))
    k = result.config["clusters"]
    assert clean["y"][k] == pytest.approx(1.0)
    assert noise["y"][k] < 1e-12  # the same number is flipped in every cluster
    for one in (clean, noise):
        assert one["y"][0] == 0
        assert one["y"][-1] == pytest.approx(1.0)
        assert (np.diff(one["y"]) >= -1e-15).all()


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}

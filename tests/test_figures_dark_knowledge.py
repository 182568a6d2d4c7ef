"""The pictures of `dark-knowledge`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cases import toy
from ntk_theory import predictions
from ntk_theory.claims import all_claims
from panels import drawn
from progress import Silent

CLAIM = all_claims()["dark-knowledge"]


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(toy("dark-knowledge"), Silent())


@pytest.fixture(scope="module")
def spectrum(result):
    """Eigenvalues of the tree, from the numbers of the run."""
    config = result.config
    classes, points = config["classes"], config["points"]
    ratios = config["class_ratio"], config["class_ratio"] * config["ratio"]
    angles = predictions.tree_angles(classes, points, *ratios)
    return predictions.tree_spectrum(config["clusters"], classes, points, *angles)


def row(result, name):
    (match,) = [one for one in result.measurements if one.name == name]
    return match


def relations(result):
    """Which pairs of classes are one class, siblings, and neither."""
    index = np.arange(result.config["clusters"] * result.config["classes"])
    own = np.eye(index.size, dtype=bool)
    together = index[:, None] // result.config["classes"] == index // result.config["classes"]
    return {"the own class": own, "siblings": together & ~own, "other superclasses": ~together}


def test_the_rise_and_fall_is_that_of_the_two_filters(result, spectrum):
    series, rate = drawn(CLAIM, result, "rise-and-fall"), result.config["learning_rate"]
    (dashed,) = series[r"prediction $(g_{\mathrm{super}}-g_{\mathrm{class}})/c$"]
    above, own = (1 - (1 - rate * one) ** dashed["x"] for one in (spectrum.super_, spectrum.class_))
    expected = (above - own) / result.config["classes"]
    np.testing.assert_allclose(dashed["y"], expected, atol=1e-12)
    time, height = predictions.dark_knowledge_peak(spectrum, rate)
    (marked,) = series[r"prediction $t_\mathrm{peak}$"]
    np.testing.assert_allclose(marked["x"], time)
    assert abs(dashed["x"][dashed["y"].argmax()] - time) <= 1
    assert 0.95 * height <= dashed["y"].max() <= height


def test_the_drawn_nets_have_the_dark_knowledge_of_the_table(result):
    series = drawn(CLAIM, result, "rise-and-fall")
    label = f"nets of width {max(toy('dark-knowledge').widths)}"
    (mean,), (nets,) = series[label], series[f"{label}: range over nets"]
    rows = [one for one in result.measurements if one.name.startswith("dark knowledge after")]
    assert len(rows) == 3
    for one in rows:
        step = int(one.name.split()[-2])
        at = [columns[step] for columns in (mean["y"], nets["low"], nets["high"])]
        np.testing.assert_allclose(at, [one.measured, *one.interval], rtol=1e-12)


def test_the_maps_are_the_outputs_of_the_table_and_of_the_closed_form(result, spectrum):
    series = drawn(CLAIM, result, "class-outputs")
    (found,), (predicted,) = series["mean output"], series["prediction closed form"]
    count = result.config["clusters"] * result.config["classes"]
    curves = predictions.dark_knowledge(spectrum, result.config["learning_rate"], 50)
    step = int(curves.argmax())
    closed = predictions.tree_outputs(spectrum, result.config["learning_rate"], step)[-1]
    np.testing.assert_allclose(predicted["value"].reshape(count, count), closed, atol=1e-12)
    for name, pairs in relations(result).items():
        of_table = row(result, f"mean output on {name} after {step} steps")
        nets, theory = (one["value"].reshape(count, count)[pairs] for one in (found, predicted))
        assert nets.mean() == pytest.approx(of_table.measured, abs=1e-12)
        np.testing.assert_allclose(theory, of_table.predicted, atol=1e-12)


def test_siblings_are_seen_beside_others_in_the_map_of_the_nets(result):
    (found,) = drawn(CLAIM, result, "class-outputs")["mean output"]
    of = relations(result)
    values = found["value"].reshape(of["siblings"].shape)
    assert values[of["the own class"]].min() > values[of["siblings"]].max()
    assert values[of["siblings"]].min() > 2 * values[of["other superclasses"]].max()


def test_the_maps_stand_side_by_side(result):
    series = drawn(CLAIM, result, "class-outputs")
    (found,), (predicted,) = series["mean output"], series["prediction closed form"]
    np.testing.assert_array_equal(found["y"], predicted["y"])
    # A column is one wide, and one is left free between the maps.
    assert predicted["x"].min() - found["x"].max() == 2


def test_the_gains_of_students_are_those_of_the_table_and_the_controls(result):
    series = drawn(CLAIM, result, "students")
    (means,) = series["their mean"]
    targets = [name for name in series if name.startswith("prediction of ")]
    assert targets[:2] == ["prediction of stopped", "prediction of tree averages"]
    dashed = [series[name][0] for name in targets]
    worlds = np.stack([one["y"] for one in series["nets, one dot a world"]])
    assert worlds.shape == (result.config["worlds"], len(dashed))
    np.testing.assert_allclose(worlds.mean(axis=0), means["y"])
    rows = [
        row(result, "accuracy gained from the stopped teacher over hard labels"),
        row(result, "accuracy gained from its averages over the tree alone"),
        *(one.failure for one in result.controls[3:]),
    ]
    np.testing.assert_allclose(means["y"], [one.measured for one in rows], atol=1e-12)
    for columns, one in zip(dashed, rows, strict=True):
        np.testing.assert_allclose(columns["y"], one.predicted, atol=1e-12)
    assert series["hard labels"][0]["y"][0] == 0


def test_an_interrupted_run_draws_nothing_that_it_has_not(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}


@pytest.mark.parametrize("clusters", [2, 9])
def test_labels_of_superclasses_stay_few(result, clusters):
    count = clusters * result.config["classes"]
    made_up = {
        "class_outputs": np.eye(count)[None],
        "predicted_class_outputs": np.eye(count),
        "width": np.array(1),
        "peak_step": np.array(1),
    }
    axes = Figure().subplots()
    CLAIM.panels["class-outputs"](axes, replace(result, arrays=made_up))
    assert len(axes.get_yticks()) <= 4
    assert axes.get_yticklabels()[0].get_text() == "1–3"

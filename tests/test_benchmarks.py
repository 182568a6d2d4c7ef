"""Benchmarks: peers compute what we compute, and the documentation shows what was measured."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image

from benchmarks import (
    empirical_gram,
    event_driven,
    growth,
    limiting_gram,
    picture,
    timing,
    training_step,
)
from benchmarks.markdown import tables
from ntk_theory import drawing, kernels, network
from ntk_theory.problems import noisy_clusters
from ntk_theory.training import forms
from ntk_theory.training.points import shared_points

ROOT = Path(__file__).parent.parent


def kept(name):
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "results").iterdir()))
def test_the_documentation_shows_the_results_that_are_kept(file):
    shown = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").splitlines()
    document = kept(file.name)
    assert [line for line in tables(document) if line not in shown] == []
    assert document["environment"]["torch"] in " ".join(shown)
    assert f"benchmarks/results/{file.name}" in " ".join(shown)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(20, 30, 64), (30, 5, 64)])
def test_autograd_takes_the_steps_that_we_take(shape, dtype):
    problem = training_step._Problem(*shape, dtype)
    watches = timing.Watch(), timing.Watch()
    ours, theirs = (
        run(15, watch) for run, watch in zip((problem.ours, problem.autograd), watches, strict=True)
    )
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(ours, theirs, atol=15 * 200 * eps)
    assert all(len(watch.stamps) == 15 and watch.seconds > 0 for watch in watches)
    problem.floor(3, timing.Watch())


@pytest.mark.parametrize("shape", training_step._SHAPES)
def test_training_takes_the_form_that_was_measured_to_be_cheaper(shape):
    pytest.importorskip("numba")  # without it dense steps are cheaper more often
    points, features, width = shape
    problem = training_step._Problem(points, features, 2, torch.float32)
    inputs = shared_points(torch.as_tensor(problem.inputs, dtype=torch.float32), "float32")
    rates = np.full(training_step._STEPS[points], problem.rate) / width**0.5
    threads, chosen = torch.get_num_threads(), set()
    for count in (1, 2):
        torch.set_num_threads(count)
        chosen.add(forms.cheapest(inputs, width=width, outputs=1, rates=rates))
    torch.set_num_threads(threads)
    # More than two points a dimension, which no net of this size fits: signs go on changing.
    assert chosen == {"dense" if points > 2 * features else "event-driven"}


def test_products_of_jacobians_are_our_kernel():
    net = network.initialise(64, 8, seeds=[0], dtype=torch.float32)
    inputs = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    ours = kernels.ntk_empirical(net, inputs, layers="both")[0]
    rows = torch.from_numpy(inputs)
    np.testing.assert_allclose(empirical_gram._torch_func(net, rows).numpy(), ours, atol=1e-4)
    with torch.no_grad():
        module = empirical_gram._Module(net)(rows)[:, 0].numpy()
    np.testing.assert_allclose(
        module,
        (net.hidden[0].numpy() @ inputs.T).clip(0).T @ net.output[0, 0].numpy() / 8,
        atol=1e-5,
    )


def test_errors_near_parallel_rows_are_told_from_none():
    inputs = np.random.default_rng(0).standard_normal((20, 8))
    errors = limiting_gram._accuracy(inputs)
    assert 0 < errors["float64 near-parallel"] < 1e-15 < errors["float32 near-parallel"] < 1e-6


def test_contenders_take_turns_and_absent_ones_are_named():
    order = []

    def contender(name, seconds):
        def call():
            order.append(name)
            return seconds

        return call

    entry = timing.compare(
        "task",
        {"n": 3},
        {"ours": contender("ours", 2.0), "floor": contender("floor", 0.5), "peer": None},
        rounds=2,
    )
    # The short one is made once more before it is timed, the long one is not.
    assert order == ["ours", "floor"] + 2 * ["ours", "floor", "floor"]
    assert entry.seconds == {"ours": 2.0, "floor": 0.5}
    assert entry.ratios == {"floor": 0.25}
    assert entry.missing == ("peer",)
    document = {"entries": [vars(entry)], "growth": []}
    assert "| task | n = 3 | 2e+03 | 4.00 | peer was not there |" in list(tables(document))


def test_the_exponent_of_a_power_is_its_own():
    assert growth.fitted_exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2.0)


WIDTHS = (64, 128, 256)


@pytest.fixture(scope="module")
def problem():
    """Few points, few steps."""
    return noisy_clusters(
        clusters=2,
        points=4,
        ratio=8.0,
        noise_rate=0.25,
        seed=np.random.SeedSequence(0),
        steps=40,
    )


@pytest.fixture(scope="module")
def scaling(problem):
    sizes = event_driven.Sizes(
        widths=WIDTHS, fitted=64, dense=128, repeated=64, autograd=64, compared=(64, 128)
    )
    return event_driven.measure(2, problem, sizes)


def test_each_form_is_measured_up_to_its_own_width(scaling):
    every = {"event-driven", "its steps alone", "without drawing", "without numba"}
    there = [set(one.seconds) for one in scaling.widths]
    assert there == [every | {"dense", "autograd + SGD"}, every | {"dense"}, every]
    assert [one.width for one in scaling.widths] == list(WIDTHS)
    assert scaling.shape == {"n": 8, "d": 11, "T": 40}
    for one in scaling.widths:
        times = [one.seconds[name] for name in ("its steps alone", "event-driven")]
        assert 0 <= times[0] <= times[1]
        assert one.seconds["without drawing"] <= one.seconds["event-driven"]


def test_the_forms_that_are_timed_make_the_same_trajectory(scaling):
    for one in scaling.widths[:2]:
        assert one.accuracy["flips"] == 0
        # 40 steps, each of which rounds outputs of a size of 1 that are sums over 8 points.
        assert max(one.accuracy.values()) <= 40 * 8 * np.finfo(float).eps
    assert scaling.widths[2].accuracy == {}


def test_all_that_flips_has_been_looked_at_and_not_much_more_than_is_there(scaling):
    for one in scaling.widths:
        assert 0 < one.flips / (8 * one.width) <= one.looked_at < 1


def test_a_measurement_leaves_the_threads_and_the_forms_as_they_were(problem, scaling):
    before = torch.get_num_threads()
    run, _, _ = event_driven._counted(problem, 64, 0)
    again = event_driven._run(problem, 64, 0, "event-driven")
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(run.trained.outputs, again.trained.outputs, atol=1e-13)


def test_drawing_is_timed_block_by_block_and_draws_what_other_nets_draw():
    net, other = event_driven._Net(8, 3, (1,)), network.DrawnNets(8, 3, (1,))
    for (hidden, output), expected in zip(net.blocks(4), other.blocks(4), strict=True):
        assert torch.equal(hidden, expected[0])
        assert torch.equal(output, expected[1])
    assert len(net.drawing) == 4  # the output weights, two blocks, and that there is no third
    assert all(taken > 0 for taken in net.drawing)


def test_the_widest_net_is_trained_on_the_threads_that_it_is_given(problem):
    before = torch.get_num_threads()
    seconds, gibibytes = event_driven.widest_net(problem, 64, threads=1)
    assert torch.get_num_threads() == before
    assert seconds > 0
    assert 0.05 < gibibytes < 10


def test_the_table_of_widths_shows_what_was_measured(scaling):
    widest = {"m": 256, "threads": 2, "seconds": 1.25, "GiB": 0.5}
    found = asdict(scaling) | {"widest": widest}
    lines = list(tables({"entries": [], "growth": [], "event_driven": found}))
    (row,) = (line for line in lines if line.startswith("| 2^7 |"))
    assert len(row.split("|")) == len(lines[0].split("|")) == len(lines[1].split("|"))
    assert f"{100 * scaling.widths[1].looked_at:.2g} %" in row
    assert any(f"{scaling.exponents['event-driven']:.2f}" in line for line in lines)
    assert "in 1.2 s" in lines[-1]
    assert "0.50 GiB" in lines[-1]


def test_the_picture_shows_the_times_and_the_pairs_looked_at(scaling):
    with drawing.style():
        times, looks = picture.draw(asdict(scaling)).axes
    series = {one.name: one.columns for one in drawing.plotted(times)}
    for name in ("event-driven", "its steps alone"):
        label = f"{name}: slope {scaling.exponents[name]:.2f}"
        seconds = [one.seconds[name] for one in scaling.widths]
        np.testing.assert_array_equal(series[label]["y"], seconds)
        assert f"{name}: fit" in series
    assert series["dense"]["x"].tolist() == [64, 128]
    (looked_at,) = (one for one in drawing.plotted(looks) if one.name == "looked at")
    assert looked_at.columns["y"].tolist() == [one.looked_at for one in scaling.widths]


def test_the_picture_of_the_documentation_was_drawn_from_the_results_that_are_kept():
    place = ROOT / "docs" / "event-driven.png"
    found = kept("event-driven-2-cores.json")["event_driven"]
    with Image.open(place) as image:
        assert image.text["Source"] == picture.digest(found)
    assert imread(place).std() > 0


def test_the_first_page_says_what_was_measured_of_wide_nets():
    found = kept("event-driven-2-cores.json")["event_driven"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = " ".join(readme.split("## Width for nothing")[1].split("\n## ")[0].split())
    times = {one["width"]: one["ratios"]["dense"] for one in found["widths"] if one["accuracy"]}
    assert f"is {times[2**14]:.0f} times as fast as moving every neuron at width 2^14" in section
    assert f"and {times[2**17]:.0f} times at 2^17" in section
    widest = found["widest"]
    assert f"takes {widest['seconds']:.1f} s and {widest['GiB']:.1f} GiB" in section
    assert (widest["m"], widest["threads"]) == (2**20, 2)


def test_a_picture_can_be_drawn_from_a_file_of_results(scaling, tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"event_driven": asdict(scaling)}), encoding="utf-8")
    picture.main([str(results), str(tmp_path / "drawn.png")])
    assert imread(tmp_path / "drawn.png").shape[:2] == (900, 1950)

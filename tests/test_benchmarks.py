"""Benchmarks: peers compute what we compute, and the documentation shows what was measured."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image

from benchmarks import __main__ as benchmarks
from benchmarks import (
    empirical_gram,
    event_driven,
    growth,
    limiting_gram,
    noisy_labels,
    on_a_gpu,
    picture,
    timing,
    training_step,
)
from benchmarks.markdown import tables
from ntk_theory import drawing, image_size, kernels, network
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.problems import noisy_clusters
from ntk_theory.training import footprint, forms
from ntk_theory.training.forms import FORMS
from ntk_theory.training.points import shared_points
from ntk_theory.training.products import PRECISIONS
from pretended_device import DEVICE, pretended_gpu

ROOT = Path(__file__).parent.parent


def kept(name):
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "results").iterdir()))
def test_the_documentation_shows_the_results_that_are_kept(file):
    pages = (ROOT / "docs").glob("*.md")
    shown = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
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


# ---------------------------------------------------------------- noisy labels


def test_the_rule_reaches_what_the_documentation_says():
    found = kept("noisy-labels.json")["noisy_labels"]
    assert set(found) == {
        f"{family}, {rate}" for family, rates in noisy_labels.FAMILIES.items() for rate in rates
    }
    means = {
        family: {name: np.mean(values) for name, values in accuracies.items()}
        for family, accuracies in found.items()
    }
    leads = [one["the rule"] - one["oracle stopping"] for one in means.values()]
    assert min(leads) > -0.01
    assert sum(lead > 0 for lead in leads) == 12
    assert all(one["the rule"] > one["noisy validation"] for one in means.values())


def test_nothing_that_stops_plain_training_beats_the_oracle():
    pytest.importorskip("mlxtend")
    problem = noisy_labels.draw("Gaussian clusters", 0.2, 1000)
    accuracies = {name: [method(problem)] * 2 for name, method in noisy_labels.METHODS.items()}
    oracle = accuracies["oracle stopping"][0]
    assert accuracies["leave-one-out stopping"][0] <= oracle
    # The oracle's last time leaves a few modes out that memorising has: some points of a thousand.
    assert accuracies["memorised"][0] <= oracle + 0.01
    head, _, row, mean = noisy_labels.lines({"family": accuracies})
    assert head.count("|") == row.count("|") == mean.count("|") == len(accuracies) + 2
    assert row.startswith(f"| family | {oracle:.3f} |")


# ---------------------------------------------------------------- on a GPU

TINY = on_a_gpu.Sizes(
    checked=(20, 64),
    kernels=((12, 5),),
    steps=((12, 40, 64), (30, 5, 64)),
    made=3,
    widths=(32, 64),
    trained=4,
    claim=Options(preset="cifar-mini", points=10, seeds=2, widths=(16, 32, 64, 128), steps=8),
)


class Waited:
    """Counts how often the device was waited for."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1


@pytest.fixture
def gpu(monkeypatch):
    """A pretended GPU, whose rate is that of small products."""
    monkeypatch.setitem(footprint._SIZE, "gpu", 64)
    with pretended_gpu():
        yield on_a_gpu.Gpu(DEVICE, "Pretended GPU (1 GiB)", 2.0**30, Waited())


def measured(gpu, sizes=TINY, limit=1e6, **more):
    clock = on_a_gpu.Clock(limit, **more)
    return list(on_a_gpu.measure(gpu, rounds=2, clock=clock, sizes=sizes))


def test_everything_is_measured_on_a_gpu_and_written(gpu, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmarks, "_RESULTS", tmp_path)
    assert benchmarks._on_a_gpu(gpu, 2, None, TINY) == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "gpu-pretended-gpu-1-gib.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["environment"]["gpu"] == "Pretended GPU (1 GiB)"
    findings = document["findings"]
    assert [one for one in findings if one["error"] or one["left_out"]] == []
    timed = [(one["task"], one["precision"]) for one in findings if one["seconds"] is not None]
    assert timed == [
        *[("limiting Gram matrix", precision) for precision in ("float64", "float32")],
        *2 * [("training step", precision) for precision in PRECISIONS],
        *2
        * [
            (f"{form} training", precision)
            for precision in ("float64", "float32")
            for form in FORMS
        ],
        ("convergence --preset cifar-mini", "float32"),
    ]
    assert all(one["seconds"] > 0 for one in findings if one["seconds"] is not None)
    rates = [one["details"]["operations a second"] for one in findings[:4]]
    assert min(rates) > 0
    apart = [one["details"].get("largest difference", 0.0) for one in findings]
    # Steps that each round sums over points.
    assert max(apart) < 50 * 60 * np.finfo(float).eps
    assert sum("largest difference" in one["details"] for one in findings) == 4
    assert "training step" in capsys.readouterr().out


def test_every_time_on_a_gpu_is_of_work_that_is_done(gpu):
    sizes = replace(TINY, widths=(32,), kernels=((12, 5),), steps=((12, 40, 64),))
    *_, claim = measured(gpu, sizes)
    assert claim.details["verdict"] in {verdict.value for verdict in Verdict}
    kernels = 2 * 2 * (1 + 2)  # precisions, before and after, and once to warm up
    steps = len(PRECISIONS) * sizes.made
    trained = 2 * len(FORMS) * (sizes.trained + 1) + 1  # a net is drawn once
    assert gpu.wait.times == kernels + steps + trained + 1


def test_a_watch_waits_before_it_looks_at_the_time(monkeypatch):
    order = []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: order.append("look") or 0.0)
    timing.whole(lambda: order.append("call"), lambda: order.append("wait"))()
    assert order == ["wait", "look", "call", "wait", "look"]
    order.clear()
    timing.Watch(lambda: order.append("wait"))(1)
    assert order == ["wait", "look"]


def test_what_time_does_not_allow_is_named_and_nothing_is_put_in_its_place(gpu):
    findings = measured(gpu, limit=0.0)
    assert [one for one in findings if one.seconds is not None or one.share is not None] == []
    late = [one for one in findings if one.task != "matrix products"]
    assert all("no time was left" in one.left_out for one in late)
    assert len(late) == 4 + 2 + 8 + 8 + 1


def test_a_training_that_time_cuts_short_says_after_how_many_steps(gpu):
    ticks = iter(range(10**6))
    sizes = replace(TINY, widths=(64,), trained=10**5)
    clock = on_a_gpu.Clock(6.5, lambda: float(next(ticks)))
    first, *rest = on_a_gpu._forms(gpu, sizes, clock)
    assert first.left_out == "no time was left after 6 of 100000 steps"
    assert first.seconds > 0
    assert {one.left_out for one in rest} == {"no time was left"}


def test_a_claim_that_time_does_not_allow_is_not_begun_and_a_late_one_is_interrupted(
    gpu, monkeypatch
):
    monkeypatch.setattr(image_size.ImageSize, "seconds", lambda plan: 1e9)
    found = on_a_gpu._claim(gpu, TINY, on_a_gpu.Clock(100.0, lambda: 0.0))
    few = "some 1000000000 s are expected, 100 s were left"
    assert found.left_out == f"float32: {few}; tf32: {few}"
    assert found.seconds is None
    monkeypatch.setattr(image_size.ImageSize, "seconds", lambda plan: 0.0)
    ticks = iter(range(10**6))
    found = on_a_gpu._claim(gpu, TINY, on_a_gpu.Clock(6.5, lambda: float(next(ticks))))
    assert found.left_out == "no time was left to end it"
    assert found.details["finding"].startswith("interrupted")


def test_what_memory_does_not_hold_is_left_out(gpu):
    small = replace(gpu, memory=2e4)
    findings = measured(small, replace(TINY, kernels=(), widths=(2**12,), steps=((12, 40, 2**12),)))
    large = [one for one in findings if "d" in one.shape or one.shape.get("n") == 60]
    large = [one for one in large if "beside" not in one.task]
    assert len(large) == 4 + 4
    assert all("GiB" in one.left_out and one.seconds is None for one in large)


def test_an_error_ends_no_other_measurement_and_is_the_exit_status(
    gpu, monkeypatch, tmp_path, capsys
):
    def broken(*_, **__):
        raise RuntimeError("CUDA error: an illegal memory access\nmore of it")

    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    def nothing_left(*_, **__):
        raise MemoryError

    monkeypatch.setattr(on_a_gpu, "_step", broken)
    monkeypatch.setattr(on_a_gpu, "_kernel", full)
    monkeypatch.setattr(on_a_gpu, "_trained", nothing_left)
    assert benchmarks._on_a_gpu(gpu, 1, tmp_path / "r.json", replace(TINY, widths=(32,))) == 1
    findings = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["findings"]
    errors = [one for one in findings if one["error"]]
    assert {one["task"] for one in errors} == {"training step"}
    assert {one["error"] for one in errors} == {"CUDA error: an illegal memory access"}
    left_out = [one["left_out"] for one in findings if one["left_out"]]
    assert left_out == 2 * ["CUDA out of memory"] + 4 * ["MemoryError"]
    assert findings[-1]["seconds"] > 0
    assert "FAILED: CUDA error: an illegal memory access" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu", "mps"])
def test_without_a_gpu_the_command_refuses_in_one_line_with_status_2(device, capsys, monkeypatch):
    monkeypatch.setattr(benchmarks, "_on_a_gpu", None)
    assert benchmarks.main(["--device", device]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("python -m benchmarks: error: --device must be ")
    assert device in line
    assert printed.out == ""


def test_a_gpu_that_cannot_be_used_is_refused_in_one_line(monkeypatch, capsys):
    def broken(device):
        raise RuntimeError("CUDA driver initialization failed\nand more")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", broken)
    assert benchmarks.main(["--device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("torch says: CUDA driver initialization failed")


def test_a_gpu_is_what_torch_says_of_it(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 8))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"kind of {device}")
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    gpu = on_a_gpu.Gpu.of("cuda:1")
    gpu.wait()
    assert (gpu.name, gpu.kind, gpu.memory) == ("cuda:1", "kind of cuda:1", 7.0)
    assert waited == [torch.device("cuda:1")]


def test_the_sizes_of_a_gpu_are_those_that_the_documentation_names():
    sizes = on_a_gpu.Sizes()
    assert (min(sizes.widths), max(sizes.widths)) == (2**14, 2**22)
    assert sizes.claim.preset == "cifar"
    assert benchmarks._LIMIT < 600
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert "python -m benchmarks --device cuda" in text

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
        seed=0,
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


def test_a_picture_can_be_drawn_from_a_file_of_results(scaling, tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"event_driven": asdict(scaling)}), encoding="utf-8")
    picture.main([str(results), str(tmp_path / "drawn.png")])
    assert imread(tmp_path / "drawn.png").shape[:2] == (900, 1950)

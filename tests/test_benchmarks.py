"""Benchmarks: peers compute what we compute, and the documentation shows what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import empirical_gram, growth, limiting_gram, timing, training_step
from benchmarks.markdown import tables
from ntk_theory import kernels, network

ROOT = Path(__file__).parent.parent


def test_the_documentation_shows_the_results_that_are_kept():
    (results,) = (ROOT / "benchmarks" / "results").glob("cpu-*.json")
    shown = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").splitlines()
    document = json.loads(results.read_text(encoding="utf-8"))
    assert [line for line in tables(document) if line not in shown] == []
    assert document["environment"]["torch"] in " ".join(shown)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(20, 30, 64), (30, 5, 64)])
def test_autograd_takes_the_steps_that_we_take(shape, dtype):
    problem = training_step._Problem(*shape, dtype)
    watches = training_step._Watch(), training_step._Watch()
    ours, theirs = (
        run(15, watch) for run, watch in zip((problem.ours, problem.autograd), watches, strict=True)
    )
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(ours, theirs, atol=15 * 200 * eps)
    assert all(len(watch.stamps) == 15 and watch.seconds > 0 for watch in watches)
    problem.floor(3, training_step._Watch())


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
    assert growth._slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2.0)

"""Worker processes: the same nets to the bit, gone with the run, and missed if killed."""

import os
import signal
import time
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from how_much import again
from ntk_theory import verify
from ntk_theory.checking import nets as experiments
from ntk_theory.machine import jobs
from ntk_theory.machine.ranks import LostProcessError
from ntk_theory.machine.resources import limited_memory, memory_limit
from ntk_theory.problems import Recipe
from ntk_theory.targets import BurnIn, Distillation, Power
from ntk_theory.training.checkpoints import Checkpoints, checkpointed
from progress import Silent

RNG = np.random.default_rng(0)
RECIPE = Recipe(
    RNG.standard_normal((12, 5)),
    np.sign(RNG.standard_normal(12)),
    Distillation(BurnIn(3, Power(4.0))),
    0.05,
    20,
)
# Of 2^17 pre-activations two nets of this width have more, so that each is trained on its own.
WIDTH = 2**13

MASKS = ("SigBlk", "SigIgn")
"""Signals that a process does not hear: for now, and at all."""


class Counted(Silent):
    """Progress that adds up."""

    done = 0.0

    def advance(self, amount):
        self.done += amount


@pytest.fixture
def single_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def spread():
    with jobs.spread(2):
        yield


@pytest.mark.usefixtures("single_thread")
def test_workers_train_the_same_nets_to_the_bit(tmp_path):
    seeds = [5, 6, 7]
    alone = experiments.train_nets(RECIPE, WIDTH, seeds, keep_network=True)
    progress, saved = Counted(), Checkpoints.open(tmp_path / "states", {}, 60.0)
    with jobs.spread(2), checkpointed(saved):
        train = partial(experiments.train_nets, RECIPE, WIDTH, progress=progress)
        shared = train(seeds, keep_network=True)
        first, second = jobs.side_by_side([partial(train, [5]), partial(train, seeds[1:])])
    for name in ("outputs", "movement", "distance", "flipped_activations", "label_weights"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name))
        both = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(both, getattr(alone, name))
    assert torch.equal(shared.network.hidden, alone.network.hidden)
    assert progress.done == 2 * 3 * RECIPE.steps * WIDTH
    # With their weights and without.
    assert len(list((tmp_path / "states").glob("*.state"))) == 2 * 3


def test_without_workers_calls_are_made_one_after_the_other_and_as_they_are_asked_for():
    made = []
    calls = jobs.side_by_side(partial(made.append, number) for number in range(3))
    next(calls)
    assert made == [0]
    assert jobs.workers() == 0
    with pytest.raises(RuntimeError, match="no workers outside"):
        next(jobs.in_workers(memory_limit, [()]))


def test_workers_keep_to_the_memory_and_share_the_threads():
    with limited_memory(2e6), jobs.spread(2):
        assert jobs.workers() == 2
        assert list(jobs.in_workers(memory_limit, [(), ()])) == [2e6, 2e6]
        (threads,) = jobs.in_workers(torch.get_num_threads, [()])
    assert threads == max(1, torch.get_num_threads() // 2)


@pytest.mark.parametrize("said", [pytest.param(None, marks=again), "3"])
def test_numpy_of_workers_shares_the_threads_unless_somebody_has_said(said, monkeypatch):
    if said is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", said)
    with jobs.spread(2):
        (found,) = jobs.in_workers(os.getenv, [("OPENBLAS_NUM_THREADS",)])
    assert found == (said or str(max(1, torch.get_num_threads() // 2)))
    assert os.environ.get("OPENBLAS_NUM_THREADS") == said


@pytest.mark.usefixtures("spread")
def test_a_killed_worker_is_missed():
    with pytest.raises(LostProcessError, match="a worker of --jobs was killed"):
        list(jobs.in_workers(os._exit, [(9,)]))


@pytest.mark.usefixtures("spread")
def test_workers_outlive_results_that_nobody_asks_for():
    for first in jobs.in_workers(abs, [(-1,), (-2,), (-3,)]):
        assert first == 1
        break
    for first in jobs.side_by_side([partial(abs, -1), partial(abs, -2)]):
        assert first == 1
        break
    assert list(jobs.in_workers(abs, [(-4,)])) == [4]


@again
def test_children_of_somebody_else_are_left_alone():
    other = get_context("spawn").Process(target=time.sleep, args=(600.0,))
    other.start()
    with jobs.spread(2), pytest.raises(KeyboardInterrupt):
        jobs.in_workers(abs, [(-1,)]).throw(KeyboardInterrupt)
    with jobs.spread(2):
        results = jobs.in_workers(time.sleep, [(0.0,), (600.0,)])
        next(results)
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
        assert other.is_alive()
    other.terminate()
    other.join()


@pytest.mark.usefixtures("spread")
def test_an_interrupted_run_does_not_wait_for_its_workers():
    results = jobs.in_workers(time.sleep, [(0.0,), (600.0,), (600.0,)])
    next(results)
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    deadline = time.monotonic() + 300
    while active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not active_children()


def test_jobs_that_make_no_sense_are_refused(monkeypatch, capsys):
    assert verify.main(["convergence", "--preset", "quick", "--jobs", "0"]) == 2
    assert "--jobs must be at least 1; got 0" in capsys.readouterr().err
    for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("RANK", "0")
    assert verify.main(["convergence", "--preset", "quick", "--jobs", "2"]) == 2
    assert "use torchrun" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="masks are read from Linux")
def test_all_workers_are_there_at_once_and_hear_nothing_of_ctrl_c():
    with jobs.spread(3):
        started = active_children()
        for child in started:
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
            deaf = [int(status.partition(f"{name}:")[2].split()[0], 16) for name in MASKS]
            assert any(mask >> (signal.SIGINT - 1) & 1 for mask in deaf)
    assert len(started) == 3

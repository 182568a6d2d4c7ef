"""Several processes: the same counts to the bit, the same trajectories to rounding, one voice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from how_much import again
from ntk_theory.machine import ranks
from strategies import EPS

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.xdist_group("ranks")  # whose processes are started once
FIRST = """
import sys
import numpy as np
from ntk_theory import kernels
from ntk_theory.machine import ranks
from ntk_theory.network import DrawnNets, initialise
from ntk_theory.targets import BurnIn, Distillation, Power
from ntk_theory.training import train

with ranks.joined("cpu"):
    assert ranks.agreed(5.0 + ranks.rank()) == 5.0
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((20, 30)), np.sign(rng.standard_normal(20))
    kept = initialise(9000, 30, seeds=[3])
    first, both = (kernels.ntk_empirical(kept, inputs, layers=part) for part in ("first", "both"))
    taught = Distillation(BurnIn(3, Power(2.0)), epoch=5, restart=True)
    nets = DrawnNets(3000, 30, (3, 4))
    trained = train(nets, inputs, labels, taught, learning_rate=0.01, steps=15, layers="both")
    driven = train(
        nets, inputs, labels, taught, learning_rate=0.01, steps=15, form="event-driven"
    )
    if ranks.rank() == 0:
        np.savez(
            sys.argv[1], first=first, both=both, outputs=trained.outputs,
            driven_outputs=driven.outputs, driven_movement=driven.movement,
            driven_flips=driven.flipped_activations, driven_hidden=driven.network.hidden.numpy(),
            movement=trained.movement, distance=trained.distance,
            flips=trained.flipped_activations, hidden=trained.network.hidden.numpy(),
            output=trained.network.output.numpy(),
        )
"""
DYING = """
import os, sys
import torch
from ntk_theory.machine import ranks

with ranks.joined("cpu"):
    if ranks.rank() == 1:
        os._exit(9)
    try:
        for _ in range(100):
            ranks.total(torch.ones(1000))
    except ranks.LostProcessError as error:
        print(f"told: {error}", file=sys.stderr)
        sys.exit(4)
"""


def launch(processes, *words):
    """Run a command, by torchrun if there are to be several processes; one thread each."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else []), *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The same computation by one process and by three."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "work.py").write_text(FIRST)
    found = {}
    for processes in (1, 3):
        file = folder / f"{processes}.npz"
        done = launch(processes, folder / "work.py", file)
        assert done.returncode == 0, done.stderr
        found[processes] = dict(np.load(file))
    return found


def test_counts_are_the_same_to_the_bit(results):
    for name in ("first", "flips", "driven_flips"):
        np.testing.assert_array_equal(results[3][name], results[1][name])


def test_everything_else_is_the_same_to_rounding(results):
    # Sums of 3000 terms of size 1 at most, over 15 steps.
    event_driven = ("driven_outputs", "driven_movement", "driven_hidden")
    for name in ("both", "outputs", "movement", "distance", "hidden", "output", *event_driven):
        np.testing.assert_allclose(results[3][name], results[1][name], rtol=0, atol=15 * 3000 * EPS)


def test_a_process_that_dies_ends_the_run_with_a_message(tmp_path):
    (tmp_path / "work.py").write_text(DYING)
    done = launch(2, tmp_path / "work.py")
    assert done.returncode != 0
    # Either the others notice, or torchrun ends them first and says which one died.
    assert "told: another process of the run has ended" in done.stderr or "exitcode" in done.stderr


@again
def test_the_command_line_speaks_once_and_comes_to_the_same_verdict(tmp_path):
    command = ["-m", "ntk_theory.verify", "residual-law", "--preset", "quick", "--no-progress"]
    toy = ["--points", "20", "--dimension", "8", "--widths", "512,1024,2048,4096"]
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    alone, shared = (
        launch(count, *command, *toy, "--json", file)
        for count, file in zip((1, 2), files, strict=True)
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert shared.returncode == 0, shared.stdout + shared.stderr
    assert shared.stdout.count("SUPPORTED residual-law") == 1
    one, two = (json.loads(file.read_text())["claims"][0] for file in files)
    for key in ("verdict", "config", "finding"):
        assert one[key] == two[key]
    for mine, other in zip(one["measurements"], two["measurements"], strict=True):
        assert other["measured"] == pytest.approx(mine["measured"], rel=1e-6, abs=1e-9)


def test_checkpoints_are_refused_with_several_processes(tmp_path):
    command = ["-m", "ntk_theory.verify", "margin", "--preset", "quick", "--no-progress"]
    done = launch(2, *command, "--checkpoint", tmp_path / "states")
    assert "--checkpoint takes a single process" in done.stderr
    assert done.returncode != 0


def test_alone_a_process_has_everything():
    assert (ranks.rank(), ranks.size()) == (0, 1)
    assert list(ranks.own("abc")) == ["a", "b", "c"]

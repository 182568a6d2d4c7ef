"""Training that is killed and taken up again ends where it would have ended, to the last bit."""

import json
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from how_much import again
from ntk_theory import verify
from ntk_theory.machine.resources import limited_memory
from ntk_theory.network import initialise
from ntk_theory.targets import PLAIN, BurnIn, Distillation, Power
from ntk_theory.training import train
from ntk_theory.training.checkpoints import Checkpoints, checkpointed
from ntk_theory.training.trajectory import _ARRAYS

CONFIGURATION = {"claim": {"seed": 0}, "ntk_theory": "0"}
SELF = Distillation(BurnIn(2, Power(1.0)))
KINDS = {
    "pre-activations": (SELF, 6, "first", 1),
    "weights": (SELF, 2, "first", 1),
    "both layers": (PLAIN, 2, "both", 3),
    "lag": (replace(SELF, epoch=3), 6, "first", 3),
    "restart": (replace(SELF, epoch=3, restart=True), 2, "first", 1),
    "event-driven": (SELF, 6, "first", 3),
    "event-driven, restart": (replace(SELF, epoch=3, restart=True), 2, "first", 1),
}
STEPS = 11


def run(kind, on_step=None, **changes):
    """Train 2 nets on 8 points: in 2 dimensions their weights move, in 6 pre-activations."""
    distillation, features, layers, classes = KINDS[kind]
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((8, features))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    labels = np.eye(3)[rng.integers(0, 3, 8)] if classes == 3 else rng.choice([-1.0, 1.0], 8)
    net = initialise(300, features, seeds=[4, 5], outputs=classes, antisymmetric=False)
    form = "event-driven" if kind.startswith("event-driven") else "dense"
    options = {"learning_rate": 0.2, "steps": STEPS, "layers": layers, "form": form} | changes
    return train(net, inputs, labels, distillation, on_step=on_step, **options)


def killed_after(steps):
    """Watcher that ends the training after so many steps of this process."""

    def watch(step):
        if step == steps:
            raise CancelledError

    return watch


def assert_same(found, expected):
    for name in _ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.diverged == expected.diverged
    assert (found.network is None) == (expected.network is None)
    if found.network is not None:
        assert torch.equal(found.network.hidden, expected.network.hidden)
        assert torch.equal(found.network.output, expected.network.output)


@pytest.fixture
def folder(tmp_path):
    return Checkpoints.open(tmp_path / "states", CONFIGURATION, interval=1e9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelled_training_is_taken_up_where_it_was(kind, folder):
    expected = run(kind)
    for step in (1, 4, 6, 7, STEPS):
        with checkpointed(folder), pytest.raises(CancelledError):
            run(kind, killed_after(step))
    seen = []
    with checkpointed(folder):
        found = run(kind, seen.append)
    assert_same(found, expected)
    assert seen == list(range(1, STEPS + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_killed_between_two_states_goes_back_to_the_last(kind, tmp_path):
    class Killed(BaseException):
        """No time to save anything."""

    def watch(step):
        if step == 8:
            raise Killed

    ticks = iter(range(100))
    every_third = Checkpoints(tmp_path, 3.0, lambda: float(next(ticks)))
    with checkpointed(every_third), pytest.raises(Killed):
        run(kind, watch)
    (state,) = tmp_path.glob("*.state")
    assert 0 < every_third.load(state.stem)["steps"] < 8
    with checkpointed(folder_like(every_third)):
        assert_same(run(kind), run(kind))


def folder_like(checkpoints):
    return replace(checkpoints, interval=1e9, clock=time.monotonic)


def test_a_finished_training_is_not_made_again(folder, monkeypatch):
    with checkpointed(folder):
        expected = run("weights")
        monkeypatch.setattr("ntk_theory.training.descent.make_neurons", None)
        seen = []
        assert_same(run("weights", seen.append), expected)
    assert seen == list(range(1, STEPS + 1))


def test_a_diverged_training_is_kept_as_such(folder):
    with checkpointed(folder):
        first = run("weights", learning_rate=50.0)
        again = run("weights", learning_rate=50.0)
    assert "diverged" in first.diverged
    assert_same(again, first)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.1},
        {"steps": STEPS + 1},
        {"record": [STEPS]},
        {"layers": "both"},
        {"keep_network": False},
    ],
)
def test_another_training_finds_nothing_of_this_one(folder, changes):
    with checkpointed(folder):
        run("weights")
        found = run("weights", **changes)
    assert_same(found, run("weights", **changes))
    assert len(list(folder.directory.glob("*.state"))) == 2


@pytest.mark.parametrize("kept", [0, 10, 40, -1])
def test_a_half_written_state_is_never_taken(folder, kept):
    with checkpointed(folder), pytest.raises(CancelledError):
        run("weights", killed_after(5))
    (state,) = folder.directory.glob("*.state")
    state.write_bytes(state.read_bytes()[:kept])
    seen = []
    with checkpointed(folder):
        found = run("weights", seen.append)
    assert_same(found, run("weights"))
    assert seen == list(range(1, STEPS + 1))


def test_nothing_is_saved_outside_the_context(folder):
    with checkpointed(folder):
        pass
    run("weights")
    assert not list(folder.directory.glob("*.state"))


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (CONFIGURATION | {"ntk_theory": "1"}, "ntk_theory: 0 there, 1 now"),
        ({"claim": {"seed": 1}, "ntk_theory": "0"}, "'seed': 0} there, {'seed': 1} now"),
        (CONFIGURATION | {"other": {}}, "other: None there, {} now"),
        ({"ntk_theory": "0"}, "claim: {'seed': 0} there, None now"),
    ],
)
def test_checkpoints_of_another_run_are_refused(folder, configuration, message):
    with pytest.raises(ValueError, match="of another run") as error:
        Checkpoints.open(folder.directory, configuration, 1.0)
    assert message in str(error.value)
    assert Checkpoints.open(folder.directory, CONFIGURATION, 1.0)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="name an empty or new folder"):
        Checkpoints.open(tmp_path, CONFIGURATION, 1.0)


def test_the_command_refuses_checkpoints_of_another_run(tmp_path, capsys):
    Checkpoints.open(tmp_path, CONFIGURATION, 1.0)
    command = ["lazy", "--preset", "quick", "--checkpoint", str(tmp_path), "--no-progress"]
    assert verify.main(command) == 2
    assert "--checkpoint: the checkpoints in" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["-1", "nan", "inf", "soon"])
def test_the_command_refuses_what_is_no_time(minutes, capsys):
    with pytest.raises(SystemExit) as exit_:
        verify.main(["lazy", "--checkpoint-every", minutes])
    assert exit_.value.code == 2
    assert "expected minutes, 0 or more" in capsys.readouterr().err


TINY = ["residual-law", "--preset", "quick", "--seeds", "6", "--widths", "64,128,256,512"]


def command(folder, checkpoint=None):
    """A small run, as typed."""
    words = [sys.executable, "-m", "ntk_theory.verify", *TINY, "--no-progress"]
    if checkpoint is not None:
        words += ["--checkpoint", str(checkpoint), "--checkpoint-every", "0"]
    return [*words, "--json", str(folder / "results.json")]


def results(folder, checkpoint=None):
    """JSON of a run in a process of its own, without times."""
    subprocess.run(command(folder, checkpoint), stdout=subprocess.DEVNULL, check=False)
    found = json.loads((folder / "results.json").read_text())
    for claim in found["claims"]:
        del claim["seconds"]
    return found


def kill_with_states(folder, checkpoint, states):
    """Run until there are so many states, then kill the process at whatever it is doing."""
    process = subprocess.Popen(command(folder, checkpoint), stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and len(list(checkpoint.glob("*.state"))) < states:
            time.sleep(0.001)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"


@again
def test_a_run_that_was_killed_twice_gives_the_same_results(tmp_path):
    expected = results(tmp_path)
    (tmp_path / "results.json").unlink()
    checkpoint = tmp_path / "states"
    kill_with_states(tmp_path, checkpoint, 1)
    kill_with_states(tmp_path, checkpoint, 4)
    assert results(tmp_path, checkpoint) == expected


@pytest.mark.parametrize("limits", [(1e3, 1e9), (1e9, 1e3)])
def test_a_training_is_taken_up_with_more_or_less_memory(limits, folder):
    # Two nets of 300 neurons on 8 points have 4800 activation patterns, which either fit or do not.
    expected = run("weights")
    for limit, step in zip(limits, (4, STEPS + 1), strict=True):
        watch = killed_after(step)
        with checkpointed(folder), limited_memory(limit):
            if step <= STEPS:
                with pytest.raises(CancelledError):
                    run("weights", watch)
            else:
                assert_same(run("weights", watch), expected)


def test_a_state_that_cannot_be_written_is_said_once_and_the_run_goes_on(folder, monkeypatch):
    expected = run("weights")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ntk_theory.machine.atomic.os.fsync", full)
    eager = replace(folder, interval=0.0)
    with checkpointed(eager), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):
            assert_same(run("weights"), expected)
    assert ["No space left on" in str(one.message) for one in warned] == [True]
    assert [path.name for path in folder.directory.iterdir()] == ["manifest.json"]


def test_a_state_that_cannot_be_read_is_made_again(folder):
    with checkpointed(folder):
        expected = run("weights")
        (state,) = folder.directory.glob("*.state")
        state.unlink()
        state.mkdir()
        with pytest.warns(RuntimeWarning, match="no checkpoint can be written"):
            assert_same(run("weights"), expected)

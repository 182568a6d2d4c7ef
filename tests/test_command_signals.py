"""Signals: what was finished is on disk, workers are gone, and the status says which it was."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from how_much import again
from ntk_theory import verify
from ntk_theory.command import signals
from ntk_theory.command.statuses import StoppedBySignal, of_signal
from ntk_theory.machine import atomic
from stand_ins import claim, result_of, use

ASKING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def ids(file):
    return [entry["id"] for entry in read(file)["claims"]]


@pytest.fixture(autouse=True)
def handlers_are_given_back():
    """Handlers as of a process in the foreground: one in the background may ignore signals."""
    usual = dict.fromkeys(ASKING, signal.SIG_DFL)
    usual[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    assert {number: signal.getsignal(number) for number in ASKING} == usual
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ASKING)
def test_a_signal_ends_the_run_and_leaves_what_was_finished(number, monkeypatch, tmp_path, capsys):
    def run(made, options, progress):
        signal.raise_signal(number)
        pytest.fail("went on")

    use(monkeypatch, claim("one"), claim("two", run), claim("three"))
    file = tmp_path / "r.json"
    assert verify.main(["all", "--json", str(file), "--out", str(tmp_path / "out")]) == 128 + number
    assert ids(file) == ids(tmp_path / "out" / "results.json") == ["one"]
    assert read(file)["not_run"] == ["two", "three"]
    assert read(file)["exit_status"] == 128 + number
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_signal_while_results_are_written_waits_for_them(times, monkeypatch, tmp_path, capsys):
    fsync, left = os.fsync, [signal.SIGINT] * times

    def press(descriptor):
        fsync(descriptor)
        if "one" in sys.argv:
            for number in left[:]:
                left.remove(number)
                signal.raise_signal(number)

    def run(made, options, progress):
        monkeypatch.setattr(sys, "argv", ["one"])
        return result_of(made, options)

    use(monkeypatch, claim("one", run), claim("two"))
    monkeypatch.setattr(atomic.os, "fsync", press)
    file = tmp_path / "r.json"
    assert verify.main(["all", "--json", str(file), "--out", str(tmp_path / "out")]) == 130
    assert not left
    assert ids(file) == ids(tmp_path / "out" / "results.json") == ["one"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_second_signal_does_not_stop_what_the_first_one_has_begun(monkeypatch, tmp_path, capsys):
    def run(made, options, progress):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            return result_of(made, options, interrupted=True)

    use(monkeypatch, claim("one", run), claim("two"))
    assert verify.main(["all", "--json", str(tmp_path / "r.json")]) == 143
    assert ids(tmp_path / "r.json") == ["one"]
    assert "two" in capsys.readouterr().out


def test_a_signal_while_a_picture_is_drawn_loses_the_picture_alone(monkeypatch, tmp_path, capsys):
    use(monkeypatch, claim("one", panel=lambda *_: signal.raise_signal(signal.SIGINT)))
    assert verify.main(["one", "--out", str(tmp_path)]) == 130
    assert ids(tmp_path / "results.json") == ["one"]
    assert read(tmp_path / "results.json")["exit_status"] == 130
    assert not (tmp_path / "one.png").exists()


class Callback:
    """Something with a weak reference to it, whose callback is where a signal comes."""


def test_a_signal_that_python_swallows_is_heard_again(monkeypatch, tmp_path, capsys):
    def run(made, options, progress):
        gone = Callback()
        reference = weakref.ref(gone, lambda _: signal.raise_signal(signal.SIGTERM))
        del gone
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            time.sleep(0.01)
        pytest.fail(f"not stopped, {reference}")

    use(monkeypatch, claim("one", run))
    assert verify.main(["one"]) == 143
    assert "Traceback" not in capsys.readouterr().err


def test_a_module_that_is_being_loaded_is_loaded_first(monkeypatch, tmp_path, capsys):
    (tmp_path / "slow_module.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGTERM)\ntime.sleep(0.3)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_module", raising=False)

    def run(made, options, progress):
        import slow_module

        deadline = time.monotonic() + 5
        while slow_module.whole and time.monotonic() < deadline:
            time.sleep(0.01)
        pytest.fail("not stopped")

    use(monkeypatch, claim("one", run))
    assert verify.main(["one"]) == 143
    assert sys.modules.pop("slow_module").whole


def test_a_signal_that_was_ignored_still_is():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.heeded():
            signal.raise_signal(signal.SIGINT)
            assert signals.received() is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_shielded_is_finished_first():
    done = []

    def finish():
        with signals.shielded(), signals.shielded():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with signals.heeded():
        with pytest.raises(StoppedBySignal):
            finish()
        with signals.shielded():
            done.append("and what comes after")
        assert signals.received() == signal.SIGINT
    assert len(done) == 2
    assert of_signal(signal.SIGINT) == 130


def test_a_run_that_does_not_end_is_ended(monkeypatch, tmp_path, capsys):
    codes, ended = [], threading.Event()

    def leave(code):
        codes.append(code)
        ended.set()

    def hang(made, options, progress):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        ended.wait(20)
        return result_of(made, options)

    use(monkeypatch, claim("one"), claim("two", hang))
    monkeypatch.setattr(signals, "_GRACE", 0.2)
    monkeypatch.setattr(signals.os, "_exit", leave)
    assert verify.main(["all", "--json", str(tmp_path / "r.json")]) == 143
    assert codes == [143]


# ---------------------------------------------------------------- processes of their own

NETS = """
import os, sys, time
from ntk_theory import verify
from ntk_theory.machine import jobs
from stand_ins import claim

def work(made, options, progress):
    pids = sorted(jobs.in_workers(os.getpid, [()] * 40))
    print(*sorted(set(pids)), flush=True)
    return list(jobs.in_workers(time.sleep, [(600.0,), (600.0,)]))

if __name__ == "__main__":
    verify.all_claims = lambda: {"one": claim("one", work)}
    sys.exit(verify.main(["one", "--jobs", "2", "--json", sys.argv[1]]))
"""
"""Workers train the nets of one claim."""

CLAIMS = """
import os, sys, time
from pathlib import Path
from ntk_theory import verify
from stand_ins import claim, result_of

def begin():
    Path(sys.argv[1]).with_name(f"{os.getpid()}.working").touch()

def slow(made, options, progress):
    progress.start("slow", 1.0)
    begin()
    try:
        for _ in range(1200):
            time.sleep(0.1)
            progress.advance(0.0)
    except KeyboardInterrupt:
        return result_of(made, options, interrupted=True)

def stuck(made, options, progress):
    begin()
    time.sleep(120)

def raises(made, options, progress):
    raise KeyError("rho")

def ends(made, options, progress):
    begin()
    os._exit(9)

RUNS = {"first": None, "slow": slow, "done": None, "stuck": stuck, "raises": raises, "ends": ends}
verify.all_claims = lambda: {name: claim(name, run) for name, run in RUNS.items()}

if __name__ == "__main__":
    sys.exit(verify.main([*sys.argv[2:], "--json", sys.argv[1]]))
"""
"""Workers run claims that do this or that."""


def start(code, tmp_path, *words):
    (tmp_path / "work.py").write_text(code, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "work.py"), str(tmp_path / "r.json"), *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def working(process, tmp_path, count):
    """Ids of the processes that have begun, when the first claim is on disk.

    Not by what they print: in a pipe lines of several processes may run into each other.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = [int(path.stem) for path in tmp_path.glob("*.working")]
        if len(found) == count and (tmp_path / "r.json").exists() and ids(tmp_path / "r.json"):
            return found
        time.sleep(0.05)
    process.kill()
    return pytest.fail(process.communicate()[1])


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    except OSError:
        return False


def gone(workers):
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, workers))


in_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc"
)
either_end = pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(getattr(signal, "SIGKILL", signal.SIGTERM), marks=again)],
)


@in_proc
@either_end
def test_workers_that_train_nets_are_gone_with_the_run_however_it_ends(number, tmp_path):
    process = start(NETS, tmp_path)
    workers = [int(word) for word in process.stdout.readline().split()]
    assert workers
    assert all(map(alive, workers))
    process.send_signal(number)
    assert process.wait(20) == (143 if number == signal.SIGTERM else -9)
    assert gone(workers)
    assert "Traceback" not in process.communicate()[1]


@in_proc
@either_end
def test_workers_that_run_claims_are_gone_with_the_run_however_it_ends(number, tmp_path):
    process = start(CLAIMS, tmp_path, "first", "slow", "done", "stuck", "--jobs", "3")
    workers = working(process, tmp_path, 2)
    assert all(map(alive, workers))
    process.send_signal(number)
    assert process.wait(20) == (143 if number == signal.SIGTERM else -9)
    assert gone(workers)
    _, err = process.communicate()
    assert "Traceback" not in err
    document = read(tmp_path / "r.json")
    if number == signal.SIGTERM:
        # What has ended meanwhile is kept, and what has begun, as far as it had come.
        assert ids(tmp_path / "r.json") == ["first", "slow", "done"]
        assert [entry["interrupted"] for entry in document["claims"]] == [False, True, False]
        assert document["not_run"] == ["stuck"]
        assert err.count("\n") == 1
    else:
        assert ids(tmp_path / "r.json") == ["first"]


@in_proc
def test_a_claim_that_raises_in_a_worker_loses_no_other_one(tmp_path):
    process = start(CLAIMS, tmp_path, "raises", "first", "done", "--jobs", "2")
    _, err = process.communicate()
    assert process.returncode == 5
    assert ids(tmp_path / "r.json") == ["first", "done"]
    (failed,) = read(tmp_path / "r.json")["failed"]
    assert "raises" in failed.values()
    assert err.count("\n") == 1
    assert "raises: a fault of ntk_theory" in err
    assert "KeyError: 'rho'" in err


@in_proc
def test_a_worker_that_is_killed_ends_the_run(tmp_path):
    process = start(CLAIMS, tmp_path, "first", "ends", "slow", "--jobs", "2")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "a worker of --jobs was killed" in err
    assert "Traceback" not in err
    document = read(tmp_path / "r.json")
    assert "slow" in document["not_run"]
    assert len(document["failed"]) == 1

"""Exit statuses: one for each way to end, and 1 for VIOLATED alone."""

import errno
import json
import re
import warnings

import pytest

from ntk_theory import verify
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.command import statuses
from ntk_theory.command.statuses import Status, explain_crash, of_error, of_verdicts
from ntk_theory.machine.ranks import LostProcessError
from stand_ins import claim, result_of, use


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([Verdict.SUPPORTED], 0),
        ([Verdict.SUPPORTED, Verdict.INCONCLUSIVE], 3),
        ([Verdict.SUPPORTED, Verdict.PREMISE_UNMET], 3),
        ([Verdict.PREMISE_UNMET, Verdict.VIOLATED], 1),
        ([Verdict.SUPPORTED, Verdict.VIOLATED], 1),
        ([], 3),
    ],
)
def test_the_exit_status_is_that_of_the_worst_verdict(verdicts, status):
    assert of_verdicts(verdicts) == status


@pytest.mark.parametrize("happened", [Status.CRASHED, Status.OUT_OF_MEMORY, Status.NOT_WRITTEN])
@pytest.mark.parametrize("verdict", Verdict)
def test_what_kept_a_run_from_its_end_comes_before_any_verdict(verdict, happened):
    assert of_verdicts([verdict], [happened]) is happened


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("x"), Status.CRASHED),
        (ZeroDivisionError(), Status.CRASHED),
        (MemoryError(), Status.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 6),
        (RuntimeError("CUDA out of memory. Tried to allocate"), Status.OUT_OF_MEMORY),
        (RuntimeError("can't start new thread"), Status.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Status.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device", "r.json"), Status.NOT_WRITTEN),
        (PermissionError(errno.EACCES, "Permission denied", "x"), Status.CRASHED),
        (LostProcessError("a worker was killed"), Status.LOST_PROCESS),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Status.CRASHED),
    ],
)
def test_an_error_of_every_kind_has_a_status_and_one_line(error, status):
    assert of_error(error) == status
    assert "\n" not in explain_crash(error)


def test_every_status_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        verify.main(["--help"])
    printed = capsys.readouterr().out
    for status in Status:
        assert f"  {status.value:<4} {status.meaning}" in printed


def fails(error):
    def run(made, options, progress):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyError("rho"), 5, "a fault of ntk_theory .*KeyError: 'rho'.*please report this line"),
        (ValueError("two\nlines"), 5, "ValueError: two lines in "),
        (MemoryError("Unable to allocate 7 EiB"), 6, "the memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 7, "cannot write x: No space"),
    ],
)
def test_a_claim_that_raises_loses_no_other_claim(
    error, status, words, monkeypatch, tmp_path, capsys
):
    use(monkeypatch, claim("first"), claim("second", fails(error)), claim("third"))
    file = tmp_path / "found.json"
    assert verify.main(["all", "--json", str(file)]) == status
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("python -m ntk_theory.verify: error: second: ")
    assert re.search(words, line)
    assert "SUPPORTED third" in printed.out
    document = json.loads(file.read_text(encoding="utf-8"))
    assert [entry["id"] for entry in document["claims"]] == ["first", "third"]
    assert [entry["id"] for entry in document["failed"]] == ["second"]
    assert document["exit_status"] == status


def test_a_fault_is_not_a_verdict_even_beside_one(monkeypatch, capsys):
    use(monkeypatch, claim("wrong", verdict=Verdict.VIOLATED), claim("broken", fails(KeyError())))
    assert verify.main(["all"]) == Status.CRASHED
    assert verify.main(["wrong"]) == Status.VIOLATED
    capsys.readouterr()


def test_the_traceback_is_shown_on_demand_only(monkeypatch, capsys):
    use(monkeypatch, claim("broken", fails(KeyError("rho"))))
    assert verify.main(["broken"]) == 5
    assert "Traceback" not in capsys.readouterr().err
    assert verify.main(["broken", "--debug"]) == 5
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_outside_the_claims_has_the_same_status(monkeypatch, capsys):
    monkeypatch.setattr(verify, "_chosen", lambda *_: {}["nothing"])
    assert verify.main(["air"]) == 5
    assert capsys.readouterr().err.count("\n") == 1


def test_claims_that_were_done_are_written_when_a_worker_is_lost(monkeypatch, tmp_path, capsys):
    lost = LostProcessError("a worker was killed")
    use(monkeypatch, claim("first"), claim("second", fails(lost)), claim("third"))
    file = tmp_path / "found.json"
    assert verify.main(["all", "--json", str(file)]) == 4
    assert "a worker was killed" in capsys.readouterr().err
    document = json.loads(file.read_text(encoding="utf-8"))
    assert [entry["id"] for entry in document["claims"]] == ["first"]
    assert document["not_run"] == ["third"]


def test_what_a_run_warns_of_is_one_line(monkeypatch, capsys):
    def run(made, options, progress):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the disk is full", RuntimeWarning, stacklevel=1)
        return result_of(made, options)

    use(monkeypatch, claim("one", run))
    assert verify.main(["one"]) == 0
    assert capsys.readouterr().err == "python -m ntk_theory.verify: warning: the disk is full\n"


def test_a_place_in_the_package_is_named_where_the_fault_is():
    with pytest.raises(TypeError) as raised:
        statuses.of_verdicts(3)
    assert "in ntk_theory/command/statuses.py:" in explain_crash(raised.value)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but RANK is not set: launch with torchrun"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number of at least 1; got 'two'"),
        ({"WORLD_SIZE": "-3"}, "WORLD_SIZE must be a whole number"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
            "RANK must be below WORLD_SIZE, 2; got 2",
        ),
    ],
)
def test_variables_that_no_launcher_sets_are_refused(variables, words, monkeypatch, capsys):
    use(monkeypatch, claim("one"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert verify.main(["one"]) == 2
    assert words in capsys.readouterr().err


def test_a_rank_that_somebody_left_behind_silences_nothing(monkeypatch, capsys):
    use(monkeypatch, claim("one"))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "x")
    assert verify.main(["one"]) == 0
    assert "SUPPORTED one" in capsys.readouterr().out
    assert verify.main(["two"]) == 2
    assert "no claim 'two'" in capsys.readouterr().err

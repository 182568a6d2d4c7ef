"""The command line: exit status, refusals, files, and the same output for the same command."""

import json
import math
import re
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from ntk_theory import verify
from ntk_theory.command import parser
from ntk_theory.command.recording import Outputs
from ntk_theory.command.statuses import Refusal
from ntk_theory.machine import jobs, progress
from ntk_theory.machine.resources import memory_limit
from ntk_theory.report.document import finite, to_json
from stand_ins import claim, use

TOY = [
    *("convergence", "--clusters", "4", "--points", "5", "--ratio", "12", "--noise-rate", "0.2"),
    *("--widths", "128,256,512,1024,2048", "--seeds", "4", "--steps", "256", "--no-progress"),
]


QUICK = [
    *("margin", "--clusters", "4", "--points", "5", "--ratio", "8", "--noise-rate", "0.2"),
    *("--widths", "256,512,1024,2048,4096", "--seeds", "6", "--no-progress"),
]
"""A run that is over in a second."""

TORCHRUN = {
    "WORLD_SIZE": "2",
    "RANK": "1",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
}


@pytest.fixture
def single_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of one supported toy run."""
    directory = tmp_path_factory.mktemp("out") / "deep" / "er"
    assert verify.main([*QUICK, "--out", str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def document(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def without_seconds(text):
    document = json.loads(text)
    for entry in document["claims"]:
        del entry["seconds"]
    return document


def test_a_supported_claim_exits_with_0_and_says_what_was_found(capsys):
    assert verify.main(QUICK) == 0
    printed = capsys.readouterr().out
    assert printed.strip().startswith("SUPPORTED margin: ")
    for word in ("Premises", "Measurements", "Controls", "predicted", "tolerance", "slack"):
        assert word in printed


def test_an_unmet_premise_exits_with_3_and_is_named(capsys):
    assert verify.main([*TOY, "--learning-rate", "5"]) == 3
    assert "PREMISE_UNMET" in capsys.readouterr().out
    assert verify.main([*TOY, "--noise-rate", "0.6"]) == 3
    assert "recoverable noise rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--noise-rate", "1.5"], r"noise_rate must lie in \(0, 1\).*got 1.5"),
        (["--noise-rate", "nan"], "noise_rate"),
        (["--steps", "1000000000"], "steps must be at most"),
        (["--noise-rate", "0.01"], "less than one label.*at least 0.2"),
        (["--ratio", "0.5"], "ratio must be above 1.*got 0.5"),
        (["--ratio", "inf"], "ratio must be above 1"),
        (["--widths", "7,x"], "whole numbers separated by commas.*7,x"),
        (["--widths", "7,9,11,13,15"], "widths must be even"),
        (["--widths", "64,128,256"], "at least 4 different"),
        (["--widths", "64,64,128,256,512"], "different"),
        (["--points", "1"], "points must be at least 2.*got 1"),
        (["--clusters", "1"], "clusters must be at least 2"),
        (["--cross-cosine", "1"], "cross_cosine must lie in"),
        (["--seeds", "1"], "seeds must be at least 3"),
        (["--seed", "-1"], "seed"),
        (["--steps", "3"], "steps must be at least"),
        (["--learning-rate", "0"], "learning_rate must be positive"),
        (["--learning-rate", "nan"], "learning_rate must be positive"),
        (["--init-scale", "-1"], "init_scale must be positive"),
        (["--schedule", "soon"], "schedule must be one of power, geometric"),
        (["--schedule", "power:speed=3"], "takes the keys burn_in, decay, exponent"),
        (["--schedule", "power:burn_in=inf"], "burn_in must be a whole number"),
        (["--schedule", "power:decay=1,decay=2"], "decay is given twice"),
        (["--ratio", "1e9"], "take .* steps .*raise the rate, lower the ratio, or give steps"),
        (["--clusters", "1000000"], "steps, clusters or points are too many"),
        (["--widths", "4096,8192,16384,2000000000"], "2000000000 needs about .* GiB"),
        (["--memory", "100KB"], "needs about .* GiB of memory, more than the 0.0 GiB"),
        (["--memory", "lots"], "expected a size, as in 8GiB or 500MB; got 'lots'"),
        (["--memory", "0"], "expected a size"),
        (["--device", "gpu9"], "--device must be cpu, cuda, cuda:N or auto; got gpu9"),
        (["--device", "mps"], "--device must be cpu, cuda, cuda:N or auto; got mps"),
        (["--device", "cuda:99"], "--device cuda:99 is not usable"),
        (["--dtype", "int8"], "invalid choice"),
        (["--preset", "slow"], "has no preset slow; it has quick, standard"),
        (["nonsense"], "no claim 'nonsense'.*convergence"),
    ],
)
def test_bad_use_is_refused_in_one_line_with_status_2(arguments, complaint, capsys):
    # The run that chooses its own steps is refused, not the one that is given them.
    given = [word for word in TOY if word not in ("--steps", "256")]
    try:
        status = verify.main([*given, *arguments])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    captured = capsys.readouterr()
    (message,) = captured.err.strip().splitlines()
    assert message.startswith("python -m ntk_theory.verify: error: ")
    assert re.search(complaint, message), message
    assert captured.out == ""


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GiB", 8 * 2**30), ("500MB", 5e8), ("1.5 K", 1500.0), ("2Mi", 2**21), ("7", 7.0)],
)
def test_sizes_of_memory_are_read_in_both_kinds_of_units(text, size):
    assert parser._bytes(text) == size


@pytest.mark.parametrize("there", [True, False])
def test_the_automatic_device_is_a_gpu_of_this_process_if_there_is_one(there, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert verify._best_device() == ("cuda:1" if there else "cpu")


def test_no_claim_is_refused_with_the_list_of_claims(capsys):
    assert verify.main([]) == 2
    assert "convergence" in capsys.readouterr().err


def test_an_unwritable_place_is_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verify, "run_claims", lambda *_, **__: pytest.fail("worked first"))
    (tmp_path / "file").touch()
    for flag in ("--out", "--json"):
        assert verify.main([*TOY, flag, str(tmp_path / "file" / "inside")]) == 2
        assert "cannot write" in capsys.readouterr().err
    assert verify.main([*TOY, "--json", str(tmp_path)]) == 2


def test_testing_a_place_leaves_nothing_behind_and_loses_nothing(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text("precious")
    report = str(tmp_path / "new.html")
    words = ["margin", "--json", str(kept), "--out", str(tmp_path), "--report", report]
    Outputs.of(parser.parsed(words), ["margin"])
    assert kept.read_text(encoding="utf-8") == "precious"
    assert list(tmp_path.iterdir()) == [kept]


def test_the_list_names_every_claim_with_its_statement(capsys):
    assert verify.main(["--list"]) == 0
    assert "convergence" in capsys.readouterr().out


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "ntk_theory.verify", "convergence", "--points", "1"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------- files


def test_the_json_has_the_documented_layout(document):
    assert document["schema"] == 2
    assert document["exit_status"] == 0
    assert document["failed"] == document["not_run"] == []
    assert {"python", "numpy", "scipy", "torch", "blas", "platform", "threads", "git"} <= set(
        document["environment"]
    )
    (claim,) = document["claims"]
    assert claim["id"] == "margin"
    assert claim["verdict"] == "SUPPORTED"
    assert isinstance(claim["seconds"], float)
    assert {"name", "value", "holds"} <= set(claim["premises"][0])
    assert {"name", "predicted", "measured", "interval", "tolerance", "slack", "holds"} <= set(
        claim["measurements"][0]
    )
    assert {"id", "broken_premise", "expected", "verdict", "holds"} <= set(claim["controls"][0])


def test_the_recorded_command_repeats_the_run(document, tmp_path, capsys):
    command = document["claims"][0]["command"].split()
    assert command[:3] == ["python", "-m", "ntk_theory.verify"]
    file = tmp_path / "again.json"
    assert verify.main([*command[3:], "--no-progress", "--json", str(file)]) == 0
    assert (
        without_seconds(file.read_text(encoding="utf-8"))["claims"]
        == without_seconds(json.dumps(document))["claims"]
    )
    capsys.readouterr()


def test_the_same_command_writes_the_same_files(folder, tmp_path):
    assert verify.main([*QUICK, "--out", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"results.json", "margin.jsonl", "margin.npz", "margin.png"}
    first, second = (
        (path / "results.json").read_text(encoding="utf-8") for path in (folder, tmp_path)
    )
    assert without_seconds(first) == without_seconds(second)
    for name in names - {"results.json"}:
        if not name.endswith("npz"):  # a zip archive carries dates
            assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
    with np.load(folder / "margin.npz") as a, np.load(tmp_path / "margin.npz") as b:
        assert set(a) == set(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.usefixtures("single_thread")
def test_claims_side_by_side_find_the_same_to_the_bit_and_in_order(tmp_path):
    """With as many threads each; finished trainings are saved by either."""
    words = ["ridge-rounds", "residual-law", "--preset", "quick", "--no-progress"]
    documents = []
    for count in ("1", "2"):
        place = tmp_path / count
        extra = ["--jobs", count, "--out", str(place), "--checkpoint", str(place / "states")]
        assert verify.main([*words, *extra]) == 0
        text = (place / "results.json").read_text(encoding="utf-8")
        documents.append(without_seconds(text)["claims"])
        assert list((place / "states").rglob("*.state"))
    for one in documents[0] + documents[1]:
        del one["command"]
    assert [one["id"] for one in documents[1]] == ["ridge-rounds", "residual-law"]
    assert documents[0] == documents[1]
    for file in (tmp_path / "1").glob("*.jsonl"):
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_the_metrics_have_one_row_for_each_net(folder):
    lines = (folder / "margin.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 3 * 5 * 6  # ways of training, widths, nets
    assert {row["training"] for row in rows} == {
        "self-distillation", "plain training", "best stopping"
    }  # fmt: skip
    assert {row["width"] for row in rows} == {256, 512, 1024, 2048, 4096}
    assert all(math.isfinite(row["final_rms_error"]) for row in rows)


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (["margin", "--noise-rate", "0.39"], "0.3 and 0.4; got 0.39, which is 3.9 points"),
        (["all", "--noise-rate", "0.3"], "clusters of 5 points, as finite-width has them"),
        (["convergence", "--points", "20", "--noise-rate", "0.31"], "0.3 and 0.35; got 0.31"),
    ],
)
def test_a_noise_rate_that_no_cluster_can_have_is_refused(command, advice, capsys):
    assert verify.main(command) == 2
    assert advice in capsys.readouterr().err


def test_json_has_no_nan():
    text = to_json(finite({"value": math.nan, "list": [math.inf, 1.0]}))
    assert json.loads(text) == {"value": None, "list": [None, 1.0]}


def test_an_interrupted_command_reports_what_it_has(monkeypatch, tmp_path, capsys):
    done = []

    def press(self, amount):
        done.append(amount)
        if len(done) > 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Bar, "advance", press)
    file = tmp_path / "partial.json"
    assert verify.main([*TOY, "--json", str(file), "--out", str(tmp_path)]) == 130
    (claim,) = json.loads(file.read_text(encoding="utf-8"))["claims"]
    assert claim["interrupted"] is True
    assert claim["verdict"] == "INCONCLUSIVE"
    assert (tmp_path / "convergence.jsonl").read_text(encoding="utf-8") != ""
    assert "interrupted" in capsys.readouterr().out


def test_an_interrupted_command_names_the_claims_it_did_not_come_to(monkeypatch, tmp_path, capsys):
    def press(self, amount):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.Bar, "advance", press)
    files = [tmp_path / name for name in ("partial.json", "report.html", "report.md")]
    for file in files:
        flag = "--json" if file.suffix == ".json" else "--report"
        command = ["margin", "lazy", "air", *("--preset", "quick", "--jobs", "1"), flag, str(file)]
        assert verify.main(command) == 130
        assert capsys.readouterr().out.count("not run") == 2
    assert json.loads(files[0].read_text(encoding="utf-8"))["not_run"] == ["lazy", "air"]
    for file in files[1:]:
        assert "Cut short: margin. Not run: lazy, air." in file.read_text(encoding="utf-8")


def test_the_progress_bar_shows_on_a_terminal_only(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    arguments = [argument for argument in QUICK if argument != "--no-progress"]
    assert verify.main(arguments) == 0
    assert "margin" in capsys.readouterr().err


def test_the_bars_of_workers_show_how_far_they_are(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    board = progress.Board(3)
    with board.shown(["begun", "waiting", "done"], enabled=True):
        told = board.told(0)
        told.start("", 8.0)
        told.advance(2.0)
        board.set(2, 1.0)
        time.sleep(3 * progress._LOOK)
    drawn = capsys.readouterr().err
    assert "begun" in drawn
    assert "25 %" in drawn
    assert "waiting" not in drawn
    board.stop()
    with pytest.raises(KeyboardInterrupt):
        told.advance(1.0)


# ---------------------------------------------------------------- explanations and knobs


def test_an_explanation_is_printed_and_nothing_is_run(capsys):
    assert verify.main(["convergence", "--explain"]) == 0
    printed = capsys.readouterr().out
    for heading in ("Formulas", "Premises", "Derivation", "Controls", "Source"):
        assert f"\n{heading}" in printed
    assert "e_{t+1} = (I − ηH) e_t + ηH α_t ξ" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 100


def test_every_claim_can_be_explained_at_once(capsys):
    assert verify.main(["all", "--explain"]) == 0
    printed = capsys.readouterr().out
    for id_ in verify.all_claims():
        assert f"Run it: python -m ntk_theory.verify {id_}" in printed


def test_a_knob_that_a_claim_does_not_take_is_refused_by_name(capsys, monkeypatch):
    use(monkeypatch, claim("convergence"))
    assert verify.main(["convergence", "--schedule", "power"]) == 2
    complaint = capsys.readouterr().err
    assert "convergence takes no --schedule; its knobs are" in complaint
    assert "--noise-rate" in complaint
    assert verify.main(["all", "--schedule", "power"]) == 2
    assert "takes no --schedule" in capsys.readouterr().err


def test_of_all_claims_those_that_take_a_knob_get_it():
    both = [claim("convergence"), claim("other")]
    both[0].knobs = frozenset({"seeds"})
    arguments = parser.parsed(["all", "--seeds", "7", "--seed", "3"])
    options = verify._checked_options(arguments, both)
    assert (options["convergence"].seeds, options["other"].seeds) == (7, None)
    assert options["convergence"].seed == options["other"].seed == 3
    arguments = parser.parsed(["convergence", "other", "--seeds", "7"])
    with pytest.raises(Refusal, match="other takes no --seeds"):
        verify._checked_options(arguments, both)


def jobs_of(monkeypatch, *words, threads=4, claims=("one", "two", "three"), predict=None):
    """How many jobs a command comes to, on so many threads."""
    found = []
    made = [claim(name) for name in claims]
    if predict is not None:
        for one in made:
            one.predict = predict
    use(monkeypatch, *made)
    monkeypatch.setattr(verify, "_threads", lambda: threads)
    monkeypatch.setattr(jobs, "spread", lambda count, places: found.append(count) or nullcontext())
    assert verify.main([*claims, *words]) == 0
    return found


def test_several_claims_have_a_worker_for_each_core_unless_told(monkeypatch):
    assert jobs_of(monkeypatch) == [3]
    assert jobs_of(monkeypatch, threads=2) == [2]
    assert jobs_of(monkeypatch, threads=1) == [1]
    assert jobs_of(monkeypatch, claims=["one"]) == [1]
    assert jobs_of(monkeypatch, "--jobs", "7") == [3]  # as many as there are claims
    assert jobs_of(monkeypatch, "--jobs", "7", claims=["one"]) == [7]  # for its nets
    assert jobs_of(monkeypatch, "--jobs", "1") == [1]
    monkeypatch.setattr(verify, "_best_device", lambda: "cuda")
    monkeypatch.setattr(verify, "_check_device", lambda device: None)
    monkeypatch.setattr(verify, "_memory", lambda *_: 1e9)
    assert jobs_of(monkeypatch, "--device", "auto") == [1]


def test_claims_that_need_all_of_the_memory_are_run_one_after_the_other(monkeypatch, capsys):
    def predict(options):
        if memory_limit() < 5e8:
            raise ValueError("too little memory")
        return {}, {}

    assert jobs_of(monkeypatch, "--memory", "1GB", predict=predict) == [1]
    assert jobs_of(monkeypatch, "--memory", "2GB", predict=predict) == [3]
    capsys.readouterr()
    assert verify.main(["one", "two", "--memory", "0.1GB"]) == 2
    assert "too little memory" in capsys.readouterr().err


def test_on_a_gpu_its_free_memory_is_the_limit(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (7, 8) if device else None)
    assert verify._memory(None, "cuda:0", 1) == 7.0
    assert verify._memory(5.0, "cuda:0", 1) == 5.0


def test_processes_of_one_machine_share_its_memory(monkeypatch):
    whole = verify._memory(None, "cpu", 1)
    assert verify._memory(None, "cpu", 4) == whole / 4
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert verify._memory(None, "cpu", 1) == whole / 2
    assert verify._memory(12.0, "cpu", 1) == 6.0

"""What a run leaves behind: whole after every claim, and never beside what another has left."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from ntk_theory import verify
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.machine import atomic
from ntk_theory.machine.atomic import Staged, write_whole
from stand_ins import claim, result_of, use

OUT = ("results.json", "one.jsonl", "one.npz")


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def test_a_result_is_on_disk_before_it_is_printed_or_drawn(monkeypatch, tmp_path):
    seen = []

    class Watching:
        encoding = "utf-8"

        def write(self, text):
            if "SUPPORTED" in text:
                there = sorted(path.name for path in (tmp_path / "out").iterdir())
                seen.append((there, (tmp_path / "r.html").exists(), read(tmp_path / "r.json")))

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Watching())
    use(monkeypatch, claim("one"))
    words = ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "r.json")]
    assert verify.main(["one", *words, "--report", str(tmp_path / "r.html")]) == 0
    files, report, document = seen[0]
    assert files == sorted(OUT)
    assert report
    assert [entry["id"] for entry in document["claims"]] == ["one"]
    assert document["exit_status"] is None  # the run has not come to its end
    assert read(tmp_path / "r.json")["exit_status"] == 0


def test_after_every_claim_the_json_is_complete_as_far_as_it_goes(monkeypatch, tmp_path, capsys):
    file, seen = tmp_path / "r.json", []

    def look(made, options, progress):
        seen.append(read(file))
        return result_of(made, options)

    use(monkeypatch, claim("one"), claim("two", look), claim("three", look))
    assert verify.main(["all", "--json", str(file)]) == 0
    assert [[entry["id"] for entry in one["claims"]] for one in seen] == [["one"], ["one", "two"]]
    assert [one["not_run"] for one in seen] == [["two", "three"], ["three"]]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_later_run_leaves_nothing_of_an_earlier_one(monkeypatch, tmp_path, capsys):
    out, report = tmp_path / "out", tmp_path / "r.md"
    use(monkeypatch, claim("one"), claim("two"))
    words = ["--out", str(out), "--report", str(report)]
    assert verify.main(["all", *words]) == 0
    (out / "notes.txt").write_text("mine")
    (out / "three.png").write_text("of no claim")
    (out / ".download.part").write_text("mine, too")
    (out / ".one.npz.42.part").write_text("of a run that was killed")
    assert "two.png" in names(out)

    def nothing_to_draw(made, options, progress):
        return result_of(made, options, Verdict.VIOLATED, arrays={})

    use(monkeypatch, claim("one", nothing_to_draw), claim("two"))
    assert verify.main(["one", *words]) == 1
    assert names(out) == [".download.part", "notes.txt", "one.jsonl", "results.json", "three.png"]
    assert names(tmp_path / "r-pictures") == []
    assert "two" not in report.read_text(encoding="utf-8")


def test_a_run_that_comes_to_nothing_leaves_an_earlier_one_whole(monkeypatch, tmp_path, capsys):
    use(monkeypatch, claim("one"))
    assert verify.main(["one", "--out", str(tmp_path)]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for words in (["two"], ["one", "--jobs", "0"], ["one", "--json", str(tmp_path / "no" / "x")]):
        assert verify.main([*words, "--out", str(tmp_path)]) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_two_runs_are_never_side_by_side(monkeypatch, tmp_path, capsys):
    """Whichever step of the first writing is the last one."""
    use(monkeypatch, claim("one"))
    words = ["one", "--out", str(tmp_path / "out"), "--json", str(tmp_path / "r.json")]
    assert verify.main(words) == 0

    def places():
        return [*(tmp_path / "out").iterdir(), *tmp_path.glob("r.json")]

    def written(path):  # a number alone is given again once it is free
        return path.stat().st_ino, path.stat().st_mtime_ns

    old = {path: written(path) for path in places()}
    commit, unlink = Staged.commit, Path.unlink
    seen = []

    def look(what):
        def step(self, *args, **kwargs):
            now = {p: written(p) for p in places() if not p.name.endswith(".part")}
            seen.append({old.get(path) == of_it for path, of_it in now.items()})
            return what(self, *args, **kwargs)

        return step

    monkeypatch.setattr(Staged, "commit", look(commit))
    monkeypatch.setattr(Path, "unlink", look(unlink))
    assert verify.main(words) == 0
    assert {True} in seen  # all of the earlier run
    assert {False} in seen  # all of this one
    assert {True, False} not in seen


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--json", "a.html", "--report", "a.html"], "--json and --report are the same"),
        (["--json", "a.html", "--report", "./b/../a.html"], "--json and --report are the same"),
        (["--json", "out/results.json", "--out", "out"], "is a file that --out writes"),
        (["--json", "out/one.npz", "--out", "out"], "is a file that --out writes"),
        (["--report", "r.md", "--out", "r-pictures"], "are the same"),
        (["--checkpoint", "out", "--out", "out"], "--out and --checkpoint are the same"),
        (["--json", "no/such/folder.json"], "--json: cannot write .*No such file"),
        (["--json", "."], "--json: cannot write .*folder"),
        (["--json", "a\0b"], "--json: cannot write .*null"),
        (["--out", "file"], "--out: cannot write 'file'"),
        (["--json", "/proc/no.json"], "--json: cannot write"),
        (["--report", "r.pdf"], "--report must end in .html or .md"),
    ],
)
def test_outputs_that_cannot_stand_beside_each_other_are_refused(
    words, complaint, monkeypatch, tmp_path, capsys
):
    use(monkeypatch, claim("one", lambda *_: pytest.fail("worked first")))
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("b").mkdir()
    assert verify.main(["one", *words]) == 2
    assert re.search(complaint, capsys.readouterr().err)


@pytest.mark.parametrize(
    "words", [["--out", "-"], ["--out", ""], ["--json", ""], ["--report", "-"]]
)
def test_a_place_needs_a_name(words, capsys):
    with pytest.raises(SystemExit) as stop:
        verify.main(["margin", *words])
    assert stop.value.code == 2
    assert "expected the name of a file or folder" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_json_into_a_pipe_is_written_once_at_the_end(monkeypatch, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    use(monkeypatch, claim("one"), claim("two"))
    assert verify.main(["all", "--json", str(pipe)]) == 0
    document = json.loads(os.read(reader, 2**20))
    os.close(reader)
    assert len(document["claims"]) == 2
    assert document["exit_status"] == 0


def test_two_names_of_one_file_are_one_file(monkeypatch, tmp_path, capsys):
    use(monkeypatch, claim("one"))
    (tmp_path / "a.json").touch()
    (tmp_path / "b.html").symlink_to(tmp_path / "a.json")
    words = ["--json", str(tmp_path / "a.json"), "--report", str(tmp_path / "b.html")]
    assert verify.main(["one", *words]) == 2


def test_json_on_standard_output_is_all_that_is_there(monkeypatch, capsys):
    use(monkeypatch, claim("one"))
    assert verify.main(["one", "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["claims"][0]["id"] == "one"
    assert printed.out.isascii()
    assert "SUPPORTED one" in printed.err


def test_json_that_standard_output_does_not_take_is_a_result_that_is_not_written(
    monkeypatch, capsys
):
    class Full:
        encoding = "utf-8"

        def write(self, text):
            raise OSError(28, "No space left on device")

        flush = write

    use(monkeypatch, claim("one"))
    monkeypatch.setattr(sys, "stdout", Full())
    assert verify.main(["one", "--json", "-"]) == 7
    assert "cannot write standard output: No space left on device" in capsys.readouterr().err


def test_what_standard_output_takes_does_not_make_up_for_a_file_that_was_not_written(
    monkeypatch, tmp_path, capsys
):
    def full(_):
        raise OSError(28, "No space left on device")

    def run(made, options, progress):
        monkeypatch.setattr(atomic.os, "fsync", full)
        return result_of(made, options)

    use(monkeypatch, claim("one", run))
    assert verify.main(["one", "--json", "-", "--out", str(tmp_path)]) == 7
    assert json.loads(capsys.readouterr().out)["exit_status"] == 7


def test_a_disk_that_fills_up_is_said_and_the_run_goes_on(monkeypatch, tmp_path, capsys):
    full = iter([False, True, True, False, False])
    stage = atomic.os.fsync

    def fsync(number):
        if next(full, False):
            raise OSError(28, "No space left on device", str(tmp_path / "r.json"))
        stage(number)

    use(monkeypatch, claim("one"), claim("two"), claim("three"))
    monkeypatch.setattr(atomic.os, "fsync", fsync)
    assert verify.main(["all", "--json", str(tmp_path / "r.json")]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("cannot write") == 1  # not again with the next claim
    assert "No space left on device" in captured.err
    assert names(tmp_path) == ["r.json"]
    assert len(read(tmp_path / "r.json")["claims"]) == 3
    full = iter([False, *[True] * 9])
    assert verify.main(["one", "--json", str(tmp_path / "r.json")]) == 7
    assert names(tmp_path) == ["r.json"]
    assert len(read(tmp_path / "r.json")["claims"]) == 3  # of the run before, whole


def test_no_picture_is_put_beside_the_files_of_an_earlier_run(monkeypatch, tmp_path, capsys):
    def full(_):
        raise OSError(28, "No space left on device")

    def run(made, options, progress):
        monkeypatch.setattr(atomic.os, "fsync", full)
        return result_of(made, options)

    use(monkeypatch, claim("one"))
    assert verify.main(["one", "--out", str(tmp_path)]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    use(monkeypatch, claim("one", run, panel=lambda axes, _: axes.plot([5.0, 7.0])))
    monkeypatch.setattr("ntk_theory.report.pictures.write_whole", lambda *_: pytest.fail("drawn"))
    assert verify.main(["one", "--out", str(tmp_path)]) == 7
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_under_the_name_of_a_file_is_refused_before_the_work(
    monkeypatch, tmp_path, capsys
):
    use(monkeypatch, claim("one", lambda *_: pytest.fail("worked first")))
    (tmp_path / "one.npz").mkdir()
    assert verify.main(["one", "--out", str(tmp_path)]) == 2
    assert "one.npz': it is a folder" in capsys.readouterr().err


def test_numbers_of_numpy_and_what_is_not_finite_are_strict_json(monkeypatch, tmp_path, capsys):
    use(monkeypatch, claim("one"))
    assert verify.main(["one", "--out", str(tmp_path)]) == 0

    def refuse(word):
        raise AssertionError(word)

    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse)["claims"][0]["config"]["count"] == 3
    row = json.loads((tmp_path / "one.jsonl").read_text(encoding="utf-8"), parse_constant=refuse)
    assert row == {"claim": "one", "width": 64, "error": None}


# ---------------------------------------------------------------- files that are whole


def test_a_link_is_followed_and_permissions_are_kept(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_whole(link, "ρ\n")
    assert link.is_symlink()
    assert real.read_bytes() == "ρ\n".encode()
    assert real.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["link.json", "real.json"]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices on this system")
def test_nothing_is_renamed_over_a_device_or_a_pipe(tmp_path, monkeypatch, capsys):
    use(monkeypatch, claim("one"))
    assert verify.main(["one", "--json", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()
    write_whole(Path("/dev/null"), "x")
    assert not Path("/dev/null").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, "through")
    assert os.read(reader, 20) == b"through"
    os.close(reader)


def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    file = tmp_path / "r.json"
    write_whole(file, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert names(tmp_path) == ["r.json"]


@pytest.mark.parametrize("times", [2, 9])
def test_on_windows_a_file_that_is_open_elsewhere_is_tried_again(tmp_path, monkeypatch, times):
    left = [PermissionError(13, "in use")] * times
    rename = Path.replace

    def replace(self, target):
        if left:
            raise left.pop()
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(atomic, "_on_windows", lambda: True)
    monkeypatch.setattr(atomic.time, "sleep", lambda _: None)
    file = tmp_path / "r.json"
    if times > 4:
        with pytest.raises(PermissionError):
            write_whole(file, "new")
        assert names(tmp_path) == []
    else:
        write_whole(file, "new")
        assert file.read_text() == "new"

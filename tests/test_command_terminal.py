"""What becomes of the terminal touches neither results nor status."""

import io
import json
import os
import subprocess
import sys

import matplotlib as mpl
import pytest

from ntk_theory import drawing, verify
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims import all_claims
from ntk_theory.command.terminal import Steady, plain
from ntk_theory.report.explain import explanation
from ntk_theory.report.pictures import save_picture
from stand_ins import claim, result_of, use


class Failing(io.StringIO):
    """A stream that fails in one way or another."""

    encoding = "utf-8"

    def __init__(self, error, at="write"):
        super().__init__()
        self.error, self.at = error, at

    def write(self, text):
        if self.at == "write":
            raise self.error
        return len(text)

    def flush(self):
        raise self.error


class Narrow(io.TextIOWrapper):
    """A terminal with few letters; it raises for the others."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


STREAMS = {
    "closed": lambda: Failing(ValueError("I/O operation on closed file")),
    "full": lambda: Failing(OSError(28, "No space left on device"), "flush"),
    "a broken pipe": lambda: Failing(BrokenPipeError(32, "Broken pipe")),
    "none": lambda: None,
    "ascii": lambda: Narrow("ascii"),
    "cp1252": lambda: Narrow("cp1252"),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_results_and_status_are_those_of_a_good_terminal(kind, name, monkeypatch, tmp_path):
    use(monkeypatch, claim("one"), claim("two"))
    words = ["all", "--json", str(tmp_path / "r.json"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, name, STREAMS[kind]())
    assert verify.main(words) == 0
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [entry["id"] for entry in document["claims"]] == ["one", "two"]
    assert document["exit_status"] == 0
    assert (tmp_path / "out" / "two.png").exists()


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("words", [["--list"], ["convergence", "--explain"], ["--help"], ["no"]])
def test_asking_is_answered_as_far_as_the_terminal_goes(kind, words, monkeypatch):
    monkeypatch.setattr(sys, "stdout", STREAMS[kind]())
    monkeypatch.setattr(sys, "stderr", STREAMS[kind]())
    try:
        status = verify.main(words)
    except SystemExit as stop:
        status = stop.code
    assert status == (2 if words == ["no"] else 0)


def test_a_narrow_terminal_gets_the_letters_in_words(monkeypatch, capsys):
    narrow = Narrow("ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert verify.main(["all", "--explain"]) == 0
    text = narrow.text()
    assert "e_{t+1} = (I - etaH) e_t + etaH alpha_t xi" in " ".join(text.split())
    for one in all_claims().values():
        assert "?" not in plain(explanation(one), "ascii")


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("λ_min ≥ 2ρ", "ascii", "lambda_min >= 2rho"),
        ("Δ ± é", "cp1252", "Delta ± é"),
        ("Δ ± é", "ascii", "Delta +/- e"),
        ("λ", "utf-8", "λ"),
        ("λ", "no such encoding", "lambda"),
        ("猫", "ascii", "?"),
    ],
)
def test_text_is_spelled_in_the_letters_there_are(text, encoding, said):
    assert plain(text, encoding) == said


def test_a_stream_that_failed_once_is_left_alone():
    steady = Steady(Failing(OSError(32, "Broken pipe")))
    assert steady.write("abc") == 3
    assert steady.failed
    steady.flush()
    steady.writelines(["a", "b"])
    assert not steady.isatty()


def run(words, *, stdout, env=()):
    """A claim that takes no time, run by a process of its own."""
    code = (
        "import sys; from stand_ins import claim; from ntk_theory import verify\n"
        "verify.all_claims = lambda: {'one': claim('one')}\n"
        "sys.exit(verify.main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "one", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(env),
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")  # noqa: PTH110
def test_a_full_device_and_a_strange_backend_change_nothing_at_the_end_of_the_process(tmp_path):
    home = {"MPLBACKEND": "module://no_such_backend", "HOME": str(tmp_path), "TERM": "dumb"}
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        done = run(["--out", str(tmp_path / "out")], stdout=full, env=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("one.jsonl", "one.npz", "one.png", "results.json"),
    ]


def test_pictures_take_nothing_from_the_settings_of_a_user(tmp_path):
    result = result_of(claim("one"), Options())
    save_picture(tmp_path / "plain.png", result)
    settings = {"text.usetex": True, "font.size": 30, "axes.grid": True, "savefig.dpi": 20}
    with mpl.rc_context(settings):
        save_picture(tmp_path / "own.png", result)
        assert mpl.rcParams["text.usetex"]
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_what_cannot_be_drawn_is_said_and_loses_nothing(monkeypatch, tmp_path, capsys):
    def fail(axes, result):
        raise RuntimeError("latex was not\nable to process")

    use(monkeypatch, claim("one", panel=fail), claim("two"))
    words = ["all", "--out", str(tmp_path), "--report", str(tmp_path / "r.html")]
    assert verify.main(words) == 0
    err = capsys.readouterr().err
    assert "one could not be drawn (RuntimeError: latex was not able to process)" in err
    assert not (tmp_path / "one.png").exists()
    assert (tmp_path / "two.png").exists()
    assert "ρ is what it is" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_style_of_one_figure_does_not_outlive_it():
    before = dict(mpl.rcParams)
    with drawing.style({"svg.hashsalt": "x"}):
        assert mpl.rcParams["svg.hashsalt"] == "x"
        assert mpl.rcParams["font.size"] == 8
    assert dict(mpl.rcParams) == before

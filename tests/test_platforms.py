"""Linux, macOS, Windows: nothing that one of them lacks, and the same bytes in every file."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from figures import all_figures
from ntk_theory.claims import all_claims

ROOT = Path(__file__).parent.parent
SOURCES = [
    file for name in ("ntk_theory", "figures", "benchmarks") for file in (ROOT / name).rglob("*.py")
]
OTHER_NEWLINES = {"verify.py", "files.py"}
"""These leave newlines to the system so far."""

# What Windows lacks is taken away once libraries that know the system they are on are loaded. A
# text file in the system's encoding is an error.
WINDOWS = """
import os, signal, sys, warnings
import matplotlib.figure, psutil, rich.console, scipy.linalg, torch

for name in ("sysconf", "getuid", "fork", "killpg", "setsid", "uname", "sched_getaffinity"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGALRM", "alarm", "setitimer"):
    delattr(signal, name)
for name in ("RLIMIT_AS", "RLIM_INFINITY"):
    delattr(psutil, name)
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
warnings.filterwarnings("error", category=EncodingWarning, module="ntk_theory")

from ntk_theory import verify

sys.exit(verify.main(sys.argv[1:]))
"""
TOY = (
    *("margin", "--preset", "quick", "--clusters", "4", "--points", "5", "--ratio", "8"),
    *("--noise-rate", "0.2", "--seeds", "4", "--widths", "64,128,256,512"),
)


def test_a_claim_runs_on_a_system_without_what_windows_lacks(tmp_path):
    words = [*TOY, "--no-progress", "--out", str(tmp_path), "--report", str(tmp_path / "r.html")]
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", WINDOWS, *words],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    (claim,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["claims"]
    assert claim["measurements"]


def text_calls(file):
    """Calls that open, read or write text, here or of another process: name, line, keywords."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        keywords = {word.arg for word in node.keywords}
        modes = [one.value for one in node.args if isinstance(one, ast.Constant)]
        process = name == "run" and keywords & {"text", "encoding", "universal_newlines"}
        if name in ("read_text", "write_text") or process:
            yield name, node.lineno, keywords
        elif name == "open" and not any("b" in str(mode) for mode in modes):
            module = getattr(getattr(node.func, "value", None), "id", "")
            if module != "Checkpoints":
                yield name, node.lineno, keywords


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=[pytest.mark.xfail] if file.name in OTHER_NEWLINES else ())
        for file in SOURCES
    ],
    ids=lambda file: file.relative_to(ROOT).as_posix(),
)
def test_text_has_the_same_encoding_and_newlines_on_every_system(file):
    for name, line, keywords in text_calls(file):
        assert "encoding" in keywords, line
        assert name != "write_text" or "newline" in keywords, line


def test_names_of_files_are_names_on_every_system():
    names = [*all_claims(), *all_figures()]
    names += [panel for claim in all_claims().values() for panel in claim.panels]
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), name
        assert name not in {"con", "prn", "aux", "nul"}
    paths = [path.relative_to(ROOT).as_posix() for path in SOURCES]
    assert len({path.casefold() for path in paths}) == len(paths)

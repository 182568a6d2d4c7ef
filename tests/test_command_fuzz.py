"""Any command line: a documented status, one line for a refusal, strict JSON, no traceback."""

import contextlib
import io
import json
import os
import tempfile
from copy import copy
from itertools import pairwise
from pathlib import Path
from unittest import mock

from hypothesis import event, given, settings
from hypothesis import strategies as st

from ntk_theory import verify
from ntk_theory.claims import all_claims
from ntk_theory.command.statuses import Status
from stand_ins import result_of

# Whose plans take no time.
CLAIMS = {name: all_claims()[name] for name in ("convergence", "lazy", "margin", "threshold")}
WHOLE = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "10",
    "-1",
    "2147483648",
    "1" + "0" * 30,
    "1e3",
    "x",
    "",
]
REAL = ["0.2", "0.4", "8", "20", "1.0", "0", "-1e3", "1e300", "1e-300", "nan", "inf", "-inf", "ρ"]
VALUES = {
    "--preset": ["quick", "standard", "thorough", "cifar-mini", "slow"],
    "--seed": [*WHOLE, "7"],
    "--seeds": [*WHOLE, "8"],
    "--widths": [
        "64,128,256,512,1024",
        "2,4,8,16,32",
        "64",
        "64,64",
        "7,9",
        "1e3",
        ",",
        "4,-4",
        "8,",
    ],
    "--device": ["cpu", "auto", "cuda:7", "gpu", "mps", ""],
    "--memory": ["8GiB", "1KB", "0", "lots", "-1", "9" * 400],
    "--dtype": ["float32", "float64", "tf32", "bf16", "int8"],
    "--clusters": WHOLE,
    "--points": WHOLE,
    "--ratio": REAL,
    "--cross-cosine": REAL,
    "--noise-rate": REAL,
    "--steps": [*WHOLE, "256", "1000000000"],
    "--schedule": [
        *("power", "power:burn_in=5,decay=20", "geometric:decay=3", "constant:level=0.25"),
        *(
            "agreement",
            "constant",
            "soon",
            "power:decay=nan",
            "power:burn_in=1e400",
            ":",
            "power:,=",
        ),
    ],
    "--learning-rate": REAL,
    "--init-scale": REAL,
    "--jobs": ["1", "0", "-2", "1025", "x"],
    "--checkpoint-every": ["0", "5", "-1", "nan", "soon"],
    "--checkpoint": ["DIR/states", "DIR", "DIR/no/such\0"],
    "--json": ["DIR/a.json", "-", "DIR", "DIR/no/a.json", "DIR/out/results.json", "DIR/r.html"],
    "--out": ["DIR/out", "DIR/a.json", "DIR/states"],
    "--report": ["DIR/r.html", "DIR/r.md", "DIR/r.pdf", "DIR/a.json"],
}
FLAGS = [
    "--no-progress",
    "--debug",
    "--list",
    "--explain",
    "--version",
    "--no-such-flag",
    "-1",
    "--",
]
NAMES = [*CLAIMS, "all", "nonsense", "", "Air"]


@st.composite
def command_lines(draw):
    """Names and options in any order, right and wrong ones; DIR stands for a folder."""
    options = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=5, unique=True))
    words = [[flag, draw(st.sampled_from(VALUES[flag]))] for flag in options]
    words += [["--preset", "quick"]] * ("--preset" not in options)
    words += [[name] for name in draw(st.lists(st.sampled_from(NAMES), max_size=2))]
    if draw(st.integers(0, 3)) == 0:
        words.append([draw(st.sampled_from(FLAGS))])
    return [word for part in draw(st.permutations(words)) for word in part]


def answer(words, folder):
    """Status of a command line, what it printed, and the JSON file that it was asked for."""
    words = [word.replace("DIR", str(folder)) for word in words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = verify.main(words)
        except SystemExit as stop:
            status = stop.code or 0
    event(f"status {status}")
    return status, out.getvalue(), err.getvalue()


def refuse_constant(word):
    raise AssertionError(f"{word} is not JSON")


def assert_in_order(words, folder):
    status, out, err = answer(words, folder)
    assert status in set(Status), (words, err)
    assert status != Status.CRASHED, err
    if "--debug" not in words:
        assert "Traceback" not in out + err
    if status == Status.REFUSED:
        assert err.count("\n") == 1, err
        assert err.startswith("python -m ntk_theory.verify: error: ")
        assert out == ""
        return
    if {"--list", "--explain", "--version"} & {*words} or status == Status.NOT_WRITTEN:
        return
    given = dict(pairwise(words))
    files = [folder / "a.json"] * (given.get("--json") == "DIR/a.json")
    files += [folder / "out" / "results.json"] * (given.get("--out") == "DIR/out")
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert json.loads(text, parse_constant=refuse_constant)["exit_status"] == status
    if given.get("--json") == "-":
        assert json.loads(out, parse_constant=refuse_constant)["exit_status"] == status


def planned_only():
    """The claims as they are, but that none trains anything."""

    def without_nets(one):
        # What it would take is worked out all the same.
        planned = copy(one)
        planned.run = lambda options, _: result_of(one, options)
        planned.panels = {"nothing": lambda axes, result: None}
        return planned

    return {name: without_nets(one) for name, one in CLAIMS.items()}


@given(command_lines())
@settings(max_examples=int(os.environ.get("NTK_THEORY_COMMANDS", "40")))
def test_a_command_line_of_any_kind_is_answered_in_order(words):
    planned = mock.patch.object(verify, "all_claims", planned_only)
    with tempfile.TemporaryDirectory() as folder, planned:
        assert_in_order(words, Path(folder))


TOY = ["margin", "--preset", "quick", "--widths", "32,64,128,256,512", "--no-progress"]


@given(
    st.sampled_from(["2", "3", "4"]),
    st.sampled_from(["2", "4", "5"]),
    st.sampled_from(["1.5", "8", "1000"]),
    st.sampled_from(["0", "0.25", "0.5", "0.9"]),
    st.sampled_from(["1e-6", "0.1", "5", "1e3"]),
    st.sampled_from(["2", "64"]),
)
@settings(max_examples=int(os.environ.get("NTK_THEORY_COMMANDS", "40")) // 10)
def test_a_small_run_of_any_kind_comes_to_a_verdict(clusters, points, ratio, rate, speed, steps):
    words = [
        *(*TOY, "--clusters", clusters, "--points", points, "--ratio", ratio, "--noise-rate", rate),
        *("--learning-rate", speed, "--steps", steps, "--json", "DIR/a.json"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        assert_in_order(words, Path(folder))

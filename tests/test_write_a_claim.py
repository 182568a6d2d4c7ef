"""Claims of other people: the page docs/write-a-claim.md, files, packages, their faults."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ntk_theory as nt
from ntk_theory import verify
from ntk_theory.checking import foreign
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims import all_claims

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "write-a-claim.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TOY = ["--preset", "quick", "--points", "20", "--dimension", "8", "--widths", "256,512,1024,2048"]


@pytest.fixture
def file(tmp_path):
    written = tmp_path / "residual.py"
    written.write_text(BLOCKS[0], encoding="utf-8")
    return written


def test_the_page_says_what_can_be_run():
    names = {}
    exec(BLOCKS[0], names)
    declared = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(declared) <= 45
    for block in BLOCKS[1:4]:  # held-out points, what is measured besides, panels
        exec(block, names)
    claim, right = names["CLAIM"], names["descent"]
    claim.measure(names["measure"])
    claim.panels = names["panels"]

    def with_fresh_points(recipe, *name):
        rng = np.random.default_rng(5)
        new = nt.data.unit_rows(rng.standard_normal((6, recipe.inputs.shape[1])))
        points = names["held_out"](recipe, new, np.ones(6))
        return replace(right(recipe, *name), held_out={"fresh": points})

    def with_one_more_row(recipe, training):
        yield from names["rows"](recipe, training)
        error = nt.functionals.rms_error
        yield nt.Row("error on fresh points", training, error, on="fresh", norm="rms")

    claim.trainings(with_fresh_points)
    claim.rows(with_one_more_row)
    short = BLOCKS[4].replace("points=30", "points=20, dimension=8, widths=(256, 512, 1024, 2048)")
    exec(short, names)
    assert names["result"].verdict is Verdict.SUPPORTED
    titles = [row["name"] for row in names["result"].rows()]
    assert "‖W_T − W_0‖" in titles
    assert "gradient descent: error on fresh points" in titles
    assert set(names["result"].result.claim.panels) == {"residual", "width"}


def test_the_page_says_how_a_claim_is_tested():
    names = {}
    exec(BLOCKS[0], names)
    exec(BLOCKS[5], names)  # check_claim: raises if anything does not hold


def test_a_file_is_run_with_knobs_of_its_own_and_leaves_what_every_run_leaves(file, tmp_path):
    out = tmp_path / "out"
    report = ["--report", str(tmp_path / "report.html"), "--out", str(out), "--no-progress"]
    assert verify.main(["--claims", str(file), *TOY, *report]) == 0
    entry = json.loads((out / "results.json").read_text())["claims"][0]
    assert entry["id"] == "my-residual"
    assert entry["config"]["points"] == 20
    assert "--dimension 8" in entry["command"]
    assert (out / "my-residual.png").stat().st_size > 1000
    assert "my-residual" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_with_its_formula_wrong_by_five_percent_it_is_violated(file, capsys):
    wrong = BLOCKS[0].replace("left = (1 - recipe", "left = (1 - 1.05 * recipe")
    file.write_text(wrong, encoding="utf-8")
    assert verify.main(["--claims", str(file), *TOY, "--no-progress"]) == 1
    assert "kernel limit" in capsys.readouterr().out


def test_a_list_says_where_claims_come_from(file, capsys):
    assert verify.main(["--list", "--claims", str(file)]) == 0
    assert str(file) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1", "defines no claim"),
        ("raise RuntimeError('a\\nb')", "RuntimeError: a b"),
        (
            "import ntk_theory as nt\nCLAIM = nt.Claim('margin', statement='', source='')",
            "has the id 'margin', which is taken",
        ),
        (
            "import ntk_theory as nt\nCLAIM = nt.Claim('mine', statement='', source='')",
            "claim mine has no problem: decorate what builds it",
        ),
        (
            BLOCKS[0].replace("points: int = 40", "points: list = ()"),
            "parameter points of problem must be annotated as int, float, str or bool",
        ),
        (BLOCKS[0].replace("points: int = 40", "points: int"), "points of problem needs a default"),
        (
            BLOCKS[0].replace("points: int", "points: float"),
            "--points is a number here and",
        ),
        (BLOCKS[0].replace("points: int", "json: int"), "--json is an option of every run"),
        (
            BLOCKS[0].replace("@CLAIM.controls", "@staticmethod"),
            "my-residual has no controls",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_line(file, capsys, text, said):
    file.write_text(text, encoding="utf-8")
    assert verify.main(["--claims", str(file)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_refused(tmp_path, capsys):
    assert verify.main(["--claims", str(tmp_path / "none.py")]) == 2
    assert "none.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda s: s.replace("    eigen =", "    eigen = 1 / 0  #"), "ZeroDivisionError"),
        (lambda s: s.replace("- (left", "- (left[1:]"), "predicted of training 'gradient descent'"),
        (
            lambda s: s.replace("curves={", "held_out=recipe.inputs, curves={"),
            "held_out of training 'gradient descent' must be a dict of HeldOut",
        ),
        (
            lambda s: s.replace("at=t,", 'at=t, norm="l3",'),
            "norm must be one of largest, rms, l2",
        ),
    ],
)
def test_a_claim_that_raises_is_named_in_a_line_and_takes_no_other_down(
    file, capsys, break_it, said
):
    file.write_text(break_it(BLOCKS[0]), encoding="utf-8")
    words = ["residual-law", "my-residual", "--claims", str(file), *TOY, "--no-progress"]
    assert verify.main([*words, "--jobs", "1"]) == 5
    told = capsys.readouterr()
    assert " residual-law: " in told.out
    assert said in told.err
    assert told.err.count("\n") == 1


def test_a_package_adds_its_claim_by_an_entry_point(tmp_path):
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(site), str(ROOT / "examples/linear_rate")],
        check=True,
    )  # fmt: skip
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import ntk_theory as nt\n"
        "claims = nt.claims()\n"
        "assert 'entry point linear-rate' in claims['linear-rate'].origin\n"
        "from ntk_theory.verify import main\n"
        "sys.exit(main(['linear-rate', '--preset', 'quick', '--points', '12', '--no-progress',\n"
        "               '--widths', '256,512,1024,2048']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site)],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "SUPPORTED linear-rate" in done.stdout


def test_a_package_whose_claim_cannot_be_loaded_is_complained_of(monkeypatch, capsys):
    broken = foreign.EntryPoint("broken", "no_such_module:CLAIM", foreign.GROUP)
    number = foreign.EntryPoint("number", "math:pi", foreign.GROUP)
    monkeypatch.setattr(foreign, "entry_points", lambda group: [broken, number])
    assert verify.main(["--list"]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == len(all_claims())
    assert "entry point broken = no_such_module:CLAIM: ModuleNotFoundError" in told.err
    assert "entry point number = math:pi is a float; give an ntk_theory.Claim" in told.err
    assert set(nt.claims()) == set(all_claims())

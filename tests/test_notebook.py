"""Claims from Python: `nt.check`, what it returns and what it refuses."""

import importlib.util
import json
import subprocess
import sys

import pytest

import ntk_theory as nt
from cases import toy
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.notebook import Checked, NotSupportedError
from ntk_theory.report.document import noticed
from progress import Silent

TOY = toy("residual-law")
SMALL = {"points": 20, "dimension": 8, "widths": TOY.widths, "progress": False}


@pytest.fixture(scope="module")
def checked():
    return nt.check("residual-law", preset="quick", **SMALL)


def test_it_is_the_run_that_the_command_line_makes(checked):
    again = nt.claims()["residual-law"].run(TOY, Silent())
    assert checked.result.measurements == again.measurements
    assert checked.verdict is Verdict.SUPPORTED
    assert repr(checked) == f"SUPPORTED residual-law: {checked.finding}."
    assert checked.raise_if_not_supported() is checked


def test_a_table_has_rows_and_controls(checked):
    rows = checked.rows()
    assert {row["kind"] for row in rows} == {"row", "control"}
    assert len(rows) == len(checked.result.measurements) + len(checked.result.controls)
    table = checked.table()
    if importlib.util.find_spec("pandas") is None:
        assert table == rows
    else:
        assert list(table["name"]) == [row["name"] for row in rows]


def test_a_notebook_shows_verdict_picture_and_numbers(checked):
    html = checked._repr_html_()
    assert "<b>SUPPORTED</b> residual-law" in html
    assert "<svg" in html
    assert html.count("<tr>") == len(checked.rows()) + 1
    assert f"<p>It {noticed(checked.notices)}.</p>" in html
    assert checked.notices["learning rate"] > 0
    assert len(checked.plot().axes) == 1


def test_it_is_saved_as_the_command_line_does(checked, tmp_path):
    folder = checked.save(tmp_path / "out")
    names = {file.name for file in folder.iterdir()}
    assert names == {f"residual-law.{kind}" for kind in ("jsonl", "npz", "png")} | {"results.json"}
    (entry,) = json.loads((folder / "results.json").read_text(encoding="utf-8"))["claims"]
    assert entry["verdict"] == "SUPPORTED"


def test_what_is_not_supported_can_be_raised():
    result = nt.check("margin", preset="quick", noise_rate=0.4, ratio=3.0, progress=False)
    assert result.verdict is Verdict.PREMISE_UNMET
    with pytest.raises(NotSupportedError, match=r"PREMISE_UNMET margin: .*recoverable noise rate"):
        result.raise_if_not_supported()
    assert isinstance(result, Checked)
    assert "<svg" not in result._repr_html_()


@pytest.mark.parametrize(
    ("claim", "knobs", "said"),
    [
        ("margn", {}, "claim must be one of air, .*; got 'margn'"),
        ("margin", {"preset": "slow"}, "preset of margin must be one of quick, .*; got 'slow'"),
        ("margin", {"rates": 3}, "margin takes no rates; its knobs are clusters, "),
        ("margin", {"ratio": 0.5}, "ratio must be above 1"),
        ("margin", {"seed": -1}, "seed must not be negative"),
    ],
)
def test_nonsense_is_refused(claim, knobs, said):
    with pytest.raises(ValueError, match=said):
        nt.check(claim, **knobs)


def test_names_at_the_top_are_loaded_when_they_are_asked_for():
    code = (
        "import sys, ntk_theory as nt\n"
        "nt.claims(); nt.Claim; nt.Row; nt.Sweep; nt.noisy_clusters\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "assert all(getattr(nt, name) is not None for name in nt.__all__)\n"
        "assert nt.claims.all_claims is not None\n"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'rows'"):
        _ = nt.rows

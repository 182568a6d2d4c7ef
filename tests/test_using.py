"""What docs/using.md says is so."""

import re
from pathlib import Path

import numpy as np

from ntk_theory import verify
from ntk_theory.command.statuses import Status
from stand_ins import claim, use

PAGE = (Path(__file__).parent.parent / "docs" / "using.md").read_text(encoding="utf-8")


def test_the_example_runs_and_comes_near_the_clean_labels(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(example, "using.md", "exec"), {})
    errors = np.array(re.findall(r"\d+\.\d+", capsys.readouterr().out), dtype=float)
    assert errors.shape == (3,)
    assert errors.max() < 0.6  # 2ρ, below which no stopping time comes


def test_the_table_of_exit_statuses_is_the_programs():
    section = PAGE.split("## Exit status")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", section, flags=re.MULTILINE)
    assert rows == [(str(status.value), status.meaning) for status in Status]


def test_the_table_of_files_is_what_a_run_leaves(monkeypatch, tmp_path, capsys):
    section = PAGE.split("## What a run leaves behind")[1].split("\n## ")[0]
    use(monkeypatch, claim("CLAIM"))
    words = ["--out", "DIR", "--json", "FILE", "--report"]
    monkeypatch.chdir(tmp_path)
    assert verify.main(["CLAIM", *words, "FILE.html"]) == 0
    assert verify.main(["CLAIM", *words, "FILE.md"]) == 0
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in found if path.parent.name != "FILE-pictures"}
    cells = [row.split("|")[2] for row in section.splitlines() if row.startswith("|")][2:]
    listed = {name.strip() for cell in cells for name in cell.split(",")}
    assert names | {"FILE-pictures/"} == listed

"""What the README says is so."""

import re
import tomllib
from pathlib import Path

import numpy as np

from ntk_theory import verify
from ntk_theory.claims import all_claims
from ntk_theory.command.statuses import Status
from stand_ins import claim, use

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_comes_near_the_clean_labels(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    errors = np.array(re.findall(r"\d+\.\d+", capsys.readouterr().out), dtype=float)
    assert errors.shape == (3,)
    assert errors.max() < 0.6  # 2ρ, below which no stopping time comes


def test_the_table_lists_every_claim():
    for one in all_claims().values():
        assert f"| `{one.id}` | {', '.join(one.paper_claims)} |" in README


def test_the_table_of_exit_statuses_is_the_programs():
    section = README.split("## Exit status")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", section, flags=re.MULTILINE)
    assert rows == [(str(status.value), status.meaning) for status in Status]


def test_the_table_of_files_is_what_a_run_leaves(monkeypatch, tmp_path, capsys):
    section = README.split("## What a run leaves behind")[1].split("\n## ")[0]
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


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_pinned_versions_lie_in_the_supported_ranges():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[requirement.name.lower()])

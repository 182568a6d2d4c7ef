"""What the README says is so."""

import re
import tomllib
from pathlib import Path

import numpy as np

from ntk_theory.claims import all_claims

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_comes_near_the_clean_labels(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    errors = np.array(re.findall(r"\d+\.\d+", capsys.readouterr().out), dtype=float)
    assert errors.shape == (3,)
    assert errors.max() < 0.6  # 2ρ, below which no stopping time comes


def test_the_table_lists_every_claim():
    for claim in all_claims().values():
        assert f"| `{claim.id}` | {', '.join(claim.paper_claims)} |" in README


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

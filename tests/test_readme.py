"""What the README says is so."""

import doctest
import re
import tomllib
from pathlib import Path

import pytest

from ntk_theory.claims import all_claims

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_session_prints_what_is_shown():
    (session,) = re.findall(r"```\n(>>> .*?)```", README, flags=re.DOTALL)
    example = doctest.DocTestParser().get_doctest(session.replace("…", "..."), {}, "it", None, 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0


def test_the_table_of_claims_has_all_of_them_by_what_they_check():
    listed = re.findall(r"^\| (C\d|beyond it|other papers) \| .* \| (.*) \|$", README, re.M)
    table = {of: re.findall(r"`([\w-]+)`", names) for of, names in listed}
    claims = all_claims()
    checked = {of: [] for one in claims.values() for of in one.paper_claims}
    for id_, one in claims.items():
        for of in one.paper_claims:
            checked[of].append(id_)
    others = table.pop("beyond it") + table.pop("other papers")
    assert table == checked
    assert sorted(others) == [id_ for id_, one in claims.items() if not one.paper_claims]


@pytest.mark.parametrize("page", ["README.md", "docs/using.md", "docs/map.md"])
def test_every_link_leads_somewhere(page):
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)", file.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (file.parent / target).exists(), target


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

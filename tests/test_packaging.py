"""What is published: every file of the package, one version, forms and jobs that can be read."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import ntk_theory

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ntk_theory"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = PROJECT["tool"]["hatch"]["build"]["targets"]
FORMS = sorted((ROOT / ".github").rglob("*.yml"))


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def shipped():
    """Files of the package, with "/" between folders."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def committed():
    """Files that git knows; where this is no checkout, as in an unpacked sdist, none to compare."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        pytest.skip(f"git does not list its files: {done.stderr.strip()}")
    return set(done.stdout.splitlines())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist of the working tree."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_version_is_written_in_one_place_and_repeated_rightly():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "ntk_theory/__init__.py"}
    assert re.findall(r"^version: (.*)$", text("CITATION.cff"), re.M) == [ntk_theory.__version__]
    assert json.loads(text(".zenodo.json"))["version"] == ntk_theory.__version__


def test_title_licence_and_paper_are_the_same_everywhere():
    zenodo, citation = json.loads(text(".zenodo.json")), text("CITATION.cff")
    project = PROJECT["project"]
    assert f'title: "{zenodo["title"]}"' in citation
    assert f"license: {zenodo['license']}\n" in citation
    assert project["license"] == zenodo["license"]
    assert project["keywords"] == zenodo["keywords"]
    (paper,) = (related["identifier"] for related in zenodo["related_identifiers"])
    assert f'value: "{paper}"' in citation
    assert project["urls"]["Paper"] == f"https://arxiv.org/abs/{paper.removeprefix('arXiv:')}"
    names = [author["name"] for author in project["authors"]]
    assert names == [creator["name"] for creator in zenodo["creators"]]
    assert all(f'name: "{name}"' in citation for name in names)


def test_the_wheel_takes_the_whole_package():
    # hatchling takes all files of these folders but those that .gitignore names.
    assert TARGETS["wheel"] == {"packages": ["ntk_theory"]}
    ignored = [line.strip("/") for line in text(".gitignore").splitlines()]
    parts = {part for name in shipped() for part in name.split("/")}
    assert not [part for part in parts for pattern in ignored if fnmatch(part, pattern)]
    assert {"ntk_theory/py.typed", "ntk_theory/explorer/page.html"} <= shipped()


def test_the_sdist_takes_all_that_is_committed():
    always = {".gitignore", "LICENSE", "README.md", "pyproject.toml"}  # by hatchling itself
    named = {name.removeprefix("/") for name in TARGETS["sdist"]["include"]}
    assert {name.split("/")[0] for name in committed()} == named | always


def test_a_built_wheel_has_every_file_and_the_command(built):
    with zipfile.ZipFile(built[0]) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (commands,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "ntk-verify = ntk_theory.verify:program" in wheel.read(commands).decode()
    assert inside == shipped()
    assert built[0].name == f"ntk_theory-{ntk_theory.__version__}-py3-none-any.whl"


def test_a_built_sdist_has_every_file(built):
    with tarfile.open(built[1]) as sdist:
        inside = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert shipped() <= inside
    assert committed() <= inside


@pytest.mark.parametrize("command", PROJECT["project"]["scripts"].values())
def test_every_command_is_a_function(command):
    module, _, name = command.partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_every_form_and_every_job_can_be_read(file):
    read = pytest.importorskip("yaml").safe_load(file.read_text(encoding="utf-8"))
    if file.parent.name == "workflows":
        assert all(job["steps"] for job in read["jobs"].values())
    elif file.name != "config.yml":
        assert set(read) == {"name", "description", "title", "body"}
        ids = [field["id"] for field in read["body"]]
        assert len(set(ids)) == len(ids)
        assert all(field["attributes"]["label"] for field in read["body"])
        for field in read["body"]:
            options = field["attributes"].get("options", [])
            assert all(isinstance(option, str) for option in options)


def test_the_workflow_takes_the_steps_of_ci_run_and_the_ends_of_the_supported_pythons():
    jobs = pytest.importorskip("yaml").safe_load(text(".github/workflows/ci.yml"))["jobs"]
    ran = "\n".join(step.get("run", "") for step in jobs["test"]["steps"]).splitlines()
    steps = text(".ci/run").split('echo "== README')[1].splitlines()[1:]
    steps = [line for line in steps if not line.startswith(("echo ", "export "))]
    assert [line for line in steps if line not in ran] == []
    pythons = [
        name.rsplit(" ", 1)[1]
        for name in PROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", name)
    ]
    assert jobs["test"]["strategy"]["matrix"]["python"] == [pythons[0], pythons[-1]]


def test_the_page_for_contributors_names_what_is_there():
    page = text("CONTRIBUTING.md")
    for target in re.findall(r"\]\(([^)#]+)", page):
        assert (ROOT / target).exists(), target
    for module in re.findall(r"python -m (ntk_theory\.\w+|figures)", page):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module

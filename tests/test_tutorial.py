"""What docs/tutorial.md says can be run, and prints what the page shows."""

import re
import shlex
from pathlib import Path

import pytest

from how_much import again
from ntk_theory import verify

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PARTS = re.findall(r"^```(python|text|)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"
SMALLER = "--splits 3 --points 400 --epochs 12 --neurons 128"


def shown_after(kind, first):
    """What the page shows of a block that begins so, up to the next block that is run."""
    place = next(i for i, part in enumerate(PARTS) if part[0] == kind and first in part[1])
    return PARTS[place + 1][1] if PARTS[place + 1][0] == "text" else ""


def assert_shown(shown, printed):
    """Words of the page were printed in their order, "…" being anything, and nearly its numbers.

    Rounding on another machine moves trained nets, and a few points from class to class: numbers
    may differ by 3 %, or 0.01, which is one point in a hundred.
    """
    shown, printed = " ".join(shown.split()), " ".join(printed.split())
    words = [re.escape(one).replace("…", ".*?") for one in re.split(NUMBER, shown)]
    found = re.search(f"({NUMBER})".join(words), printed)
    assert found, f"{shown!r} was not printed: {printed}"
    numbers = [float(one) for one in re.findall(NUMBER, shown)]
    assert list(map(float, found.groups())) == pytest.approx(numbers, rel=0.03, abs=0.01)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the reader works, with the files of the first block; a terminal that wraps no row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    exec(PARTS[2][1], {})
    assert {file.name for file in tmp_path.iterdir()} == {"wine.npz", "noisy.npz"}
    return tmp_path


def test_python_blocks_print_what_is_shown_and_draw_the_pictures(folder, capsys):
    names = {}
    for kind, block in PARTS:
        if kind == "python":
            exec(block, names)
            assert_shown(shown_after("python", block), capsys.readouterr().out)
    pictures = re.findall(r"!\[.*\]\((.*)\)", PAGE)
    assert len(pictures) == 2
    for picture in pictures:
        assert (folder / picture).stat().st_size > 10_000  # not an empty axis
        assert (ROOT / "docs" / picture).exists()
    assert (folder / "wine-results" / "results.json").exists()


@again
@pytest.mark.parametrize("block", [block for kind, block in PARTS if not kind])
def test_commands_print_what_is_shown(folder, capsys, block):
    lines = [line for line in block.splitlines() if not line.startswith("pip ")]
    shown, printed = shown_after("", block), []
    for line in lines:
        words = shlex.split(line.removeprefix("python -m ntk_theory.verify "))
        if words == ["practice", "--preset", "quick"]:
            words, shown = [*words, *SMALLER.split()], "INCONCLUSIVE practice: left open"
            assert f"`{SMALLER}`" in " ".join(PAGE.split())
        status = verify.main([*words, "--no-progress"])
        printed.append(capsys.readouterr().out)
        verdict = printed[-1].split()[0]
        assert status == {"SUPPORTED": 0, "VIOLATED": 1}.get(verdict, 3)
    assert_shown(shown, "\n".join(printed))


def test_the_installation_is_that_of_the_readme_and_data_of_a_declared_extra():
    (line,) = [line for line in PAGE.splitlines() if line.startswith("pip ")]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert line.replace(",data", "") in readme
    assert "\ndata = " in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target

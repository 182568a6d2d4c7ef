"""Tests on every supported Python and at the lowest supported versions, lint, types.

    pip install -c constraints.txt nox && nox --list

Each session installs what it needs into an environment of its own. From PyPI the Linux build of
torch brings several GB of CUDA libraries; `PIP_EXTRA_INDEX_URL` with torch's index of CPU builds
avoids them. A session whose Python is not on this machine is skipped.
"""

import tomllib
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MODULES = (
    *("arguments", "caller_state", "checkpoints", "command_recording", "command_signals"),
    *("command_statuses", "command_terminal", "data", "drawing", "fitting", "jobs", "kernels"),
    *("network", "platforms", "predictions", "predictions_movement", "ranks", "report"),
    *("resources", "spectrum", "streaming", "targets", "training", "training_events"),
    *("training_losses", "verdicts", "verify"),
)
"""Where another version of Python, numpy or torch would show: a third of the time of all."""

nox.options.sessions = ["lint", "types", "tests", "floor"]


def lowest(extras: tuple[str, ...] = ()) -> list[str]:
    """Requirements of the package at the lowest versions that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return [f"{requirement.replace('>=', '==')}.*" for requirement in wanted]


def run_tests(session: nox.Session) -> None:
    """Run some tests and all doctests; with `-- full` every test, or what is named there."""
    given = session.posargs
    chosen = [*(f"tests/test_{name}.py" for name in MODULES), "ntk_theory"]
    if given == ["full"]:
        chosen = []
    elif given:
        chosen = given
    session.run("python", "-m", "pytest", *chosen)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Tests with the versions of constraints.txt."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    run_tests(session)


@nox.session(python=PYTHONS[0])
def floor(session: nox.Session) -> None:
    """Tests with the lowest versions."""
    # Later releases warn of calls that matplotlib 3.8 makes, and warnings fail a test.
    session.install(*lowest(("test",)), "pyparsing<3.3")
    session.install("--no-deps", "-e", ".")
    run_tests(session)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install("-c", "constraints.txt", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=PYTHONS[0])
def types(session: nox.Session) -> None:
    """Static types; for each system, as they differ in what the standard library has."""
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    for system in ("linux", "darwin", "win32"):
        session.run("mypy", "--platform", system)

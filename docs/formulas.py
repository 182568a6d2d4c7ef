"""What implements each section of theory.md, and what tests it: read from docstrings and tests.

A function belongs to the sections that its docstring cites ("docs/theory.md, section 6.2"), a class
to those of its methods, too. A test belongs to the functions that it uses, itself or by what its
file defines. Where a function has tests in files named after its modules, others, which may only
use it to set something up, are left out.
"""

from __future__ import annotations

__all__ = ["annotated", "cited", "functions", "headings", "linked", "page", "tests", "tests_of"]

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import ntk_theory
from ntk_theory.report.markdown import table

ROOT = Path(__file__).parent.parent
_NUMBER = r"\d+(?:\.\d+)?"
_HEADING = re.compile(rf"^(#+ ({_NUMBER})\.? (.+))\n", re.MULTILINE)
_CITED = re.compile(rf"(\bsections?\s+)({_NUMBER}(?:(?:,| and|, and| to)\s+{_NUMBER})*)")
_FEW = 3
"""So many tests are shown at once; more are folded."""


@cache
def headings() -> dict[str, str]:
    """Titles of the numbered sections of theory.md."""
    text = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    return {number: title for _, number, title in _HEADING.findall(text)}


def cited(text: str) -> tuple[str, ...]:
    """Sections of theory.md that a docstring cites; "6.2 to 6.4" are three.

    >>> cited("Reference: docs/theory.md, section 5; sections 3.1, 6.2 to 6.4 and 99.")
    ('5', '3.1', '6.2', '6.3', '6.4', '99')
    """
    known, found = list(headings()), []
    for _, listed in _CITED.findall(text):
        for first, last in re.findall(rf"({_NUMBER})(?:\s+to\s+({_NUMBER}))?", listed):
            span = known[known.index(first) : known.index(last) + 1] if last else [first]
            found += span
    return tuple(dict.fromkeys(found))


def linked(text: str) -> str:
    """A docstring in reStructuredText, with links to the sections that it cites.

    >>> linked("docs/theory.md, sections 3.1 and 8.")
    'docs/theory.md, sections :ref:`3.1 <section-3.1>` and :ref:`8 <section-8>`.'
    """

    def link(match: re.Match[str]) -> str:
        return match[1] + re.sub(_NUMBER, r":ref:`\g<0> <section-\g<0>>`", match[2])

    return _CITED.sub(link, text)


@cache
def functions() -> dict[str, tuple[str, ...]]:
    """Sections that every public function and class of the package cites, by its full name."""
    found = {}
    for file in sorted((ROOT / "ntk_theory").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            name = f"{module}.{getattr(node, 'name', '_')}"
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and "._" not in name:
                methods = node.body if isinstance(node, ast.ClassDef) else []
                parts = [node, *(part for part in methods if isinstance(part, ast.FunctionDef))]
                found[name] = cited("\n".join(ast.get_docstring(part) or "" for part in parts))
    return found


@cache
def _home(dotted: str) -> str:
    """Where a name of the package is defined, as in `functions`; "" if there is no such name."""
    first, *rest = dotted.split(".")
    value = importlib.import_module(first)
    for part in rest:
        if not hasattr(value, part):
            return ""
        value = getattr(value, part)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"


def _used(node: ast.AST, imports: dict[str, str]) -> Iterator[str]:
    """Names in a part of a file, those that it imports by their full names."""
    for part in ast.walk(node):
        dotted = []
        while isinstance(part, ast.Attribute):
            dotted, part = [part.attr, *dotted], part.value
        if isinstance(part, ast.Name):
            yield ".".join([imports.get(part.id, part.id), *dotted])


def _imports(tree: ast.Module) -> dict[str, str]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ntk_theory"):
            importlib.import_module(node.module or "")
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        if isinstance(node, ast.Import):
            found |= {a.asname or a.name: a.name for a in node.names if a.name == "ntk_theory"}
    return found


@cache
def tests() -> dict[str, tuple[frozenset[str], tuple[str, ...]]]:
    """For every test, "file::test": what it uses of the package, and the sections that it cites."""
    found = {}
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imports = _imports(tree)
        uses = {
            node.name: set(_used(node, imports))
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                used, seen = uses[node.name], {node.name}
                while helpers := used & set(uses) - seen:
                    seen |= helpers
                    used = used.union(*(uses[helper] for helper in helpers))
                homes = {_home(name) for name in used if name.startswith("ntk_theory.")}
                own = "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
                found[f"{file.name}::{node.name}"] = frozenset(homes), cited(own)
    return found


def tests_of(function: str) -> list[str]:
    """Tests of a function: those in files named after its modules, or, without any, all."""
    using = [test for test, (used, _) in tests().items() if function in used]
    named = tuple(f"test_{module}" for module in function.split(".")[1:-1])
    return [test for test in using if test.startswith(named)] or using


@cache
def _documented() -> dict[str, str]:
    """Names under which the site documents functions and classes, by their full names."""
    names = [f"{home}.{name}" for name, home in ntk_theory._HOMES.items()]
    for module in ntk_theory._MODULES.values():
        names += [f"{module}.{name}" for name in importlib.import_module(module).__all__]
    return {_home(name): name for name in names}


def _link(function: str) -> str:
    """A function as a link to its documentation on the site, or else to its file, from docs/."""
    module, name = function.rsplit(".", 1)
    if function in _documented():
        return f"{{py:obj}}`{name} <{_documented()[function]}>`"
    return f"[`{function.removeprefix('ntk_theory.')}`](../{module.replace('.', '/')}.py)"


def _listed(tests: Iterable[str]) -> str:
    """Tests by file, with links from docs/."""
    return "; ".join(
        f"[{file}](../tests/{file})" + ", ".join(f"`::{test.split('::')[1]}`" for test in some)
        for file, some in groupby(tests, lambda test: test.split("::")[0])
    )


def _folded(tests: Sequence[str], word: str = "") -> str:
    count = f"{word}{len(tests)} test{'s'[: len(tests) != 1]}"
    return f"<details><summary>{count}</summary>\n\n{_listed(tests)}\n\n</details>"


def _code(section: str) -> dict[str, list[str]]:
    """Functions of a section, with their tests."""
    return {name: tests_of(name) for name, cites in functions().items() if section in cites}


def annotated(theory: str) -> str:
    """Markdown of theory.md with an address and a line about code and tests for every section."""

    def section(match: re.Match[str]) -> str:
        heading, number, _ = match.groups()
        code = _code(number)
        of_code = {test for some in code.values() for test in some}
        some = [test for test, (_, cites) in tests().items() if test in of_code or number in cites]
        line = [f"In code: {', '.join(map(_link, code))}"] if code else []
        if 0 < len(some) <= _FEW:
            line.append(f"Tested by: {_listed(some)}")
        said = f"\n{{.in-code}}\n{' · '.join(line)}\n" if line else ""
        folded = f"\n{_folded(some, 'Tested by ')}\n" if len(some) > _FEW else ""
        return f"(section-{number})=\n{heading}\n{said}{folded}"

    first, rest = theory.split("\n\n", 1)
    table = "[All sections, their functions and tests in a table](_generated/formulas.md)."
    return f"{first}\n\n{table}\n\n{_HEADING.sub(section, rest)}"


def page() -> str:
    """Markdown of the page, as it would be in docs/: sections, functions and their tests."""
    rows = []
    for number, title in headings().items():
        link = f"{{ref}}`{number} {title} <section-{number}>`"
        for name, some in _code(number).items():
            rows.append([link, _link(name), _folded(some).replace("\n", "") if some else None])
            link = ""
    about = "Sections of the [derivations](theory.md) that code cites, and the tests of that code."
    return f"# Formulas\n\n{about}\n\n{table(['section', 'function', 'tests'], rows)}"

"""Pages of the site that are written elsewhere: claims, ledger, gallery, changelog, API.

Nothing is trained: claims are shown as they are declared, and with what paper_checks.json records.
"""

from __future__ import annotations

__all__ = ["PAGES", "escaped", "relinked", "write"]

import importlib
import inspect
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import formulas

import ntk_theory
from ntk_theory.checking.claim import Claim
from ntk_theory.claims import all_claims
from ntk_theory.report.explain import sections
from ntk_theory.report.markdown import table

DOCS = Path(__file__).parent
ROOT = DOCS.parent

PAGES = {
    "CHANGELOG.md": "_generated/changelog.md",
    "CITATION.cff": "_generated/cite.md",
    "CONTRIBUTING.md": "_generated/contributing.md",
    "README.md": "index.md",
    "figures/README.md": "_generated/gallery.md",
    "paper_checks.md": "_generated/ledger.md",
} | {f"docs/{page.name}": page.name for page in DOCS.glob("*.md")}
"""Files of the repository that are pages of the site: where they are in it."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def relinked(text: str, source: str, page: str) -> str:
    """Markdown of a file of the repository, its links as they have to be on a page of the site.

    Args:
        text: of the file.
        source: the file, from the root of the repository.
        page: from docs/.
    """

    def link(match: re.Match[str]) -> str:
        kind, label, target, fragment = match.groups(default="")
        path = os.path.normpath(Path(source).parent / target).replace(os.sep, "/")
        if not (ROOT / path).exists() or path.startswith("docs/_generated/"):
            return match[0]  # an address of the web, code that looks like a link, a page of these
        if (ROOT / path).is_dir() or (path.endswith(".md") and path not in PAGES):
            return label  # a site has no page of it
        place = DOCS / PAGES[path] if path in PAGES else ROOT / path
        if path == "paper_checks.md" and fragment:  # a claim, which has a page here
            place, fragment = DOCS / f"_generated/claims/{fragment[1:]}.md", ""
        to = os.path.relpath(place, (DOCS / page).parent).replace(os.sep, "/")
        return f"{kind}[{label}]({to}{fragment})"

    return _LINK.sub(link, text)


def escaped(line: str) -> str:
    """A line of a docstring, plain text with code in backticks, as reStructuredText."""
    plain_and_code = re.split(r"`+([^`]+)`+", line)
    for i, part in enumerate(plain_and_code):
        plain = re.sub(r"(?<=\w)_(?!\w)|[|*]", r"\\\g<0>", part.replace("\\", "\\\\"))
        plain_and_code[i] = f"``{part}``" if i % 2 else plain
    return "".join(plain_and_code)


_INDEX = re.compile(r"([_^])(?:\{([^}]*)\}|([A-Za-zΑ-ω0-9]+|[-−]\w+(?:/\d+)?|[-−+*∞]))")


def set_in_type(text: str) -> str:
    """Markdown of a text with formulas in plain characters: sub- and superscripts, but in code."""

    def raised(match: re.Match[str]) -> str:
        kind, braced, bare = match.groups(default="")
        tag = "sub" if kind == "_" else "sup"
        inner = _INDEX.sub(raised, braced) or bare.replace("*", "∗")
        return f"<{tag}>{inner}</{tag}>"

    parts = text.replace("<", "&lt;").split("`")
    parts[::2] = [_INDEX.sub(raised, part).replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def write(folder: Path) -> None:
    """Write all generated pages; those that have not changed keep their time."""
    record = json.loads((ROOT / "paper_checks.json").read_text(encoding="utf-8"))
    recorded = {entry["id"]: entry for entry in record["claims"]}
    claims = all_claims()
    pages = {
        Path(PAGES[name]).name: relinked(_read(name), name, PAGES[name])
        for name in ("CHANGELOG.md", "CONTRIBUTING.md", "figures/README.md", "paper_checks.md")
    }
    pages["cite.md"] = _cite()
    for id_, claim in claims.items():
        pages[f"claims/{id_}.md"] = _claim_page(claim, recorded.get(id_))
    verdicts = {id_: recorded[id_]["verdict"] if id_ in recorded else None for id_ in claims}
    found = [
        [f"[{id_}]({id_}.md)", set_in_type(claims[id_].statement), verdicts[id_]] for id_ in claims
    ]
    contents = table(["claim", "statement", "recorded verdict"], found)
    pages["claims/index.md"] = f"# Claims\n\n{contents}\n{_toctree(claims)}"
    modules = ntk_theory._MODULES
    for name, home in modules.items():
        pages[f"api/{name}.md"] = f"# {name}\n\n" + _rst(f".. automodule:: {home}\n   :members:")
    names = [*map(_name, ntk_theory._HOMES), "## claims\n"]
    names.append(_rst(".. autofunction:: ntk_theory.notebook.known_claims"))
    pages["api/names.md"] = "# Names of the package\n\n" + "\n".join(names)
    about = "Modules and names that `import ntk_theory` gives.\n\n"
    pages["api/index.md"] = (
        f"# From Python\n\n{about}{_toctree(['names', *modules, '../formulas'])}"
    )
    pages["formulas.md"] = relinked(formulas.page(), "docs/formulas.md", "_generated/formulas.md")
    for stray in set(folder.rglob("*.md")) - {folder / name for name in pages}:
        stray.unlink()  # of a claim or a module that is gone
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _toctree(pages: Iterable[str]) -> str:
    return "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(pages) + "\n```\n"


def _rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```\n"


def _name(name: str) -> str:
    value = getattr(importlib.import_module(ntk_theory._HOMES[name]), name)
    kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
    members = "\n   :members:" if kind == "class" else ""
    return f"## {name}\n\n" + _rst(f".. auto{kind}:: {ntk_theory._HOMES[name]}.{name}{members}")


def _cite() -> str:
    about = "Please cite the software and the paper whose claims it checks (`CITATION.cff`)."
    return f"# How to cite\n\n{about}\n\n```yaml\n{_read('CITATION.cff')}```\n"


def _theory_links(claim: Claim, page: str) -> str:
    """Sections of theory.md that a claim names, as links."""
    headings = dict(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? (.+)$", _read("docs/theory.md"), re.M))
    links = []
    for section in sections(claim):
        title = f"{section}{'' if '.' in section else '.'} {headings[section]}"
        slug = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        links.append(f"- [{title}](docs/theory.md#{slug})")
    return relinked("\n".join(links), "README.md", page)


def _claim_page(claim: Claim, entry: Mapping[str, Any] | None) -> str:
    """One claim: what is declared of it, and what the ledger records."""
    page, picture = f"_generated/claims/{claim.id}.md", f"figures/claims/{claim.id}.png"
    title = f"{claim.id}: prediction over measurement"
    knobs = [
        [f"`{knob.flag}`", None if knob.default is None else f"`{knob.default}`", knob.help]
        for knob in claim.all_knobs.values()
    ]
    entry = entry or {"verdict": "", "finding": "The ledger has no run of it yet", "controls": []}
    broken = [
        [f"`{c['id']}`", set_in_type(c["broken_premise"]), c["verdict"]] for c in entry["controls"]
    ]
    seen = f"**{entry['verdict']}**: " if entry["verdict"] else ""
    ledger = f" All measurements: [ledger](../ledger.md#{claim.id})."
    found = f"{seen}{set_in_type(entry['finding'])}.{ledger if seen else ''}"
    command = f"python -m ntk_theory.verify {claim.id}"
    parts = {
        f"# {claim.id}": set_in_type(claim.statement),
        "## What it found": found,
        f"![{title}](../../../{picture})": "" if (ROOT / picture).exists() else None,
        "## Formulas": "\n".join(f"{{.stated}}\n{set_in_type(one)}\n" for one in claim.formulas),
        "## Premises": "\n".join(f"- {set_in_type(text)}" for text in claim.assumptions),
        "## Derivation": f"{set_in_type(claim.derivation)}\n\n{_theory_links(claim, page)}",
        "## Of the abstract": "\n".join(
            f"- {c}: {set_in_type(s)}" for c, s in claim.paper_claims.items()
        ),
        "## Controls, which have to fail": table(("control", "broken premise", "verdict"), broken),
        "## Run it": f"```\n{command}\n{command} --explain\n```",
        "## Knobs": table(["option", "default", "what it is"], knobs),
        "## Source": claim.source + ".",
    }
    empty = ("## Of the abstract",) if not claim.paper_claims else ()
    shown = {head: text for head, text in parts.items() if text is not None and head not in empty}
    return "\n\n".join(f"{head}\n\n{text}".rstrip() for head, text in shown.items()) + "\n"

"""Settings of the site: `pip install -e ".[docs]" && python -m sphinx docs docs/_build`."""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import formulas  # noqa: E402
import pages  # noqa: E402

from ntk_theory import __version__  # noqa: E402
from ntk_theory.explorer.__main__ import page  # noqa: E402

project, author, release = "ntk_theory", "The ntk_theory authors", __version__
extensions = ["mathematics", "myst_parser"]
extensions += [f"sphinx.ext.{name}" for name in ("autodoc", "napoleon", "githubpages")]
myst_enable_extensions = ["amsmath", "attrs_block", "dollarmath"]
myst_heading_anchors = 4
myst_update_mathjax = False
exclude_patterns = ["_build"]
html_theme = "furo"
html_math_renderer = "mathml"
html_static_path, html_css_files = ["site.css", "math.woff2"], ["site.css"]
html_title = "ntk_theory"
html_show_copyright = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of a class are documented once
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("Array", "ArrayLike")}  # not all that they admit


def _own_links(_: Sphinx, name: str, source: list[str]) -> None:
    """Pages of docs/ link to files outside of it, as they have to on their own."""
    if name == "theory":
        source[0] = formulas.annotated(source[0])
    if not name.startswith("_generated/"):
        source[0] = pages.relinked(source[0], f"docs/{name}.md", f"{name}.md")


def _readme_links(_: Sphinx, _file: Path, _page: str, text: list[str]) -> None:
    """The start page includes README.md, which alone is included anywhere."""
    text[0] = pages.relinked(text[0], "README.md", "index.md")


def _docstring(*event: Any) -> None:
    parts = "\n".join(event[-1]).split("\n\n")
    plain = (part if part.lstrip().startswith(">>>") else _plain(part) for part in parts)
    event[-1][:] = "\n\n".join(plain).split("\n")


def _plain(text: str) -> str:
    return formulas.linked("\n".join(map(pages.escaped, text.split("\n"))))


def _signature(*event: Any) -> tuple[str | None, ...]:
    """Arguments and what is returned, with aliases by their names inside of unions, too."""
    return tuple(text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
                 for text in event[-2:])  # fmt: skip


def _explorer(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        Path(app.outdir, "explorer.html").write_text(page(), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Write generated pages before sources are looked for, the explorer after all else."""
    pages.write(HERE / "_generated")
    app.connect("source-read", _own_links)
    app.connect("include-read", _readme_links)
    app.connect("autodoc-process-docstring", _docstring, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", _signature)
    app.connect("build-finished", _explorer)

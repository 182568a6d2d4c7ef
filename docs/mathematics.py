"""Formulas as MathML, set when the site is built: pages need no network and no JavaScript.

A formula that cannot be set is a warning, which names it. Displayed formulas are numbered by their
section and a letter, (6.2a), which is also their address: theory.html#eq-6.2a.
"""

from __future__ import annotations

__all__ = ["setup"]

import re
import string
from collections import Counter

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

_TEX = LatexToMathML(fancy_error=False)
_LONG = 24
"""Signs of a formula inside a line that may be too wide for a line of a phone."""


def _mathml(node: nodes.math | nodes.math_block) -> str:
    block = isinstance(node, nodes.math_block)
    try:
        return _TEX.convert_with_local_state(node.astext(), displaystyle=block)
    except LatexError as error:
        getLogger(__name__).warning("%s in %s", error, node.astext(), location=node)
        return ""


def _inline(html: HTML5Translator, node: nodes.math) -> None:
    formula = _mathml(node)
    if len(re.sub("<.*?>", "", formula)) > _LONG:
        formula = f'<span class="long-formula">{formula}</span>'
    html.body.append(formula)
    raise nodes.SkipNode


def _block(html: HTML5Translator, node: nodes.math_block) -> None:
    name = f"eq-{node['number']}"
    html.body.append(
        f'<div class="formula" id="{name}"><div>{_mathml(node)}</div>'
        f'<a href="#{name}">({node["number"]})</a></div>\n'
    )
    raise nodes.SkipNode


def _number(_: Sphinx, page: nodes.document) -> None:
    seen: Counter[str] = Counter()
    for node in page.findall(nodes.math_block):
        section = node.parent
        while not isinstance(section, nodes.section):
            section = section.parent
        number = re.match(r"(\d+(\.\d+)*)?", section[0].astext())
        assert number
        letter = string.ascii_lowercase[seen[number[0]]]  # a 27th is one formula too many
        node["number"] = number[0] + letter
        seen[number[0]] += 1


def setup(app: Sphinx) -> None:
    """Take the place of MathJax."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("doctree-read", _number)

"""What a claim says and why: its statement, formulas, premises, proof in short, and source."""

from __future__ import annotations

__all__ = ["explanation", "sections"]

import re
import textwrap
from collections.abc import Sequence

from ntk_theory.checking.claim import Claim

_WIDTH = 98


def sections(claim: Claim) -> tuple[str, ...]:
    """Sections of docs/theory.md that a claim names in its source and derivation.

    >>> from ntk_theory.claims import all_claims
    >>> sections(all_claims()["convergence"])
    ('6.3', '7', '9')
    """
    text = f"{claim.source} {claim.derivation}"
    named: set[str] = set()
    for listed in re.findall(r"sections? ((?:\d+(?:\.\d+)?(?:, | and | to )?)+)", text):
        named |= set(re.findall(r"\d+(?:\.\d+)?", listed))
    return tuple(sorted(named, key=lambda number: [int(part) for part in number.split(".")]))


def _paragraph(text: str, indent: str = "  ", first: str | None = None) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def explanation(claim: Claim) -> str:
    """The claim in words and formulas, for the terminal."""
    file = f" --claims {claim.origin}" if claim.origin.endswith(".py") else ""
    checked = [f"{name}: {scope}" for name, scope in claim.paper_claims.items()]

    def items(texts: Sequence[str]) -> list[str]:
        return [_paragraph(text, "    ", "  - ") for text in texts]

    sections = {
        "Formulas": [f"  {formula}" for formula in claim.formulas],
        "Premises": items(claim.assumptions),
        "Derivation": [_paragraph(claim.derivation)] if claim.derivation else [],
        "Of the abstract it checks": items(checked),
        "Controls, which have to fail": [_paragraph(", ".join(claim.control_ids))],
        "Source": [_paragraph(claim.source)],
    }
    told = [line for name, lines in sections.items() if lines for line in (f"\n{name}", *lines)]
    run = f"\nRun it: python -m ntk_theory.verify {claim.id}{file}"
    return "\n".join([claim.id, _paragraph(claim.statement), *told, run])

"""Knobs of a claim: parameters of what builds its problem, as the command line has them."""

from __future__ import annotations

__all__ = ["Knob", "knobs_of"]

import builtins
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from ntk_theory.checking.verdicts import DeclarationError

_KINDS = (int, float, str, bool)

_GIVEN = ("seed", "preset", "nets")
"""Parameters of a builder that are no knobs: of every run."""


@dataclass(frozen=True)
class Knob:
    """A parameter that a user may set.

    Attributes:
        name: of the parameter; the flag has dashes for underscores.
        kind: int, float, str or bool.
        default: value where the user sets none.
        help: what it is, in a few words.
    """

    name: str
    kind: type
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """On the command line."""
        return f"--{self.name.replace('_', '-')}"


def knobs_of(
    builder: Callable[..., Any], defaults: Mapping[str, Any], fixed: Container[str]
) -> dict[str, Knob]:
    """Keyword-only parameters of a builder but seed, preset and what is fixed, by name.

    Args:
        builder: annotated with int, float, str or bool, each perhaps "or None"; the section "Args:"
            of its docstring says what they are.
        defaults: values in place of the builder's own.
        fixed: names that are no knobs.

    Raises:
        DeclarationError: for a parameter that is not annotated so, or has no value.
    """
    said = _arguments(inspect.getdoc(builder) or "")
    knobs = {}
    for name, parameter in inspect.signature(builder).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY or name in _GIVEN or name in fixed:
            continue
        default = defaults.get(name, parameter.default)
        if default is parameter.empty:
            raise DeclarationError(
                f"parameter {name} of {_name(builder)} needs a default: it is a knob of the claim"
            )
        knobs[name] = Knob(name, _kind(builder, parameter), default, said.get(name, ""))
    unknown = (set(defaults) - set(knobs)) - ({"seed"} if "seed" in defaults else set())
    if unknown:
        raise DeclarationError(
            f"{_name(builder)} has no keyword parameter {', '.join(sorted(unknown))}"
        )
    return knobs


def _name(builder: Callable[..., Any]) -> str:
    return getattr(builder, "__name__", repr(builder))


def _kind(builder: Callable[..., Any], parameter: inspect.Parameter) -> type:
    hint = parameter.annotation
    if isinstance(hint, str):  # of this parameter alone: others may name what is not loaded yet
        hint = eval(hint, vars(builtins) | getattr(builder, "__globals__", {}))
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [part for part in parts if part is not type(None)]
    if len(kinds) != 1 or kinds[0] not in _KINDS:
        raise DeclarationError(
            f"parameter {parameter.name} of {_name(builder)} must be annotated as int, float, str "
            f"or bool, or one of them or None, to be a knob; got {parameter.annotation}"
        )
    return typing.cast(type, kinds[0])


def _arguments(docstring: str) -> dict[str, str]:
    """What the section "Args:" says of each parameter, in one line."""
    match = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", docstring, re.MULTILINE)
    if match is None:
        return {}
    entries = re.split(r"\n(?=\w+:)", textwrap.dedent(match[1]).strip())
    pairs = (entry.partition(":") for entry in entries)
    return {name.strip(): " ".join(text.split()) for name, _, text in pairs}

"""All of a claim that is known before a net is trained."""

from __future__ import annotations

__all__ = ["Declaration", "declare"]

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ntk_theory.checking.ladder import NetPlan
from ntk_theory.checking.nets import check_memory
from ntk_theory.checking.verdicts import DeclarationError, Options, Premise
from ntk_theory.problems import lazy_premise

if TYPE_CHECKING:
    from ntk_theory.checking.claim import Claim
    from ntk_theory.checking.rows import Control, Row, Training


@dataclass(frozen=True)
class Declaration:
    """All of a claim that is known before a net is trained, each part made when it is asked for.

    Attributes:
        claim: whose it is.
        options: as the user gave them.
        problem: as the claim builds it.
        nets: which nets are trained.
    """

    claim: Claim
    options: Options
    problem: Any
    nets: NetPlan

    @cached_property
    def premises(self) -> tuple[Premise, ...]:
        """Hypotheses, evaluated. If one fails, there are no trainings, rows and controls."""
        return tuple(_premises(self.claim, self.problem, self.nets.widths))

    @cached_property
    def trainings(self) -> Mapping[str, Training]:
        """By name, in their order."""
        if not all(premise.holds for premise in self.premises):
            return {}
        self.claim.check_declared()
        return {one.name: one for one in self.claim.made("trainings", self.problem)}

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """In their order."""
        every = self.trainings.values()
        return tuple(self.claim.made("rows", self.problem, *every)) if every else ()

    @cached_property
    def controls(self) -> tuple[Control, ...]:
        """In their order."""
        if not self.trainings:
            return ()
        titled = _Titled((row.title, row) for row in self.rows)
        given = _asked(self.claim.part("controls"), self.problem, self.trainings, titled)
        made = tuple(self.claim.made("controls", *given))
        if not made:
            raise DeclarationError(
                f"claim {self.claim.id} has no control: a check that cannot fail"
            )
        return made

    @property
    def broken_rows(self) -> tuple[Row, ...]:
        """Rows of the controls, of those that have one."""
        return tuple(control.row for control in self.controls if control.row is not None)

    @property
    def config(self) -> dict[str, Any]:
        """Every number needed to run it again."""
        knobs, given = self.claim.own_knobs, self.options.knobs
        config = {
            **self.nets.config(),
            **{name: given.get(name, knob.default) for name, knob in knobs.items()},
            **(self.problem.config() if hasattr(self.problem, "config") else {}),
        }
        if self.claim.costly or not self.controls or self.broken_rows:
            more = {"control_seeds": self.claim.control_nets}
            config |= {"control_width": self.nets.control_width, **more}
        return config

    def check_memory(self) -> None:
        """Raise ValueError if the widest net of a training does not fit the memory."""
        for training in self.trainings.values():
            widest = max(self.nets.widths[-1], *training.widths_in(self.nets.widths))
            check_memory(widest, training.recipe.inputs.shape, self.nets.dtype, self.nets.device)


class _Titled(dict[str, Any]):
    """Rows by their titles, or by their place."""

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, int):
            return list(self.values())[key]
        raise KeyError(f"no row {key!r}; there are {', '.join(map(repr, self))}")


def _asked(part: Callable[..., Any] | None, *given: Any) -> tuple[Any, ...]:
    """As many of some arguments as a function takes."""
    return given if part is None else given[: len(inspect.signature(part).parameters)]


def _premises(claim: Claim, problem: Any, widths: Sequence[int]) -> Iterator[Premise]:
    """Those of the problem, of the claim, and that narrow nets move little."""
    own = list(problem.premises()) if hasattr(problem, "premises") else []
    yield from own
    if not all(premise.holds for premise in own):
        return  # what follows need not exist
    if hasattr(problem, "lazy_width"):
        yield lazy_premise(problem.lazy_width, widths[0])
    yield from claim.made("premises", *_asked(claim.part("premises"), problem, widths))


def declare(claim: Claim, options: Options) -> Declaration:
    """All of a claim that is known before a net is trained; at once, unless that is costly.

    Raises:
        ValueError: for options that make no sense, or nets that do not fit the memory.
        DeclarationError: for a claim that is not declared as it has to be.
    """
    problem = claim.build(options)
    declared = Declaration(claim, options, problem, claim.nets(options, _lazy_width(problem)))
    if claim.costly:
        problem.check_memory()
    elif declared.controls:
        declared.check_memory()
    return declared


def _lazy_width(problem: Any) -> float:
    """m_lazy of a problem that has one, and closed forms to evaluate it."""
    return (
        float(getattr(problem, "lazy_width", 0.0)) if getattr(problem, "predictable", True) else 0.0
    )

"""All of a claim that is known before a net is trained."""

from __future__ import annotations

__all__ = ["Declaration", "declare"]

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ntk_theory.checking.ladder import NetPlan, control_width, planned
from ntk_theory.checking.verdicts import DeclarationError, Options, Premise
from ntk_theory.problems import lazy_premise

if TYPE_CHECKING:
    from ntk_theory.checking.claim import Claim
    from ntk_theory.checking.rows import Control, Row, Training


@dataclass(frozen=True)
class Declaration:
    """All of a claim that is known before a net is trained.

    Attributes:
        claim: whose it is.
        options: as the user gave them.
        problem: as the claim builds it.
        nets: which nets are trained.
        premises: hypotheses, evaluated. If one fails, trainings, rows and controls are empty.
        trainings: by name, in their order.
        rows: in their order.
        controls: in their order.
        config: every number needed to run it again.
    """

    claim: Claim
    options: Options
    problem: Any
    nets: NetPlan
    premises: tuple[Premise, ...]
    trainings: Mapping[str, Training]
    rows: tuple[Row, ...]
    controls: tuple[Control, ...]
    config: Mapping[str, Any]

    @property
    def broken_rows(self) -> tuple[Row, ...]:
        """Rows of the controls, of those that have one."""
        return tuple(control.row for control in self.controls if control.row is not None)


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
    """All of a claim that is known before a net is trained.

    Raises:
        ValueError: for options that make no sense.
        DeclarationError: for a claim that is not declared as it has to be.
    """
    problem = claim.build(options)
    sweep = claim.sweeps[options.preset]
    lazy_width = _lazy_width(problem)
    nets = planned(
        options, sweep.widths(lazy_width), sweep.nets, claim.precisions,
        least_count=claim.least_nets,
    )  # fmt: skip
    premises = tuple(_premises(claim, problem, nets.widths))
    trainings: dict[str, Training] = {}
    rows: list[Row] = []
    controls: list[Control] = []
    if all(premise.holds for premise in premises):
        claim.check_declared()
        trainings = {one.name: one for one in claim.made("trainings", problem)}
        rows = claim.made("rows", problem, *trainings.values())
        titled = _Titled((row.title, row) for row in rows)
        controls = claim.made(
            "controls", *_asked(claim.part("controls"), problem, trainings, titled)
        )
        if not controls:
            raise DeclarationError(f"claim {claim.id} has no control: a check that cannot fail")
        for training in trainings.values():
            widths = (nets.widths[-1], *training.widths_in(nets.widths))
            replace(nets, widths=(max(widths),)).check_memory(training.recipe.inputs.shape)
    config = {
        **nets.config(),
        **{name: options.knobs.get(name, knob.default) for name, knob in claim.own_knobs.items()},
        **(problem.config() if hasattr(problem, "config") else {}),
    }
    if not controls or any(control.row is not None for control in controls):
        config |= {"control_width": control_width(nets), "control_seeds": claim.control_nets}
    return Declaration(
        claim, options, problem, nets, premises, trainings, tuple(rows), tuple(controls), config
    )


def _lazy_width(problem: Any) -> float:
    """m_lazy of a problem that has one, and closed forms to evaluate it."""
    return (
        float(getattr(problem, "lazy_width", 0.0)) if getattr(problem, "predictable", True) else 0.0
    )

"""A claim in one file: what it says, and functions that declare how it is checked.

A claim is declared before any net is trained. Its problem is built from knobs; its trainings say
what nets are trained on and what the infinitely wide net does there; its rows are numbers read off
their outputs; its controls are rows on trainings with one thing replaced. All the rest follows:
which nets, the checks of closed forms on the measured kernel, tolerances, falling deviations,
verdict, tables, pictures, files.
"""

from __future__ import annotations

__all__ = ["Claim", "Declaration", "declare"]

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ntk_theory.checking.knobs import Knob, knobs_of
from ntk_theory.checking.sweep import PRESETS, Sweep
from ntk_theory.verdicts import Options, Premise, deferred

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.rows import Control, Row, Training
    from ntk_theory.checking.running import Run
    from ntk_theory.ladder import NetPlan
    from ntk_theory.verdicts import ClaimResult, Measurement, Progress

Function = TypeVar("Function", bound=Callable[..., Any])


class Claim:
    """A statement of theory, and how it is checked on trained nets.

    Attributes:
        id: its name on the command line.
        statement: what is claimed.
        formulas: the predictions that decide it, one line each.
        assumptions: its premises, in words.
        derivation: why the formulas hold, in a few sentences.
        source: where it is claimed and derived.
        paper_claims: which of the abstract's claims C1..C7 it checks, and within what scope.
        presets: sweeps over the width, by name.
        control_nets: nets of each control.
        precisions: of nets, that it can be checked in.
        panels: what draws prediction over measurement, by the name of the picture.
        knobs: names of what a user may set, besides preset, seed and device.
        plans: what says how long a preset takes, for presets where that matters.
        origin: where a claim of somebody else's comes from; empty for those of this package.
    """

    def __init__(
        self,
        id_: str,
        *,
        statement: str,
        source: str,
        formulas: Sequence[str] = (),
        assumptions: Sequence[str] = (),
        derivation: str = "",
        paper_claims: Mapping[str, str] | None = None,
        presets: Mapping[str, Sweep] = PRESETS,
        control_nets: int = 3,
        precisions: Sequence[str] = ("float64", "float32"),
    ) -> None:
        self.id = id_
        self.statement = statement
        self.source = source
        self.formulas = tuple(formulas)
        self.assumptions = tuple(assumptions)
        self.derivation = derivation
        self.paper_claims = dict(paper_claims or {})
        self.presets = dict(presets)
        self.control_nets = control_nets
        self.precisions = tuple(precisions)
        self.panels: dict[str, Callable[[Axes, ClaimResult], None]] = {}
        self.plans: Mapping[str, Callable[[Options], str]] = {}
        self.origin = ""
        self._builder: Callable[..., Any] | None = None
        self._defaults: dict[str, Any] = {}
        self._fixed: dict[str, Any] = {}
        self._parts: dict[str, Callable[..., Any]] = {}

    # ------------------------------------------------------------ what a claim declares

    def problem(
        self,
        builder: Function,
        *,
        defaults: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> Function:
        """Declare what builds the problem: f(seed=…, *, knob=default, …).

        Its keyword-only parameters are the knobs. What it returns is handed to all other parts. If
        that has `premises()`, `config()`, or a `lazy_width`, they are used.

        Args:
            builder: raises ValueError for values that make no sense.
            defaults: values in place of its own.
            fixed: values of parameters that are to be no knobs.
        """
        self._builder = builder
        self._defaults, self._fixed = dict(defaults or {}), dict(fixed or {})
        return builder

    def _part(self, name: str, function: Function) -> Function:
        self._parts[name] = function
        return function

    def trainings(self, function: Callable[[Any], Training | Iterable[Training]]) -> Any:
        """Declare the trainings: f(problem) gives one or yields several."""
        return self._part("trainings", function)

    def premises(self, function: Callable[[Any], Iterable[Premise]]) -> Any:
        """Declare premises besides the problem's own: f(problem)."""
        return self._part("premises", function)

    def rows(self, function: Callable[..., Iterable[Row]]) -> Any:
        """Declare the rows: f(problem, training, …), the trainings in their order."""
        return self._part("rows", function)

    def controls(self, function: Callable[..., Iterable[Control]]) -> Any:
        """Declare the controls: f(problem, trainings, rows), both by name; it may take fewer."""
        return self._part("controls", function)

    def measure(self, function: Callable[[Run], Iterable[Measurement | Premise]]) -> Any:
        """Declare rows that are no functional of outputs: f(run), after all nets are trained.

        It may yield premises, too, which trained nets have to meet.
        """
        return self._part("measure", function)

    def work(self, function: Callable[[Declaration], float | Iterable[float]]) -> Any:
        """Declare the neuron-steps of nets that `measure` trains itself: f(declaration).

        They may come in several parts.
        """
        return self._part("work", function)

    def arrays(self, function: Callable[[Run], Mapping[str, Any]]) -> Any:
        """Declare arrays to keep besides those that pictures draw: f(run), by name."""
        return self._part("arrays", function)

    def finding(self, function: Callable[[Run], str]) -> Any:
        """Declare the sentence that says what was found: f(run)."""
        return self._part("finding", function)

    def part(self, name: str) -> Callable[..., Any] | None:
        """What was declared under a name, or None."""
        return self._parts.get(name)

    def made(self, name: str, *given: Any) -> list[Any]:
        """What a part makes of what it is given; nothing of a part that was not declared."""
        part = self._parts.get(name)
        found = [] if part is None else part(*given)
        return list(found) if isinstance(found, Iterable) else [found]

    # ------------------------------------------------------------ what follows from that

    def check_declared(self) -> None:
        """Raise TypeError for a claim that lacks a part, or whose knobs cannot be read."""
        if self._builder is None:
            raise TypeError(f"claim {self.id} has no problem: decorate what builds it")
        for name in ("trainings", "rows", "controls"):
            if name not in self._parts and not (name == "rows" and "measure" in self._parts):
                raise TypeError(f"claim {self.id} has no {name}: decorate what yields them")
        assert self.own_knobs is not None

    @cached_property
    def own_knobs(self) -> dict[str, Knob]:
        """Parameters of the problem that a user may set, by name."""
        if self._builder is None:
            raise TypeError(f"claim {self.id} has no problem: decorate what builds it")
        return knobs_of(self._builder, self._defaults, self._fixed)

    @property
    def knobs(self) -> frozenset[str]:
        """Names of all that a user may set, besides preset, seed and device."""
        return frozenset(self.own_knobs) | {"seeds", "widths", "dtype"}

    @cached_property
    def control_ids(self) -> tuple[str, ...]:
        """Of its controls, in the order in which they are run."""
        return tuple(control.id for control in declare(self, Options("quick")).controls)

    def build(self, options: Options) -> Any:
        """The problem for some options; raises ValueError for values that make no sense."""
        given = {
            name: options.knobs.get(name, knob.default) for name, knob in self.own_knobs.items()
        }
        assert self._builder is not None
        return self._builder(seed=options.seed, **given, **self._fixed)

    def predict(self, options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
        """Config and predictions of all rows, without training."""
        declared = declare(self, options)
        return declared.config, {row.title: row.predicted for row in declared.rows}

    def run(self, options: Options, progress: Progress) -> ClaimResult:
        """Check it: train the nets, hold rows and controls against what is predicted."""
        result: ClaimResult = _run(self, options, progress)
        return result


_run = deferred("ntk_theory.checking.running:run")


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
    from ntk_theory.problems import lazy_premise

    own = list(problem.premises()) if hasattr(problem, "premises") else []
    yield from own
    if not all(premise.holds for premise in own):
        return  # what follows need not exist
    if hasattr(problem, "lazy_width"):
        yield lazy_premise(problem.lazy_width, widths[0])
    yield from claim.made("premises", problem)


def declare(claim: Claim, options: Options) -> Declaration:
    """All of a claim that is known before a net is trained.

    Raises:
        ValueError: for options that make no sense.
        TypeError: for a claim that is not declared as it has to be.
    """
    from ntk_theory.ladder import control_width, planned

    problem = claim.build(options)
    sweep = claim.presets[options.preset]
    lazy_width = _lazy_width(problem)
    nets = planned(options, sweep.widths(lazy_width), sweep.nets, claim.precisions)
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
            raise TypeError(f"claim {claim.id} has no control: a check that cannot fail")
        for training in trainings.values():
            nets.check_memory(training.recipe.inputs.shape)
    config = {
        **nets.config(),
        **{name: options.knobs.get(name, knob.default) for name, knob in claim.own_knobs.items()},
        **(problem.config() if hasattr(problem, "config") else {}),
        "control_width": control_width(nets),
        "control_seeds": claim.control_nets,
    }
    return Declaration(
        claim, options, problem, nets, premises, trainings, tuple(rows), tuple(controls), config
    )


def _lazy_width(problem: Any) -> float:
    """m_lazy of a problem that has one, and closed forms to evaluate it."""
    return (
        float(getattr(problem, "lazy_width", 0.0)) if getattr(problem, "predictable", True) else 0.0
    )

"""A claim in one file: what it says, and functions that declare how it is checked.

A claim is declared before any net is trained. Its problem is built from knobs; its trainings say
what nets are trained on and what the infinitely wide net does there; its rows are numbers read off
their outputs; its controls are rows on trainings with one thing replaced. All the rest follows:
which nets, the checks of closed forms on the measured kernel, tolerances, falling deviations,
verdict, tables, pictures, files.
"""

from __future__ import annotations

__all__ = ["Claim"]

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar

from ntk_theory.checking.knobs import Knob, knobs_of
from ntk_theory.checking.sweep import PRESETS, Sweep
from ntk_theory.checking.verdicts import DeclarationError, Options, Premise, deferred

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.checking.ladder import NetPlan
    from ntk_theory.checking.rows import Control, Row, Training
    from ntk_theory.checking.run import Run
    from ntk_theory.checking.verdicts import ClaimResult, Measurement, Progress

Predicted = tuple[Mapping[str, Any], Mapping[str, float]]
Panel = Callable[["Axes", "ClaimResult"], None]
Function = TypeVar("Function", bound=Callable[..., Any])


class Claim:
    """A statement of theory, and how it is checked on trained nets.

    Attributes:
        id: its name on the command line.
        statement: what is claimed; this, the source and the derivation may be wrapped at will.
        formulas: the predictions that decide it, one line each.
        assumptions: its premises, in words.
        derivation: why the formulas hold, in a few sentences.
        source: where it is claimed and derived.
        paper_claims: which of the abstract's claims C1..C7 it checks, and within what scope.
        sweeps: over the width, by the name of the preset.
        control_nets: nets of each control.
        least_nets: how many nets at each width it takes to judge their spread.
        precisions: of nets, that it can be checked in, the default first. Where that has fewer bits
            than float64, tolerances have the rounding of nets, measured on one of them.
        knobs: names of what a user may set, besides preset, seed and device.
        costly: whether its kernel takes so long that its problem's `plan()`, in words, is shown
            before a run, and nothing is made before but the problem and its `check_memory()`.
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
        least_nets: int = 3,
        precisions: Sequence[str] = ("float64", "float32"),
    ) -> None:
        self.id = id_
        texts = statement, source, derivation
        self.statement, self.source, self.derivation = (" ".join(one.split()) for one in texts)
        self.formulas = tuple(formulas)
        self.assumptions = tuple(assumptions)
        self.paper_claims = dict(paper_claims or {})
        self.sweeps = dict(presets)
        self.control_nets = control_nets
        self.least_nets = least_nets
        self.precisions = tuple(precisions)
        self._panels: dict[str, Panel] = {}
        self._others: dict[str, str] = {}
        self._own_data = ""
        self.costly = False
        self.origin = ""
        self._builder: Callable[..., Any] | None = None
        self._into: Callable[[Any, Options], Any] | None = None
        self._defaults: dict[str, Any] = {}
        self._fixed: dict[str, Any] = {}
        self._parts: dict[str, Callable[..., Any]] = {}

    @property
    def presets(self) -> tuple[str, ...]:
        """Names of all presets, those of problems of another size too."""
        return (*self.sweeps, *self._others)

    # ------------------------------------------------------------ what a claim declares

    def problem(
        self,
        builder: Function,
        *,
        defaults: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        into: Callable[[Any, Options], Any] | None = None,
    ) -> Function:
        """Declare what builds the problem: f(seed=…, *, knob=default, …).

        Its keyword-only parameters are the knobs; one called preset is given the name of the
        preset, for problems that grow with it, and one called nets which nets are trained. What it
        returns is handed to all other parts. If that has `premises()`, `config()`, a `lazy_width`,
        or `arrays()` to keep whatever the premises say, they are used.

        Args:
            builder: raises ValueError for values that make no sense.
            defaults: values in place of its own.
            fixed: values of parameters that are to be no knobs.
            into: f(what it returns, options) makes of it what the other parts are handed; `of` of a
                kind of `nt.NoisyClusters` is such a function.
        """
        self._builder, self._into = builder, into
        self._defaults, self._fixed = dict(defaults or {}), dict(fixed or {})
        return builder

    def _part(self, name: str, function: Function) -> Function:
        self._parts[name] = function
        return function

    def trainings(self, function: Callable[[Any], Training | Iterable[Training]]) -> Any:
        """Declare the trainings: f(problem) gives one or yields several."""
        return self._part("trainings", function)

    def premises(self, function: Callable[..., Iterable[Premise]]) -> Any:
        """Declare premises besides the problem's own: f(problem), or f(problem, widths)."""
        return self._part("premises", function)

    def closed_forms(self, function: Callable[[Any], Iterable[Measurement]]) -> Any:
        """Declare closed forms beside another computation of them: f(problem).

        They are held against each other before any net is trained.
        """
        return self._part("closed_forms", function)

    def rows(self, function: Callable[..., Iterable[Row]]) -> Any:
        """Declare the rows: f(problem, training, …), the trainings in their order."""
        return self._part("rows", function)

    def controls(self, function: Callable[..., Control | Iterable[Control]]) -> Any:
        """Declare the controls: f(problem, trainings, rows), both by name; it may take fewer."""
        return self._part("controls", function)

    def measure(self, function: Callable[[Run], Iterable[Measurement | Premise]]) -> Any:
        """Declare rows that are no functional of outputs: f(run), after all nets are trained.

        It may yield premises, too, which trained nets have to meet. What it has yielded is in
        `run.evidence` when it goes on.
        """
        return self._part("measure", function)

    def work(self, function: Callable[[Declaration], float | Iterable[float]]) -> Any:
        """Declare the neuron-steps of nets that `measure` trains itself: f(declaration).

        They may come in several parts.
        """
        return self._part("work", function)

    def preset(self, *names: str, by: str) -> None:
        """Declare presets of a problem of another size, which has a declaration of its own.

        Args:
            names: of the presets.
            by: "package.module:NAME" of a claim made by `resized`, loaded when it is asked for.
        """
        self._others |= dict.fromkeys(names, by)

    def resized(self, **own: Any) -> Claim:
        """The same statement without a declaration, for presets of a costly problem.

        Args:
            own: presets, precisions and so on, as a claim takes them.
        """
        other = self.restated(**own)
        other.costly = True
        return other

    def restated(self, **own: Any) -> Claim:
        """The same statement without a declaration.

        Args:
            own: presets, precisions and so on, or words that differ, as a claim takes them.
        """
        said = ("statement", "source", "formulas", "assumptions", "derivation", "paper_claims")
        return Claim(self.id, **({name: getattr(self, name) for name in said} | own))

    def on_data(self, *, by: str) -> None:
        """Declare what is run on data of the user's own: where the knob data, or gram, is given.

        Args:
            by: "package.module:NAME" of a claim made by `restated`, loaded when it is asked for;
                its problem has these knobs.
        """
        self._own_data = by

    @property
    def of_data(self) -> Claim | None:
        """The declaration for data of the user's own, if there is one."""
        found: Claim | None = resolve_name(self._own_data) if self._own_data else None
        return found

    def at(self, options: Options) -> Claim:
        """The declaration by which options are run; raises ValueError for a knob it has not."""
        own, data = self.own_knobs, self.of_data
        if data is not None and {"data", "gram"} & set(options.knobs):
            if options.preset not in data.presets:
                raise ValueError(
                    f"{self.id} has no preset {options.preset} for data of your own; it has "
                    f"{', '.join(data.presets)}"
                )
            other, why, way = data, "data of your own", "leave it out"
        elif options.preset in self._others:
            other = resolve_name(self._others[options.preset])
            why = f"preset {options.preset}, which derives it"
            way = "leave it out or take another preset"
        else:
            other, why, way = self, "the problem of this claim", "give --data with it"
        for knob in options.knobs:
            known = knob in own or (data is not None and knob in data.own_knobs)
            if known and knob not in other.own_knobs:
                raise ValueError(f"{knob} cannot be chosen for {why}; {way}")
        return other

    def arrays(self, function: Callable[[Run], Mapping[str, Any]]) -> Any:
        """Declare arrays to keep besides those that pictures draw: f(run), by name."""
        return self._part("arrays", function)

    def finding(self, function: Callable[[Run], str]) -> Any:
        """Declare the sentence that says what was found: f(run)."""
        return self._part("finding", function)

    @property
    def panels(self) -> dict[str, Panel]:
        """What draws prediction over measurement, by name; deviations over the width by default.

        `CLAIM.panels = {…}` declares others: of `ntk_theory.panels`, or any f(axes, result).
        """
        return self._panels or dict(_default_panels())

    @panels.setter
    def panels(self, panels: Mapping[str, Panel]) -> None:
        self._panels = dict(panels)

    def part(self, name: str) -> Callable[..., Any] | None:
        """What was declared under a name, or None."""
        return self._parts.get(name)

    def made(self, name: str, *given: Any) -> list[Any]:
        """What a part makes of what it is given; nothing of a part that was not declared."""
        part = self._parts.get(name)
        found = None if part is None else part(*given)
        if found is None:
            return []
        return list(found) if isinstance(found, Iterable) else [found]

    # ------------------------------------------------------------ what follows from that

    def check_declared(self) -> None:
        """Raise DeclarationError for a claim that lacks a part, or whose knobs cannot be read."""
        if self._builder is None:
            raise DeclarationError(f"claim {self.id} has no problem: decorate what builds it")
        for name in ("trainings", "rows", "controls"):
            if name not in self._parts and not (name == "rows" and "measure" in self._parts):
                raise DeclarationError(f"claim {self.id} has no {name}: decorate what yields them")
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

    @property
    def all_knobs(self) -> dict[str, Knob]:
        """Parameters that a user may set with data of the user's own, or without, by name."""
        data = self.of_data
        return self.own_knobs if data is None else data.own_knobs | self.own_knobs

    @property
    def takes(self) -> frozenset[str]:
        """Names of all that a user may set with data of the user's own, or without."""
        return self.knobs | frozenset(self.all_knobs)

    @cached_property
    def control_ids(self) -> tuple[str, ...]:
        """Of its controls, in the order in which they are run."""
        return tuple(control.id for control in _declare(self, Options("quick")).controls)

    def build(self, options: Options) -> Any:
        """The problem for some options; raises ValueError for values that make no sense."""
        given = {
            name: options.knobs.get(name, knob.default) for name, knob in self.own_knobs.items()
        }
        assert self._builder is not None
        asked = inspect.signature(self._builder).parameters
        if "preset" in asked:
            given["preset"] = options.preset
        if "nets" in asked:
            given["nets"] = self.nets(options)
        built = self._builder(seed=options.seed, **given, **self._fixed)
        return built if self._into is None else self._into(built, options)

    def nets(self, options: Options, lazy_width: float = 0.0) -> NetPlan:
        """Which nets are trained, the narrowest of them lazy; ValueError if they make no sense."""
        sweep = self.sweeps[options.preset]
        widths, few = sweep.widths(lazy_width), self.least_nets
        plan: NetPlan = _planned(options, widths, sweep.nets, self.precisions, few)
        return plan

    def plan(self, options: Options) -> str:
        """What a run takes, in words that are shown before it; empty where that is little."""
        other = self.at(options)
        return str(other.build(options).plan()) if other.costly else ""

    def predict(self, options: Options) -> Predicted:
        """Config and predictions of all rows, without training; of costly problems config alone."""
        other = self.at(options)
        declared: Declaration = _declare(other, options)
        rows = () if other.costly else declared.rows
        return declared.config, {row.title: row.predicted for row in rows}

    def run(
        self, options: Options, progress: Progress, planted: tuple[str, float] | None = None
    ) -> ClaimResult:
        """Check it: train the nets, hold rows and controls against what is predicted.

        Args:
            options: of the run.
            progress: told how far it has come.
            planted: a parameter of theory, one of "learning rate", "noise eigenvalues" and "noise
                rate", and the relative error by which that of the nets is to be larger: a run of a
                wrong theory.

        Raises:
            ValueError: for a parameter that there is not, or that no net of the claim shows.
        """
        result: ClaimResult = _run(self.at(options), options, progress, planted)
        return result


_declare = deferred("ntk_theory.checking.declaration:declare")
_planned = deferred("ntk_theory.checking.ladder:planned")
_default_panels = deferred("ntk_theory.checking.panels:default_panels")
_run = deferred("ntk_theory.checking.running:run_claim")

"""Pictures of a claim: prediction over measurement, each a panel that knows what it has to keep."""

from __future__ import annotations

__all__ = ["Curves", "Dots", "Ecdf", "Laws", "OverWidth", "default_panels"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import Functional, margins
from ntk_theory.checking.rows import NORMS
from ntk_theory.checking.verdicts import DeclarationError

if TYPE_CHECKING:  # names that annotations of other panels want, too
    from matplotlib.axes import Axes as Axes

    from ntk_theory.checking.run import Run
    from ntk_theory.checking.verdicts import ClaimResult as ClaimResult

Array = NDArray[np.float64]

COLOURS = ("ORANGE", "BLUE", "GREEN", "INDIGO")
"""Of trainings in the order in which a panel names them."""


def _colour(place: int) -> str:
    return str(getattr(nt.drawing, COLOURS[place % len(COLOURS)]))


@dataclass(frozen=True)
class Curves:
    """A functional over the steps: mean and range of the widest nets, the prediction dashed.

    Attributes:
        functional: what is shown, or its name if `of` gives it.
        of: names of trainings, of controls' ones, too, or f(problem) that gives them; it may give
            a functional of each curve as well, as {label: (training, functional)}.
        ylabel: of the axis, in mathtext; that of the RMS error if left out.
        bounds: levels that theory knows, by what the legend calls them: f(config), None for none.
        marks: steps that theory names, by their symbol: f(config).
        more: settings of the axes, as `Axes.set` takes them.
        legend: its place.
    """

    functional: Functional | str
    of: Sequence[str] | Callable[[Any], Sequence[str] | Mapping[str, tuple[str, Functional]]]
    ylabel: str = r"RMS error  $\|u_t-y\|/\sqrt{n}$"
    bounds: Mapping[str, Callable[[Mapping[str, Any]], float | None]] = field(default_factory=dict)
    marks: Mapping[str, Callable[[Mapping[str, Any]], float]] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    legend: str = "best"

    @property
    def _prefix(self) -> str:
        named = self.functional
        return f"{named if isinstance(named, str) else named.__name__} of "

    def _curves(self, problem: Any) -> Mapping[str, tuple[str, Functional]]:
        names = self.of(problem) if callable(self.of) else self.of
        if isinstance(names, Mapping):
            return names
        names = (names,) if isinstance(names, str) else names
        return {name: (name, cast(Functional, self.functional)) for name in names}

    def arrays(self, run: Run) -> dict[str, Array]:
        """The functional of nets, shape (S, T + 1), and of the prediction."""
        kept: dict[str, Array] = {}
        curves = self._curves(run.problem)
        broken = [row.training.name for row in run.declared.broken_rows]
        if not {training for training, _ in curves.values()} & {*run.trainings, *broken}:
            raise DeclarationError(
                f"a panel shows {', '.join(curves)}; the trainings are {', '.join(run.trainings)}"
            )
        for name, (training, functional) in curves.items():
            found = run.shown(training)
            if found is None:
                continue  # of a control that is still to come
            points, outputs = found[0].points, found[1].outputs()
            kept[f"{self._prefix}{name}"] = functional(outputs, points)
            kept[f"predicted {self._prefix}{name}"] = functional(points.predicted, points)
        return kept

    def __call__(self, axes: Axes, result: ClaimResult) -> None:
        """Draw it, if the run came so far."""
        drawing, arrays = nt.drawing, result.arrays
        kept = [key.removeprefix(self._prefix) for key in arrays if key.startswith(self._prefix)]
        names = kept if callable(self.of) else self.of
        if not kept or not set(names) <= set(kept):
            return
        shown = {name: arrays[f"{self._prefix}{name}"] for name in names}
        last = max(curves.shape[1] for curves in shown.values()) - 1
        for place, (name, curves) in enumerate(shown.items()):
            drawing.band(axes, np.arange(curves.shape[1]), curves, _colour(place), name)
        for place, name in enumerate(shown):
            predicted = arrays[f"predicted {self._prefix}{name}"]
            label = None if place else "closed forms" if len(shown) > 1 else "closed form"
            drawing.prediction(axes, np.arange(len(predicted)), predicted, label, of=name)
        for label, level in self.bounds.items():
            height = level(result.config)
            if height is not None:
                drawing.bound(axes, height, label)
        for label, step in self.marks.items():
            drawing.mark(axes, step(result.config), label)
        drawing.step_axis(axes, last)
        axes.set(ylabel=self.ylabel, **self.more)
        axes.legend(loc=cast(Any, self.legend))


@dataclass(frozen=True)
class Dots:
    """Rows over something that trainings differ in: a dot for each widest net, predictions dashed.

    Attributes:
        of: titles of rows, with * for what differs, by what the legend calls them.
        over: f(problem) gives what they are drawn over, in the order of the rows.
        each: f(problem) gives a name for each row; predictions of one name make a line.
        xlabel: of the axis, in mathtext.
        ylabel: of the axis, in mathtext.
        lines: curves that theory knows, f(x), by what the legend calls them.
        more: settings of the axes, as `Axes.set` takes them.
        legend: its place.
    """

    of: Mapping[str, str]
    over: Callable[[Any], Sequence[float]]
    xlabel: str
    ylabel: str
    each: Callable[[Any], Sequence[str]] = lambda _: ()
    lines: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    legend: str = "center"

    def arrays(self, run: Run) -> dict[str, Array]:
        """What they are drawn over, the numbers of nets, and their predictions."""
        x = np.asarray(self.over(run.problem), dtype=float)
        groups = np.asarray(list(self.each(run.problem)) or [""] * x.size)
        kept = {self.xlabel: x, f"{self.xlabel}, named": groups}
        for name, title in self.of.items():
            rows = [row for row in run.declared.rows if fnmatchcase(row.title, title)]
            kept[name] = np.stack([run.measured(row) for row in rows])
            kept[f"predicted {name}"] = np.array([row.predicted for row in rows])
        return kept

    def __call__(self, axes: Axes, result: ClaimResult) -> None:
        """Draw it, if the run came so far."""
        from matplotlib.ticker import NullLocator

        drawing, arrays = nt.drawing, result.arrays
        if self.xlabel not in arrays:
            return
        x, groups = np.asarray(arrays[self.xlabel]), arrays[f"{self.xlabel}, named"]
        for place, name in enumerate(self.of):
            marker, size = ("o", 5.0) if place == 0 else ("s", 4.0)
            drawing.dots(axes, x, arrays[name], _colour(place), name, marker, size=size)
            label = None if place else "closed forms" if len(self.of) > 1 else "closed form"
            for group in dict.fromkeys(groups):
                own = groups == group
                predicted = np.asarray(arrays[f"predicted {name}"])[own]
                of = f"{name}, {group}" if group else name
                drawing.prediction(axes, x[own], predicted, label, of=of)
                drawing.at_the_end(axes, float(x[own][-1]), float(predicted[-1]), str(group))
                label = None
        for name, line in self.lines.items():
            drawing.line(axes, x, line(x), drawing.GREY, name)
        axes.set(xlabel=self.xlabel, ylabel=self.ylabel, **self.more)
        axes.set_xticks(np.unique(x), [f"{one:g}" for one in np.unique(x)])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(loc=cast(Any, self.legend), ncols=2)


@dataclass(frozen=True)
class OverWidth:
    """Largest RMS deviation from the prediction at any step, over the width, of every training.

    Trainings with widths of their own are left out.
    """

    def arrays(self, run: Run) -> dict[str, Array]:
        """Of each net of each width, shape (M, S)."""
        kept = {}
        for name, found in run.results.items():
            if run.trainings[name].widths is not None:
                continue
            predicted = run.trainings[name].predicted
            off = [NORMS["rms"](one.outputs() - predicted, predicted) for one in found]
            kept[f"deviation of {name}"] = np.stack([one.max(axis=1) for one in off])
        return kept

    def __call__(self, axes: Axes, result: ClaimResult) -> None:
        """Draw it, if the run came so far."""
        drawing, prefix = nt.drawing, "deviation of "
        found = {key: value for key, value in result.arrays.items() if key.startswith(prefix)}
        if not found:
            return
        # Plain training has the first colour in every picture.
        shown = dict(sorted(found.items(), key=lambda one: not one[0].startswith(f"{prefix}plain")))
        widths = result.arrays["widths"]
        for place, (key, values) in enumerate(shown.items()):
            name = key.removeprefix(prefix)
            drawing.dots(axes, widths, values, _colour(place), name)
            law = values[0].mean() * np.sqrt(widths[0] / widths)
            label = None if place else "$m^{-1/2}$"
            drawing.prediction(axes, widths, law, label, of=name)
        axes.set_xscale("log", base=2)
        axes.set(yscale="log", xlabel="width $m$", ylabel="largest RMS deviation")
        axes.legend(loc="lower left")


@dataclass(frozen=True)
class Laws:
    """Numbers of nets over the width, mean and range, with predictions dashed.

    Attributes:
        of: what the legend calls them, in mathtext, by the names of arrays that the claim keeps:
            numbers of nets, shape (M, S). Predictions are in arrays called "predicted " and so on.
        ylabel: of the axis, in mathtext.
        room: above the largest number, as a factor, for the legend.
    """

    of: Mapping[str, str]
    ylabel: str
    room: float = 1.0

    def __call__(self, axes: Axes, result: ClaimResult) -> None:
        """Draw it, if the run came so far."""
        drawing, arrays = nt.drawing, result.arrays
        if not set(self.of) <= set(arrays):
            return
        for place, (name, label) in enumerate(self.of.items()):
            drawing.band(axes, arrays["widths"], arrays[name].T, _colour(place), label)
        for place, name in enumerate(self.of):
            dashed = None if place else "predicted"
            law = arrays[f"predicted {name}"]
            drawing.prediction(axes, arrays["widths"], law, dashed, of=name)
        axes.set_xscale("log", base=2)
        top = self.room * max(float(arrays[name].max()) for name in self.of)
        axes.set(xlabel="width $m$", ylabel=self.ylabel, yscale="log", ylim=(None, top))
        axes.legend(loc="upper right")


def default_panels() -> dict[str, OverWidth]:
    """Panels of a claim that declares none."""
    return {"deviation-over-width": OverWidth()}


def _share_below(values: Array) -> tuple[Array, Array]:
    """Corners of the share of values below each of them."""
    ordered = np.repeat(np.sort(np.asarray(values)), 2)
    points = ordered.size // 2
    return ordered, np.repeat(np.arange(points + 1), 2)[1:-1] / points


@dataclass(frozen=True)
class Ecdf:
    """Share of points whose margin lies below each value after the last step, a line per net.

    Attributes:
        of: names of trainings.
    """

    of: Sequence[str]

    def arrays(self, run: Run) -> dict[str, Array]:
        """Margins of all points, shape (S, n), and their predictions."""
        kept = {}
        for name in self.of:
            points, outputs = run.trainings[name].points, run.widest(name).outputs()
            kept[f"margins of {name}"] = margins(outputs[:, -1], points)
            kept[f"predicted margins of {name}"] = margins(points.predicted[-1], points)
        return kept

    def __call__(self, axes: Axes, result: ClaimResult) -> None:
        """Draw it, if the run came so far."""
        drawing, arrays = nt.drawing, result.arrays
        if f"margins of {self.of[0]}" not in arrays:
            return
        for place, name in enumerate(self.of):
            for net, values in enumerate(arrays[f"margins of {name}"]):
                drawing.line(
                    axes, *_share_below(values), _colour(place), name, show=net == 0, alpha=0.6
                )
        for place, name in enumerate(self.of):
            dashed = None if place else "closed forms"
            predicted = _share_below(arrays[f"predicted margins of {name}"])
            drawing.prediction(axes, *predicted, dashed, of=name)
        axes.axvline(0, color=drawing.GREY, lw=0.6, gid="margin 0")
        axes.set(xlabel="margin $y_iu_i$", ylabel="share of points below", ylim=(-0.03, 1.03))
        axes.legend(loc="upper left")

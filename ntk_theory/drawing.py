"""Prediction drawn over measurement, in one style for all figures, with the drawn data by name.

Every artist is made by a function of this module and carries the name of its series, so that what
a picture shows can be written down beside it and held against the results (`plotted`).
"""

from __future__ import annotations

__all__ = [
    "BLACK",
    "BLUE",
    "COLUMN",
    "GREEN",
    "GREY",
    "INDIGO",
    "ORANGE",
    "Series",
    "at_the_end",
    "band",
    "bound",
    "dots",
    "figure",
    "heatmap",
    "line",
    "mark",
    "means",
    "plotted",
    "prediction",
    "prediction_range",
    "step_axis",
    "style",
]

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from ntk_theory.machine.any_backend import mpl  # isort: split

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Told apart by colour-blind readers, and in grey by lightness (L* = 23, 46, 58, 71).
INDIGO, BLUE, GREEN, ORANGE = "#332288", "#0072B2", "#009E73", "#E69F00"
BLACK, GREY = "#000000", "#777777"

COLUMN = (3.25, 2.5)
"""Size in inches of one panel: the column of a journal."""


class Series(NamedTuple):
    """What one artist of a picture shows.

    Attributes:
        name: of the series; several dots or nets may share one.
        columns: "x" and "y"; "low" and "high" of a band; "value" of a map.
    """

    name: str
    columns: dict[str, Array]


_STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.borderaxespad": 0.2,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "savefig.dpi": 300,
}

_OF_THE_SESSION = {"backend", "backend_fallback", "interactive", "toolbar", "webagg.port"}
"""Settings that are not of a figure, which are left as they are."""


@contextmanager
def style(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Settings of every figure: readable at column width, text kept as text in PDF.

    They start from matplotlib's own defaults: nothing is taken from a user's matplotlibrc, in which
    LaTeX may be asked for that is not there.

    Args:
        more: settings of one figure.
    """
    defaults: dict[Any, Any] = dict(mpl.rcParamsDefault)
    settings = {key: value for key, value in defaults.items() if key not in _OF_THE_SESSION}
    with mpl.rc_context():
        mpl.rcParams.update(settings | _STYLE | dict(more or {}))
        yield


def figure(width: float, height: float, room: float | None = None) -> Figure:
    """An empty figure, in inches, inside `style`.

    Args:
        width: in inches.
        height: in inches.
        room: between panels, as a share of their size.
    """
    layout = ConstrainedLayoutEngine(wspace=room, hspace=room)  # None: as matplotlib has it
    return Figure(figsize=(width, height), layout=layout)


def _named(artist: Artist, name: str) -> None:
    artist.set_gid(name)


def line(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    colour: str,
    label: str,
    *,
    show: bool = True,
    **kwargs: Any,
) -> None:
    """One measured curve."""
    (drawn,) = axes.plot(
        np.asarray(x), np.asarray(y), color=colour, lw=1.5, label=label if show else None, **kwargs
    )
    _named(drawn, label)


def _range(axes: Axes, x: Array, runs: Array, colour: str, label: str) -> None:
    filled = axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.3, lw=0)
    _named(filled, f"{label}: range over nets")


def band(
    axes: Axes, x: ArrayLike, runs: ArrayLike, colour: str, label: str, *, show: bool = True
) -> None:
    """Mean of runs (rows) as a line over the band from the least to the largest run.

    `show` puts it into the legend.
    """
    values, x = np.asarray(runs), np.asarray(x)
    _range(axes, x, values, colour, label)
    shown = label if show else None
    (mean,) = axes.plot(x, values.mean(axis=0), color=colour, lw=1.8, label=shown)
    _named(mean, label)


def dots(
    axes: Axes,
    x: ArrayLike,
    runs: ArrayLike,
    colour: str,
    label: str,
    marker: str = "o",
    *,
    size: float = 3,
    hollow: bool = False,
    show: bool = True,
) -> None:
    """Runs as dots: a row of `runs` for each x, one net a column; `show` is about the legend."""
    values = np.asarray(runs, dtype=float)
    values = values.reshape(len(values), -1) if values.size else np.empty((0, 1))
    for net, column in enumerate(values.T):
        (drawn,) = axes.plot(
            np.asarray(x),
            column,
            color=colour,
            marker=marker,
            ms=size,
            mew=0.9 if hollow else 0,
            mfc="none" if hollow else colour,
            ls="",
            alpha=0.7,
            label=label if show and net == 0 else None,
        )
        _named(drawn, label)


def means(
    axes: Axes, x: ArrayLike, runs: Iterable[ArrayLike], colour: str, label: str, marker: str = "o"
) -> None:
    """Mean of the runs at each x, with a bar of one standard error to either side."""
    places, samples = np.asarray(x, dtype=float), [np.asarray(one, dtype=float) for one in runs]
    line(axes, places, [one.mean() for one in samples], colour, label, marker=marker, ms=4, ls="")
    for place, sample in zip(places, samples, strict=True):
        error = sample.std(ddof=1) / np.sqrt(len(sample))
        ends = [sample.mean() - error, sample.mean() + error]
        line(axes, [place, place], ends, colour, f"{label}: bar", show=False)


_RIBBON = (
    Stroke(linewidth=2.4, foreground="white", dashes={"dash_offset": 0, "dash_list": None}),
    Normal(),
)


def prediction(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    label: str | None = None,
    *,
    of: str | None = None,
    over_map: bool = False,
) -> None:
    """A closed form: thin, black, dashed, above everything measured.

    Args:
        axes: to draw on.
        x: where.
        y: what theory says there.
        label: in the legend; None for none.
        of: the measured series that it is about, where a picture shows more than one prediction.
        over_map: on a white ribbon, so that it is seen on dark cells too.
    """
    (drawn,) = axes.plot(
        np.asarray(x), np.asarray(y), color=BLACK, lw=0.9, ls=(0, (4, 2)), label=label, zorder=5
    )
    if over_map:
        drawn.set_path_effects([*_RIBBON])
    _named(drawn, f"prediction of {of}" if of else f"prediction {label or ''}".strip())


def prediction_range(axes: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, label: str) -> None:
    """Where theory expects single runs: a light grey band below everything measured."""
    filled = axes.fill_between(
        np.asarray(x), np.asarray(low), np.asarray(high), color=BLACK, alpha=0.1, lw=0, zorder=0
    )
    filled.set_label(label)
    _named(filled, f"prediction {label}")


def bound(axes: Axes, value: float, label: str, *, show: bool = True) -> None:
    """A constant that theory knows, as a grey line across; `show` puts it into the legend."""
    drawn = axes.axhline(value, color=GREY, lw=0.8, label=label if show else None, zorder=1)
    _named(drawn, label)


def mark(axes: Axes, x: float, label: str, height: float = 1.0) -> None:
    """A step or a rate that theory names, as a dotted vertical line with its symbol beside it.

    Args:
        axes: to draw on.
        x: where.
        label: its symbol.
        height: of the symbol, as a share of the axes.
    """
    _named(axes.axvline(x, color=GREY, lw=0.8, ls=":", zorder=1), f"prediction {label}")
    axes.annotate(
        label,
        (x, height),
        xycoords=("data", "axes fraction"),
        xytext=(2, -2),
        textcoords="offset points",
        va="top",
        fontsize=7,
    )


def at_the_end(axes: Axes, x: float, y: float, text: str, side: str = "center") -> None:
    """What a curve is, to the right of its last point.

    Args:
        axes: to draw on.
        x: of the last point.
        y: of the last point.
        text: what it is.
        side: of the text that is level with the point: "bottom" and "top" keep two texts apart.
    """
    axes.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", va=side, fontsize=7)


def heatmap(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    label: str,
    *,
    least: float = 0.0,
    most: float = 1.0,
    scale: Literal["beside", "inside"] | None = "beside",
    ruled: bool = False,
) -> None:
    """Values on a grid: light is low, dark is high, with their scale.

    Args:
        axes: to draw on.
        x: of the columns.
        y: of the rows.
        values: shape (len(y), len(x)).
        label: what is shown.
        least: value of the lightest colour.
        most: value of the darkest.
        scale: beside the axes, or inside along their bottom, where room has to be left; None for
            none, as for a second map of one scale.
        ruled: with a line between cells, so that light ones stand out from the page.
    """
    columns, rows = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    mesh = axes.pcolormesh(
        columns,
        rows,
        np.asarray(values),
        cmap="Blues",
        vmin=least,
        vmax=most,
        shading="nearest",
        edgecolor=GREY if ruled else "none",
        lw=0.3,
    )
    _named(mesh, label)
    figure = axes.get_figure()
    if figure is not None and scale == "beside":
        figure.colorbar(mesh, ax=axes, label=label)
    elif figure is not None and scale == "inside":
        inside = axes.inset_axes((0, 0, 1, 0.06))
        figure.colorbar(mesh, cax=inside, label=label, orientation="horizontal")


def step_axis(axes: Axes, last: float) -> None:
    """Steps along x, the first ones apart: linear up to 1, logarithmic from there on."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set(xlabel="step $t$", xlim=(0, last))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _columns(artist: Artist) -> dict[str, Array]:
    if isinstance(artist, Line2D):
        x, y = artist.get_data(orig=True)
        return {"x": np.atleast_1d(np.asarray(x, float)), "y": np.atleast_1d(np.asarray(y, float))}
    if isinstance(artist, QuadMesh):
        grid = np.asarray(artist.get_array(), dtype=float)
        corners = np.asarray(artist.get_coordinates())
        centres = (corners[:-1, :-1] + corners[1:, 1:]) / 2
        return {"x": centres[..., 0].ravel(), "y": centres[..., 1].ravel(), "value": grid.ravel()}
    if isinstance(artist, PolyCollection):
        # fill_between: along the lower edge, back along the upper one, each end given twice.
        corners = np.asarray(artist.get_paths()[0].vertices)
        half = (len(corners) - 3) // 2
        lower, upper = corners[1 : half + 1], corners[half + 2 : 2 * half + 2][::-1]
        return {"x": lower[:, 0], "low": lower[:, 1], "high": upper[:, 1]}
    raise TypeError(f"no data of a {type(artist).__name__}")


def plotted(axes: Axes) -> list[Series]:
    """Everything that this module has drawn on axes, in its order.

    Raises:
        ValueError: for a line or a collection without a name: its data would be lost.
    """
    series = []
    for artist in (*axes.lines, *axes.collections):
        name = artist.get_gid()
        if name is None:
            raise ValueError(f"{artist} has no name: draw it with a function of ntk_theory.drawing")
        series.append(Series(name, _columns(artist)))
    return series

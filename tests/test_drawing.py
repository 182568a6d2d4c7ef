"""One style for all figures, and data that can be read back from what was drawn."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ntk_theory import drawing

X = np.array([1.0, 2.0, 4.0, 8.0])
RUNS = np.array([[1.0, 2.0, 3.0, 5.0], [2.0, 1.0, 4.0, 9.0], [3.0, 3.0, 2.0, 7.0]])


@pytest.fixture
def axes():
    return Figure().subplots()


def lightness(colour):
    """CIE L* of an sRGB colour: what is left of it in grey."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 116 * np.dot([0.2126, 0.7152, 0.0722], linear) ** (1 / 3) - 16


def test_the_colours_of_series_are_told_apart_in_grey_and_from_the_page():
    colours = (drawing.INDIGO, drawing.BLUE, drawing.GREEN, drawing.ORANGE)
    for one, other in itertools.combinations(map(lightness, (*colours, "#ffffff")), 2):
        assert abs(one - other) > 10


def test_everything_drawn_can_be_read_back_by_name(axes):
    drawing.band(axes, X, RUNS, drawing.BLUE, "nets")
    drawing.prediction(axes, X, X**2, "closed form")
    drawing.prediction(axes, X, X)
    drawing.prediction(axes, X, 3 * X, "theory", of="nets")
    drawing.dots(axes, X, RUNS.T, drawing.ORANGE, "runs")
    drawing.bound(axes, 0.5, "bound")
    drawing.line(axes, X, 2 * X, drawing.GREEN, "line", show=False)
    series = drawing.plotted(axes)
    by_name = {}
    for one in series:
        by_name.setdefault(one.name, []).append(one.columns)
    assert set(by_name) == {
        "nets",
        "nets: range over nets",
        "prediction closed form",
        "prediction",
        "prediction of nets",
        "runs",
        "bound",
        "line",
    }
    np.testing.assert_array_equal(by_name["nets"][0]["y"], RUNS.mean(axis=0))
    spread = by_name["nets: range over nets"][0]
    np.testing.assert_array_equal(spread["x"], X)
    np.testing.assert_array_equal(spread["low"], RUNS.min(axis=0))
    np.testing.assert_array_equal(spread["high"], RUNS.max(axis=0))
    np.testing.assert_array_equal(by_name["prediction closed form"][0]["y"], X**2)
    np.testing.assert_array_equal(by_name["prediction of nets"][0]["y"], 3 * X)
    np.testing.assert_array_equal([one["y"] for one in by_name["runs"]], RUNS)
    np.testing.assert_array_equal(by_name["bound"][0]["y"], [0.5, 0.5])
    shown = [text.get_text() for text in axes.legend().get_texts()]
    assert shown == ["nets", "closed form", "theory", "runs", "bound"]


def test_a_predicted_range_can_be_read_back_and_lies_below_what_was_measured(axes):
    drawing.prediction_range(axes, X, X / 2, 2 * X, "nine of ten nets")
    drawing.dots(axes, X, RUNS.T, drawing.ORANGE, "runs")
    (band,) = (one for one in drawing.plotted(axes) if one.name == "prediction nine of ten nets")
    np.testing.assert_array_equal(band.columns["low"], X / 2)
    np.testing.assert_array_equal(band.columns["high"], 2 * X)
    assert axes.collections[0].get_zorder() < min(one.get_zorder() for one in axes.lines)
    shown = [text.get_text() for text in axes.legend().get_texts()]
    assert shown == ["nine of ten nets", "runs"]


def test_means_are_drawn_with_their_standard_error(axes):
    drawing.means(axes, X[:3], RUNS[:, :2], drawing.BLUE, "mean", "s")
    series = drawing.plotted(axes)
    assert [one.name for one in series] == ["mean", *3 * ["mean: bar"]]
    np.testing.assert_array_equal(series[0].columns["y"], [1.5, 1.5, 3.0])
    # Of two runs: half of what they are apart.
    for bar, x, ends in zip(series[1:], X, ([1, 2], [1, 2], [3, 3]), strict=False):
        np.testing.assert_array_equal(bar.columns["x"], [x, x])
        np.testing.assert_allclose(bar.columns["y"], ends)


@pytest.mark.parametrize("hollow", [False, True])
def test_hollow_dots_are_empty_and_have_an_edge(axes, hollow):
    drawing.dots(axes, X, X, drawing.BLUE, "dots", hollow=hollow)
    (drawn,) = axes.lines
    assert drawn.get_markerfacecolor() == ("none" if hollow else drawing.BLUE)
    assert (drawn.get_markeredgewidth() > 0) is hollow


def test_texts_at_the_ends_of_two_near_curves_do_not_overlap(axes):
    axes.set(xlim=(0, 2), ylim=(0, 1))
    drawing.at_the_end(axes, 1, 0.5, "upper", "bottom")
    drawing.at_the_end(axes, 1, 0.5, "lower", "top")
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    upper, lower = (one.get_window_extent(canvas.get_renderer()) for one in axes.texts)
    assert upper.y0 >= lower.y1


def test_the_data_of_a_map_can_be_read_back(axes):
    drawing.heatmap(axes, [0, 1, 2], [5, 6], RUNS[:2, :3], "value", most=9.0)
    (series,) = drawing.plotted(axes)
    np.testing.assert_array_equal(series.columns["value"], RUNS[:2, :3].ravel())
    np.testing.assert_array_equal(series.columns["x"], [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(series.columns["y"], [5, 5, 5, 6, 6, 6])


@pytest.mark.parametrize(
    ("scale", "beside", "inside"), [("beside", 1, 0), ("inside", 0, 1), (None, 0, 0)]
)
def test_a_map_has_its_scale_where_it_was_asked_for(axes, scale, beside, inside):
    drawing.heatmap(axes, [0, 1, 2], [5, 6], RUNS[:2, :3], "value", scale=scale)
    assert len(axes.figure.axes) == 1 + beside
    assert len(axes.child_axes) == inside
    scales = [*axes.figure.axes[1:], *axes.child_axes]
    assert {one.get_ylabel() or one.get_xlabel() for one in scales} <= {"value"}


def test_a_ruled_map_has_lines_between_its_cells(axes):
    for ruled in (False, True):
        drawing.heatmap(axes, [0, 1], [0, 1], np.eye(2), "value", scale=None, ruled=ruled)
    plain, lined = (one.get_edgecolor() for one in axes.collections)
    assert len(plain) == 0
    np.testing.assert_allclose(lined[0, :3], to_rgb(drawing.GREY))


@pytest.mark.parametrize("over_map", [False, True])
def test_a_prediction_is_seen_on_dark_cells_if_it_is_said_to_lie_over_a_map(axes, over_map):
    drawing.heatmap(axes, [0, 1, 2], [0, 1], np.ones((2, 3)), "value", scale=None)
    drawing.prediction(axes, [0, 2], [0.5, 0.5], over_map=over_map)
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    left, bottom = axes.transData.transform((0.2, 0.35)).astype(int)
    right, top = axes.transData.transform((1.8, 0.65)).astype(int)
    pixels = np.asarray(canvas.buffer_rgba())[::-1][bottom:top, left:right, :3]
    assert pixels.min() < 10
    assert bool((pixels.min(axis=2) > 200).any()) is over_map
    (line,) = (one for one in drawing.plotted(axes) if one.name == "prediction")
    np.testing.assert_array_equal(line.columns["y"], [0.5, 0.5])


def test_what_was_drawn_past_this_module_is_refused(axes):
    axes.plot([0, 1], [0, 1])
    with pytest.raises(ValueError, match="has no name"):
        drawing.plotted(axes)


def test_the_style_ends_where_it_is_left():
    import matplotlib as mpl

    before = mpl.rcParams["font.size"]
    with drawing.style():
        assert mpl.rcParams["font.size"] == 8
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert mpl.rcParams["font.size"] == before

"""The figures: all there, drawn from the claims' runs, with the data they show, and legible."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

import figures
from cases import toy_result
from figures import __main__ as command
from figures import publishing
from figures.publishing import Runs, gallery, publish
from ntk_theory import drawing
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims import all_claims
from ntk_theory.report.document import alike
from ntk_theory.report.pictures import save_picture

FIGURES = figures.all_figures()
ROOT = Path(figures.__file__).parent

every_figure = pytest.mark.parametrize("name", FIGURES)


@pytest.fixture(scope="module")
def runs():
    """Toy runs of all claims, each made once in a test process."""

    class Toys(Runs):
        def result(self, claim):
            return toy_result(claim)

    return Toys()


def read(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def drawn_panels(name):
    """Those that a toy run fills: that of `practice` has one rate of noise alone."""
    return [
        one for one in FIGURES[name].panels
        if one not in {("practice", "over-training-2"), ("practice", "over-training-3")}
    ]  # fmt: skip


def test_there_are_fourteen_figures_numbered_from_one():
    assert [one.number for one in FIGURES.values()] == list(range(1, 15))
    for name, one in FIGURES.items():
        assert one.name == name
        for claim, panel in one.panels:
            assert panel in all_claims()[claim].panels


@every_figure
def test_a_figure_is_written_with_its_data_and_what_it_was_made_of(name, runs, tmp_path):
    files = publish(FIGURES[name], tmp_path, runs, ("png", "svg", "pdf"))
    assert {file.suffix for file in files} == {".csv", ".json", ".png", ".svg", ".pdf"}
    assert all(file.stat().st_size > 1000 for file in files if file.suffix != ".json")
    made = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert set(made["claims"]) == set(FIGURES[name].claims)
    for claim, of in made["claims"].items():
        assert of["config"] == json.loads(json.dumps(runs.result(claim).config))
    rows = read(tmp_path / f"{name}.csv")
    assert {row["panel"] for row in rows} == {panel for _, panel in drawn_panels(name)}


@every_figure
def test_a_figure_shows_a_prediction_over_a_measurement(name, runs, tmp_path):
    publish(FIGURES[name], tmp_path, runs)
    rows = read(tmp_path / f"{name}.csv")
    for _, panel in drawn_panels(name):
        series = {row["series"] for row in rows if row["panel"] == panel}
        assert any(one.startswith("prediction") for one in series)
        assert any(not one.startswith("prediction") for one in series)


@pytest.mark.parametrize("claim", all_claims())
def test_no_two_predictions_of_a_panel_have_one_name(claim, runs):
    for panel in all_claims()[claim].panels:
        axes = Figure().subplots()
        all_claims()[claim].panels[panel](axes, runs.result(claim))
        names = [one.name for one in drawing.plotted(axes) if one.name.startswith("prediction")]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("claim", ["air", "margin"])
def test_the_picture_of_a_claim_has_three_panels_in_a_row_at_most(claim, runs, tmp_path):
    save_picture(tmp_path / "picture.png", runs.result(claim))
    rows, columns, _ = imread(tmp_path / "picture.png").shape
    width, height = 300 * np.array(drawing.COLUMN)
    panels = len(all_claims()[claim].panels)
    assert columns == pytest.approx(width * min(panels, 3), abs=1)
    assert rows == pytest.approx(height * (1 if panels <= 3 else 2), abs=1)


@every_figure
def test_the_same_run_gives_the_same_files(name, runs, tmp_path):
    formats = ("png", "svg", "pdf")
    first = publish(FIGURES[name], tmp_path / "first", runs, formats)
    again = publish(FIGURES[name], tmp_path / "again", runs, formats)
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def boxes(axes, renderer):
    """Extents of all text of a panel: tick labels of each axis, labels, legend, annotations."""
    ticks = [
        [
            label.get_window_extent(renderer)
            for place, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=False)
            if label.get_text() and min(interval) <= place <= max(interval)
        ]
        for axis, interval in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
    ]
    others = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
    if axes.get_legend() is not None:
        others.append(axes.get_legend())
    return ticks, [one.get_window_extent(renderer) for one in others]


@every_figure
def test_nothing_is_clipped_and_no_tick_labels_overlap(name, runs):
    with drawing.style():
        figure, axes = publishing.draw(FIGURES[name], runs)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        page = figure.bbox
        for one in axes:
            ticks, others = boxes(one, canvas.get_renderer())
            for box in itertools.chain(*ticks, others):
                assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1
                assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1
            for labels in ticks:
                for left, right in itertools.combinations(labels, 2):
                    assert not left.overlaps(right)


def test_the_gallery_lists_every_figure_and_is_up_to_date():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == gallery(FIGURES.values(), "gallery")
    for name in FIGURES:
        for ending in ("png", "csv", "json"):
            assert (ROOT / "gallery" / f"{name}.{ending}").is_file()


@every_figure
def test_the_gallery_was_made_by_the_claims_as_they_are(name):
    made = json.loads((ROOT / "gallery" / f"{name}.json").read_text(encoding="utf-8"))
    for claim, of in made["claims"].items():
        config, _ = all_claims()[claim].predict(Options(preset=made["preset"], seed=made["seed"]))
        assert alike(of["config"], json.loads(json.dumps(config)))
        assert of["verdict"] == "SUPPORTED"


# ---------------------------------------------------------------- the command


def test_data_that_came_out_otherwise_are_named(tmp_path):
    name = next(iter(FIGURES))
    committed = ROOT / "gallery" / f"{name}.csv"
    assert command.differences(committed, committed) == []
    with committed.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    changed = tmp_path / committed.name
    for factor, differs in ((1 + 1e-9, False), (1.01, True)):
        largest = max(range(1, len(rows)), key=lambda at: float(rows[at][4] or 0))
        edited = [list(row) for row in rows]
        edited[largest][4] = repr(float(rows[largest][4]) * factor)
        with changed.open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerows(edited)
        assert bool(command.differences(changed, committed)) is differs
    with changed.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows(rows[:-1])
    assert "numbers of points" in command.differences(changed, committed)[0]
    assert "cannot be read" in command.differences(tmp_path / "none.csv", committed)[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "nothing"], "no figure 'nothing'; the figures are"),
        (["--format", "png,gif"], "expected one or more of png, svg, pdf"),
        (["--preset", "huge"], "invalid choice"),
        (["--seed", "-1"], "seed must not be negative"),
    ],
)
def test_a_wrong_command_is_refused(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_list_says_what_each_figure_shows(capsys):
    assert command.main(["--list"]) == 0
    printed = capsys.readouterr().out
    for one in FIGURES.values():
        assert one.name in printed
        assert one.shows in printed


def test_one_figure_goes_where_it_is_asked_to_and_comes_out_again(monkeypatch, runs, tmp_path):
    monkeypatch.setattr(command, "Runs", lambda *_: runs)
    readme = (ROOT / "README.md").read_bytes()
    name = "margins"
    assert command.main(["--only", name, "--out", str(tmp_path), "--format", "svg"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {
        f"{name}.{ending}" for ending in ("csv", "json", "svg")
    }
    assert command.main(["--only", name, "--out", str(tmp_path), "--check"]) == 0
    data = (tmp_path / f"{name}.csv").read_text(encoding="utf-8")
    (tmp_path / f"{name}.csv").write_text(data.replace("best stopping", "other"), encoding="utf-8")
    assert command.main(["--only", name, "--out", str(tmp_path), "--check"]) == 1
    assert (ROOT / "README.md").read_bytes() == readme

"""The report of a run: what the page and the Markdown say, and that a browser shows it."""

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from browser import asked
from cases.lazy import TOY as LAZY
from cases.margin import TOY as MARGIN
from made_up import made_up
from ntk_theory import verify
from ntk_theory.claims import all_claims
from ntk_theory.machine.environment import describe_environment
from ntk_theory.report.console import print_result
from ntk_theory.report.document import FITTED, noticed, to_document
from ntk_theory.report.files import report_files
from ntk_theory.report.markdown import section, to_markdown
from ntk_theory.report.page import gauge, to_page
from ntk_theory.report.pictures import svg_pictures
from progress import Impatient, Silent

pytestmark = pytest.mark.xdist_group("report")  # which is made once
COMMAND = "python -m ntk_theory.verify margin lazy"


def write_report(file, results):
    """Write a report of some results with their pictures; returns the files."""
    document = to_document(results, describe_environment())
    pictures = {result.claim.id: svg_pictures(result) for result in results}
    files = report_files(file, document, pictures, COMMAND)
    for place, content in files.items():
        place.parent.mkdir(exist_ok=True)
        place.write_text(content, encoding="utf-8")
    return sorted(files)


@pytest.fixture(scope="module")
def results():
    claims = all_claims()
    return [claims["margin"].run(MARGIN, Silent()), claims["lazy"].run(LAZY, Silent())]


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(file, results) == [file]
    return file


class Reader(HTMLParser):
    """Text of a page, and every address that it would fetch or jump to."""

    def __init__(self, text):
        super().__init__()
        self.text, self.addresses, self.ids, self.tags = "", [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.text += data


def test_the_page_says_all_that_was_found(page, results):
    read = Reader(page.read_text(encoding="utf-8"))
    text = " ".join(read.text.split())
    for result in results:
        parts = [
            result.claim.statement,
            result.finding,
            result.verdict.value,
            *(m.name for m in result.measurements),
            *(p.name for p in result.premises),
            *(c.broken_premise for c in result.controls),
            f"python -m ntk_theory.verify {result.claim.id} --preset",
        ]
        for part in parts:
            assert " ".join(part.split()) in text
    assert COMMAND in text
    assert describe_environment()["torch"] in text


def test_the_page_fetches_nothing_and_every_jump_lands(page):
    read = Reader(page.read_text(encoding="utf-8"))
    assert "script" not in read.tags
    assert all(address.startswith(("#", "data:")) for address in read.addresses)
    loads = re.findall(r"url\(([^)]*)\)|@import", page.read_text(encoding="utf-8"))
    assert all(target.startswith("#") for target in loads)
    jumps = {address[1:] for address in read.addresses if address.startswith("#")}
    assert jumps <= set(read.ids)
    assert {"margin", "lazy", "environment"} <= set(read.ids)


def test_no_id_stands_twice_although_every_picture_brings_its_own(page):
    ids = Reader(page.read_text(encoding="utf-8")).ids
    assert len(ids) == len(set(ids))
    assert len(ids) > 20


def test_the_page_is_small(page):
    assert page.stat().st_size < 5 * 2**20 / len(all_claims())


def test_the_same_results_give_the_same_page(page, results):
    document = to_document(results, describe_environment())
    pictures = {result.claim.id: svg_pictures(result) for result in results}
    assert to_page(document, pictures, COMMAND) == page.read_text(encoding="utf-8")


def test_a_picture_is_well_formed_and_has_no_date(results):
    pictures = svg_pictures(results[0])
    assert pictures.keys() == results[0].claim.panels.keys()
    for name, svg in pictures.items():
        ElementTree.fromstring(svg)
        assert "<dc:date>" not in svg
        assert f"url(#margin-{name}-" in svg


def test_markdown_has_its_pictures_beside_it(tmp_path, results):
    file = tmp_path / "report.md"
    written = write_report(file, results)
    text = file.read_text(encoding="utf-8")
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert linked == [
        f"report-pictures/{result.claim.id}-{name}.svg"
        for result in results
        for name in result.claim.panels
    ]
    assert sorted([file, *(tmp_path / link for link in linked)]) == written
    assert all(path.is_file() for path in written)
    for result in results:
        assert f"## {result.claim.id}\n" in text
        assert all(m.name.replace("|", "\\|") in text for m in result.measurements)


def test_an_interrupted_run_is_reported_as_far_as_it_came(tmp_path):
    result = all_claims()["margin"].run(MARGIN, Impatient(0.05))
    for name in ("report.html", "report.md"):
        write_report(tmp_path / name, [result])
        assert "interrupted" in (tmp_path / name).read_text(encoding="utf-8")


def measured(value, relation="equal", tolerance=1.0, interval=None, holds=True):
    return {
        "predicted": 0.0,
        "measured": value,
        "tolerance": tolerance,
        "relation": relation,
        "interval": interval,
        "holds": holds,
    }


@pytest.mark.parametrize(
    ("measurement", "centre"),
    [
        (measured(0.0), 75.0),
        (measured(1.0), 120.0),
        (measured(-1.0), 30.0),
        (measured(40.0, "at least"), 142.5),
        (measured(0.0, tolerance=0.0), 75.0),
        (measured(1e-9, tolerance=0.0, holds=False), 142.5),
    ],
)
def test_a_gauge_shows_the_share_of_the_tolerance(measurement, centre):
    svg = ElementTree.fromstring(gauge(measurement))
    assert float(svg.find("circle").get("cx")) == centre


@pytest.mark.parametrize(
    ("relation", "left", "right"),
    [("equal", 30.0, 120.0), ("at least", 30.0, 142.5), ("at most", 7.5, 120.0)],
)
def test_a_gauge_shows_which_side_is_allowed(relation, left, right):
    band = ElementTree.fromstring(gauge(measured(0.0, relation))).find("rect")
    assert float(band.get("x")) == left
    assert float(band.get("x")) + float(band.get("width")) == right


def test_a_gauge_of_what_is_not_finite_is_left_out():
    assert gauge(measured(None)) == ""
    assert gauge(measured(0.0, tolerance=None)) == ""


def test_a_report_of_an_unknown_kind_is_refused_before_anything_runs(tmp_path, capsys):
    assert verify.main(["margin", "--report", str(tmp_path / "report.pdf")]) == 2
    assert "--report must end in .html or .md" in capsys.readouterr().err
    assert verify.main(["margin", "--report", str(tmp_path / "no" / "report.md")]) == 2
    assert "--report: cannot write" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- in a browser


def test_a_browser_shows_the_page_without_an_error_and_asks_the_network_for_nothing(
    page, browse, tmp_path
):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>null.length</script>", encoding="utf-8"
    )
    assert asked(browse, page, tmp_path / "page.json") == ([], set())
    # The same look at a page with an error and a request sees both.
    errors, hosts = asked(browse, bad, tmp_path / "bad.json")
    assert errors
    assert hosts == {"127.0.0.1:9"}


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(page, browse, tmp_path, width):
    probe = (
        "<script>onload = () => { document.title = JSON.stringify({"
        "page: document.documentElement.scrollWidth, window: innerWidth, "
        "pictures: [...document.querySelectorAll('figure svg')].map(e => e.clientWidth)}); }"
        "</script>"
    )
    frame = tmp_path / "frame.html"
    probed = tmp_path / "page.html"
    text = page.read_text(encoding="utf-8").replace("</body>", f"{probe}</body>")
    # A headless window has a least width; a frame has not.
    collect = (
        "<script>onload = () => setTimeout(() => "
        "{ document.title = frames[0].document.title; }, 300);</script>"
    )
    probed.write_text(text, encoding="utf-8")
    frame.write_text(
        f'<title></title><iframe src="page.html" style="width:{width}px;height:900px;border:0">'
        f"</iframe>{collect}",
        encoding="utf-8",
    )
    done = browse(
        frame, "--dump-dom", "--allow-file-access-from-files", "--virtual-time-budget=5000"
    )
    seen = json.loads(re.search(r"<title>(\{.*?\})</title>", done.stdout).group(1))
    assert seen["window"] == width
    assert seen["page"] <= width
    assert len(seen["pictures"]) >= 3
    assert all(280 < picture <= width for picture in seen["pictures"])


def test_every_form_says_what_the_run_would_notice_and_what_narrower_nets_have_set(results):
    margin, lazy = results
    assert set(margin.notices) == {"learning rate", "noise eigenvalues", "noise rate"}
    line = noticed(margin.notices)
    first = f"{100 * margin.notices['learning rate']:.2g}"
    assert line.startswith(f"would notice (99 %): learning rate off by {first} %, noise eigenval")
    (row, *_) = (m for m in margin.measurements if m.source == "law")
    fitted = replace(margin, measurements=(*margin.measurements, replace(row, source="fitted")))
    for result, times in ((margin, 0), (fitted, 1)):
        document = to_document([result], describe_environment())
        assert document["claims"][0]["notices"] == margin.notices
        page, markdown = to_page(document, {}, COMMAND), to_markdown(document, {}, COMMAND)
        for text in (page, markdown, printed(result), printed(result, verbose=True)):
            assert line in text
        assert page.count(" fitted<") == markdown.count(" fitted |") == times
        assert (f"({FITTED})" in markdown) == bool(times)
        assert printed(result, verbose=True).count(" fitted ") == times
        assert f"({FITTED})" in printed(result, verbose=True) or not times
        assert "fitted" not in printed(result)
    sources = {m.source for m in lazy.measurements}
    assert "" in sources  # what a claim measures by itself


def test_a_record_that_does_not_say_what_it_would_notice_has_a_dash(results):
    (entry,) = to_document(results[:1], describe_environment())["claims"]
    old = {key: value for key, value in entry.items() if key != "notices"}
    for row in old["measurements"]:
        del row["source"]
    assert "It would notice (99 %): –\n" in section(old, [])
    assert noticed({"learning rate": None}) == "would notice (99 %): –"


def test_a_tolerance_says_whether_narrower_nets_have_set_it():
    run = made_up(all_claims()["margin"], MARGIN)
    (row, *_) = run.declared.rows
    assert run.measure(row).source == "law"
    assert run.measure(replace(row, tolerance=lambda bound: bound)).source == "fitted"
    assert {found.source for found in run.parameters()} == {"law"}


def printed(result, **how):
    """What the console shows."""
    console = Console(file=io.StringIO(), width=200)
    print_result(console, result, **how)
    return console.file.getvalue()

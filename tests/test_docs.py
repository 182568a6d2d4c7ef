"""The site of docs/: built without a warning, no dead link, formulas without a network."""

import doctest
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ntk_theory import predictions
from ntk_theory.claims import all_claims

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.xdist_group("site")  # which is built once
_SPEC = importlib.util.spec_from_file_location("formulas", ROOT / "docs" / "formulas.py")
formulas = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(formulas)
MISSING = [
    name
    for name in ("sphinx", "myst_parser", "furo", "math_core")
    if importlib.util.find_spec(name) is None
]


class Page(HTMLParser):
    """What a page links to and loads, what can be linked to in it, and its text but for code."""

    def __init__(self, file):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        self.text, self.formulas, self.inside = "", 0, []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.anchors |= {value for name, value in attrs if name == "id"}
        links = [value for name, value in attrs if name in ("href", "src") and value]
        self.links += links
        if tag in ("script", "img", "iframe") or ("rel", "stylesheet") in attrs:
            self.loaded += links
        self.formulas += tag == "math"
        if tag in ("code", "pre", "script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data):
        if not self.inside:
            self.text += data


def dead_links(site):
    """Links of the pages of a folder to files or places in them that are not there."""
    pages = {file.resolve(): Page(file) for file in site.rglob("*.html")}
    dead = []
    for file, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue  # of the web
            path = unquote(address.path)
            target = (file.parent / path).resolve() if path else file
            anchors = pages[target].anchors if target in pages else {unquote(address.fragment)}
            if not target.is_file() or unquote(address.fragment) not in anchors:
                dead.append(f"{file.name}: {link}")
    return dead


def test_a_dead_file_and_a_dead_fragment_are_found(tmp_path):
    (tmp_path / "one.html").write_text('<p id="here"><a href="#here"></a><img src="none.png">')
    (tmp_path / "two.html").write_text('<a href="one.html#here"></a><a href="one.html#there"></a>')
    assert sorted(dead_links(tmp_path)) == ["one.html: none.png", "two.html: one.html#there"]


def test_the_theory_has_every_section_that_the_code_cites():
    assert doctest.testmod(formulas) == (0, 2)
    for file in (ROOT / "ntk_theory").rglob("*.py"):
        assert set(formulas.cited(file.read_text(encoding="utf-8"))) <= set(formulas.headings())


def test_every_closed_form_cites_its_section_and_has_a_test():
    cites = formulas.functions()
    for name in (name for name in cites if name.startswith("ntk_theory.predictions.")):
        short = name.split(".")[-1]
        assert cites[name] or not (short.islower() or short in predictions.__all__), name
        assert not short.islower() or formulas.tests_of(name), name  # classes are what they return


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if MISSING:
        pytest.skip(f"the extra docs is not installed: {MISSING}")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_no_dead_link_and_a_page_for_every_claim(site):
    assert not dead_links(site)
    assert {page.stem for page in (site / "_generated" / "claims").glob("*.html")} == {
        "index",
        *all_claims(),
    }
    assert 'href="explorer.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_sections_and_the_code_that_cites_them_link_to_each_other(site):
    api = "_generated/api/predictions.html"
    assert f"{api}#ntk_theory.predictions.plain_training" in Page(site / "theory.html").links
    assert "../../theory.html#section-6-2" in Page(site / api).links
    for file in (site / "theory.html", site / "_generated" / "formulas.html"):
        text, name = file.read_text(encoding="utf-8"), '<code class="xref py'
        assert text.count(name) == len(re.findall(f"<a [^>]*>{name}", text)) > 50


def test_links_to_generated_pages_are_links(site):
    for page, label, target in (
        ("theory", "All sections, their functions", "_generated/formulas.html"),
        ("index", "every formula with its code", "_generated/formulas.html"),
        ("argument", "the ledger", "_generated/ledger.html"),
    ):
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        assert re.search(rf'<a [^>]*href="{target}"[^>]*>(<[^>]*>)?{label}', text), page


def test_formulas_of_a_claim_have_subscripts_and_superscripts(site):
    page = (site / "_generated" / "claims" / "chains.html").read_text(encoding="utf-8")
    stated = re.findall(r'<p class="stated">(.*?)</p>', page)
    assert len(stated) == len(all_claims()["chains"].formulas)
    assert "u = A<sub>t<sub>k</sub></sub> … A<sub>t<sub>1</sub></sub> ỹ" in stated[0]
    assert "(1 − ηλ)<sup>t</sup>" in stated[0]
    assert not re.search(r"[_^]", " ".join(stated))


def test_no_formula_is_left_in_tex_and_no_page_loads_anything_from_the_web(site):
    pages = {file: Page(file) for file in site.rglob("*.html") if file.stem != "explorer"}
    assert not [link for page in pages.values() for link in page.loaded if urlsplit(link).netloc]
    written = {file.stem: page for file, page in pages.items() if file.parent == site}
    assert not [name for name, page in written.items() if re.search(r"[\\$]", page.text)]
    theory = written["theory"]
    source = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8").replace("$$", "$")
    assert theory.formulas == source.count("$") // 2
    assert {"eq-1a", "eq-6.2a"} <= theory.anchors


def test_a_wide_formula_does_not_widen_the_page_of_a_phone(site, browse):
    frame = site / "frame.html"
    frame.write_text(
        """<iframe id="it" src="theory.html" style="width: 360px; height: 800px"></iframe>
        <p id="told"></p><script>it.onload = () => {
          const content = it.contentDocument.querySelector(".content");
          told.textContent = `too wide by ${content.scrollWidth - content.clientWidth} pixels`;
        }</script>"""
    )
    shown = browse(frame, "--allow-file-access-from-files", "--dump-dom").stdout
    assert "too wide by 0 pixels" in shown

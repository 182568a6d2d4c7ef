"""The site of docs/: it is built without a warning, and no link inside of it is dead."""

import importlib.util
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ntk_theory.claims import all_claims

ROOT = Path(__file__).parent.parent
MISSING = [
    name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None
]


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, file):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.anchors |= {value for name, value in attrs if name == "id"}
        self.links += [value for name, value in attrs if name in ("href", "src") and value]


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


@pytest.mark.skipif(bool(MISSING), reason=f"the extra docs is not installed: {MISSING}")
def test_the_site_has_no_warning_and_no_dead_link_and_a_page_for_every_claim(tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not dead_links(site)
    assert {page.stem for page in (site / "_generated" / "claims").glob("*.html")} == {
        "index",
        *all_claims(),
    }
    assert 'href="explorer.html"' in (site / "index.html").read_text(encoding="utf-8")

"""The pages build as a site, strictly, and the site needs no network."""

import re
from html.parser import HTMLParser

import pytest
from sphinx.cmd.build import build_main

from doc_pages import ROOT, pages, text_of

ALL = pages("*.md", "docs/**/*.md", "benchmarks/**/*.md", "third_party/**/*.md")
# Of a tag, what a browser fetches by itself.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """As ``make site`` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-c", str(ROOT / "docs"), "-d", str(folder / "doctrees")]
    assert build_main([*options, str(ROOT), str(folder / "html")]) == 0
    return folder / "html"


class Tags(HTMLParser):
    """The tags of a page, as (name, attributes)."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(path):
    return Tags(path.read_text(encoding="utf-8")).found


def test_every_page_is_there_and_in_the_sidebar_of_the_front_page(site):
    names = {page.removesuffix(".md") + ".html" for page in [*ALL, "docs/quick_start.md"]}
    linked = {
        attributes.get("href") for tag, attributes in tags(site / "README.html") if tag == "a"
    }
    assert all((site / name).is_file() for name in names)
    assert names - linked == {"README.html"}
    assert "url=README.html" in (site / "index.html").read_text()


def test_nothing_is_fetched_from_elsewhere(site):
    from_elsewhere = re.compile(r"(https?:)?//")
    for path in site.rglob("*.html"):
        for tag, attributes in tags(path):
            address = attributes.get(FETCHED.get(tag, ""), "")
            assert not from_elsewhere.match(address), f"{path.relative_to(site)}: {address}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text()), path


def test_docstrings_stand_where_the_pages_want_them(site):
    wanted = re.findall(r"<!-- docstring of (\S+) -->", text_of("docs/api.md"))
    ids = {attributes.get("id") for _, attributes in tags(site / "docs" / "api.html")}
    assert len(wanted) > 20 and set(wanted) <= ids
    assert "dml_instance.Segmenter.__call__" in ids


def test_the_notebook_has_its_pictures(site):
    shown = [a["src"] for tag, a in tags(site / "docs" / "quick_start.html") if tag == "img"]
    assert len(shown) >= 3

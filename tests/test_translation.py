"""README.zh-CN.md is README.md, in Chinese."""

import re

import pytest

from doc_pages import blocks, links, prose, spans, text_of

PAGES = ("README.md", "README.zh-CN.md")


def code(page):
    return [(block.language, block.text) for block in blocks(page)]


def addresses(page):
    """Of all links and pictures, in their order, but for those from one README to the other."""
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if t not in PAGES]


def figures(page):
    """Numbers outside code, whatever their order in a sentence, for each paragraph."""
    paragraphs = re.split(r"\n\s*\n", re.sub(r"\]\([^)]*\)|`[^`]*`", "", prose(page)))
    found = [sorted(re.findall(r"\d+(?:[.,]\d+)*", paragraph)) for paragraph in paragraphs]
    return [numbers for numbers in found if numbers]


def headings(page):
    return re.findall(r"^#+(?= )", prose(page), flags=re.MULTILINE)


def rows(page):
    """Cells a row of all tables."""
    return [line.count("|") for line in prose(page).splitlines() if line.startswith("|")]


@pytest.mark.parametrize("what", [code, addresses, figures, headings, rows])
def test_both_have_the_same(what):
    original, translation = map(what, PAGES)
    assert original and translation == original


def test_both_name_the_same_code_and_lead_to_each_other():
    assert sorted(spans(PAGES[0])) == sorted(spans(PAGES[1]))
    for page, other in (PAGES, reversed(PAGES)):
        assert other in links(page)
        assert f"({other})" in text_of(page).splitlines()[2]

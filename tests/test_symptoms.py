"""The pictures of the tuning guide show what they claim to."""

import re

import cv2
import pytest

from doc_pages import ROOT, links
from tool_runner import load_script

drawing = load_script(ROOT / "docs" / "draw_symptoms.py")
PICTURES = ROOT / "docs" / "images" / "symptoms"


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the script prints, of pictures in a folder of their own."""
    folder = tmp_path_factory.mktemp("symptoms")
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lines.append)
        drawing.main(drawing.argument_parser().parse_args(["--output", str(folder)]))
    return folder, lines


def test_each_picture_is_on_the_page_and_is_what_is_drawn(printed):
    folder, _ = printed
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in PICTURES.iterdir()}
    on_page = {target for target in links("docs/tuning.md") if target.startswith("images/")}
    assert on_page == {f"images/symptoms/{name}" for name in names}
    for name in names:
        kept, drawn = (cv2.imread(str(path / name)) for path in (PICTURES, folder))
        assert kept.shape == drawn.shape
        # Fonts and processors differ a little; another picture differs everywhere.
        assert cv2.absdiff(kept, drawn).mean() < 5


def test_the_last_column_finds_more_than_the_symptom(printed):
    _, lines = printed
    counts = [re.search(r"(\d+)(?: and (\d+))? of (\d+) found", line).groups() for line in lines]
    assert len(counts) == len(drawing.symptoms())
    for before, after, there in counts:
        assert int(before) < int(after or there) <= int(there)

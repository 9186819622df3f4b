"""Ellipses and turned boxes by their formulas; image files by the names that annotations give."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import toy_exports as toy
from dml_instance.data.forms.readers import SourceRules
from dml_instance.data.forms.readers.drawing import Drawing
from dml_instance.data.forms.readers.exports import ImageFolder
from dml_instance.errors import FileError


@pytest.fixture
def drawing(tmp_path):
    rules = SourceRules(str(tmp_path), keep_boxes=True)
    return Drawing(str(toy.write_image(tmp_path / "a.png")), "a.json", None, rules)


def turned(center, degrees):
    """x and y of pixel centres round a point, along axes that are turned clockwise."""
    rows, columns = np.mgrid[: toy.SIZE[0], : toy.SIZE[1]] + 0.5
    x, y = columns - center[0], rows - center[1]
    angle = np.radians(degrees)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def assert_is_nearly(drawing, expected):
    (item,) = drawing.annotated().objects
    mask = coco_mask.decode(item.mask).astype(bool)
    assert (mask ^ expected).sum() < 0.05 * expected.sum()


def test_ellipses_turn_clockwise(drawing):
    drawing.ellipse((40, 30), (25, 8), "cell", degrees=30)
    along, across = turned((40, 30), 30)
    assert_is_nearly(drawing, (along / 25) ** 2 + (across / 8) ** 2 <= 1)


@pytest.mark.parametrize("about", [(0, 0), (0.5, 0.5)])
def test_boxes_turn_about_a_point(drawing, about):
    drawing.box((40, 20), (30, 10), "cell", degrees=20, about=about)
    along, across = turned((40 + about[0] * 30, 20 + about[1] * 10), 20)
    along, across = along + about[0] * 30, across + about[1] * 10
    assert_is_nearly(drawing, (along >= 0) & (along <= 30) & (across >= 0) & (across <= 10))


def test_what_sticks_out_of_the_image_is_cut_off(drawing):
    drawing.ellipse((0, 70), (20, 20), "cell")
    along, across = turned((0, 70), 0)
    assert_is_nearly(drawing, along**2 + across**2 <= 400)
    with pytest.raises(FileError, match="a.json: a cell of a.png has a polygon from"):
        drawing.ellipse((0, 70), (1e9, 1e9), "cell")


def test_image_files_are_found_by_as_much_of_their_names_as_there_is(tmp_path):
    for name in ("A01/a.png", "B01/a.png", "B01/b.png"):
        toy.write_image(tmp_path / name)
    folder = ImageFolder(str(tmp_path), [])
    for name in ("B01/a.png", "plate/B01/a.png", "C:\\plate\\B01\\a.png", "./B01/./a.png"):
        assert folder.find([name], "x.json") == str(tmp_path / "B01" / "a.png")
    assert folder.find(["c.png", "b.png"], "x.json") == str(tmp_path / "B01" / "b.png")
    assert folder.find([str(tmp_path / "A01" / "a.png")], "x.json").endswith("A01/a.png")
    with pytest.raises(FileError, match="x.json names the image a.png, but .*A01.*B01"):
        folder.find(["a.png"], "x.json")
    with pytest.raises(FileError, match="x.json names the image c.png, which is .*--images"):
        folder.find(["c.png"], "x.json")


def test_another_image_of_the_same_name_is_not_taken_unasked(tmp_path):
    file = str(toy.write_image(tmp_path / "other" / "a.png"))
    with pytest.raises(FileError, match="x.json names .*missing/a.png, which is not there, but"):
        ImageFolder(None, [str(tmp_path)]).find(["missing/a.png"], "x.json")
    assert ImageFolder(str(tmp_path), []).find(["missing/a.png"], "x.json") == file
    assert ImageFolder(None, [str(tmp_path)]).find(["a.png"], "x.json") == file

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import roifile
import tifffile
from pycocotools import mask as coco_mask

from dml_instance import Segmentation
from dml_instance.data.forms.results import FoundObject
from dml_instance.keys.classes import Classes

CLASSES = Classes(("ring", "bar"), (3, 7))


def found(label, class_index, score, top, left, mask):
    mask = np.asarray(mask, bool)
    window = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
    return FoundObject(label, class_index, score, window, mask)


RING = np.ones((5, 5))
RING[2, 2] = 0
OBJECTS = (found(1, 0, 0.75, 4, 6, RING), found(2, 1, 0.5, 6, 2, np.ones((1, 20))))
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def result():
    return Segmentation(IMAGE, OBJECTS, CLASSES, "folder/a.png")


def true_masks():
    ring, bar = np.zeros((2, 20, 30), bool)
    ring[4:9, 6:11] = True
    ring[6, 8] = False
    bar[6, 2:22] = True
    return ring, bar


def true_labels():
    ring, bar = true_masks()
    return np.where(ring, 1, np.where(bar, 2, 0))


def test_the_arrays_say_what_was_found(result):
    assert len(result) == 2
    np.testing.assert_array_equal(result.labels, true_labels())
    assert result.labels.dtype == np.int32
    np.testing.assert_array_equal(result.masks, true_masks())
    assert result.masks.dtype == bool
    assert result.classes == ["ring", "bar"]
    np.testing.assert_array_equal(result.scores, np.float32([0.75, 0.5]))
    assert result.boxes.tolist() == [[6, 4, 11, 9], [2, 6, 22, 7]]
    assert "2 objects in 20 x 30 pixels: 1 ring, 1 bar" in repr(result)


def test_nothing_found_has_the_same_arrays(tmp_path):
    empty = Segmentation(IMAGE, (), CLASSES)
    assert empty.masks.shape == (0, 20, 30) and empty.boxes.shape == (0, 4)
    assert empty.scores.shape == (0,) and not empty.labels.any()
    assert empty.classes == empty.table() == []
    assert "none" in repr(empty) and "0 objects: none" in empty._repr_html_()
    assert empty.plot().shape == IMAGE.shape
    empty.save(str(tmp_path / "a.png"))
    assert not cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED).any()


def test_the_table_is_that_of_the_file(result, tmp_path):
    result.save(str(tmp_path / "a.csv"))
    with open(tmp_path / "a.csv") as file:
        written = list(csv.DictReader(file))
    for row, line in zip(result.table(), written, strict=True):
        assert list(row) == list(line)
        assert (row["image"], row["class"]) == (line["image"], line["class"])
        for name in set(row) - {"image", "class"}:
            assert row[name] == pytest.approx(float(line[name]), abs=0.05)
    assert result.table()[0]["center_row"] == 6 and result.table()[0]["area"] == 24


def test_each_ending_has_its_form(result, tmp_path):
    paths = {e: str(tmp_path / f"sub/a.{e}") for e in ("png", "tif", "json", "geojson", "zip")}
    for path in paths.values():
        result.save(path)
        result.save(path)  # a file is replaced
    written = cv2.imread(paths["png"], cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    np.testing.assert_array_equal(written, true_labels())
    assert tifffile.imread(paths["tif"]).dtype == np.uint32
    np.testing.assert_array_equal(tifffile.imread(paths["tif"]), true_labels())
    coco = json.loads((tmp_path / "sub/a.json").read_text())
    masks = [coco_mask.decode(a["segmentation"]) for a in coco["annotations"]]
    np.testing.assert_array_equal(masks, true_masks())
    assert [a["category_id"] for a in coco["annotations"]] == [3, 7]
    assert len(json.loads((tmp_path / "sub/a.geojson").read_text())["features"]) == 2
    assert len(roifile.roiread(paths["zip"])) == 2
    assert sorted(file.name for file in (tmp_path / "sub").iterdir()) == [
        *("a.geojson", "a.json", "a.png", "a.tif", "a.zip")
    ]


def test_a_folder_gets_the_forms_of_the_tool(result, tmp_path):
    result.save(str(tmp_path / "out"))
    assert (tmp_path / "out/labels/a.png").is_file() and (tmp_path / "out/objects.csv").is_file()
    with pytest.raises(FileExistsError):
        result.save(str(tmp_path / "out"))
    result.save(str(tmp_path / "out"), ["rois"])
    assert (tmp_path / "out/rois/a.zip").is_file()


def test_a_folder_is_overwritten_by_the_same_image_alone(result, tmp_path):
    folder = str(tmp_path / "out")
    result.save(folder)
    fewer = replace(result, objects=result.objects[:1])
    fewer.save(folder, overwrite=True)
    with open(tmp_path / "out/objects.csv") as file:
        assert len(list(csv.DictReader(file))) == 1
    with pytest.raises(FileExistsError, match="has results of 1 image not given now"):
        replace(result, name="other.tif").save(folder, overwrite=True)


def test_other_endings_and_forms_are_refused(result, tmp_path):
    with pytest.raises(ValueError, match=r"a\.doc: one of \.png, .*says the form"):
        result.save(str(tmp_path / "a.doc"))
    with pytest.raises(ValueError, match="not masks"):
        result.save(str(tmp_path / "out"), ["masks"])
    assert list(tmp_path.iterdir()) == []


def test_more_objects_than_16_bits_hold_are_no_png(tmp_path):
    one = np.ones((1, 1), bool)
    places = (divmod(index, 300) for index in range(65_536))
    windows = [(slice(row, row + 1), slice(column, column + 1)) for row, column in places]
    many = tuple(FoundObject(i, 0, 0.5, w, one) for i, w in enumerate(windows, start=1))
    result = Segmentation(np.zeros((300, 300, 3), np.uint8), many, CLASSES)
    with pytest.raises(ValueError, match=r"65536 objects want 32 bits"):
        result.save(str(tmp_path / "a.png"))
    assert list(tmp_path.iterdir()) == []
    result.save(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), result.labels)


def test_a_picture_changes_the_pixels_of_objects_alone(result, tmp_path):
    pytest.importorskip("matplotlib", "3.11", reason="older ones draw images half a pixel aside")
    np.testing.assert_array_equal(Segmentation(IMAGE, (), CLASSES).plot(), IMAGE)
    picture = result.plot(str(tmp_path / "a.png"), names=False)
    assert picture.shape == IMAGE.shape and picture.dtype == np.uint8
    changed = (picture != IMAGE).any(axis=2)
    # Detectron2 draws outlines, too, half a pixel wide.
    near = cv2.dilate((true_labels() > 0).astype(np.uint8), np.ones((5, 5)))
    assert changed[true_labels() > 0].mean() > 0.9 and not changed[near == 0].any()
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture)
    with pytest.raises(OSError, match="no/a.png"):
        result.plot(str(tmp_path / "no/a.png"))


def test_a_notebook_shows_a_picture_and_counts(result):
    class Tags(HTMLParser):
        sources, text = (), ""

        def handle_starttag(self, tag, attrs):
            self.sources += (dict(attrs)["src"],) if tag == "img" else ()

        def handle_data(self, data):
            self.text += data

    tags = Tags()
    tags.feed(result._repr_html_())
    (source,) = tags.sources
    assert source.startswith("data:image/png;base64,")
    assert tags.text == "2 objects: 1 ring, 1 bar"


@pytest.mark.parametrize(("side", "names"), [(199, False), (200, True)])
def test_a_notebook_names_objects_that_have_room(monkeypatch, side, names):
    """Of 100 x 100 pixels each: four need 200 x 200."""
    asked = []
    monkeypatch.setattr(
        Segmentation, "plot", lambda self, *, names: asked.append(names) or self.image
    )
    objects = [*OBJECTS, *OBJECTS]
    Segmentation(np.zeros((side, 200, 3), np.uint8), tuple(objects), CLASSES)._repr_html_()
    assert asked == [names]

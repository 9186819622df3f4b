import json
import logging

import cv2
import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from PIL import Image
from pycocotools import mask as coco_mask

from dml_instance.data.datasets import voc
from dml_instance.data.datasets.voc import (
    VOC_CLASSES,
    load_dev,
    load_fit,
    load_sbd,
    load_train_aug,
    load_voc,
)
from toy_layouts import write_palette_png, write_sbd, write_voc
from toy_scenes import square_and_disc

SCENE = square_and_disc()
IMAGE, MASKS, _ = SCENE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def decoded(annotation_or_rle):
    return coco_mask.decode(annotation_or_rle.get("segmentation", annotation_or_rle)).astype(bool)


def test_voc_records_have_masks_classes_and_the_border_as_void(tmp_path):
    write_voc(tmp_path, {"2007_000001": (IMAGE, MASKS, [14, 2])}, {"train": ["2007_000001"]})
    (record,) = load_voc(str(tmp_path), "train")
    assert record["image_id"] == "2007_000001"
    assert (record["height"], record["width"]) == IMAGE.shape[:2]
    assert record["file_name"].endswith("VOCdevkit/VOC2012/JPEGImages/2007_000001.jpg")
    assert [VOC_CLASSES[a["category_id"]] for a in record["annotations"]] == ["person", "bird"]
    void = decoded(record["void"])
    for annotation, mask in zip(record["annotations"], MASKS, strict=True):
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        np.testing.assert_array_equal(decoded(annotation), inner)
        x, y, width, height = cv2.boundingRect(inner.astype(np.uint8))
        assert annotation["bbox"] == [x, y, width, height]
        assert (void[mask & ~inner]).all()
        assert not (void & inner).any()


def test_missing_numbers_pieces_and_an_object_without_a_class(tmp_path):
    """There is no object 2 of 4, object 1 is in two pieces, object 4 has no class: it is void."""
    objects = np.zeros((40, 60), np.uint8)
    objects[2:8, 2:8] = objects[2:8, 20:30] = 1
    objects[20:30, 5:15] = 3
    objects[20:30, 40:50] = 4
    classes = np.where(objects == 1, 20, np.where(objects == 3, 1, 0)).astype(np.uint8)
    classes[objects == 4] = 255
    classes[2, 2] = 3  # a pixel that disagrees does not outvote the others
    folder = write_voc(
        tmp_path, {"a": (np.zeros((40, 60, 3), np.uint8), MASKS[:0], [])}, {"val": ["a"]}
    )
    write_palette_png(folder / "SegmentationObject" / "a.png", objects)
    write_palette_png(folder / "SegmentationClass" / "a.png", classes)
    (record,) = load_voc(str(tmp_path), "val")
    assert [VOC_CLASSES[a["category_id"]] for a in record["annotations"]] == [
        "tvmonitor",
        "aeroplane",
    ]
    np.testing.assert_array_equal(decoded(record["annotations"][0]), objects == 1)
    np.testing.assert_array_equal(decoded(record["void"]), objects == 4)


def test_an_image_without_objects_has_no_annotations(tmp_path):
    write_voc(tmp_path, {"a": (IMAGE, MASKS[:0], [])}, {"val": ["a"]})
    (record,) = load_voc(str(tmp_path), "val")
    assert record["annotations"] == []
    assert "void" not in record


def test_sbd_records(tmp_path):
    write_sbd(
        tmp_path, {"2008_000002": (IMAGE, MASKS, [19, 0])}, {"train": [], "val": ["2008_000002"]}
    )
    assert load_sbd(str(tmp_path), "train") == []
    (record,) = load_sbd(str(tmp_path), "val")
    assert [VOC_CLASSES[a["category_id"]] for a in record["annotations"]] == [
        "tvmonitor",
        "aeroplane",
    ]
    for annotation, mask in zip(record["annotations"], MASKS, strict=True):
        np.testing.assert_array_equal(decoded(annotation), mask)
    assert "void" not in record
    assert record["file_name"].endswith("benchmark_RELEASE/dataset/img/2008_000002.jpg")


def test_train_aug_is_voc_train_and_sbd_without_voc_val(tmp_path, caplog, monkeypatch):
    scenes = dict.fromkeys("abcdef", (IMAGE, MASKS, [0, 1]))
    write_voc(tmp_path, {name: scenes[name] for name in "abc"}, {"train": ["a", "b"], "val": ["c"]})
    write_sbd(
        tmp_path,
        {name: scenes[name] for name in "bcdef"},
        {"train": ["b", "c", "d"], "val": ["e", "f"]},
    )
    with caplog.at_level(logging.WARNING):
        records = load_train_aug(str(tmp_path))
    assert [record["image_id"] for record in records] == list("abdef")
    assert ["void" in record for record in records] == [True, True, False, False, False], (
        "b is taken from VOC"
    )
    assert "5 images, not 10582" in caplog.text
    assert "1 are in VOC 2012 val" in caplog.text and "1 in both" in caplog.text
    caplog.clear()
    monkeypatch.setattr(voc, "_TRAIN_AUG_IMAGES", 5)
    load_train_aug(str(tmp_path))
    assert not caplog.text


def test_fit_and_dev_are_two_parts_of_train_aug(tmp_path):
    scenes = dict.fromkeys("abcdefgh", (IMAGE, MASKS, [0, 1]))
    write_voc(
        tmp_path,
        {name: scenes[name] for name in "abcde"},
        {"train": ["d", "b", "a", "c"], "val": ["e"]},
    )
    write_sbd(
        tmp_path, {name: scenes[name] for name in "befgh"}, {"train": ["f"], "val": list("begh")}
    )
    dev, fit = (
        [record["image_id"] for record in load(str(tmp_path))] for load in (load_dev, load_fit)
    )
    # By name every third of VOC train, and SBD val; b is VOC's, and e is not trained on.
    assert dev == ["a", "d", "g", "h"]
    assert fit == ["b", "c", "f"]


def test_parsed_masks_are_kept_until_a_file_changes(tmp_path, cache, monkeypatch):
    folder = write_voc(tmp_path, {"a": (IMAGE, MASKS, [0, 1])}, {"train": ["a"]})
    first = load_voc(str(tmp_path), "train")
    (kept,) = (cache / "dml_instance").glob("*.json")
    monkeypatch.setattr(voc, "_voc_record", lambda *_: pytest.fail("parsed again"))
    assert load_voc(str(tmp_path), "train") == first
    monkeypatch.undo()
    monkeypatch.setenv("FVCORE_CACHE", str(cache))
    write_palette_png(folder / "SegmentationObject" / "a.png", (MASKS[0] * 1).astype(np.uint8))
    assert len(load_voc(str(tmp_path), "train")[0]["annotations"]) == 1
    kept.write_text("{ not JSON")
    assert len(load_voc(str(tmp_path), "train")[0]["annotations"]) == 1
    assert json.loads(kept.read_text())["records"]


def test_a_missing_tree_says_what_to_unpack_where(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="VOCdevkit/VOC2012.*VOCtrainval_11-May-2012.*DETECTRON2_DATASETS"
    ):
        load_voc(str(tmp_path), "train")
    with pytest.raises(
        FileNotFoundError, match="benchmark_RELEASE/dataset.*benchmark.tgz.*DETECTRON2_DATASETS"
    ):
        load_sbd(str(tmp_path), "train")
    (tmp_path / "VOC2012" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="SegmentationObject, SegmentationClass"):
        load_voc(str(tmp_path), "train")


def test_a_partial_tree_names_what_is_missing(tmp_path):
    folder = write_voc(
        tmp_path, dict.fromkeys(("a", "b"), (IMAGE, MASKS, [0, 1])), {"train": ["a", "b"]}
    )
    with pytest.raises(FileNotFoundError, match=r"trainval\.txt"):
        load_voc(str(tmp_path), "trainval")
    (folder / "SegmentationObject" / "b.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks 1 of the 6 files.*SegmentationObject/b\.png.*unpack"
    ):
        load_voc(str(tmp_path), "train")


def test_masks_that_lost_their_numbers_are_named(tmp_path):
    folder = write_voc(tmp_path, {"a": (IMAGE, MASKS, [0, 1])}, {"train": ["a"]})
    path = folder / "SegmentationObject" / "a.png"
    original = path.read_bytes()
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(ValueError, match=r"SegmentationObject/a\.png is RGB"):
        load_voc(str(tmp_path), "train")
    path.write_bytes(original)
    write_palette_png(folder / "SegmentationClass" / "a.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(
        ValueError, match=r"a\.png is \(64, 96\), but SegmentationClass/a\.png \(5, 6\)"
    ):
        load_voc(str(tmp_path), "train")


def test_a_spoilt_sbd_file_is_named(tmp_path):
    folder = write_sbd(tmp_path, {"a": (IMAGE, MASKS, [0, 1])}, {"train": ["a"]})
    (folder / "inst" / "a.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"inst/a\.mat is no instance file"):
        load_sbd(str(tmp_path), "train")
    write_sbd(tmp_path, {"a": (IMAGE, MASKS, [0, 30])}, {"train": ["a"]})
    with pytest.raises(ValueError, match="an object 2, but no class"):
        load_sbd(str(tmp_path), "train")


def test_the_sets_are_registered_with_vocs_classes():
    for name in ("voc_2012_instance_train", "voc_2012_instance_train_aug", "sbd_instance_val"):
        metadata = MetadataCatalog.get(name)
        assert metadata.evaluator_type == "voc_instance"
        assert metadata.thing_classes[0] == "aeroplane" and len(metadata.thing_classes) == 20

"""Writing a data set leaves alone what lies beside it, and keeps every image."""

import json
import resource

import cv2
import numpy as np
import pytest

from dml_instance.data.annotated import AnnotatedObject
from dml_instance.data.coco import CocoWriter
from toy_scenes import rle

IMAGE = np.random.default_rng(0).integers(0, 255, (8, 9, 3)).astype(np.uint8)
MASK = np.zeros((8, 9), bool)
MASK[2:4, 3:8] = True


def write_one(root, meanwhile=lambda: None):
    """Two images with an object each; something else may happen before the end."""
    with CocoWriter(str(root), ["egg", "cell"]) as writer:
        writer.start_split("train", "two images")
        objects = [AnnotatedObject(rle(MASK), "cell"), AnnotatedObject(rle(~MASK), "egg", True)]
        writer.add("train", "a", IMAGE, (8, 9), objects)
        file = f"{root}.jpeg"
        cv2.imwrite(file, IMAGE)
        writer.add("train", "sub/a", file, (8, 9), [])
        meanwhile()


def test_images_and_objects_are_as_they_were_given(tmp_path):
    write_one(tmp_path / "set")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "set/images/a.png")), IMAGE)
    copy = tmp_path / "set/images/sub/a.jpeg"
    assert copy.read_bytes() == (tmp_path / "set.jpeg").read_bytes()
    coco = json.loads((tmp_path / "set/annotations/instances_train.json").read_text())
    assert [(i["id"], i["file_name"]) for i in coco["images"]] == [(1, "a.png"), (2, "sub/a.jpeg")]
    assert coco["categories"] == [{"id": 1, "name": "egg"}, {"id": 2, "name": "cell"}]
    cell, egg = coco["annotations"]
    assert cell == {
        **{"id": 1, "image_id": 1, "category_id": 2, "iscrowd": 0},
        **{"bbox": [3.0, 2.0, 5.0, 2.0], "area": 10, "segmentation": rle(MASK)},
    }
    assert (egg["id"], egg["category_id"], egg["iscrowd"], egg["area"]) == (2, 1, 1, 62)


def test_folders_beside_a_data_set_stay_as_they_are(tmp_path):
    mine = tmp_path / "cell.part"
    mine.mkdir()
    (mine / "annotated_by_hand.png").touch()

    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        write_one(tmp_path / "cell", fail)
    assert set(tmp_path.rglob("*")) == {
        *(mine, mine / "annotated_by_hand.png", tmp_path / "cell.jpeg")
    }
    write_one(tmp_path / "cell")
    assert (tmp_path / "cell" / "annotations" / "instances_train.json").is_file()
    assert [path.name for path in mine.iterdir()] == ["annotated_by_hand.png"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_data_set_that_came_meanwhile_is_not_replaced(tmp_path):
    root = tmp_path / "cell"

    def come():
        root.mkdir()
        (root / "theirs").touch()

    with pytest.raises(OSError, match="cell"):
        write_one(root, come)
    assert [path.name for path in root.iterdir()] == ["theirs"]
    with pytest.raises(FileExistsError, match="exists already"):
        write_one(root)


@pytest.mark.parametrize("kind", ["image", "copy", "annotations"])
def test_a_full_disk_is_said_with_the_name_that_the_file_was_to_have(tmp_path, kind):
    source = tmp_path / "source.png"
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(source), noise)
    objects = [AnnotatedObject(rle(np.ones((16, 16), bool)), "cell")] * 20
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write():
        with CocoWriter(str(tmp_path / "set"), ["cell"]) as writer:
            writer.start_split("train", "cells")
            image = {"image": noise, "copy": str(source), "annotations": np.zeros_like(noise)}[kind]
            writer.add("train", "a", image, (16, 16), objects)

    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    name = "annotations/instances_train.json" if kind == "annotations" else "images/a.png"
    assert caught.value.filename == str(tmp_path / "set" / name)
    assert [path.name for path in tmp_path.iterdir()] == ["source.png"]

"""Results as files: what overlaps, what is empty, and that they are a data set again."""

import csv

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances

from dml_instance.data.coco_check import check_coco
from dml_instance.data.forms.predictions import COLUMNS, PredictionWriter

SIZE = (12, 20)


def found(*objects):
    """Instances of (rows, columns, class, score), the masks being full rectangles."""
    instances = Instances(SIZE)
    masks = np.zeros((len(objects), *SIZE), bool)
    for mask, (rows, columns, *_) in zip(masks, objects, strict=True):
        mask[rows, columns] = True
    instances.pred_masks = torch.from_numpy(masks)
    instances.pred_classes = torch.tensor([entry[2] for entry in objects], dtype=torch.int64)
    instances.scores = torch.tensor([entry[3] for entry in objects], dtype=torch.float32)
    return instances


BAR = (slice(2, 4), slice(0, 20), 1, 0.75)
SQUARE = (slice(0, 6), slice(3, 9), 0, 0.875)
EMPTY = (slice(0, 0), slice(0, 0), 0, 0.9)
WEAK = (slice(8, 12), slice(0, 4), 0, 0.25)


def rows_of(folder):
    with (folder / "objects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_objects_are_numbered_by_score_and_the_best_hides_the_others(tmp_path):
    with PredictionWriter(str(tmp_path), ["square", "bar"]) as writer:
        writer.add("some/where/a.tif", found(BAR, EMPTY, WEAK, SQUARE), min_score=0.5)
    assert len(writer) == 2
    labels = cv2.imread(str(tmp_path / "labels" / "a.png"), cv2.IMREAD_UNCHANGED)
    expected = np.zeros(SIZE, np.uint16)
    expected[2:4] = 2
    expected[0:6, 3:9] = 1
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, expected)
    square, bar = rows_of(tmp_path)
    assert tuple(square) == COLUMNS
    assert list(square.values()) == [
        *("a.tif", "1", "square", "0.8750", "36", "2.5", "5.5"),
        *("3.0", "0.0", "6.0", "6.0"),
    ]
    assert (bar["label"], bar["class"], bar["area"]) == ("2", "bar", "40"), "hidden pixels count"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        *("a.png", "instances.json", "objects.csv")
    ]


def test_the_results_are_a_data_set(tmp_path):
    with PredictionWriter(str(tmp_path / "out"), ["square", "bar"]) as writer:
        for name in ("a.png", "b.png", "none.png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((*SIZE, 3), np.uint8))
            objects = [] if name == "none.png" else [SQUARE, BAR]
            writer.add(str(tmp_path / name), found(*objects))
    coco = check_coco(str(tmp_path / "out" / "instances.json"), str(tmp_path)).content
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "b.png", "none.png"]
    assert [a["image_id"] for a in coco["annotations"]] == [1, 1, 2, 2]
    assert [a["category_id"] for a in coco["annotations"]] == [1, 2, 1, 2]
    assert [a["score"] for a in coco["annotations"]] == [0.875, 0.75] * 2
    assert [category["name"] for category in coco["categories"]] == ["square", "bar"]
    assert cv2.imread(str(tmp_path / "out" / "labels" / "none.png"), -1).max() == 0


def test_the_masks_of_an_image_are_never_copied_as_a_whole(tmp_path, monkeypatch):
    instances = found(BAR, SQUARE)
    for name in ("__getitem__", "to"):
        monkeypatch.setattr(Instances, name, lambda *_: pytest.fail("copies every mask"))
    with PredictionWriter(str(tmp_path), ["square", "bar"]) as writer:
        writer.add("a.png", instances, 0.5)
    assert len(rows_of(tmp_path)) == 2


@pytest.mark.parametrize("slack", [0.0, 0.9, 4.5])
def test_boxes_change_the_time_and_not_the_results(tmp_path, slack):
    """Boxes are those of the masks, half open, or a detector's that do not fit exactly."""
    generator = np.random.default_rng(0)
    for name, with_boxes in (("whole", False), ("boxes", True)):
        instances = found(BAR, SQUARE, WEAK, EMPTY, (slice(10, 12), slice(15, 20), 0, 0.5))
        if with_boxes:
            boxes = BitMasks(instances.pred_masks).get_bounding_boxes().tensor
            sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])
            # Smaller by less than a pixel, or larger by any number of them.
            change = generator.uniform(-min(slack, 0.9), slack, boxes.shape)
            instances.pred_boxes = Boxes(boxes + sign * torch.as_tensor(change).float())
        with PredictionWriter(str(tmp_path / name), ["square", "bar"]) as writer:
            writer.add("a.png", instances)
    for file in ("labels/a.png", "objects.csv", "instances.json"):
        whole, boxes = (tmp_path / name / file for name in ("whole", "boxes"))
        assert whole.read_bytes() == boxes.read_bytes()


def test_a_mask_is_read_in_its_box_alone(tmp_path):
    instances = found(SQUARE)
    instances.pred_boxes = Boxes(torch.tensor([[3.0, 0.0, 9.0, 6.0]]))
    instances.pred_masks[0, 11, 19] = True  # outside the box, against the contract
    with PredictionWriter(str(tmp_path), ["square"]) as writer:
        writer.add("a.png", instances)
    (row,) = rows_of(tmp_path)
    assert row["area"] == "36"


def test_an_error_leaves_no_table_of_a_part(tmp_path):
    def write_a_part():
        with PredictionWriter(str(tmp_path), ["square"]) as writer:
            writer.add("a.png", found(SQUARE))
            raise KeyError

    with pytest.raises(KeyError):
        write_a_part()
    assert not (tmp_path / "objects.csv").exists()

import cv2
import numpy as np
import pytest
from detectron2.data import Metadata
from detectron2.structures import BoxMode, Instances
from torch import nn, zeros

from dml_instance.engine import pictures
from toy_scenes import data_config, rle, square_and_disc

IMAGE, MASKS, _ = square_and_disc()


class Nothing(nn.Module):
    """Finds no object."""

    def forward(self, batched_inputs):
        (x,) = batched_inputs
        found = Instances((x["height"], x["width"]))
        found.pred_masks, found.scores = zeros((0, x["height"], x["width"])).bool(), zeros(0)
        return [{"instances": found}]


@pytest.fixture
def drawn_truth(tmp_path, monkeypatch):
    """The masks of the ground truth that are drawn of some annotations, and their title."""
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE[..., ::-1])
    shown = {}
    monkeypatch.setattr(pictures, "draw_masks", lambda rgb, masks, metadata: list(masks))
    monkeypatch.setattr(pictures, "panel", lambda titled: shown.update(titled) or IMAGE)

    def drawn_truth(annotations):
        record = {"file_name": str(tmp_path / "a.png"), "annotations": annotations}
        pictures.picture_of(Nothing(), data_config(), record, Metadata(), 0.5)
        ((title, masks),) = ((t, m) for t, m in shown.items() if t.startswith("ground truth"))
        return title, masks

    return drawn_truth


def annotations():
    """With key points on one object alone, as COCO's have them, and one object without a mask."""
    box = {"bbox": [0, 0, 1, 1], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
    one, other = ({**box, "segmentation": rle(mask)} for mask in MASKS)
    return [{**one, "keypoints": [1, 2, 2]}, {**other, "keypoints": []}, box]


def test_true_masks_are_drawn_whatever_else_is_annotated(drawn_truth):
    title, masks = drawn_truth(annotations())
    assert title == "ground truth"
    np.testing.assert_array_equal(masks, MASKS)


def test_of_thousands_some_are_drawn_and_the_title_says_so(drawn_truth, monkeypatch):
    monkeypatch.setattr(pictures, "_MOST_DRAWN", 1)
    title, masks = drawn_truth(annotations())
    assert title == "ground truth, 1 of 2"
    np.testing.assert_array_equal(masks, MASKS[:1])

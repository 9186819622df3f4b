import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.structures import Instances

from dml_instance.visualization import draw_ground_truth, draw_instances


def halves():
    instances = Instances((40, 60))
    instances.pred_masks = torch.zeros(3, 40, 60, dtype=torch.bool)
    instances.pred_masks[0, :, :20] = True
    instances.pred_masks[1, :, 20:40] = True
    instances.pred_masks[2, :, 40:] = True
    instances.scores = torch.tensor([0.9, 0.2, 0.5])
    instances.pred_classes = torch.tensor([0, 1, 0])
    return instances


def test_what_scores_enough_is_drawn_as_ground_truth_would_be(monkeypatch):
    instances, image = halves(), np.full((40, 60, 3), 100, np.uint8)
    kept = instances.pred_masks[[0, 2]]
    for name in ("__getitem__", "to"):
        monkeypatch.setattr(Instances, name, lambda *_: pytest.fail("copies every mask"))
    drawn = draw_instances(image, instances, Metadata(), min_score=0.5)
    np.testing.assert_array_equal(drawn, draw_ground_truth(image, kept, Metadata()))
    assert (drawn[5:35, 25:35] == 100).all()
    left, right = drawn[20, 5].astype(int), drawn[20, 50].astype(int)
    assert abs(left - 100).max() > 10 and abs(right - 100).max() > 10
    assert abs(left - right).max() > 10, "neighbours have colours of their own"


def test_a_mask_is_drawn_as_its_likeliest_class_alone():
    instances, image = halves(), np.full((40, 60, 3), 100, np.uint8)
    instances.is_likeliest = torch.tensor([True, True, False])
    drawn = draw_instances(image, instances, Metadata(), min_score=0.5)
    kept = instances.pred_masks[[0]]
    np.testing.assert_array_equal(drawn, draw_ground_truth(image, kept, Metadata()))

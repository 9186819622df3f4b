"""Which objects are written, in which order, and what is read of their masks."""

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances

from dml_instance.data.forms.results import found_objects, objects_of
from dml_instance.grouping import FoundInstances, WindowMasks

from .found_scenes import box, instances_of

BAR = (box(2, 0, 2, 56), 1, 0.75)
SQUARE = (box(0, 3, 6, 6), 0, 0.875)
EMPTY = (box(0, 0, 0, 0), 0, 0.9)
WEAK = (box(8, 0, 4, 4), 0, 0.25)
AS_WEAK = (box(30, 50, 10, 6), 1, 0.25)


def test_objects_are_numbered_by_score_without_weak_and_empty_ones():
    found = found_objects(instances_of([BAR, EMPTY, WEAK, SQUARE, AS_WEAK]), min_score=0.25)
    assert [(o.label, o.class_index, o.score) for o in found] == [
        *((1, 0, 0.875), (2, 1, 0.75), (3, 0, 0.25), (4, 1, 0.25))
    ]
    assert found[1].window == (slice(2, 4), slice(0, 56)) and found[1].mask.all()
    assert found[3].corner == (30, 50)
    assert len(found_objects(instances_of([BAR, WEAK]), min_score=0.26)) == 1
    assert found_objects(instances_of([])) == []


def test_a_mask_is_an_object_as_its_likeliest_class_alone():
    instances = instances_of([SQUARE, BAR, (SQUARE[0], 1, 0.8), WEAK])
    instances.is_likeliest = torch.tensor([True, True, False, True])
    found = found_objects(instances)
    assert [(o.label, o.class_index, o.score) for o in found] == [
        *((1, 0, 0.875), (2, 1, 0.75), (3, 0, 0.25))
    ]


@pytest.mark.parametrize("slack", [0.0, 0.9, 4.5])
def test_boxes_change_the_time_and_not_what_is_found(slack):
    """Boxes are those of the masks, half open, or a detector's that do not fit exactly."""
    generator = np.random.default_rng(0)
    instances = instances_of([BAR, SQUARE, WEAK, EMPTY, AS_WEAK])
    expected = found_objects(instances)
    boxes = BitMasks(instances.pred_masks).get_bounding_boxes().tensor
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    # Smaller by less than a pixel, or larger by any number of them.
    change = generator.uniform(-min(slack, 0.9), slack, boxes.shape)
    instances.pred_boxes = Boxes(boxes + sign * torch.as_tensor(change).float())
    found = found_objects(instances)
    assert [(o.label, o.window) for o in found] == [(o.label, o.window) for o in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_a_mask_is_read_in_its_box_alone():
    instances = instances_of([SQUARE])
    instances.pred_boxes = Boxes(torch.tensor([[3.0, 0.0, 9.0, 6.0]]))
    instances.pred_masks[0, 39, 55] = True  # outside the box, against the contract
    (found,) = found_objects(instances)
    assert found.mask.sum() == 36


def test_the_masks_of_an_image_are_never_copied_as_a_whole(monkeypatch):
    instances = instances_of([BAR, SQUARE])
    for name in ("__getitem__", "to"):
        monkeypatch.setattr(Instances, name, lambda *_: pytest.fail("copies every mask"))
    found = found_objects(instances, 0.5)
    for o in found:
        rows, columns = o.window
        assert o.mask.shape == (rows.stop - rows.start, columns.stop - columns.start)
        # Of its own, so that the masks of the image can go.
        assert o.mask.base is None and not np.shares_memory(o.mask, instances.pred_masks.numpy())


def test_objects_of_windows_are_those_of_whole_masks():
    """Masks that just fill their windows, of which the last is too weak."""
    windows = [
        np.array([[1, 0], [1, 1], [0, 1]], bool),
        np.ones((1, 3), bool),
        np.ones((1, 1), bool),
    ]
    boxes = np.array([[4, 2, 6, 5], [0, 0, 3, 1], [7, 7, 8, 8]])
    masks = WindowMasks(
        boxes, np.array([0, 6, 9, 10]), np.concatenate([w.ravel() for w in windows])
    )
    scores, classes = np.array([0.9, 0.5, 0.2], np.float32), np.array([1, 0, 1])
    found = objects_of(FoundInstances(scores, classes, masks), min_score=0.5)
    whole = Instances(
        (9, 9),
        scores=torch.from_numpy(scores),
        pred_classes=torch.from_numpy(classes),
        pred_masks=torch.from_numpy(masks.whole(9, 9)),
    )
    expected = found_objects(whole, min_score=0.5)
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert (one.label, one.class_index, one.score) == (
            other.label,
            other.class_index,
            other.score,
        )
        assert (one.window, one.corner) == (other.window, other.corner)

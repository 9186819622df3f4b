"""What is known of an image with some labels, by the distance of every pixel to every label."""

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances

from dml_instance.data.mapper import FileNamingMapper, build_train_mapper
from dml_instance.data.partly_labelled import PartlyLabelled
from toy_scenes import data_config

SIZE = (20, 27)


def labelled(boxes, ignored=None):
    """A mapper whose input dict has rectangles (top, left, bottom, right) as objects."""
    masks = torch.zeros((len(boxes), *SIZE), dtype=torch.bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    instances = Instances(SIZE)
    instances.gt_classes = torch.zeros(len(boxes), dtype=torch.int64)
    if boxes:  # Detectron2 leaves masks out where there is none
        instances.gt_masks = BitMasks(masks)
    x = {"image": torch.zeros(3, *SIZE), "instances": instances}
    return lambda _: x if ignored is None else {**x, "ignored": ignored}


@pytest.mark.parametrize("margin", [1, 2.5, 6])
def test_what_is_farther_than_the_margin_from_every_label_is_ignored(margin):
    boxes = [(3, 4, 8, 9), (8, 9, 12, 20)]
    ignored = PartlyLabelled(labelled(boxes), margin)({})["ignored"].numpy()
    rows, columns = np.indices(SIZE)
    distance = np.full(SIZE, np.inf)
    for top, left, bottom, right in boxes:
        down = np.maximum(np.maximum(top - rows, rows - bottom + 1), 0)
        across = np.maximum(np.maximum(left - columns, columns - right + 1), 0)
        distance = np.minimum(distance, np.hypot(down, across))
    # OpenCV's distances are good to some per cent.
    is_clear = abs(distance - margin) > 0.05 * margin
    assert (ignored == (distance > margin))[is_clear].all()
    assert ignored.any() and not ignored.all()


def test_of_an_image_without_labels_nothing_is_known():
    assert PartlyLabelled(labelled([]), 3)({})["ignored"].all()


def test_what_was_ignored_stays_ignored():
    void = torch.zeros(SIZE, dtype=torch.bool)
    void[4, 4] = True
    assert PartlyLabelled(labelled([(3, 3, 9, 9)], void), 100)({})["ignored"].equal(void)


def test_the_key_decides_what_a_training_maps():
    margin = ("INPUT.LABELLED_MARGIN", 7)
    assert isinstance(build_train_mapper(data_config(*margin)), FileNamingMapper)
    mapper = build_train_mapper(data_config("INPUT.PARTLY_LABELLED", True, *margin))
    assert isinstance(mapper, PartlyLabelled) and mapper.margin == 7


def test_a_margin_is_positive():
    with pytest.raises(ValueError, match="LABELLED_MARGIN"):
        PartlyLabelled(labelled([]), 0)

"""Results drawn by hand, as a model gives them: whatever shapes a mask can have."""

import numpy as np
import torch
from detectron2.structures import Instances

from dml_instance.data.forms.results import ResultImage, ResultWriter, found_objects
from dml_instance.keys.classes import Classes

CLASSES = Classes(("nucleus", "mitosis/late"), (3, 7))
SIZE = (40, 56)


def instances_of(objects, size=SIZE):
    """Instances of (mask (H, W) bool, class, score)."""
    instances = Instances(size)
    masks = np.zeros((len(objects), *size), bool)
    for place, (mask, *_) in zip(masks, objects, strict=True):
        place[:] = mask
    instances.pred_masks = torch.from_numpy(masks)
    instances.pred_classes = torch.tensor([entry[1] for entry in objects], dtype=torch.int64)
    instances.scores = torch.tensor([entry[2] for entry in objects], dtype=torch.float32)
    return instances


def box(top, left, height, width, size=SIZE):
    """(H, W) bool, a filled rectangle."""
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def many_shapes():
    """(mask, class, score) by falling score."""
    ring = box(2, 2, 14, 14) & ~box(5, 5, 8, 8)
    island = ring | box(8, 8, 2, 2)
    corners = box(20, 2, 3, 3) | box(23, 5, 3, 3) | box(26, 2, 3, 3)  # touch at corners alone
    closed_by_a_corner = (box(20, 12, 6, 6) & ~box(21, 13, 4, 4)) & ~box(20, 12, 1, 1)
    two_parts = box(30, 2, 4, 6) | box(30, 12, 4, 6)
    noise = np.random.default_rng(0).random(SIZE) < 0.5
    masks = [
        *(island, corners, closed_by_a_corner, two_parts),
        *(box(0, 20, 8, 8), box(0, 28, 8, 8)),  # neighbours with one border
        *(box(10, 20, 8, 12), box(14, 26, 8, 12)),  # overlap
        box(5, 5, 8, 8),  # in the ring, under its island
        box(39, 55, 1, 1),  # one pixel, the last
        box(38, 0, 2, 56),  # from side to side
        noise & box(22, 30, 16, 24),
        box(11, 21, 2, 2),  # wholly behind another
        np.ones(SIZE, bool),
    ]
    return [(mask, i % 2, 0.875 - i / 32) for i, mask in enumerate(masks)]


def write(folder, objects, forms, name="a", min_score=0.0, size=SIZE):
    """Write one image in some forms; returns the writer."""
    with ResultWriter(str(folder), CLASSES, forms) as writer:
        found = found_objects(instances_of(objects, size), min_score)
        writer.add(ResultImage(name, f"{name}.tif", size), found)
    return writer

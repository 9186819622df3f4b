"""Objects of one training image pasted into another.

Most photographs show one animal, so that a network hardly ever sees what it has to tell apart: two
of a kind that touch. Pasting makes such images (Ghiasi et al., Simple Copy-Paste,
arXiv:2012.07177); here most objects are pasted beside another one, and half of them from an image
of the same class.

Shapes: G objects, H x W image pixels.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from detectron2.structures import BitMasks, Instances
from torch import Tensor

# An object of which less than this share can be seen is an object no longer.
_LEAST_SEEN = 0.2

# How many pastes land beside an object of the image, by its box; the others land anywhere.
_BESIDE = 0.7

# Two boxes beside each other: so far apart are their centres, in units of where they touch.
_APART = (0.5, 1.0)


class CopyPaste:
    """A mapper that pastes objects of a second image into what another mapper makes of a first.

    Both images are augmented. Of the second one a random part of the objects is taken, at least
    one. They lie over the objects of the first or, half of the time, under them. What can hardly be
    seen any more is ignored: neither object nor background.
    """

    def __init__(self, mapper: Callable[[dict], dict], records: Sequence[dict], probability: float):
        """
        Args:
            mapper: Detectron2 record to input dict, whose ``gt_masks`` are ``BitMasks``.
            records: of the training set, to paste from.
            probability: of pasting, of each image.

        Raises:
            ValueError: for a probability out of [0, 1].
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"INPUT.AUG.COPY_PASTE is in [0, 1], got {probability}")
        self.mapper = mapper
        self.probability = probability
        self._donors = [record for record in records if record["annotations"]]
        self._of_class = defaultdict(list)
        for record in self._donors:
            for category in {a["category_id"] for a in record["annotations"]}:
                self._of_class[category].append(record)

    def __call__(self, record: dict) -> dict:
        """A Detectron2 record to the model's input dict, with ``ignored`` where it was pasted
        into."""
        x = self.mapper(record)
        if not self._donors or np.random.rand() >= self.probability:
            return x
        donor = self.mapper(copy.deepcopy(self._donor_for(x["instances"])))
        objects = donor["instances"]
        if len(objects) == 0:  # the crop has left none
            return x
        is_taken = np.random.rand(len(objects)) < 0.5
        is_taken[np.random.randint(len(objects))] = True
        return pasted(x, donor["image"], objects[torch.from_numpy(is_taken)])

    def _donor_for(self, objects: Instances) -> dict:
        donors = self._donors
        if len(objects) and np.random.rand() < 0.5:
            category = int(objects.gt_classes[np.random.randint(len(objects))])
            donors = self._of_class.get(category, donors)
        return donors[np.random.randint(len(donors))]


def pasted(x: dict, image: Tensor, objects: Instances) -> dict:
    """An input dict with objects of another image in it, at a random place.

    Args:
        x: ``image`` (C, H, W), ``instances`` and, where it has them, ``ignored`` (H, W) bool.
        image: (C, H', W') that shows the objects.
        objects: at least one.

    Returns:
        A new dict; its instances have ``gt_boxes``, ``gt_classes`` and ``gt_masks``.
    """
    height, width = x["image"].shape[-2:]
    masks = objects.gt_masks.tensor.bool()
    box = tuple(BitMasks(masks.any(dim=0, keepdim=True)).get_bounding_boxes().tensor[0].int())
    source, target = _windows(box, _place(x["instances"], box, (height, width)), (height, width))
    moved = torch.zeros((len(masks), height, width), dtype=torch.bool)
    moved[(slice(None), *target)] = masks[(slice(None), *source)]
    there = x["instances"]
    old = there.gt_masks.tensor.bool() if len(there) else moved[:0]
    area = torch.cat([old, moved]).flatten(1).sum(dim=1)
    if np.random.rand() < 0.5:
        moved &= ~old.any(dim=0)
    cover = moved.any(dim=0)
    every = torch.cat([old & ~cover, moved])
    seen = every.flatten(1).sum(dim=1)
    is_object = (seen > 0) & (seen >= _LEAST_SEEN * area)
    ignored = every[~is_object].any(dim=0)
    if "ignored" in x:
        ignored |= x["ignored"] & ~cover

    result = Instances((height, width))
    result.gt_masks = BitMasks(every[is_object])
    result.gt_boxes = result.gt_masks.get_bounding_boxes()
    result.gt_classes = torch.cat([there.gt_classes, objects.gt_classes])[is_object]
    picture = x["image"].clone()
    window = picture[(slice(None), *target)]
    window[:] = torch.where(cover[target], image[(slice(None), *source)], window)
    return {**x, "image": picture, "instances": result, "ignored": ignored}


def _place(
    objects: Instances, box: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[int, int]:
    """(row, column) of the first corner of a pasted box, whose centre lies within (H, W)."""
    extent = np.array([box[3] - box[1], box[2] - box[0]])
    centre = np.random.rand(2) * size
    if len(objects) and np.random.rand() < _BESIDE:
        left, top, right, bottom = objects.gt_boxes.tensor[np.random.randint(len(objects))].tolist()
        angle = np.random.rand() * 2 * np.pi
        direction = np.array([np.sin(angle), np.cos(angle)])
        # Two boxes touch where one axis parts them.
        touching = (np.array([bottom - top, right - left]) + extent) / 2
        reach = (touching / np.abs(direction).clip(min=1e-6)).min()
        centre = np.array([top + bottom, left + right]) / 2
        centre = (centre + direction * reach * np.random.uniform(*_APART)).clip(0, size)
    row, column = np.rint(centre - extent / 2).astype(int)
    return int(row), int(column)


def _windows(
    box: tuple[int, int, int, int], place: tuple[int, int], size: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of a box (left, top, right, bottom) that stay in an image of (H, W) when its
    first corner moves to ``place``; and where they come to lie."""
    left, top, right, bottom = (int(side) for side in box)
    source, target = [], []
    for first, last, start, length in zip((top, left), (bottom, right), place, size, strict=True):
        stop = min(start + last - first, length)
        begin = max(start, 0)
        source.append(slice(first + begin - start, first + stop - start))
        target.append(slice(begin, stop))
    return tuple(source), tuple(target)

"""Large images cut into parts, with their objects."""

from itertools import pairwise

import numpy as np
from pycocotools import mask as coco_mask

from ....rle import decoded_part, encoded_inside
from ..annotated import AnnotatedImage, AnnotatedObject

Window = tuple[slice, slice]

# Pixels a side: networks shrink an image 32 times.
LEAST_TILE = 32


def tiles(size: tuple[int, int], side: int) -> list[Window]:
    """Windows (rows, columns) that cut an image into nearly equal parts.

    Args:
        size: (H, W) of the image.
        side: about the longest side of a part in pixels; 0: one window, the image.
    """
    if side <= 0:
        return [(slice(0, size[0]), slice(0, size[1]))]
    cuts = [
        np.linspace(0, length, max(round(length / side), 1) + 1).round().astype(int).tolist()
        for length in size
    ]
    rows, columns = ([slice(a, b) for a, b in pairwise(cut)] for cut in cuts)
    return [(row, column) for row in rows for column in columns]


class CutObjects:
    """The objects of an image, to be cut along windows of it."""

    def __init__(self, image: AnnotatedImage):
        self._image = image
        boxes = np.reshape([coco_mask.toBbox(item.mask) for item in image.objects], (-1, 4))
        self._corners = boxes[:, 1::-1]  # row, column
        self._ends = self._corners + boxes[:, :1:-1]

    def inside(self, window: Window) -> list[AnnotatedObject]:
        """What of them lies in a window, with masks of its size; objects beside it are left out."""
        corner, end = ([getattr(side, name) for side in window] for name in ("start", "stop"))
        if corner == [0, 0] and tuple(end) == self._image.size:
            return list(self._image.objects)
        size = (end[0] - corner[0], end[1] - corner[1])
        is_near = ((self._corners < end) & (self._ends > corner)).all(axis=1)
        cut = []
        for item in (self._image.objects[place] for place in np.flatnonzero(is_near)):
            part, (row, column) = decoded_part(item.mask)
            mask = encoded_inside(part, (row - corner[0], column - corner[1]), size)
            if coco_mask.area(mask):
                cut.append(AnnotatedObject(mask, item.class_name, item.is_crowd))
        return cut

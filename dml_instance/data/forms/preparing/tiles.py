"""Large images cut into parts, with their objects."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pycocotools import mask as coco_mask

from ....rle import decoded_part, encoded_inside
from ..annotated import AnnotatedObject

Window = tuple[slice, slice]


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


def objects_inside(objects: Sequence[AnnotatedObject], window: Window) -> list[AnnotatedObject]:
    """What of some objects lies in a window, with masks of its size; objects beside it are left
    out."""
    rows, columns = window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    inside = []
    for item in objects:
        left, top, width, height = coco_mask.toBbox(item.mask)
        if not (
            left < columns.stop
            and left + width > columns.start
            and top < rows.stop
            and top + height > rows.start
        ):
            continue
        part, (row, column) = decoded_part(item.mask)
        mask = encoded_inside(part, (row - rows.start, column - columns.start), size)
        if coco_mask.area(mask):
            inside.append(AnnotatedObject(mask, item.class_name, item.is_crowd))
    return inside

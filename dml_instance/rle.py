"""The run-length form of masks that COCO's tools work on."""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask


def encoded(mask: np.ndarray) -> dict:
    """A mask (H, W), bool or of zeros and ones, as a compressed RLE that JSON can hold."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def encoded_part(part: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict:
    """``encoded`` of a mask of which a part is given, in the time that this part takes.

    Args:
        part: (h, w) bool; outside it the mask is empty.
        corner: row and column of its first pixel in the mask.
        size: (H, W) of the mask.
    """
    height, width = size
    top, left = corner
    # Runs go down the columns; a border of zeros ends those that reach the part's edge.
    padded = np.pad(part.T.astype(np.int8), ((0, 0), (1, 1)))
    columns, rows = np.nonzero(np.diff(padded, axis=1))
    # Starts and ends of runs in turn; every column has as many of each.
    places = (columns + left) * height + rows + top
    # A run that fills a column to the bottom goes on where the next column begins with one.
    goes_on = places[1:-1:2] == places[2::2]
    kept = np.ones(len(places), dtype=bool)
    kept[1:-1:2] &= ~goes_on
    kept[2::2] &= ~goes_on
    counts = np.diff(places[kept], prepend=0, append=height * width)
    if counts[-1] == 0:
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"size": list(size), "counts": counts.tolist()}, *size)
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def encoded_inside(part: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> dict:
    """``encoded_part`` of a part that may stick out of the mask; what does is cut off.

    Args:
        part, corner, size: as there; the corner may be negative.
    """
    inside = tuple(
        slice(max(-first, 0), max(length - first, 0))
        for first, length in zip(corner, size, strict=True)
    )
    top, left = (max(first, 0) for first in corner)
    return encoded_part(part[inside], (top, left), size)


def decoded_part(rle: dict) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a mask that holds all of it.

    Returns:
        (h, w) bool, and the row and column of its first pixel in the mask; (0, 0) where the mask is
        empty.
    """
    left, top, width, height = coco_mask.toBbox(rle).astype(int)
    part = coco_mask.decode(rle)[top : top + height, left : left + width]
    return part.astype(bool), (int(top), int(left))


def areas(masks: Sequence[dict]) -> np.ndarray:
    """(N,) float64 numbers of pixels of RLEs.

    pycocotools' own, given a list, fails with more than 255 masks under NumPy 2 (2.0.11).
    """
    return np.array([coco_mask.area(mask) for mask in masks], dtype=np.float64)


def as_rle(segmentation: dict | list, height: int, width: int) -> dict:
    """Any of COCO's forms of a mask as a compressed RLE.

    Args:
        segmentation: an RLE, its counts compressed or as a list, or a list of polygons.
        height, width: of the image, which polygons do not know.

    Returns:
        A dict with ``size`` and ``counts``.
    """
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation

"""The run-length form of masks that COCO's tools work on."""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask


def encoded(mask: np.ndarray) -> dict:
    """A mask (H, W), bool or of zeros and ones, as a compressed RLE that JSON can hold."""
    return _in_text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


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
    padded = np.zeros((part.shape[1], part.shape[0] + 2), dtype=np.int8)
    padded[:, 1:-1] = part.T
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
    return as_rle({"size": list(size), "counts": counts.tolist()}, *size)


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
    """The part of a mask that holds all of it, in the time that its columns take.

    Returns:
        (h, w) bool, and the row and column of its first pixel in the mask; (0, 0) where the mask is
        empty.
    """
    left, top, width, height = (int(value) for value in coco_mask.toBbox(rle))
    rows = rle["size"][0]
    first, last = left * rows, (left + width) * rows
    ends = np.cumsum(run_lengths(rle)).clip(first, last)
    is_inside = np.arange(len(ends)) % 2 == 1
    columns = np.repeat(is_inside, np.diff(ends, prepend=first)).reshape(width, rows)
    return columns.T[top : top + height], (top, left)


def run_lengths(rle: dict) -> np.ndarray:
    """(R,) int64 lengths of the runs of a compressed RLE: of zeros, of ones, and so on in turn.

    pycocotools keeps them to itself. They are little-endian numbers of five bits a character, the
    last one with its sign; from the fourth on they are differences from the last but one.
    """
    text = rle["counts"]
    digits = np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8)
    digits = digits.astype(np.int64) - 48
    is_last = (digits & 32) == 0
    starts = np.flatnonzero(np.append(True, is_last[:-1]))
    lengths = np.diff(starts, append=len(digits))
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    counts = np.add.reduceat((digits & 31) << shifts, starts)
    counts -= np.where(digits[is_last] & 16, np.int64(1) << (5 * lengths), 0)
    for later in (counts[1::2], counts[2::2]):
        np.cumsum(later, out=later)
    return counts


def union(masks: Sequence[dict]) -> dict:
    """The union of compressed RLEs of one size, at least one, as ``encoded`` gives it."""
    return _in_text(coco_mask.merge(list(masks)))


def of_likeliest_class(
    masks: Sequence[dict], classes: Sequence[int], scores: Sequence[float]
) -> list[int]:
    """Indices of N predictions but for those whose very mask has a better score as another class.

    A mask may be predicted once for each class that it may be of: the likeliest is the object, and
    the others are guesses. Empty masks are no such ones.

    Args:
        masks: (N,) compressed RLEs of one image.
        classes, scores: (N,).
    """
    best: dict[str | bytes, tuple[float, int]] = {}
    for mask, index, score in zip(masks, classes, scores, strict=True):
        known = best.get(mask["counts"])
        if known is None or score > known[0]:
            best[mask["counts"]] = score, index
    return [
        i
        for i, (mask, index) in enumerate(zip(masks, classes, strict=True))
        if best[mask["counts"]][1] == index or coco_mask.area(mask) == 0
    ]


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
        A dict with ``size`` and ``counts``, these as text, so that JSON can hold it.
    """
    if isinstance(segmentation, list):
        return union(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return _in_text(coco_mask.frPyObjects(segmentation, height, width))
    return _in_text(segmentation)


def _in_text(rle: dict) -> dict:
    """A compressed RLE with its counts as text; pycocotools gives bytes, and takes both."""
    counts = rle["counts"]
    return {"size": rle["size"], "counts": counts.decode() if isinstance(counts, bytes) else counts}

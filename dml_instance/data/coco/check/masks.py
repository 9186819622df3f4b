"""One segmentation of a COCO file: what pycocotools would stumble over, hang on or misread.

Shapes: H x W pixels of the image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ....rle import as_rle, encoded, run_lengths
from .fields import are_numbers, shown, whole

# So many sides of the image a polygon may reach out of it, as where an image is a tile of another.
# pycocotools walks along its lines outside as well: without end on some.
_REACH = 10

# More than any count of pixels has in COCO's text form.
_DIGITS = 7

_POLYGONS = (
    "a segmentation is [[x1, y1, x2, y2, x3, y3, ...], ...], a list of polygons of three points or "
    "more, in pixels; draw it anew, or remove the annotation"
)
_PLACE = (
    "coordinates are pixels of the image, x first; correct them, or remove the annotation if there "
    "is nothing to see of its object"
)
_RLE = (
    'an RLE is {"size": [height, width], "counts": ...} on the grid of its image, and its runs go '
    "down the columns; encode the mask anew (pycocotools.mask.encode), or remove the annotation"
)
_NO_MASK = "instance segmentation needs a mask for every object; add it, or remove the annotation"


class MaskError(ValueError):
    """A segmentation that cannot be read: ``fault`` says what it is or has, ``cure`` what to do."""

    def __init__(self, fault: str, cure: str):
        super().__init__(f"{fault}; {cure}")
        self.fault, self.cure = fault, cure


@dataclass(frozen=True)
class CheckedMask:
    """A segmentation that can be read.

    Attributes:
        segmentation: polygons or an RLE, as pycocotools and Detectron2 take them.
        area: its pixels; 0: it lies in the image, but is too thin to have one.
        box: (left, top, width, height) of these.
        drawn_box: the same of the polygons' points, cut off at the border; that of an RLE is
            ``box``.
        repairs: what was repaired.
    """

    segmentation: dict | list
    area: int
    box: tuple[float, float, float, float]
    drawn_box: tuple[float, float, float, float]
    repairs: tuple[str, ...] = ()


def check_mask(segmentation: Any, height: int, width: int) -> CheckedMask:
    """Read a segmentation of an image of H x W pixels.

    Raises:
        MaskError: where that is not possible.
    """
    if not segmentation:
        raise MaskError("has no segmentation", _NO_MASK)
    if isinstance(segmentation, dict):
        return _checked_rle(segmentation, height, width)
    if isinstance(segmentation, list):
        return _checked_polygons(segmentation, height, width)
    raise MaskError(f"has a segmentation {shown(segmentation)}", _NO_MASK)


def _checked_polygons(polygons: list, height: int, width: int) -> CheckedMask:
    if not all(isinstance(polygon, list) for polygon in polygons):
        raise MaskError("has a segmentation that is no list of lists", _POLYGONS)
    for polygon in polygons:
        if not are_numbers(polygon):
            raise MaskError("has a polygon with what is no finite number", _POLYGONS)
        if len(polygon) % 2:
            raise MaskError(f"has a polygon of {len(polygon)} numbers", _POLYGONS)
    kept = [polygon for polygon in polygons if len(polygon) >= 6]
    if not kept:
        raise MaskError(f"has a polygon of {len(polygons[0]) // 2} points", _POLYGONS)
    left, right = _bounds(kept, 0)
    top, bottom = _bounds(kept, 1)
    side = max(height, width)
    is_near = min(left, top) >= -_REACH * side and max(right, bottom) <= (_REACH + 1) * side
    rle = as_rle(kept, height, width) if is_near else None
    area = int(coco_mask.area(rle)) if is_near else 0
    is_outside = left >= width or top >= height or right <= 0 or bottom <= 0
    if not is_near or (is_outside and not area):
        raise MaskError(
            f"has a polygon from ({left:g}, {top:g}) to ({right:g}, {bottom:g}), but its image is "
            f"{width} x {height} (width x height)",
            _PLACE,
        )
    left, right = (min(max(x, 0), width) for x in (left, right))
    top, bottom = (min(max(y, 0), height) for y in (top, bottom))
    return CheckedMask(
        kept,
        area,
        tuple(coco_mask.toBbox(rle).tolist()),
        (left, top, right - left, bottom - top),
        () if len(kept) == len(polygons) else ("objects rid of polygons of one or two points",),
    )


def _bounds(polygons: list[list[float]], axis: int) -> tuple[float, float]:
    """The least and the largest x (axis 0) or y (axis 1) of polygons."""
    coordinates = [polygon[axis::2] for polygon in polygons]
    return min(map(min, coordinates)), max(map(max, coordinates))


def _checked_rle(rle: dict, height: int, width: int) -> CheckedMask:
    repairs = []
    size, counts = rle.get("size"), rle.get("counts")
    if size is None:
        repairs.append("masks given the size of their image")
    elif not isinstance(size, list) or [whole(side) for side in size] != [height, width]:
        sides = " x ".join(map(shown, size)) if isinstance(size, list) else shown(size)
        raise MaskError(
            f"has a mask of {sides}, but its image is {height} x {width} (height x width)", _RLE
        )
    elif set(map(type, size)) != {int}:
        repairs.append("sizes of masks read as whole numbers")
    runs = _runs(counts)
    if runs is None:
        raise MaskError(f"has a mask with counts {shown(counts)}, which are no run lengths", _RLE)
    if sum(runs) != height * width:
        raise MaskError(
            f"has a mask with run lengths for {sum(runs)} pixels, but its image has "
            f"{height * width}",
            _RLE,
        )
    if isinstance(counts, list):
        if set(map(type, counts)) != {int}:
            repairs.append("run lengths read as whole numbers")
        counts = runs
    rle = {"size": [height, width], "counts": counts}
    if 0 in runs[1:]:
        # pycocotools takes a run of no pixels for a pixel of the box, and may end there.
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        rle = encoded(pixels.reshape(width, height).T)
        repairs.append("masks rid of runs of no pixels")
    compressed = as_rle(rle, height, width)
    box = tuple(coco_mask.toBbox(compressed).tolist())
    return CheckedMask(rle, sum(runs[1::2]), box, box, tuple(repairs))


def _runs(counts: Any) -> list[int] | None:
    """The run lengths of an RLE, compressed or not; None for what are none."""
    if isinstance(counts, str):
        return _decompressed(counts)
    if not isinstance(counts, list):
        return None
    runs = counts if set(map(type, counts)) == {int} else [whole(count) for count in counts]
    return None if None in runs or min(runs, default=-1) < 0 else runs


def _decompressed(counts: str) -> list[int] | None:
    """The run lengths of COCO's text form; None for a text that is none.

    pycocotools reads past the end of a text that is cut off, and checks nothing.
    """
    if not counts.isascii():
        return None
    digits = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    is_last = (digits & 0x20) == 0
    if not len(digits) or digits.min() < 0 or digits.max() > 0x3F or not is_last[-1]:
        return None
    if np.diff(np.flatnonzero(is_last), prepend=-1).max() > _DIGITS:
        return None
    numbers = run_lengths({"counts": counts})
    return None if (numbers < 0).any() else numbers.tolist()

"""Changes to masks by hand: brush strokes, cuts, unions; and their outlines. NumPy in, NumPy out.

Masks are compressed RLEs of the size of the image; points are (row, column) in pixels, of which the
first pixel covers [0, 1) x [0, 1). Work goes with the size of the part that changes.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from scipy import ndimage

from ..rle import decoded_part, encoded_inside, encoded_part, union

Point = tuple[float, float]

# What a cut leaves of a piece that is smaller than this share of it is no part but a splinter,
# where the line crosses itself or the border of the mask.
_SPLINTER = 0.02

# Outlines are told in so many parts of a pixel, as whole numbers.
OUTLINE_UNITS = 4


def painted(
    mask: Mapping | None, size: tuple[int, int], points: Sequence[Point], radius: float, erase: bool
) -> dict | None:
    """A mask after the stroke of a round brush.

    Args:
        mask: None: there is none yet.
        size: (H, W) of the image.
        points: of the stroke, at least one; they may lie outside of the image.
        radius: of the brush in pixels, > 0.
        erase: take pixels away.

    Returns:
        The new mask; None where it has no pixel.
    """
    stroke, corner = _stroke(np.array(points, dtype=float), radius)
    added = encoded_inside(stroke, corner, size)
    if mask is None:
        new = None if erase else added
    elif erase:
        new = without(mask, added)
    else:
        new = union([mask, added])
    return None if new is None or not coco_mask.area(new) else new


def without(mask: Mapping, other: Mapping) -> dict:
    """The pixels of a mask that are not in another one of the same size."""
    part, (top, left) = decoded_part(dict(mask))
    part = part.copy()
    taken, (first_row, first_column) = decoded_part(dict(other))
    rows, columns = (
        slice(max(mine, its), min(mine + side, its + length))
        for mine, side, its, length in (
            (top, part.shape[0], first_row, taken.shape[0]),
            (left, part.shape[1], first_column, taken.shape[1]),
        )
    )
    if rows.start < rows.stop and columns.start < columns.stop:
        mine = part[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        mine &= ~taken[
            rows.start - first_row : rows.stop - first_row,
            columns.start - first_column : columns.stop - first_column,
        ]
    return encoded_part(part, (top, left), tuple(mask["size"]))


def cut(mask: Mapping, points: Sequence[Point]) -> list[dict]:
    """A mask cut along a line.

    Each piece that hangs together, at corners too, and that the line divides becomes several, and
    the pixels under the line go to the nearest of them. Pieces that the line does not divide stay
    with the largest part.

    Args:
        mask: to cut.
        points: of the line, at least two.

    Returns:
        The parts, the largest first: one alone where the line divides nothing.
    """
    part, (top, left) = decoded_part(dict(mask))
    path = np.floor(np.array(points, dtype=float)[:, ::-1]) - (left, top)
    line = np.zeros(part.shape, np.uint8)
    # Cells of the line touch at their sides, so that no two pieces touch across it at a corner.
    cv2.polylines(line, [path.astype(np.int32)], False, 1, 1, cv2.LINE_4)
    touching = np.ones((3, 3), dtype=int)
    pieces, count = ndimage.label(part, touching)
    remaining, number = ndimage.label(part & (line == 0), touching)
    # To which piece each remaining part belongs; 0: it is none.
    owner = np.zeros(number + 1, dtype=int)
    owner[remaining] = pieces
    owner[0] = 0
    area, whole = np.bincount(remaining.ravel()), np.bincount(pieces.ravel())
    owner[area < _SPLINTER * whole[owner]] = 0
    is_divided = np.bincount(owner, minlength=count + 1) > 1
    is_divided[0] = False
    divided = is_divided[pieces] & part
    if not divided.any():
        return [dict(mask)]
    parts = np.where(is_divided[owner[remaining]], remaining, 0)
    # Under the line, the nearest part of the same piece.
    for piece in np.flatnonzero(is_divided):
        inside = pieces == piece
        own = np.where(inside, parts, 0)
        nearest = ndimage.distance_transform_edt(
            own == 0, return_distances=False, return_indices=True
        )
        gap = inside & (own == 0)
        parts[gap] = own[tuple(axis[gap] for axis in nearest)]
    areas = np.bincount(parts[parts > 0])
    order = [number for number in np.argsort(-areas, kind="stable") if areas[number]]
    parts[part & ~divided] = order[0]
    size = tuple(mask["size"])
    return [encoded_part(parts == number, (top, left), size) for number in order]


def outline(mask: Mapping) -> list[list[int]]:
    """Closed lines along the border of each piece and each hole of a mask.

    Returns:
        For each line x, y, x, y ..., in quarters of a pixel; filled by the rule of even and odd
        they cover the mask.
    """
    part, (top, left) = decoded_part(dict(mask))
    # Twice as large, so that a piece of one pixel has an outline.
    doubled = part.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    lines, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    start = np.array([left, top]) * OUTLINE_UNITS + 1
    return [(line[:, 0] * (OUTLINE_UNITS // 2) + start).ravel().tolist() for line in lines]


def box_of(mask: Mapping) -> list[int]:
    """Left, top, width and height of a mask in pixels."""
    return [int(value) for value in coco_mask.toBbox(dict(mask))]


def area_of(mask: Mapping) -> int:
    """Pixels of a mask."""
    return int(coco_mask.area(dict(mask)))


def _stroke(points: np.ndarray, radius: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The pixels whose centres lie within ``radius`` of a line, (h, w) bool, and the row and column
    of the first; at least the pixels under the points."""
    first = np.floor(points.min(axis=0) - radius).astype(int)
    shape = np.ceil(points.max(axis=0) + radius).astype(int) - first + 1
    stroke = np.zeros(shape, dtype=bool)
    local = points - first
    for start, end in pairwise([local[0], *local]):
        # Of each straight piece only its surroundings: a long line crosses a large image.
        low = np.floor(np.minimum(start, end) - radius).astype(int)
        high = np.ceil(np.maximum(start, end) + radius).astype(int) + 1
        rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
        away = rows + 0.5 - start[0], columns + 0.5 - start[1]
        along = end - start
        length = float(along @ along) or 1.0
        share = ((away[0] * along[0] + away[1] * along[1]) / length).clip(0, 1)
        squared = (away[0] - share * along[0]) ** 2 + (away[1] - share * along[1]) ** 2
        stroke[low[0] : high[0], low[1] : high[1]] |= squared <= radius**2
    stroke[tuple(np.floor(local).astype(int).T)] = True
    return stroke, (int(first[0]), int(first[1]))

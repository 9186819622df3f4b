"""Masks on a grid to masks of pixels, many of them at once.

Shapes: n masks whose windows have r x c cells, P x Q pixels that hold the largest of them, H x W output pixels.
"""

import mmap

import numpy as np

# Linux's value where Python (before 3.11) does not name it; mmap is used where MADV_NOHUGEPAGE is, on Linux alone.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)

# Before interpolation distances are clipped at so many thresholds. Another object can be any distance away; unclipped,
# the cut between two cells would move the nearer to this one the more distinct the other is, and masks would shrink.
_CLIP = 3.0


def to_pixels(
    start: np.ndarray,
    part: np.ndarray,
    squared_distance: np.ndarray,
    threshold: np.ndarray,
    *,
    cell_size: tuple[float, float],
    output_size: tuple[int, int],
    interpolate: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of masks in windows of one shape.

    A pixel belongs to a mask where the distances, interpolated bilinearly between the centres of the cells, are at most
    the threshold; distances are clipped before, and cells that are near but not of the mask's part count as far.

    Args:
        start: (n, 2) int64, the window's first cell.
        part: (n, r, c) bool; squared_distance: (n, r, c); threshold: (n,).
        cell_size: output pixels a cell, (vertical, horizontal).
        output_size: (H, W).
        interpolate: False: every pixel follows the cell that it lies in.

    Returns:
        first (n, 2) int64, the output pixel of each window's first, and pixels (n, P, Q) bool; pixels that would lie
        outside of the image are False.
    """
    firsts, places, inside = [], [], []
    for axis, (size, limit) in enumerate(zip(cell_size, output_size, strict=True)):
        count = part.shape[1 + axis]
        # Half-open ranges of the pixels whose centres lie in the cells of the window.
        first, last = (
            np.minimum(np.rint(edge * size).astype(np.int64), limit)
            for edge in (start[:, axis], start[:, axis] + count)
        )
        pixel = first[:, None] + np.arange(int((last - first).max(initial=0)))
        firsts.append(first)
        inside.append(pixel < last[:, None])
        # In cells from the window's first edge: cell i spans [i, i + 1).
        places.append((pixel + 0.5) / size - start[:, axis, None])
    if interpolate:
        cut = np.float32(_CLIP) * threshold.astype(np.float32)[:, None, None]
        far = ~part & (squared_distance <= threshold[:, None, None])
        clipped = np.where(far, cut, np.fmin(squared_distance, cut)).astype(np.float32)
        across = _interpolated(clipped, places[0])
        pixels = _interpolated(across.transpose(0, 2, 1), places[1]).transpose(0, 2, 1) <= threshold[:, None, None]
    else:
        rows, columns = (
            np.clip(np.floor(place).astype(np.int64), 0, count - 1)
            for place, count in zip(places, part.shape[1:], strict=True)
        )
        pixels = part[np.arange(len(part))[:, None, None], rows[:, :, None], columns[:, None]]
    return np.stack(firsts, axis=1), pixels & inside[0][:, :, None] & inside[1][:, None]


def _interpolated(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Linear interpolation along the second axis.

    Args:
        values: (n, r, c) at the centres of cells, which lie at one half, one and a half ...
        place: (n, P), where to; the outermost values go on beyond the outermost centres.

    Returns:
        (n, P, c), of the values' dtype.
    """
    count = values.shape[1]
    centre = np.clip(place - 0.5, 0, count - 1)
    lower = np.floor(centre).astype(np.int64)
    weight = (centre - lower).astype(values.dtype)[:, :, None]
    each = np.arange(len(values))[:, None]
    return values[each, lower] * (1 - weight) + values[each, np.minimum(lower + 1, count - 1)] * weight


def sparse_masks(count: int, height: int, width: int) -> np.ndarray:
    """(count, height, width) bool, all False, of which only the pages that are written to take memory.

    NumPy asks for huge pages, of which every small mask would touch one: 2 MiB to clear for some hundred pixels. Nor is
    memory reserved: 2,000 masks of an image of 4,096 x 4,096 pixels would ask for 33 GB, and fill a hundredth of it.
    """
    size = count * height * width
    if size == 0 or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros((count, height, width), dtype=bool)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=bool).reshape(count, height, width)

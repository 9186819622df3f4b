"""Masks on a grid to masks of pixels. NumPy in, NumPy out.

Shapes: n masks on grids, N masks drawn, H x W output pixels.
"""

import mmap
from collections.abc import Sequence

import numpy as np

from . import kernels
from .growing import Grids, GrownMasks

# Linux's value where Python (before 3.11) does not name it; mmap is used where MADV_NOHUGEPAGE is,
# on Linux alone.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


def draw_masks(
    masks: GrownMasks,
    order: np.ndarray,
    grids: Grids,
    *,
    cell_sizes: Sequence[tuple[float, float]],
    output_size: tuple[int, int],
    interpolate: bool,
    limit: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels of masks.

    A pixel belongs to a mask where the distances, interpolated bilinearly between the centres of
    the cells, are at most the threshold; distances are clipped before, and cells that are near but
    not of the mask count as far.

    Args:
        masks: n of them.
        order: (n,) int64, which are drawn first.
        grids: that they were grown in.
        cell_sizes: for every scale the output pixels a cell, (vertical, horizontal).
        output_size: (H, W).
        interpolate: False: every pixel follows the cell that it lies in.
        limit: drawn are at most so many.

    Returns:
        Which were drawn (N,) int64: those that have a pixel, in their order; their pixels (N, H, W)
        bool; and their boxes (N, 4) int64: left, top, right, bottom, half open.
    """
    canvases = sparse_masks(min(limit, len(order)), *output_size)
    drawn, boxes = kernels.draw(
        canvases, order, grids, masks, np.array(cell_sizes, dtype=np.float64), interpolate
    )
    return drawn, canvases[: len(drawn)], boxes


def sparse_masks(count: int, height: int, width: int) -> np.ndarray:
    """(count, height, width) bool, all False, of which only the pages that are written to take
    memory.

    NumPy asks for huge pages, of which every small mask would touch one: 2 MiB to clear for some
    hundred pixels. Nor is memory reserved: 2,000 masks of an image of 4,096 x 4,096 pixels would
    ask for 33 GB, and fill a hundredth of it. Where the system has no such memory, all of it is
    taken.
    """
    size = count * height * width
    if size == 0 or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros((count, height, width), dtype=bool)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=bool).reshape(count, height, width)

"""Masks on a grid to masks of pixels. NumPy in, NumPy out.

Shapes: n masks on grids, N masks drawn, H x W output pixels.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import kernels
from .growing import Grids, GrownMasks

# Linux's value where Python (before 3.11) does not name it; mmap is used where MADV_NOHUGEPAGE is,
# on Linux alone.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


@dataclass(frozen=True, eq=False)
class WindowMasks:
    """Masks in the windows that they just fill: memory goes with their area, and not with their
    number times the pixels of the image.

    Attributes:
        boxes: (N, 4) int64: left, top, right, bottom, half open; none is empty.
        start: (N + 1,) int64; window i has the pixels from start[i] to start[i + 1].
        pixels: (P,) bool, those of all windows, row by row.
    """

    boxes: np.ndarray
    start: np.ndarray
    pixels: np.ndarray

    def __len__(self):
        return len(self.boxes)

    def __getitem__(self, index: int) -> np.ndarray:
        """(h, w) bool in the window of a mask: rows top to bottom, columns left to right."""
        left, top, right, bottom = self.boxes[index]
        window = self.pixels[self.start[index] : self.start[index + 1]]
        return window.reshape(bottom - top, right - left)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def take(self, indices: np.ndarray) -> "WindowMasks":
        """Those of (M,) int64 indices, in that order; one may be named more than once."""
        start = np.concatenate([[0], np.cumsum(np.diff(self.start)[indices])])
        pixels = np.empty(start[-1], dtype=bool)
        for index, first, last in zip(indices, start[:-1], start[1:], strict=True):
            pixels[first:last] = self.pixels[self.start[index] : self.start[index + 1]]
        return WindowMasks(self.boxes[indices], start, pixels)

    def whole(self, height: int, width: int) -> np.ndarray:
        """(N, height, width) bool, see ``sparse_masks``."""
        canvases = sparse_masks(len(self), height, width)
        for canvas, (left, top, right, bottom), mask in zip(
            canvases, self.boxes.tolist(), self, strict=True
        ):
            canvas[top:bottom, left:right] = mask
        return canvases


def draw_masks(
    masks: GrownMasks,
    order: np.ndarray,
    grids: Grids,
    *,
    cell_sizes: Sequence[tuple[float, float]],
    output_size: tuple[int, int],
    interpolate: bool,
    limit: int,
) -> tuple[np.ndarray, WindowMasks]:
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
        Which were drawn (N,) int64: those that have a pixel, in their order; and these masks.
    """
    height, width = output_size
    drawn, *windows = kernels.draw(
        limit,
        order,
        grids,
        masks,
        np.array(cell_sizes, dtype=np.float64),
        (int(height), int(width)),
        interpolate,
    )
    return drawn, WindowMasks(*windows)


def sparse_masks(count: int, height: int, width: int) -> np.ndarray:
    """(count, height, width) bool, all False, of which only the pages that are written to take
    memory.

    NumPy asks for huge pages, of which every small mask would touch one: 2 MiB to clear for some
    hundred pixels. Nor is memory reserved: 2,000 masks of an image of 4,096 x 4,096 pixels would
    ask for 33 GB, and fill a hundredth of it. Where the system has no such memory, all of it is
    taken. Of a wide image every row of a mask has a page of its own, at 4 KiB: of many objects
    ``WindowMasks`` take less.
    """
    size = count * height * width
    if size == 0 or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros((count, height, width), dtype=bool)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=bool).reshape(count, height, width)

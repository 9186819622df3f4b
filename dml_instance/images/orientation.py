"""EXIF's numbers of how the pixels of a file are turned and mirrored to be upright."""

import numpy as np

from .source import Window

# All of them; whatever else a file says is none.
ORIENTATIONS = range(1, 9)
# They exchange rows and columns.
_TURNED = (5, 6, 7, 8)
# Then these run from right to left, and these from the bottom up.
_RIGHT_TO_LEFT = (2, 3, 6, 7)
_BOTTOM_UP = (3, 4, 7, 8)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) pixels turned and mirrored as EXIF's number says; a view."""
    if orientation in _TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _RIGHT_TO_LEFT:
        pixels = pixels[:, ::-1]
    if orientation in _BOTTOM_UP:
        pixels = pixels[::-1]
    return pixels


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(H, W) upright, of that stored."""
    return size[::-1] if orientation in _TURNED else size


def stored_window(window: Window, size: tuple[int, int], orientation: int) -> Window:
    """Where the pixels of a window are stored.

    Args:
        window: rows and columns of the upright image, with start and stop.
        size: (H, W) of it.
        orientation: EXIF's number.
    """
    rows, columns = window
    if orientation in _BOTTOM_UP:
        rows = slice(size[0] - rows.stop, size[0] - rows.start)
    if orientation in _RIGHT_TO_LEFT:
        columns = slice(size[1] - columns.stop, size[1] - columns.start)
    return (columns, rows) if orientation in _TURNED else (rows, columns)

"""How a large image is cut into tiles, and which part of what is said of each is used.

What a tile says near a side where the image goes on is not used. Of torch, or of NumPy, it only
takes that arrays are cut by slices.
"""

from itertools import pairwise
from typing import NamedTuple


class Span(NamedTuple):
    """One tile along one axis, in pixels: it covers [start, stop); of it [first, last) is used."""

    start: int
    stop: int
    first: int
    last: int


def tile_spans(length: int, size: int, overlap: int, unit: int) -> list[Span]:
    """Tiles along one axis.

    Args:
        length: pixels of the image, a multiple of ``unit``.
        size: pixels of a tile at most, and at least ``unit``.
        overlap: pixels that two neighbours share at least, fewer than ``size``.
        unit: tiles start and end at multiples of it.

    Returns:
        Spans of one length, as few and as short as can be, whose used parts cover [0, length)
        without overlap; two neighbours meet in the middle of what they share, a multiple of half a
        unit.
    """
    length, size, overlap = length // unit, max(size // unit, 1), -(-overlap // unit)
    overlap = min(overlap, size - 1)
    count = max(-(-(length - overlap) // (size - overlap)), 1)
    size = -(-(length + (count - 1) * overlap) // count)
    starts = [index * (length - size) // max(count - 1, 1) * unit for index in range(count)]
    size *= unit
    borders = [
        0,
        *((before + size + after) // 2 for before, after in pairwise(starts)),
        length * unit,
    ]
    return [
        Span(start, start + size, first, last)
        for start, (first, last) in zip(starts, pairwise(borders), strict=True)
    ]


class Tile(NamedTuple):
    """One tile of an image."""

    rows: Span
    columns: Span

    @property
    def pixels(self) -> tuple[slice, slice]:
        """What it covers of the image."""
        return slice(*self.rows[:2]), slice(*self.columns[:2])

    @property
    def size(self) -> tuple[int, int]:
        """Its height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of its first pixel."""
        return self.rows.start, self.columns.start

    def in_whole(self, stride: int) -> tuple[slice, slice]:
        """The cells of so many pixels that are used of it, in the grid of the image."""
        rows, columns = (slice(s.first // stride, s.last // stride) for s in self)
        return rows, columns

    def in_part(self, stride: int) -> tuple[slice, slice]:
        """The same cells in its own grid."""
        rows, columns = (
            slice((s.first - s.start) // stride, (s.last - s.start) // stride) for s in self
        )
        return rows, columns


def tiles_of(image_size: tuple[int, int], *, size: int, overlap: int, unit: int) -> list[Tile]:
    """The tiles of an image.

    Args:
        image_size: (height, width) in pixels, multiples of ``unit``.
        size, overlap, unit: see ``tile_spans``.

    Returns:
        Row by row; the parts that are used cover the image without overlap.
    """
    rows, columns = (tile_spans(length, size, overlap, unit) for length in image_size)
    return [Tile(row, column) for row in rows for column in columns]

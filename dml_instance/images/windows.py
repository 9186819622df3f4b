"""A large image, of which windows are read when they are asked for."""

import contextlib
import math

import numpy as np

from ..tiling import Span, Tile, tile_spans, tiles_of
from .files import evenly_spread
from .intensities import Stretch, to_eight_bit
from .opening import chosen_parts, opened, reading
from .orientation import stored_window, upright, upright_size
from .rules import PLAIN, ReadingRules
from .source import Window

# Pixels of a side of the windows that tell what an image is like, and how many there are at most
# down and across: up to 8,192 pixels all of it.
_SIDE = 1024
_MOST = 8


class ImageWindows:
    """An opened image file, of which windows are read: what ``read_image`` gives of it, part by
    part. Memory is that of a window, and of the parts of the file in it.

    Used in a ``with`` block, or closed.

    Attributes:
        file: its name.
        size: (H, W).
    """

    def __init__(self, file: str, rules: ReadingRules = PLAIN, stretch: Stretch | None = None):
        """
        Args:
            file: as of ``read_image``.
            rules: of reading; a file that is read in windows may be larger than they say.
            stretch: of the whole image, where it is known, see ``find_stretch``; a window of an
                image of more than 8 bits is stretched by itself without one.

        Raises:
            FileError: as ``read_image``, as far as the header tells.
        """
        self.file, self._stretch = file, stretch
        with contextlib.ExitStack() as stack:
            self._source = stack.enter_context(opened(file, rules, in_windows=True))
            self._parts = chosen_parts(file, self._source, rules)
            with reading(file):
                self._orientation = self._source.orientation()
            self.size = upright_size(self._source.size, self._orientation)
            self._file = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Nothing more is read."""
        self._file.close()

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """A window as (h, w, 3) uint8, red, green and blue.

        Args:
            rows, columns: with start and stop, within ``size``.

        Raises:
            FileError: where the file is broken.
        """
        return to_eight_bit(self._stored(rows, columns), self._stretch)

    def find_stretch(self) -> Stretch | None:
        """Which values of the image become 0 and 255, from now on in ``read``, too; reads its
        ``sample``. None for 8 bits, which stay as they are."""
        if self._stored(slice(0, 1), slice(0, 1)).dtype == np.uint8:
            return None
        windows = self.sample()
        channels = sum(len(channels) for _, channels in self._parts)
        pixels = sum(math.prod(part.stop - part.start for part in w) for w in windows)
        values = (self._stored(*window) for window in windows)
        self._stretch = Stretch.of_parts(values, channels * pixels)
        return self._stretch

    def sample(self) -> list[Window]:
        """Windows apart that tell what the image is like: they cover one of up to 8,192 x 8,192
        pixels, and are spread evenly over a larger one."""
        rows, columns = (
            evenly_spread(tile_spans(length, _SIDE, 0, 1), _MOST) for length in self.size
        )
        return [Tile(row, column).in_whole(1) for row in rows for column in columns]

    def tiles(self, side: int, overlap: int = 0, unit: int = 1) -> list[Tile]:
        """Windows that cover the image.

        Args:
            side: pixels of one at most.
            overlap: pixels that neighbours share at least.
            unit: they begin at multiples of it.
        """
        # Laid over an image that is a multiple of the unit, and cut to this one.
        padded = tuple(-(-length // unit) * unit for length in self.size)
        tiles = tiles_of(padded, size=side, overlap=overlap, unit=unit)
        return [Tile(*map(_within, tile, self.size)) for tile in tiles]

    def _stored(self, rows: slice, columns: slice) -> np.ndarray:
        """(h, w, C) of any number type."""
        window = stored_window((rows, columns), self.size, self._orientation)
        with reading(self.file):
            planes = [self._source.colours(*part, window) for part in self._parts]
            return upright(np.dstack(planes), self._orientation)


def _within(span: Span, length: int) -> Span:
    return span._replace(stop=min(span.stop, length), last=min(span.last, length))

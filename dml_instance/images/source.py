"""What every kind of image file offers to the reader: facts of its header, and stored pixels.

Shapes: H x W pixels as stored, before the orientation is obeyed; C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

# Rows and columns.
Window = tuple[slice, slice]


class ImageSource(ABC):
    """An opened image file, of which nothing but the header was read.

    Attributes:
        layout: number type, axes and lengths in words, for messages.
        size: (H, W).
        pages: how many images the file holds: planes, frames, slices.
        channels: C of a page, those of colours for a palette; opacity counts as one, the last.
        has_alpha: whether the last channel is opacity.
        number_channels: of ``numbers``, opacity not counted; 1 for a palette.
        is_plain: any program sees the stored pixels alike: grey or RGB of 8 bits in PNG or JPEG.
        reads_windows: a window is read without the pixels beside it.
    """

    layout: str
    size: tuple[int, int]
    pages: int
    channels: int
    has_alpha: bool
    number_channels: int
    is_plain: bool = False
    reads_windows: bool = False

    @abstractmethod
    def orientation(self) -> int:
        """EXIF's number of how the pixels are to be turned and mirrored, 1 to 8; 1 where none."""

    @abstractmethod
    def colours(
        self, page: int, channels: Sequence[int], window: Window | None = None
    ) -> np.ndarray:
        """(H, W) or (H, W, len(channels)) of any real number type, as a viewer would show them:
        palettes, inks and inverted greys are resolved; fewer than 8 bits fill 0 to 255.

        Args:
            page, channels: of the file, from 0.
            window: rows and columns, with start and stop, of which alone the pixels are wanted.

        Raises:
            FileError: for a colour space that is not read.
        """

    @abstractmethod
    def numbers(self, page: int) -> np.ndarray:
        """(H, W) numbers as they are, of a palette those of its entries, where there is one
        channel of them.

        Raises:
            FileError: for a format that does not keep numbers.
        """

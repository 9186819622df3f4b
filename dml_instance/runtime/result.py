"""What an exported model finds in an image.

Shapes: H x W pixels of the image, h x w of the window of a mask, N objects.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Mask:
    """The pixels of one object, in the window that they just fill.

    Attributes:
        row, column: of the window's first pixel in the image.
        pixels: (h, w) bool.
    """

    row: int
    column: int
    pixels: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image: ``image[mask.window]`` is (h, w, ...)."""
        height, width = self.pixels.shape
        return slice(self.row, self.row + height), slice(self.column, self.column + width)


@dataclass(frozen=True, eq=False)
class Result:
    """The objects of an image by descending score.

    Attributes:
        image_size: (H, W).
        masks: of N objects; they may overlap.
        scores: (N,) float32 in [0, 1].
        classes: (N,) int64 in [0, K).
        class_names: (N,), what these classes are called.
    """

    image_size: tuple[int, int]
    masks: list[Mask]
    scores: np.ndarray
    classes: np.ndarray
    class_names: list[str]

    def __len__(self):
        return len(self.masks)

    @cached_property
    def labels(self) -> np.ndarray:
        """(H, W) int32: 0 is background, i + 1 object i; where two overlap, the better one."""
        labels = np.zeros(self.image_size, np.int32)
        for label, mask in enumerate(self.masks, start=1):
            seen = labels[mask.window]
            seen[mask.pixels & (seen == 0)] = label
        return labels

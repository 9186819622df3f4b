"""Pixels of any number type as 8-bit colours."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

# Intensities of an image that is not 8-bit are stretched between these percentiles, as
# microscopists do.
_PERCENTILES = (0.1, 99.9)

# Values that are stretched at once, so that their 64 bits each do not add up.
_BLOCK = 2**22


# Of an image that is read in windows so many values at most tell the percentiles.
_SAMPLE = 2**24


@dataclass(frozen=True)
class Stretch:
    """Which values of an image become 0 and 255; those between lie between.

    Attributes:
        low, high: percentiles of its finite values, the 0.1st and the 99.9th; 0 and 0 where there
            are none.
    """

    low: float
    high: float

    @classmethod
    def of(cls, image: np.ndarray) -> "Stretch":
        """Of all values of an image; takes a copy of them."""
        known = image[np.isfinite(image)]
        if not known.size:
            return cls(0.0, 0.0)
        return cls(*map(float, np.percentile(known, _PERCENTILES, overwrite_input=True)))

    @classmethod
    def of_parts(cls, parts: Iterable[np.ndarray], size: int) -> "Stretch":
        """Of an image that comes in parts: of every n-th pixel, so that there are 16 million
        values at most.

        Args:
            parts: (h, w) or (h, w, C), of the image, without overlap.
            size: number of their values together.
        """
        step = math.ceil(size / _SAMPLE)
        return cls.of(
            np.concatenate([p.reshape(p.shape[0] * p.shape[1], -1)[::step].ravel() for p in parts])
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        """uint8 of the same shape; what is not finite is 0."""
        result = np.zeros(image.shape, np.uint8)
        # In 64 bits whatever the image has.
        low, high = np.float64(self.low), np.float64(self.high)
        rows = max(_BLOCK // max(image[:1].size, 1), 1)
        for start in range(0, len(image), rows):
            part = slice(start, start + rows)
            values = np.where(np.isfinite(image[part]), image[part], low)
            # Nothing may lie between the percentiles, or more than a float can tell.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                values = (values - low) / (high - low) * 255
            result[part] = np.nan_to_num(values).clip(0, 255).round()
        return result


def to_eight_bit(image: np.ndarray, stretch: Stretch | None = None) -> np.ndarray:
    """Red, green and blue as (H, W, 3) uint8; 8-bit images keep their values.

    Others are stretched so that the 0.1st percentile of their finite values becomes 0 and the
    99.9th 255. What is not finite becomes 0.

    Args:
        image: (H, W) or (H, W, C) of any real number type: one channel is grey, of two the third
            is black, of more than three the first three are kept.
        stretch: of the image that this is a part of; None: of this one.
    """
    if image.dtype != np.uint8:
        image = (stretch or Stretch.of(image)).apply(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 2:
        return np.dstack([image, np.zeros_like(image[..., :1])])
    return image[..., :3]

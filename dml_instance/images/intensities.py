"""Pixels of any number type as 8-bit colours."""

import cv2
import numpy as np

# Intensities of an image that is not 8-bit are stretched between these percentiles, as
# microscopists do.
_PERCENTILES = (0.1, 99.9)

# Values that are stretched at once, so that their 64 bits each do not add up.
_BLOCK = 2**22


def to_eight_bit(image: np.ndarray) -> np.ndarray:
    """Red, green and blue as (H, W, 3) uint8; 8-bit images keep their values.

    Others are stretched so that the 0.1st percentile of their finite values becomes 0 and the
    99.9th 255. What is not finite becomes 0.

    Args:
        image: (H, W) or (H, W, C) of any real number type: one channel is grey, of two the third
            is black, of more than three the first three are kept.
    """
    if image.dtype != np.uint8:
        image = _stretched(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 2:
        return np.dstack([image, np.zeros_like(image[..., :1])])
    return image[..., :3]


def _stretched(image: np.ndarray) -> np.ndarray:
    """uint8 of the same shape; beside it takes a copy of the image, to find the percentiles."""
    result = np.zeros(image.shape, np.uint8)
    is_finite = np.isfinite(image)
    known = image[is_finite]
    if known.size:
        low, high = np.percentile(known, _PERCENTILES, overwrite_input=True).astype(np.float64)
        rows = max(_BLOCK // (image.size // len(image)), 1)
        for start in range(0, len(image), rows):
            part = slice(start, start + rows)
            values = np.where(is_finite[part], image[part], low)
            # Nothing may lie between the percentiles, or more than a float can tell.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                values = (values - low) / (high - low) * 255
            result[part] = np.nan_to_num(values).clip(0, 255).round()
    return result

"""Masks with smooth edges: blurred, resized, anti-aliased, or once saved as JPEG.

Their many numbers are how much of a pixel is covered, and no objects.
"""

import numpy as np
from scipy import ndimage

# Fewer numbers say nothing.
_FEWEST = 4
# Of masks that were blurred, resized or saved as JPEG in any way that was tried 0.60 and more of
# the pixels lie on a slope, of label images, crowded, crossing and nested ones among them, 0.18 and
# less (0.20 where they were resized).
_ON_SLOPES = 0.5


def is_smooth(labels: np.ndarray) -> bool:
    """Whether numbers lie on slopes: next to most pixels are a smaller and a larger number.

    The most frequent number, which is what a mask is inside, is left out.

    Args:
        labels: (H, W) whole numbers, not negative; 0 is background.
    """
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    if len(numbers) < _FEWEST:
        return False
    low, high = (
        of_neighbours(labels, 3, mode="nearest")
        for of_neighbours in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    is_asked = (labels > 0) & (labels != numbers[counts.argmax()])
    return ((low < labels) & (labels < high))[is_asked].mean() > _ON_SLOPES


def hardened(labels: np.ndarray) -> np.ndarray:
    """What is at least half of the largest number as that number, everything else 0."""
    largest = labels.max()
    return np.where(2 * labels.astype(np.int64) >= largest, largest, 0)

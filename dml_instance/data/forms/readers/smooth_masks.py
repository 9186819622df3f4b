"""Masks with smooth edges: blurred, resized, anti-aliased, or once saved as JPEG.

Their many numbers are how much of a pixel is covered, and no objects.
"""

import cv2
import numpy as np

# Fewer numbers say nothing.
_FEWEST = 4
# Of masks that the tests blur, resize or save as JPEG 0.58 and more of the pixels lie on slopes, of
# label images, crowded, crossing and nested ones among them, 0.18 and less.
_ON_SLOPES = 0.45


def is_smooth(labels: np.ndarray) -> bool:
    """Whether numbers lie on slopes: next to most pixels are a smaller and a larger number.

    The most frequent number, which is what a mask is inside, is left out.

    Args:
        labels: (H, W) whole numbers, not negative; 0 is background.
    """
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    if len(numbers) < _FEWEST:
        return False
    is_asked = (labels > 0) & (labels != numbers[counts.argmax()])
    # OpenCV takes floats, which keep the order, and no whole numbers of so many bits.
    values, kernel = labels.astype(np.float32), np.ones((3, 3), np.uint8)
    low, high = cv2.erode(values, kernel), cv2.dilate(values, kernel)
    return ((low < values) & (values < high))[is_asked].mean() > _ON_SLOPES


def hardened(labels: np.ndarray) -> np.ndarray:
    """What is at least half of the largest number as that number, everything else 0."""
    largest = labels.max()
    return np.where(2 * labels.astype(np.int64) >= largest, largest, 0)

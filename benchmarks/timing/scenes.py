"""Drawn images that hold as many objects as wanted."""

import math
from itertools import pairwise

import cv2
import numpy as np


def drawn_cells(
    height: int, width: int, objects: int, seed: int = 0, radius: float = math.inf
) -> np.ndarray:
    """Bright discs on a dark, noisy ground, as large as they can be without touching.

    Args:
        height, width: of the image.
        objects: at least so many are drawn, in a grid that is jittered.
        seed: of the jitter, the brightness and the noise.
        radius: of a disc at most, in pixels.

    Returns:
        (height, width, 3) uint8.
    """
    rng = np.random.default_rng(seed)
    step = math.sqrt(height * width / objects)
    rows, columns = (np.linspace(0, side, math.ceil(side / step) + 1) for side in (height, width))
    image = np.full((height, width), 20, np.uint8)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            drawn_radius = max(min(0.36 * min(bottom - top, right - left), radius), 1.0)
            x, y = (left + right) / 2, (top + bottom) / 2
            x, y = np.array([x, y]) + rng.uniform(-0.1, 0.1, 2) * step
            cv2.circle(
                image, (round(x), round(y)), round(drawn_radius), int(rng.integers(100, 220)), -1
            )
    noisy = cv2.GaussianBlur(image, (0, 0), 1.2) + rng.normal(0, 5, image.shape)
    return np.repeat(noisy.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

"""From an image to the input of the network, as the model of torch sees it.

Shapes: H x W pixels of the image, h x w of it resized.
"""

import cv2
import numpy as np
from PIL import Image

from .rules import ImageRules


def network_input(
    image: np.ndarray, rules: ImageRules, unit: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """The input of the network.

    Args:
        image: (H, W, 3) uint8, red, green and blue.
        rules: how it is resized and normalised.
        unit: height and width of the input are multiples of it.

    Returns:
        (1, 3, h', w') float32, h' and w' the multiples of ``unit`` that are no less than h and w,
        0 beyond them; and (h, w). Memory: that, and once more while it is made.
    """
    pixels = _scaled(_resized(image, rules), rules.scale)
    height, width = pixels.shape[:2]
    padded = (-(-side // unit) * unit for side in (height, width))
    result = np.zeros((1, 3, *padded), np.float32)
    if rules.normalization == "image":
        means, deviations = (values.ravel() for values in cv2.meanStdDev(pixels))
        # A flat image has no deviation; one grey level keeps it at zero.
        deviations = deviations.clip(min=1.0)
    else:
        order = slice(None, None, 1 if rules.channel_order == "RGB" else -1)
        means, deviations = rules.pixel_mean[order], rules.pixel_std[order]
    for channel, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
        place = channel if rules.channel_order == "RGB" else 2 - channel
        seen = result[0, place, :height, :width]
        np.subtract(pixels[..., channel], np.float32(mean), out=seen)
        seen /= np.float32(deviation)
    return result, (height, width)


def _resized(image: np.ndarray, rules: ImageRules) -> np.ndarray:
    """(h, w, 3) uint8: by the shorter side, and then magnified, as Detectron2's transforms do."""
    height, width = image.shape[:2]
    for size in (_by_short_side, _magnified):
        wanted = size(height, width, rules)
        if wanted is not None:
            height, width = wanted
            pixels = Image.fromarray(np.ascontiguousarray(image))
            image = np.asarray(pixels.resize((width, height), Image.Resampling.BILINEAR))
    return image


def _by_short_side(height: int, width: int, rules: ImageRules) -> tuple[int, int] | None:
    """Detectron2's ``ResizeShortestEdge``; None: the image stays as it is."""
    if rules.short_side == 0:
        return None
    factor = rules.short_side / min(height, width)
    sides = [side * factor for side in (height, width)]
    # The shorter side is what was asked for, whatever the product rounds to.
    sides[0 if height < width else 1] = float(rules.short_side)
    if max(sides) > rules.long_side:
        factor = rules.long_side / max(sides)
        sides = [side * factor for side in sides]
    return max(int(sides[0] + 0.5), 1), max(int(sides[1] + 0.5), 1)


def _magnified(height: int, width: int, rules: ImageRules) -> tuple[int, int] | None:
    if rules.magnification == 1:
        return None
    return tuple(max(round(side * rules.magnification), 1) for side in (height, width))


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    """(h, w, 3) float32 of (H, W, 3) uint8, bilinear; averaged where it becomes smaller."""
    pixels = image.astype(np.float32)
    if scale == 1:
        return pixels
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    if scale > 1:
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    # OpenCV leaves pixels out.
    channels = [Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(3)]
    bilinear = Image.Resampling.BILINEAR
    return np.dstack([np.asarray(c.resize((width, height), bilinear)) for c in channels])

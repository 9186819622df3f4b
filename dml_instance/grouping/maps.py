"""What the grouping is given: the maps of an image as arrays.

Shapes: D embedding channels, T similarity thresholds, K classes, h x w grid cells.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class GridMaps:
    """What the network says of every grid cell of one image, at one scale of the pyramid.

    Attributes:
        embedding: (h, w, D) float32, contiguous: what a distance is made of lies side by side.
        distance_scale: (h, w) float32 > 0, contiguous: how much squared distances from the cell
            count.
        probability: (T, K, h, w) float32 in [0, 1]: for each threshold the probability of every
            class, background left out, of the mask that would be grown from the cell. They and
            background's add up to 1.
        stride: pixels of the network's input image a cell, >= 1.
        scale: size of the network's input relative to the image, > 0.
        image_size: (height, width) of the network's input, in pixels, before padding.

    Raises:
        ValueError: for maps of other shapes, or of different grids.
    """

    embedding: np.ndarray
    distance_scale: np.ndarray
    probability: np.ndarray
    stride: int
    scale: float
    image_size: tuple[int, int]

    def __post_init__(self):
        shapes = self.embedding.shape, self.distance_scale.shape, self.probability.shape
        grids = [shapes[0][:-1], shapes[1], shapes[2][2:]]
        if any(len(grid) != 2 or grid != grids[0] for grid in grids):
            raise ValueError(
                "embedding must be (h, w, D), distance_scale (h, w) and probability (T, K, h, w), "
                f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )


def cell_size(
    stride: int, image_size: tuple[int, int], output_size: tuple[int, int]
) -> tuple[float, float]:
    """Pixels a cell, (vertical, horizontal), of an image at another (height, width).

    Args:
        stride, image_size: as in ``GridMaps``.
        output_size: (height, width).
    """
    vertical, horizontal = (
        stride * wanted / side for wanted, side in zip(output_size, image_size, strict=True)
    )
    return vertical, horizontal

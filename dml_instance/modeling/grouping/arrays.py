"""Maps of torch as the arrays that the grouping of ``dml_instance/grouping`` takes.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells.
"""

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from ...grouping import GridMaps
from ...tiling import Tile
from ..structures import ImageMaps
from .probability import class_probability


def as_arrays(maps: ImageMaps) -> GridMaps:
    """The maps of one scale as arrays on the CPU, without their gradients."""
    return GridMaps(
        embedding=_array(maps.embedding.permute(1, 2, 0)),
        distance_scale=_array(maps.distance_scale),
        # In whatever layout: of many classes a copy takes its time.
        probability=class_probability(maps.class_logits).cpu().numpy(),
        stride=maps.stride,
        scale=maps.scale,
        image_size=maps.image_size,
    )


def joined_arrays(parts: Iterable[tuple[Tile, ImageMaps]], image_size: tuple[int, int]) -> GridMaps:
    """The maps of an image, from those of its tiles.

    Args:
        parts: at least one tile, each with its maps, asked for one after the other.
        image_size: (height, width) of the image at the scale of the maps, before padding.

    Returns:
        Maps of the cells that the image covers, those of padding alone left out. Memory: that, at
        4 (D + 1 + T K) bytes a cell, and what one tile needs.
    """
    whole: dict[str, np.ndarray] = {}
    for tile, maps in parts:
        part = as_arrays(maps)
        grid = [-(-side // part.stride) for side in image_size]
        cells = [
            slice(cells.start, min(cells.stop, side))
            for cells, side in zip(tile.in_whole(part.stride), grid, strict=True)
        ]
        seen = [
            slice(inner.start, inner.start + outer.stop - outer.start)
            for inner, outer in zip(tile.in_part(part.stride), cells, strict=True)
        ]
        for name, axis in (("embedding", 0), ("distance_scale", 0), ("probability", 2)):
            values = getattr(part, name)
            if name not in whole:
                shape = (*values.shape[:axis], *grid, *values.shape[axis + 2 :])
                whole[name] = np.empty(shape, values.dtype)
            before = (slice(None),) * axis
            whole[name][(*before, *cells)] = values[(*before, *seen)]
        of_maps = {"stride": maps.stride, "scale": maps.scale, "image_size": image_size}
        # Before the network sees the next tile.
        del maps, part, values
    return GridMaps(**whole, **of_maps)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().contiguous().numpy()

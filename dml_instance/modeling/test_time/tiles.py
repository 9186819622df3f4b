"""Large images, seen by the network tile by tile.

Only the network works in tiles: their maps are put together before anything is grouped, so that no
object can be split or doubled where two tiles meet. What a tile says near a side where the image
goes on is not used.

Shapes: B images, C channels, H x W pixels, h x w grid cells, D embedding channels, T thresholds,
K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...tiling import Tile, tiles_of
from ..structures import MAPS, BatchMaps
from .memory_layout import memory_format_of
from .scaled_image import ScaledImage


def predict_tiles(
    predict: Callable[[Tensor, tuple[int, int]], BatchMaps],
    images: Tensor,
    *,
    size: int,
    overlap: int,
    unit: int,
) -> BatchMaps:
    """The maps of images of any size, from those of tiles of them.

    Args:
        predict: (B, C, H', W') and (row, column) of the first pixel in the image, to maps.
        images: (B, C, H, W), H and W multiples of ``unit``.
        size, overlap, unit: see ``tiles_of``; ``unit`` is a multiple of the stride of the maps.

    Returns:
        Maps of B x (H / stride) x (W / stride) cells. Memory: those of the whole, and what one tile
        needs.
    """
    height, width = images.shape[-2:]
    tiles = tiles_of((height, width), size=size, overlap=overlap, unit=unit)
    if len(tiles) == 1:
        return predict(images, (0, 0))
    whole: dict[str, Tensor] = {}
    for tile in tiles:
        maps = predict(images[(..., *tile.pixels)], tile.origin)
        grid = height // maps.stride, width // maps.stride
        for name in MAPS:
            part = getattr(maps, name)
            if name not in whole:
                whole[name] = _larger(part, grid)
            whole[name][(..., *tile.in_whole(maps.stride))] = part[
                (..., *tile.in_part(maps.stride))
            ]
    return replace(maps, **whole)


def tile_of(image: ScaledImage, tile: Tile, normalize: Callable[[Tensor], Tensor]) -> Tensor:
    """(1, C, h, w), what a tile covers of an image, zero beyond it.

    Args:
        image: resized.
        tile: may reach beyond the image.
        normalize: (C, h, w) to the same.
    """
    ends = [min(part.stop, side) for part, side in zip(tile.pixels, image.size, strict=True)]
    rows, columns = (slice(part.start, end) for part, end in zip(tile.pixels, ends, strict=True))
    below, right = (part.stop - end for part, end in zip(tile.pixels, ends, strict=True))
    return F.pad(normalize(image.window(rows, columns)), (0, right, 0, below))[None]


def _larger(part: Tensor, grid: Sequence[int]) -> Tensor:
    """An uninitialised map of h x w cells that is otherwise like ``part``, its memory layout
    included."""
    return torch.empty(
        (*part.shape[:-2], *grid),
        dtype=part.dtype,
        device=part.device,
        memory_format=memory_format_of(part),
    )

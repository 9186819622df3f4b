"""Large images, seen by the network tile by tile.

Only the network works in tiles: their maps are put together before anything is grouped, so that no
object can be split or doubled where two tiles meet. What a tile says near a side where the image
goes on is not used.

Shapes: B images, C channels, H x W pixels, h x w grid cells, D embedding channels, T thresholds,
K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..structures import MAPS, BatchMaps
from .memory_layout import memory_format_of


class Span(NamedTuple):
    """One tile along one axis, in pixels: it covers [start, stop); of it [first, last) is used."""

    start: int
    stop: int
    first: int
    last: int


def tile_spans(length: int, size: int, overlap: int, unit: int) -> list[Span]:
    """Tiles along one axis.

    Args:
        length: pixels of the image, a multiple of ``unit``.
        size: pixels of a tile at most, and at least ``unit``.
        overlap: pixels that two neighbours share at least, fewer than ``size``.
        unit: tiles start and end at multiples of it.

    Returns:
        Spans of one length, as few and as short as can be, whose used parts cover [0, length)
        without overlap; two neighbours meet in the middle of what they share, a multiple of half a
        unit.
    """
    length, size, overlap = length // unit, max(size // unit, 1), -(-overlap // unit)
    overlap = min(overlap, size - 1)
    count = max(-(-(length - overlap) // (size - overlap)), 1)
    size = -(-(length + (count - 1) * overlap) // count)
    starts = [index * (length - size) // max(count - 1, 1) * unit for index in range(count)]
    size *= unit
    borders = [
        0,
        *((before + size + after) // 2 for before, after in pairwise(starts)),
        length * unit,
    ]
    return [
        Span(start, start + size, first, last)
        for start, (first, last) in zip(starts, pairwise(borders), strict=True)
    ]


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
        size, overlap, unit: see ``tile_spans``; ``unit`` is a multiple of the stride of the maps.

    Returns:
        Maps of B x (H / stride) x (W / stride) cells. Memory: those of the whole, and what one tile
        needs.
    """
    rows, columns = (tile_spans(length, size, overlap, unit) for length in images.shape[-2:])
    if len(rows) == len(columns) == 1:
        return predict(images, (0, 0))
    whole: dict[str, Tensor] = {}
    for row in rows:
        for column in columns:
            tile = predict(
                images[..., row.start : row.stop, column.start : column.stop],
                (row.start, column.start),
            )
            (top, bottom), (left, right) = (
                (s.first // tile.stride, s.last // tile.stride) for s in (row, column)
            )
            first_row, first_column = row.start // tile.stride, column.start // tile.stride
            for name in MAPS:
                part = getattr(tile, name)
                if name not in whole:
                    whole[name] = _larger(part, [side // tile.stride for side in images.shape[-2:]])
                whole[name][..., top:bottom, left:right] = part[
                    ...,
                    top - first_row : bottom - first_row,
                    left - first_column : right - first_column,
                ]
    return replace(tile, **whole)


def _larger(part: Tensor, grid: Sequence[int]) -> Tensor:
    """An uninitialised map of h x w cells that is otherwise like ``part``, its memory layout
    included."""
    return torch.empty(
        (*part.shape[:-2], *grid),
        dtype=part.dtype,
        device=part.device,
        memory_format=memory_format_of(part),
    )

"""What is found in the regions of an image that is too large to be held: cut, and put together.

Each region is segmented by itself, with so much round it that an object whose middle lies in it is
seen whole. Two neighbours see the objects between them twice; one of each pair is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from ..data.forms.results import FoundObject
from ..tiling import Tile

# Of what two neighbours share beyond the border between them so much decides by itself: the middles
# of what both see there lie on either side of the border by chance.
_UNDECIDED = 1 / 4
# Share of the smaller one of two objects of neighbours that both have, from which on they are one.
_SAME = 0.5


@dataclass(frozen=True, eq=False)
class MergedObjects:
    """The objects of a large image.

    Attributes:
        objects: by descending score.
        cut: number of them that reach a side of their region where the image goes on.
    """

    objects: list[FoundObject]
    cut: int


def moved(found: FoundObject, tile: Tile) -> FoundObject:
    """An object of a tile, at its place in the image."""
    window = tuple(
        slice(part.start + start, part.stop + start)
        for part, start in zip(found.window, tile.origin, strict=True)
    )
    return replace(found, window=window)


def merged(
    regions: Sequence[tuple[Tile, Sequence[FoundObject]]], size: tuple[int, int]
) -> MergedObjects:
    """The objects of an image from those of its regions.

    Args:
        regions: tiles that share their borders with their neighbours, and the objects of each, at
            their places in the image.
        size: (H, W) of the image.
    """
    objects, tiles = [], []
    for index, (_, of_tile) in enumerate(regions):
        objects += of_tile
        tiles += [index] * len(of_tile)
    spans = np.array([[part[:4] for part in tile] for tile, _ in regions]).reshape(-1, 2, 4)
    windows = np.array([[(p.start, p.stop) for p in o.window] for o in objects]).reshape(-1, 2, 2)
    owner = np.array(tiles, dtype=int)
    is_own, may_be_own = _owned(windows.mean(axis=2), spans[owner])
    is_kept = _without_twins(objects, windows, owner, is_own, may_be_own)
    order = sorted(np.flatnonzero(is_kept), key=lambda i: (-objects[i].score, *objects[i].corner))
    is_cut = _is_cut(windows, spans[owner], size)
    return MergedObjects(
        [replace(objects[i], label=label) for label, i in enumerate(order, start=1)],
        int(is_cut[order].sum()),
    )


def _owned(middles: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the middle of each object lies in the part of its tile that no neighbour has, and
    whether it lies there or hardly beyond; (n,) bool each.

    Args:
        middles: (n, 2), row and column.
        spans: (n, 2, 4), of the tile of each, see ``Span``.
    """
    first, last = spans[..., 2], spans[..., 3]
    beyond = _UNDECIDED * np.maximum(first - spans[..., 0], spans[..., 1] - last)
    is_own = ((middles >= first) & (middles < last)).all(axis=1)
    may_be = ((middles >= first - beyond) & (middles < last + beyond)).all(axis=1)
    return is_own, may_be


def _without_twins(
    objects: Sequence[FoundObject],
    windows: np.ndarray,
    owner: np.ndarray,
    is_own: np.ndarray,
    may_be_own: np.ndarray,
) -> np.ndarray:
    """Which objects are kept, (n,) bool: of two of different tiles that are one the one in whose
    tile it lies; of two such, or of none, the better one."""
    kept = may_be_own.copy()
    candidates = np.flatnonzero(may_be_own)
    (top, bottom), (left, right) = windows[candidates].transpose(1, 2, 0)
    boxes = shapely.box(left, top, right, bottom)
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    pairs = candidates[np.stack([one, other], axis=1)[one < other]]
    pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
    scores = np.array([found.score for found in objects])
    # The better one of each pair first; the best pairs first, so that it stays for certain.
    rank = np.empty(len(objects), dtype=int)
    rank[np.lexsort((-scores, ~is_own))] = np.arange(len(objects))
    pairs = np.take_along_axis(pairs, rank[pairs].argsort(axis=1), axis=1)
    for better, worse in pairs[np.lexsort(rank[pairs].T[::-1])]:
        if kept[better] and kept[worse] and _are_one(objects[better], objects[worse]):
            kept[worse] = False
    return kept


def _are_one(a: FoundObject, b: FoundObject) -> bool:
    """Whether two masks share the most of the smaller one."""
    shared = [
        (max(p.start, q.start), min(p.stop, q.stop))
        for p, q in zip(a.window, b.window, strict=True)
    ]
    if any(stop <= start for start, stop in shared):
        return False
    parts = [
        found.mask[
            tuple(
                slice(start - p.start, stop - p.start)
                for (start, stop), p in zip(shared, found.window, strict=True)
            )
        ]
        for found in (a, b)
    ]
    both = np.count_nonzero(parts[0] & parts[1])
    return both >= _SAME * min(np.count_nonzero(found.mask) for found in (a, b))


def _is_cut(windows: np.ndarray, spans: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether each object reaches a side of its tile that is none of the image, (n,) bool."""
    start, stop = spans[..., 0], spans[..., 1]
    begins = (windows[..., 0] <= start) & (start > 0)
    ends = (windows[..., 1] >= stop) & (stop < np.array(size))
    return (begins | ends).any(axis=1)

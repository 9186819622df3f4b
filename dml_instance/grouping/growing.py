"""Masks grown from seeds on the grids of the heads, best seed first, with mask NMS.

Time goes with the area of the objects, and not with the image times their number. NumPy in, NumPy
out: neither torch nor Detectron2 is imported.

Shapes: D embedding channels, h x w grid cells, N seeds, n masks, C cells of all masks together.
"""

from typing import NamedTuple

import numpy as np

from . import kernels


class Grids(NamedTuple):
    """The maps of one image that masks are grown in, one entry a pyramid scale.

    Attributes:
        embeddings: (h, w, D) float32, so that what a distance is made of lies side by side.
        distance_scales: (h, w) float32 > 0.
        is_bridge: (h, w) bool, cells over which a gap within a mask may be bridged.
    """

    embeddings: tuple[np.ndarray, ...]
    distance_scales: tuple[np.ndarray, ...]
    is_bridge: tuple[np.ndarray, ...]


class GrowingSeeds(NamedTuple):
    """What masks are grown from, best first.

    Attributes:
        position: (N, 2) int64, (row, column) in the grid of its scale.
        level: (N,) int64, index of the scale.
        threshold: (N,) float64, the largest squared distance from the seed within its mask.
        gap: (N,) int64, cells bridged within the mask; 0: cells touch, at corners too; negative:
            the mask is taken whole, wherever its cells lie.
    """

    position: np.ndarray
    level: np.ndarray
    threshold: np.ndarray
    gap: np.ndarray


class GrownMasks(NamedTuple):
    """Masks on the grids of their seeds, in the order in which they were grown.

    Attributes:
        seed: (n,) int64, index of the seed.
        position: (n, 2) int64, (row, column) of the seed in the grid of its scale.
        level: (n,) int64, index of the scale.
        threshold: (n,) float64, as in ``GrowingSeeds``.
        bounds: (n, 4) int64, first row and column, and the first beyond the last.
        start: (n + 1,) int64; mask i has the cells from start[i] to start[i + 1], at least one.
        cells: (C, 2) int32, (row, column).
        squared_distance: (C,) float32, from the seed.
    """

    seed: np.ndarray
    position: np.ndarray
    level: np.ndarray
    threshold: np.ndarray
    bounds: np.ndarray
    start: np.ndarray
    cells: np.ndarray
    squared_distance: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """(n,) int64, cells."""
        return np.diff(self.start)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums over the cells of each mask: (C, ...) to (n, ...) float64."""
        if len(self.seed) == 0:
            return np.zeros((0, *values.shape[1:]))
        return np.add.reduceat(values, self.start[:-1], axis=0, dtype=np.float64)


def grow_masks(grids: Grids, seeds: GrowingSeeds, max_overlap: float) -> GrownMasks:
    """m(p, tau) = { q : sigma(p, q) >= tau } of each seed in turn, without duplicates of earlier
    ones.

    Cells of a mask belong together where no more than ``gap`` others lie between them, all of them
    cells that may be bridged, so that a bar crossed by another one stays one object, while a
    look-alike further off, or with background in between, does not join it.

    Args:
        grids: to grow in.
        seeds: N of them, best first.
        max_overlap: mask NMS: a mask with a larger share owned by earlier ones is dropped; under 1,
            so is a mask whose very seed is owned. A mask owns its cells on the grids of all scales.

    Returns:
        The masks that stay; none of a seed that is not finite. Memory: 12 bytes a cell of them, at
        most twice that while they are grown, and 9 bytes a cell of the grids.
    """
    owned, stamps, beyond = (
        tuple(np.zeros(scale.shape, dtype=dtype) for scale in grids.distance_scales)
        for dtype in (bool, np.int32, np.int32)
    )
    kept, *masks = kernels.grow(grids, owned, stamps, beyond, *seeds, float(max_overlap))
    of_masks = (seeds.position[kept], seeds.level[kept], seeds.threshold[kept])
    return GrownMasks(kept, *of_masks, *masks)

"""Masks grown from seeds on the grids of the heads, best seed first.

Time goes with the area of the objects, and not with the image times their number.

Shapes: D embedding channels, h x w grid cells, N seeds, n masks, C cells of all masks together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..similarity import distance_threshold
from ..structures import Seeds
from . import kernels


class Grids(NamedTuple):
    """The predictions for one image that masks are grown in, on the CPU, one entry a pyramid scale.

    Attributes:
        embeddings: (h, w, D) float32, so that what a distance is made of lies side by side.
        distance_scales: (h, w) float32 > 0.
        is_bridge: (h, w) bool, cells over which a gap within a mask may be bridged.
    """

    embeddings: tuple[np.ndarray, ...]
    distance_scales: tuple[np.ndarray, ...]
    is_bridge: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls,
        embeddings: Sequence[Tensor],
        distance_scales: Sequence[Tensor],
        is_bridge: Sequence[Tensor],
    ) -> "Grids":
        """From (D, h, w), (h, w) and (h, w) bool, of any device and floating dtype."""
        return cls(
            tuple(_on_cpu(embedding.permute(1, 2, 0).float()) for embedding in embeddings),
            tuple(_on_cpu(scale.float()) for scale in distance_scales),
            tuple(map(_on_cpu, is_bridge)),
        )


def _on_cpu(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy())


class ClaimedMasks(NamedTuple):
    """Masks on the grids of their seeds, in the order in which they were claimed.

    Attributes:
        seed: (n,) int64, index of the seed.
        position: (n, 2) int64, (row, column) of the seed in the grid of its scale.
        level: (n,) int64, index of the scale.
        threshold: (n,) float64, the squared distance at which sigma is the tau of the seed.
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


def claim_masks(
    grids: Grids, seeds: Seeds, taus: Sequence[float], gaps: Tensor, max_overlap: float
) -> ClaimedMasks:
    """m(p, tau) = { q : sigma(p, q) >= tau } of each seed, by descending score, without duplicates
    of better ones.

    Cells of a mask belong together where no more than ``gap`` others lie between them, all of them
    cells that may be bridged, so that a bar crossed by another one stays one object, while a
    look-alike further off, or with background in between, does not join it.

    Args:
        grids: to grow in.
        seeds: N of them.
        taus: the thresholds that ``seeds.tau_index`` counts.
        gaps: (N,) int64, for every seed the cells bridged within its mask; 0: cells touch, at
            corners too; negative: the mask is taken whole, wherever its cells lie.
        max_overlap: a mask with a larger share owned by better ones is dropped; under 1, so is a
            mask whose very seed is owned. A mask owns its cells on the grids of all scales.

    Returns:
        The masks that stay; none of a seed that is not finite. Memory: 12 bytes a cell of them, at
        most twice that while they are grown, and 5 bytes a cell of the grids.
    """
    order = seeds.score.argsort(descending=True, stable=True).cpu().numpy()
    of_seeds = (seeds.position, seeds.level, seeds.tau_index, gaps)
    positions, levels, tau_index, gaps = (values.cpu().numpy()[order] for values in of_seeds)
    thresholds = np.array([distance_threshold(tau) for tau in taus])[tau_index]
    owned, stamps = (
        tuple(np.zeros(scale.shape, dtype=dtype) for scale in grids.distance_scales)
        for dtype in (bool, np.int32)
    )
    kept, *masks = kernels.claim(
        grids, owned, stamps, positions, levels, thresholds, gaps, float(max_overlap)
    )
    return ClaimedMasks(order[kept], positions[kept], levels[kept], thresholds[kept], *masks)

"""Masks grown from seeds on the grids of the heads, best seed first, with mask NMS.

Time goes with the area of the objects, and not with the image times their number. NumPy in, NumPy
out: neither torch nor Detectron2 is imported.

Shapes: D embedding channels, h x w grid cells, N seeds, n masks, C cells of all masks together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import kernels


class Grids(NamedTuple):
    """The maps of one image that masks are grown in, one entry a pyramid scale.

    Attributes:
        embeddings: (h, w, D) float32, so that what a distance is made of lies side by side.
        distance_scales: (h, w) float32 > 0.
        is_bridge: (h, w) bool, cells over which a gap within a mask may be bridged.
        object_probability: (T, h, w) float32 in [0, 1], for each threshold that of an object of any
            class, see ``GridMaps.probability``.
    """

    embeddings: tuple[np.ndarray, ...]
    distance_scales: tuple[np.ndarray, ...]
    is_bridge: tuple[np.ndarray, ...]
    object_probability: tuple[np.ndarray, ...]


class GrowingSeeds(NamedTuple):
    """What masks are grown from, best first.

    Attributes:
        position: (N, 2) int64, (row, column) in the grid of its scale.
        origin: (N, 2) int64, the cell that the mask spreads from: the seed itself, or where mean
            shift has moved it.
        level: (N,) int64, index of the scale.
        tau_index: (N,) int64, which of the T thresholds.
        threshold: (N,) float64, the largest squared distance from the centre within its mask.
        gap: (N,) int64, cells bridged within the mask; 0: cells touch, at corners too; negative:
            the mask is taken whole, wherever its cells lie.
        centre: (N, D) float32, the embedding that distances are measured from.
        distance_scale: (N,) float32, the factor of their squares.
    """

    position: np.ndarray
    origin: np.ndarray
    level: np.ndarray
    tau_index: np.ndarray
    threshold: np.ndarray
    gap: np.ndarray
    centre: np.ndarray
    distance_scale: np.ndarray

    def take(self, indices: np.ndarray) -> "GrowingSeeds":
        """Those of some indices."""
        return GrowingSeeds(*(values[indices] for values in self))


def seeds_at(
    grids: Grids,
    position: np.ndarray,
    *,
    level: np.ndarray,
    tau_index: np.ndarray,
    threshold: np.ndarray,
    gap: np.ndarray,
) -> GrowingSeeds:
    """Seeds that masks spread from and that distances are measured from; the arguments are as in
    ``GrowingSeeds``."""
    centre = np.empty((len(position), grids.embeddings[0].shape[2]), np.float32)
    distance_scale = np.empty(len(position), np.float32)
    for index, maps in enumerate(zip(grids.embeddings, grids.distance_scales, strict=True)):
        here = level == index
        rows, columns = position[here].T
        centre[here], distance_scale[here] = (values[rows, columns] for values in maps)
    return GrowingSeeds(
        position, position, level, tau_index, threshold, gap, centre, distance_scale
    )


class GrownMasks(NamedTuple):
    """Masks on the grids of their seeds, in the order in which they were grown.

    Attributes:
        seed: (n,) int64, index of the seed.
        position: (n, 2) int64, (row, column) of the seed in the grid of its scale.
        level, tau_index, threshold, centre, distance_scale: (n, ...), as in ``GrowingSeeds``.
        bounds: (n, 4) int64, first row and column, and the first beyond the last.
        start: (n + 1,) int64; mask i has the cells from start[i] to start[i + 1], at least one.
        cells: (C, 2) int32, (row, column).
        squared_distance: (C,) float32, from the centre.
    """

    seed: np.ndarray
    position: np.ndarray
    level: np.ndarray
    tau_index: np.ndarray
    threshold: np.ndarray
    centre: np.ndarray
    distance_scale: np.ndarray
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


def grow_masks(
    grids: Grids,
    seeds: GrowingSeeds,
    max_overlap: float,
    *,
    most_holders: int | None = None,
    across_scales: bool = True,
) -> GrownMasks:
    """m(p, tau) = { q : sigma(p, q) >= tau } of each seed in turn, without duplicates of earlier
    ones.

    Cells of a mask belong together where no more than ``gap`` others lie between them, all of them
    cells that may be bridged, so that a bar crossed by another one stays one object, while a
    look-alike further off, or with background in between, does not join it.

    Args:
        grids: to grow in.
        seeds: N of them, best first.
        max_overlap: mask NMS: a mask with a larger share held by earlier ones is dropped.
        most_holders: a seed that so many earlier masks hold is left out, in [1, 100]; 0: none is;
            None: 1 where ``max_overlap`` is under 1, otherwise 0.
        across_scales: a mask holds its cells on the grids of all scales, or of its own alone.

    Returns:
        The masks that stay; none of a seed that is not finite. Memory: 12 bytes a cell of them, at
        most twice that while they are grown, and 9 bytes a cell of the grids.
    """
    holders, stamps, beyond = (
        tuple(np.zeros(scale.shape, dtype=dtype) for scale in grids.distance_scales)
        for dtype in (np.int8, np.int32, np.int32)
    )
    if most_holders is None:
        most_holders = int(max_overlap < 1)
    limits = float(max_overlap), most_holders, across_scales
    kept, *masks = kernels.grow(grids, holders, stamps, beyond, seeds, *limits)
    of = seeds.take(kept)
    return GrownMasks(
        *(kept, of.position, of.level, of.tau_index, of.threshold, of.centre, of.distance_scale),
        *masks,
    )


def shifted_seeds(
    grids: Grids, seeds: GrowingSeeds, masks: GrownMasks, thresholds: np.ndarray
) -> GrowingSeeds:
    """The seeds of masks, with a centre and a threshold that all cells of the mask have a say in.

    Mean shift (Comaniciu and Meer 2002): the centre is the mean of the cells' embeddings, each with
    its similarity as weight, and the mask spreads from the cell that is nearest to it; of the
    thresholds that counts for which the cells, weighed alike, have the highest probability of an
    object.

    Args:
        grids, seeds: that the masks were grown from.
        masks: n of them.
        thresholds: (T,) squared distances.

    Returns:
        n seeds, in the order of the masks.
    """
    centre, tau_index, origin = kernels.shift(grids, masks)
    return seeds.take(masks.seed)._replace(
        **{"origin": origin, "centre": centre},
        **{"tau_index": tau_index, "threshold": thresholds[tau_index]},
    )


@dataclass(frozen=True, eq=False)
class GrowthRules:
    """How often masks are grown, and which of those in one place stays.

    Attributes:
        thresholds: (T,) squared distances.
        mean_shifts: so often each mask is grown anew, >= 0.
        seeds_per_mask: until the last growth a seed is left out only where so many earlier masks
            hold it, in [1, 100].
        max_overlap: mask NMS of the last growth, as of ``grow_masks``; 1: no seed is left out in
            any.
        worth: given grown masks, (n,) float64, the largest of the best one. In this order masks are
            grown the last time, where they are grown anew.
        fits: given grown masks, (n,) bool, which are of a size that their scale is for. Masks are
            chosen in each scale alone then, and after that among those of all scales, where those
            that do not fit come last; None: all fit.
    """

    thresholds: np.ndarray
    mean_shifts: int
    seeds_per_mask: int
    max_overlap: float
    worth: Callable[[GrownMasks], np.ndarray]
    fits: Callable[[GrownMasks], np.ndarray] | None = None


class Growth(NamedTuple):
    """One growth of the masks of an image.

    Attributes:
        grids: that they grew in.
        index: (N,) int64, which of the first seeds each of ``seeds`` was.
        seeds: N, best first.
        masks: that grew from them; ``masks.seed`` counts in ``seeds``.
        across_scales: as of ``grow_masks``.
        is_chosen_from: whether mask NMS was among them, or seeds alone were left out.
    """

    grids: Grids
    index: np.ndarray
    seeds: GrowingSeeds
    masks: GrownMasks
    across_scales: bool
    is_chosen_from: bool


def grow_shifted_masks(
    grids: Grids,
    seeds: GrowingSeeds,
    rules: GrowthRules,
    look: Callable[[Growth], None] | None = None,
) -> GrownMasks:
    """``grow_masks``, and then so many times again from ``shifted_seeds``.

    One cell's embedding is off by what the network gets wrong there; the mean of a mask is not. Nor
    is the best seed always that of the best mask. So several seeds of a place grow and shift, and
    in the last growth, by what their masks were worth before it, one of them stays.

    Args:
        grids, seeds: as of ``grow_masks``.
        rules: how often, and what stays.
        look: is shown every growth in its turn.

    Returns:
        The masks of the last growth. Memory: that of ``grow_masks``, until the last growth for
        ``rules.seeds_per_mask`` masks a place.
    """
    index, across_scales = np.arange(len(seeds.position)), rules.fits is None
    most_holders = rules.seeds_per_mask if rules.max_overlap < 1 else 0

    def grown(max_overlap: float, most_holders: int | None, across_scales: bool) -> GrownMasks:
        masks = grow_masks(
            *(grids, seeds, max_overlap), most_holders=most_holders, across_scales=across_scales
        )
        if look is not None:
            look(Growth(grids, index, seeds, masks, across_scales, most_holders is None))
        return masks

    for left in reversed(range(rules.mean_shifts)):
        masks = grown(1.0, most_holders, across_scales)
        index, seeds = index[masks.seed], shifted_seeds(grids, seeds, masks, rules.thresholds)
        if left == 0:
            best = np.argsort(-rules.worth(masks._replace(seed=index)), kind="stable")
            index, seeds = index[best], seeds.take(best)
        del masks  # before the next ones take their memory
    if rules.fits is not None:
        # A part of an object is dropped for the whole of it, even where that does not fit.
        masks = grown(rules.max_overlap, None, False)
        fitting_first = masks.seed[np.argsort(~rules.fits(masks), kind="stable")]
        index, seeds = index[fitting_first], seeds.take(fitting_first)
        del masks
    masks = grown(rules.max_overlap, None, True)
    return masks._replace(seed=index[masks.seed])

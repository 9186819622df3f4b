"""Which seed owns which cell, and which masks were dropped for that. NumPy in, NumPy out.

Shapes: N seeds, n masks, h x w grid cells.
"""

import numpy as np

from .growing import (
    Grids,
    GrowingSeeds,
    GrownMasks,
    Growth,
    GrowthRules,
    grow_masks,
    grow_shifted_masks,
)


def first_owners(
    grids: Grids, masks: GrownMasks, across_scales: bool = True
) -> tuple[np.ndarray, ...]:
    """(h, w) int64 for every scale: the first seed whose mask owns a cell; the largest number where
    none does.

    A mask owns its cells on the grids of all scales, or of its own alone, as ``grow_masks`` has it.
    """
    nobody = np.iinfo(np.int64).max
    owners = tuple(np.full(scale.shape, nobody) for scale in grids.distance_scales)
    for index, seed in enumerate(masks.seed.tolist()):
        level = masks.level[index]
        rows, columns = masks.cells[masks.start[index] : masks.start[index + 1]].T
        owners[level][rows, columns] = np.minimum(owners[level][rows, columns], seed)
        if not across_scales or len(owners) == 1:
            continue
        mine = np.zeros(owners[level].shape, dtype=bool)
        mine[rows, columns] = True
        for other, owner in enumerate(owners):
            if other != level:
                down, across = (
                    np.arange(side) * here // side
                    for side, here in zip(owner.shape, mine.shape, strict=True)
                )
                seen = mine[np.ix_(down, across)]
                owner[seen] = np.minimum(owner[seen], seed)
    return owners


def masks_taken(
    grids: Grids, seeds: GrowingSeeds, rules: GrowthRules
) -> dict[int, tuple[int | None, float | None]]:
    """What was in the way of seeds that were dropped, in whichever growth they were.

    Args:
        grids, seeds, rules: as of ``grow_shifted_masks``.

    Returns:
        For each of them, by index: the seed whose mask was in the way, None where no mask grew at
        all, and the share of the mask that better ones own; 1 where one owns the seed, and None
        where so many held it that it did not grow anew.
    """
    taken: dict[int, tuple[int | None, float | None]] = {}

    def look(growth: Growth) -> None:
        index = growth.index
        at_once = _taken_at_once(grids, growth)
        for seed, (owner, share) in at_once.items():
            if not growth.is_chosen_from and owner is not None:
                share = None
            taken[int(index[seed])] = None if owner is None else int(index[owner]), share

    grow_shifted_masks(grids, seeds, rules, look)
    return taken


def _taken_at_once(grids: Grids, growth: Growth) -> dict[int, tuple[int | None, float]]:
    """``masks_taken`` of one growth; seeds count in it."""
    seeds, masks = growth.seeds, growth.masks
    owners = first_owners(grids, masks, growth.across_scales)
    dropped = np.setdiff1d(np.arange(len(seeds.position)), masks.seed)
    taken: dict[int, tuple[int | None, float]] = {}
    for seed in dropped.tolist():
        row, column = seeds.position[seed]
        owner = int(owners[seeds.level[seed]][row, column])
        if owner < seed:
            taken[seed] = owner, 1.0
    others = np.setdiff1d(dropped, list(taken))
    alone = grow_masks(grids, seeds.take(others), max_overlap=1.0)
    for index, place in enumerate(alone.seed.tolist()):
        seed = int(others[place])
        rows, columns = alone.cells[alone.start[index] : alone.start[index + 1]].T
        of_cells = owners[alone.level[index]][rows, columns]
        of_cells = of_cells[of_cells < seed]
        most = np.bincount(of_cells).argmax() if len(of_cells) else None
        taken[seed] = None if most is None else int(most), len(of_cells) / len(rows)
    return {seed: taken.get(seed, (None, 0.0)) for seed in dropped.tolist()}

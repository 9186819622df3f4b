"""Which seed owns which cell, and which masks were dropped for that. NumPy in, NumPy out.

Shapes: N seeds, n masks, h x w grid cells.
"""

import numpy as np

from .growing import Grids, GrownMasks, Growth, grow_masks


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


def masks_taken(growth: Growth) -> dict[int, tuple[int | None, float | None]]:
    """What was in the way of the seeds that a growth dropped.

    Returns:
        For each of them the seed whose mask was in the way, None where no mask grew at all, and the
        share of the mask that better ones own; 1 where one owns the seed, and None where so many
        held it that it did not grow anew. Seeds are told by ``growth.index``.
    """
    index = growth.index
    taken: dict[int, tuple[int | None, float | None]] = {}
    for seed, (owner, share) in _taken_at_once(growth).items():
        if owner is None:
            taken[int(index[seed])] = None, share
        else:
            known = share if growth.is_chosen_from else None
            taken[int(index[seed])] = int(index[owner]), known
    return taken


def _taken_at_once(growth: Growth) -> dict[int, tuple[int | None, float]]:
    """``masks_taken``, but that seeds count in the growth and every share is told."""
    grids, seeds, masks = growth.grids, growth.seeds, growth.masks
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

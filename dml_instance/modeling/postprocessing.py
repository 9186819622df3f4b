"""From seeds to scored ``Instances`` at the requested size.

Masks are claimed best seed first. Growing, joining pieces and dropping duplicates happen on the grid of the head; only
masks that stay are brought to the output size, all together.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, N instances, H x W output pixels.
"""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..masks import bounding_boxes
from ..similarity import distance_threshold, similarity
from ..structures import Seeds
from .growing import Grid, GrownMask, grow_masks
from .rendering import sparse_masks, to_pixels

# Sides, in cells, of squares of which the best seed is grown together with those of all other squares, one round after
# the other. Most masks take the seeds round their own, which would be grown in vain in one round for all; in a round
# for each it would take long to say what to do.
_ROUNDS = (16, 8, 1)

# Masks of more bytes than this stay on the CPU, where only what is set takes memory: those of a large image.
_LARGEST_ON_DEVICE = 2**32

# What fits a window of so many cells to each side is grown with its lot. A larger mask waits for its turn: it costs
# much and, as a rule, takes the seeds that come after it.
_SMALL_REACH = 32


class _Ownership:
    """Which cells already belong to an instance, on the grid of every pyramid scale."""

    def __init__(self, shapes: Sequence[tuple[int, int]]):
        self.owned = [np.zeros(shape, dtype=bool) for shape in shapes]

    def overlap(self, level: int, mask: GrownMask) -> float:
        """Share of the mask that is owned, in [0, 1]."""
        return np.count_nonzero(self.owned[level][mask.window] & mask.part) / max(mask.area, 1)

    def claim(self, level: int, mask: GrownMask) -> None:
        """Give the mask's cells away, on all scales."""
        self.owned[level][mask.window] |= mask.part
        if len(self.owned) == 1:
            return
        whole = np.zeros(self.owned[level].shape, dtype=np.uint8)
        whole[mask.window] = mask.part
        for other, owned in enumerate(self.owned):
            if other != level:
                owned |= cv2.resize(whole, owned.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)


def claim_masks(
    grids: Sequence[Grid], seeds: Seeds, taus: Sequence[float], gaps: Sequence[int], max_overlap: float
) -> list[tuple[int, GrownMask]]:
    """Grow the seeds by descending score, and keep the masks that are not better ones' duplicates.

    Args:
        grids: one a pyramid scale.
        seeds: N of them; taus, gaps, max_overlap: see ``assemble_instances``.

    Returns:
        Index of the seed and mask of each that stays, in the order in which they were claimed.
    """
    ownership = _Ownership([grid.shape for grid in grids])
    positions, levels, tau_index = (column.cpu().numpy() for column in (seeds.position, seeds.level, seeds.tau_index))
    thresholds = np.array([distance_threshold(tau) for tau in taus])[tau_index]
    order = seeds.score.argsort(descending=True, stable=True).cpu().numpy()
    takes_seeds = max_overlap < 1
    grown: dict[int, GrownMask] = {}
    for level, grid in enumerate(grids):
        here = order[levels[order] == level]
        grown |= _grow_together(grid, here, positions, thresholds, gaps[level], takes_seeds)
    kept = []
    for index in order.tolist():
        level = levels[index]
        if takes_seeds and ownership.owned[level][tuple(positions[index])]:
            continue
        if index in grown:
            mask = grown[index]
        else:
            (mask,) = grow_masks(grids[level], positions[[index]], thresholds[[index]], gaps[level])
        if ownership.overlap(level, mask) <= max_overlap:
            ownership.claim(level, mask)
            kept.append((index, mask))
    return kept


def _grow_together(
    grid: Grid, order: np.ndarray, positions: np.ndarray, thresholds: np.ndarray, gap: int, takes_seeds: bool
) -> dict[int, GrownMask]:
    """Most of the masks that will be asked for, grown many at once, whatever the order in which they are claimed.

    Args:
        grid: of one scale.
        order: indices of the seeds on it, best first.
        positions, thresholds: of all seeds.
        gap: see ``grow_masks``.
        takes_seeds: whether a mask ends the hopes of the seeds in it.

    Returns:
        Masks by the index of their seed: not those of seeds in a mask grown before, which will not be asked for as a
        rule, and not those larger than a window of ``_SMALL_REACH``. Memory a mask: at most 21 KiB.
    """
    grown: dict[int, GrownMask] = {}
    is_foreseen = np.zeros(grid.shape, dtype=bool)
    for side in _ROUNDS if takes_seeds else (1,):
        order = order[~is_foreseen[tuple(positions[order].T)]]
        rows, columns = (positions[order] // side).T
        _, best = np.unique(rows * grid.shape[1] + columns, return_index=True)
        masks = grow_masks(grid, positions[order[best]], thresholds[order[best]], gap, _SMALL_REACH)
        for index, mask in zip(order[best].tolist(), masks, strict=True):
            is_foreseen[tuple(positions[index])] = True
            if mask is not None:
                grown[index] = mask
                is_foreseen[mask.window] |= mask.part
    return grown


def vote_class(probability: np.ndarray, mask: GrownMask) -> tuple[int, float]:
    """The class that the cells of a mask agree on.

    Args:
        probability: (K, h, w), of each class for the mask grown from a cell; they and background's add up to 1, so
            that cells whose own mask is poor count little.
        mask: the mask.

    Returns:
        The class with the largest share of the votes, and that share.
    """
    votes = probability[(slice(None), *mask.window)][:, mask.part].sum(axis=1)
    return int(votes.argmax()), float(votes.max() / max(votes.sum(), np.finfo(np.float32).tiny))


def assemble_instances(
    embeddings: Sequence[Tensor],
    distance_scales: Sequence[Tensor],
    probabilities: Sequence[Tensor],
    cell_sizes: Sequence[tuple[float, float]],
    seeds: Seeds,
    *,
    taus: Sequence[float],
    output_size: tuple[int, int],
    gaps: Sequence[int],
    max_overlap: float,
    interpolate: bool,
    score_similarity: bool,
    vote: bool,
    max_instances: int,
) -> Instances:
    """Grow the seeds of one image, drop near-duplicates, and bring what stays to the output size.

    Args:
        embeddings: (D, h, w) for every pyramid scale, any device.
        distance_scales: (h, w) for every scale.
        probabilities: (T, K, h, w) for every scale, of the classes, for the vote on the class.
        cell_sizes: for every scale the output pixels a cell, (vertical, horizontal).
        seeds: N of them.
        taus: the thresholds that ``seeds.tau_index`` counts.
        output_size: (H, W).
        gaps: for every scale the cells bridged within a mask; negative: masks are taken whole.
        max_overlap: a mask with a larger share owned by better ones is dropped; under 1, so is a mask whose very
            seed is owned.
        interpolate: see ``MODEL.DML.GROUPING.MASK_RESOLUTION``.
        score_similarity: multiply the score by the mean similarity inside the mask.
        vote: the class by ``vote_class``, and as score the seed's probability of an object times the share of the
            votes; otherwise class and score of the seed (paper).
        max_instances: the best this many are returned.

    Returns:
        Instances with ``pred_masks`` (N, H, W) bool, ``scores`` (N,) float32 in descending order, ``pred_classes``
        (N,) int64 and ``pred_boxes``, on the device of the embeddings, or on the CPU if the masks have more than 4 GiB.
        Memory beside the windows: the pages of N x H x W bytes that masks lie in.
    """
    grids = [Grid(*maps) for maps in zip(embeddings, distance_scales, strict=True)]
    kept = claim_masks(grids, seeds, taus, gaps, max_overlap)
    chosen = [index for index, _ in kept]
    columns = (seeds.level, seeds.tau_index, seeds.position, seeds.score, seeds.pred_class)
    levels, tau_index, positions, scores, classes = (column[chosen].cpu().numpy() for column in columns)
    scores = scores.astype(np.float64)
    if vote:
        probabilities = [probability.cpu().numpy() for probability in probabilities]
        for level, probability in enumerate(probabilities):
            here = levels == level
            of_object = probability.sum(axis=1)[(tau_index[here], *positions[here].T)]
            scores[here] = of_object.clip(max=1)
        if probabilities[0].shape[1] > 1:  # with one class there is nothing to vote on
            for place, (_, mask) in enumerate(kept):
                classes[place], share = vote_class(probabilities[levels[place]][tau_index[place]], mask)
                scores[place] *= share

    # Windows of one shape are one array.
    groups = defaultdict(list)
    for place, (_, mask) in enumerate(kept):
        groups[levels[place], mask.part.shape].append(place)
    boxes = np.zeros((len(kept), 4), dtype=np.int64)
    pixels_of = {}
    for (level, _), places in groups.items():
        masks = [kept[place][1] for place in places]
        part, distance = (np.stack([getattr(m, name) for m in masks]) for name in ("part", "squared_distance"))
        first, pixels = to_pixels(
            np.array([mask.start for mask in masks]),
            part,
            distance,
            np.array([mask.threshold for mask in masks]),
            cell_size=cell_sizes[level],
            output_size=output_size,
            interpolate=interpolate,
        )
        if score_similarity:
            inside = np.where(part, similarity(torch.from_numpy(distance)).numpy(), 0.0)
            scores[places] *= inside.sum(axis=(1, 2), dtype=np.float64) / np.clip([m.area for m in masks], 1, None)
        boxes[places] = bounding_boxes(pixels) + np.tile(first[:, ::-1], 2)
        pixels_of |= zip(places, zip(first, pixels, strict=True), strict=True)

    order = [place for place in np.argsort(-scores, kind="stable") if boxes[place, 2] > boxes[place, 0]]
    order = order[:max_instances]
    result = Instances(output_size)
    masks = sparse_masks(len(order), *output_size)
    for mask, place in zip(masks, order, strict=True):
        first, pixels = pixels_of[place]
        # What lies beyond the image is empty.
        seen = mask[first[0] : first[0] + pixels.shape[0], first[1] : first[1] + pixels.shape[1]]
        seen[:] = pixels[: seen.shape[0], : seen.shape[1]]
    result.pred_boxes = Boxes(torch.from_numpy(boxes[order].astype(np.float32)))
    result.scores = torch.from_numpy(scores[order].astype(np.float32))
    result.pred_classes = torch.from_numpy(classes[order])
    result.pred_masks = torch.from_numpy(masks)
    return result if masks.nbytes > _LARGEST_ON_DEVICE else result.to(embeddings[0].device)

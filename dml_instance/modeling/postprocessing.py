"""From seeds to scored ``Instances`` at the requested size.

Masks are claimed best seed first. Growing, joining pieces and dropping duplicates happen on the
grid of the head; only masks that stay are brought to the output size.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, N instances, n masks, H x W
    output pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..similarity import similarity
from ..structures import Seeds
from .growing import ClaimedMasks, Grids, claim_masks
from .rendering import draw_masks

# Masks of more bytes than this stay on the CPU, where only what is set takes memory: those of a
# large image.
_LARGEST_ON_DEVICE = 2**32


def vote_classes(
    probabilities: Sequence[np.ndarray], tau_index: np.ndarray, masks: ClaimedMasks
) -> tuple[np.ndarray, np.ndarray]:
    """The class that the cells of each mask agree on.

    Args:
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell;
            they and background's add up to 1, so that cells whose own mask is poor count little.
        tau_index: (n,) int64, which threshold each mask was grown with.
        masks: n of them.

    Returns:
        For each the class with the largest share of the votes, (n,) int64, and that share, (n,)
        float64.
    """
    level, tau = np.repeat([masks.level, tau_index], masks.area, axis=1)
    votes = np.empty((len(masks.cells), probabilities[0].shape[1]), dtype=np.float32)
    for index, probability in enumerate(probabilities):
        here = level == index
        votes[here] = probability[tau[here], :, masks.cells[here, 0], masks.cells[here, 1]]
    total = masks.total(votes)
    return total.argmax(axis=1), total.max(axis=1) / total.sum(axis=1).clip(
        min=np.finfo(np.float32).tiny
    )


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
    in_pieces: Tensor | None,
    bridge_probability: float,
    max_overlap: float,
    interpolate: bool,
    score_similarity: bool,
    small_mask_cells: float,
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
        in_pieces: (K,) bool, the classes in whose objects gaps are bridged, by the class of the
            seed; None: all.
        bridge_probability: of an object, from which a cell may be bridged; 0: any cell.
        max_overlap: a mask with a larger share owned by better ones is dropped; under 1, so is a
            mask whose very seed is owned.
        interpolate: see ``MODEL.DML.GROUPING.MASK_RESOLUTION``.
        score_similarity: multiply the score by the mean similarity inside the mask.
        small_mask_cells: multiply the score by A / (A + this) for a mask of A cells.
        vote: the class by ``vote_classes``, and as score the seed's probability of an object times
            the share of the votes; otherwise class and score of the seed (paper).
        max_instances: the best this many are returned.

    Returns:
        Instances with ``pred_masks`` (N, H, W) bool, ``scores`` (N,) float32 in descending order,
        ``pred_classes`` (N,) int64 and ``pred_boxes``, on the device of the embeddings, or on the
        CPU if the masks have more than 4 GiB.
        Memory beside the windows: the pages of N x H x W bytes that masks lie in.
    """
    is_bridge = [
        # Asked where there is a gap to bridge: with many classes it takes its time.
        p.sum(dim=1).amax(dim=0) >= bridge_probability
        if gap > 0
        else torch.zeros(p.shape[-2:], dtype=torch.bool)
        for p, gap in zip(probabilities, gaps, strict=True)
    ]
    grids = Grids.of(embeddings, distance_scales, is_bridge)
    gap = torch.tensor(gaps, device=seeds.level.device)[seeds.level]
    if in_pieces is not None:
        gap = torch.where(in_pieces[seeds.pred_class], gap, gap.clamp(max=0))
    masks = claim_masks(grids, seeds, taus, gap, max_overlap)
    tau_index, scores, classes = (
        c.cpu().numpy()[masks.seed] for c in (seeds.tau_index, seeds.score, seeds.pred_class)
    )
    scores = scores.astype(np.float64)
    if vote:
        probabilities = [probability.cpu().numpy() for probability in probabilities]
        for level, probability in enumerate(probabilities):
            here = masks.level == level
            rows, columns = masks.position[here].T
            scores[here] = probability[tau_index[here], :, rows, columns].sum(axis=1).clip(max=1)
        if probabilities[0].shape[1] > 1:  # with one class there is nothing to vote on
            classes, share = vote_classes(probabilities, tau_index, masks)
            scores *= share
    if score_similarity:
        scores *= (
            masks.total(similarity(torch.from_numpy(masks.squared_distance)).numpy()) / masks.area
        )
    scores *= masks.area / (masks.area + small_mask_cells)
    drawn, pixels, boxes = draw_masks(
        masks,
        np.argsort(-scores, kind="stable"),
        grids,
        cell_sizes=cell_sizes,
        output_size=output_size,
        interpolate=interpolate,
        limit=max_instances,
    )
    result = Instances(output_size)
    result.pred_boxes = Boxes(torch.from_numpy(boxes.astype(np.float32)))
    result.scores = torch.from_numpy(scores[drawn].astype(np.float32))
    result.pred_classes = torch.from_numpy(classes[drawn])
    result.pred_masks = torch.from_numpy(pixels)
    return result if pixels.nbytes > _LARGEST_ON_DEVICE else result.to(embeddings[0].device)

"""From seeds to scored ``Instances`` at the requested size.

Masks are grown one by one, best seed first, each inside a window that follows its size, so that time and memory go
with the area of the objects and not with the image times their number. Growing, joining pieces and dropping
duplicates happen on the grid of the head; only masks that stay are brought to the output size.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, N instances, H x W output pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..masks import bounding_window, connected_part, touches_inner_border
from ..similarity import distance_threshold, similarity, squared_distance_map
from ..structures import Seeds

Window = tuple[slice, slice]

# Half the side, in cells, of the first window; it doubles until the mask fits.
_FIRST_REACH = 16

# Before interpolation distances are clipped at so many thresholds. Another object can be any distance away; unclipped,
# the cut between two cells would move the nearer to this one the more distinct the other is, and masks would shrink.
_CLIP = 3.0


@dataclass(frozen=True)
class GrownMask:
    """A mask on the grid of one scale: the cells of ``part`` inside ``window``, and the distances there.

    Attributes:
        window: (rows, columns) of the grid.
        part: bool, as large as the window.
        squared_distance: float32 to the seed, as large as the window.
    """

    window: Window
    part: np.ndarray
    squared_distance: Tensor


def grow_mask(embedding: Tensor, distance_scale: float, seed: tuple[int, int], tau: float, gap: int) -> GrownMask:
    """m(p, tau) = { q : sigma(p, q) >= tau }, or the part of it that is connected to the seed.

    Args:
        embedding: (D, h, w) on the CPU.
        distance_scale: of the seed.
        seed: (row, column).
        tau: similarity threshold.
        gap: cells bridged, see ``connected_part``; negative: the whole mask, wherever it lies.

    Returns:
        The mask; its part is never empty for a finite seed, which always belongs to it.
    """
    shape = embedding.shape[-2:]
    vector = embedding[:, seed[0], seed[1]]
    threshold = distance_threshold(tau)
    if gap < 0:
        distance = squared_distance_map(embedding, vector, distance_scale)
        return GrownMask((slice(0, shape[0]), slice(0, shape[1])), (distance <= threshold).numpy(), distance)
    reach = _FIRST_REACH + gap
    while True:
        window = tuple(
            slice(max(place - reach, 0), min(place + reach + 1, side)) for place, side in zip(seed, shape, strict=True)
        )
        distance = squared_distance_map(embedding[:, window[0], window[1]], vector, distance_scale)
        inner = (seed[0] - window[0].start, seed[1] - window[1].start)
        part = connected_part((distance <= threshold).numpy(), inner, gap)
        # A piece just outside could still be bridged to this one, hence the margin.
        if not touches_inner_border(part, window, shape, margin=gap + 1):
            return GrownMask(window, part, distance)
        reach *= 2


class _Ownership:
    """Which cells already belong to an instance, on the grid of every pyramid scale."""

    def __init__(self, shapes: Sequence[tuple[int, int]]):
        self.owned = [np.zeros(shape, dtype=bool) for shape in shapes]

    def overlap(self, level: int, mask: GrownMask) -> float:
        """Share of the mask that is owned, in [0, 1]."""
        return float(self.owned[level][mask.window][mask.part].mean())

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


def _to_output(
    mask: GrownMask, threshold: float, cell_size: tuple[float, float], output_size: tuple[int, int], interpolate: bool
) -> tuple[Window, Tensor]:
    """The mask at output size: its window there, and bool pixels as large as the window (on the CPU).

    Args:
        cell_size: output pixels a cell, (vertical, horizontal).
        interpolate: cut the bilinearly interpolated, clipped distances at the threshold, next to the part of the mask;
            otherwise every pixel follows the cell that it lies in.
    """
    local = bounding_window(mask.part, margin=1)
    part = mask.part[local]
    # Half-open pixel ranges whose centres lie in the cells of the window.
    start = [outer.start + inner.start for outer, inner in zip(mask.window, local, strict=True)]
    ranges = []
    for begin, count, size, limit in zip(start, part.shape, cell_size, output_size, strict=True):
        ranges.append((min(round(begin * size), limit), min(round((begin + count) * size), limit)))
    window = tuple(slice(*extent) for extent in ranges)
    # Position of each pixel centre in the window, in cells: cell i spans [i, i + 1).
    rows, columns = (
        (torch.arange(*extent) + 0.5) / size - begin
        for extent, size, begin in zip(ranges, cell_size, start, strict=True)
    )
    inside = part if not interpolate else cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    row_index = rows.long().clamp(0, part.shape[0] - 1)
    column_index = columns.long().clamp(0, part.shape[1] - 1)
    pixels = torch.from_numpy(inside)[row_index[:, None], column_index[None]]
    if interpolate and pixels.numel():
        points = torch.stack(
            torch.meshgrid(columns / part.shape[1] * 2 - 1, rows / part.shape[0] * 2 - 1, indexing="xy"), dim=-1
        )
        distance = mask.squared_distance[local][None, None].clamp(max=_CLIP * threshold)
        sampled = F.grid_sample(distance, points[None], mode="bilinear", padding_mode="border", align_corners=False)
        pixels = pixels & (sampled[0, 0] <= threshold)
    return window, pixels


def vote_class(probability: Tensor, mask: GrownMask, seed: tuple[int, int]) -> tuple[int, float]:
    """The class that the cells of a mask agree on, and its score.

    Args:
        probability: (K, h, w) on the CPU, of each class for the mask grown from a cell; they and background's add up
            to 1, so that cells whose own mask is poor count little.
        mask: the mask; seed: (row, column) of its seed.

    Returns:
        The class with the largest share of the votes, and the seed's probability of an object times that share.
        With one class the score is the seediness.
    """
    votes = probability[:, mask.window[0], mask.window[1]][:, torch.from_numpy(mask.part)].nan_to_num(0.0).sum(dim=1)
    share, winner = (votes / votes.sum().clamp(min=torch.finfo(torch.float32).tiny)).max(dim=0)
    return int(winner), float(share * probability[:, seed[0], seed[1]].sum().clamp(max=1))


def assemble_instances(
    embeddings: Sequence[Tensor],
    distance_scales: Sequence[Tensor],
    class_logits: Sequence[Tensor],
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
        class_logits: (T, K + 1, h, w) for every scale, for the vote on the class.
        cell_sizes: for every scale the output pixels a cell, (vertical, horizontal).
        seeds: N of them.
        taus: the thresholds that ``seeds.tau_index`` counts.
        output_size: (H, W).
        gaps: for every scale the cells bridged within a mask; negative: masks are taken whole.
        max_overlap: a mask with a larger share owned by better ones is dropped; under 1, so is a mask whose very
            seed is owned.
        interpolate: see ``MODEL.DML.GROUPING.MASK_RESOLUTION``.
        score_similarity: multiply the score by the mean similarity inside the mask.
        vote: class and score by ``vote_class``; otherwise those of the seed (paper).
        max_instances: the best this many are returned.

    Returns:
        Instances with ``pred_masks`` (N, H, W) bool, ``scores`` (N,) float32 in descending order, ``pred_classes``
        (N,) int64 and ``pred_boxes``, on the device of the embeddings. Memory N x H x W bytes beside the windows.
    """
    device = embeddings[0].device
    maps = [embedding.detach().float().cpu() for embedding in embeddings]
    factors = [distance_scale.detach().float().cpu() for distance_scale in distance_scales]
    probabilities = [logits.detach().float().softmax(dim=1)[:, 1:].cpu() for logits in class_logits] if vote else None
    ownership = _Ownership([tuple(embedding.shape[-2:]) for embedding in maps])
    kept = []
    order = seeds.score.argsort(descending=True, stable=True)
    columns = (seeds.position, seeds.tau_index, seeds.pred_class, seeds.score, seeds.level)
    for position, tau_index, pred_class, score, level in zip(*(c[order].tolist() for c in columns), strict=True):
        position = tuple(position)
        if max_overlap < 1 and ownership.owned[level][position]:
            continue
        mask = grow_mask(maps[level], float(factors[level][position]), position, taus[tau_index], gaps[level])
        if ownership.overlap(level, mask) > max_overlap:
            continue
        ownership.claim(level, mask)
        window, pixels = _to_output(
            mask, distance_threshold(taus[tau_index]), cell_sizes[level], output_size, interpolate
        )
        if not pixels.any():
            continue
        if vote:
            pred_class, score = vote_class(probabilities[level][tau_index], mask, position)
        if score_similarity:
            score *= float(similarity(mask.squared_distance[torch.from_numpy(mask.part)]).mean())
        kept.append((score, pred_class, window, pixels))
    kept.sort(key=lambda instance: -instance[0])
    return _instances(kept[:max_instances], output_size).to(device)


def _instances(kept: list[tuple[float, int, Window, Tensor]], output_size: tuple[int, int]) -> Instances:
    """(score, class, window, pixels) of every instance as Detectron2's ``Instances``, on the CPU."""
    masks = torch.zeros((len(kept), *output_size), dtype=torch.bool)
    boxes = torch.zeros((len(kept), 4))
    for index, (_, _, window, pixels) in enumerate(kept):
        masks[index, window[0], window[1]] = pixels
        rows, columns = bounding_window(pixels.numpy())
        top, left = window[0].start, window[1].start
        boxes[index] = torch.tensor(
            [left + columns.start, top + rows.start, left + columns.stop, top + rows.stop], dtype=torch.float32
        )
    result = Instances(output_size)
    result.pred_boxes = Boxes(boxes)
    result.scores = torch.tensor([score for score, *_ in kept], dtype=torch.float32)
    result.pred_classes = torch.tensor([pred_class for _, pred_class, *_ in kept], dtype=torch.int64)
    result.pred_masks = masks
    return result

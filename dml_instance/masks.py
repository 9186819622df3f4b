"""Sets of pixels: instance-id maps at a grid's stride, the part of a mask connected to its seed.

Shapes: G ground-truth instances, N masks, H x W image pixels, h x w grid cells (a cell covers stride x stride pixels).
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def instance_coverage(masks: Tensor, stride: int) -> Tensor:
    """How much of each grid cell an instance covers.

    Args:
        masks: (G, H, W) bool, H and W of any size.
        stride: pixels a cell, 1 to 128.

    Returns:
        (G, ceil(H / stride), ceil(W / stride)) float32 in [0, 1]; pixels beyond the image count as uncovered. Memory
        beside it: two bytes a pixel of the masks.
    """
    height, width = masks.shape[-2:]
    bits = F.pad(masks.byte(), (0, -width % stride, 0, -height % stride))
    # Pixels are counted by adding shifted copies: a fifth of the time that pooling them as floats takes.
    in_column = sum(bits[:, shift::stride] for shift in range(stride)).short()
    return sum(in_column[..., shift::stride] for shift in range(stride)).float() / stride**2


def without_ignored(coverage: Tensor, ignored: Tensor) -> Tensor:
    """Coverage of what is left of each cell when pixels that are neither object nor background are taken away.

    Args:
        coverage: (G, h, w) from ``instance_coverage``.
        ignored: (h, w) in [0, 1], the part of each cell that is taken away.

    Returns:
        (G, h, w) float32 in [0, 1]; 0 where nothing is left.
    """
    return (coverage / (1 - ignored).clamp(min=1e-6)).clamp(max=1)


def instance_id_map(coverage: Tensor, ignored: Tensor) -> Tensor:
    """Which instance each grid cell belongs to.

    A cell goes to the instance that covers most of it, provided that the instances together cover at least half.
    An instance too thin or too small to win a cell gets the cell that it covers most: at stride 8 it would have no
    supervision at all otherwise. Where masks overlap equally the smaller instance wins, as it lies on top.

    Args:
        coverage: (G, h, w) from ``instance_coverage``.
        ignored: (h, w) in [0, 1], the part of each cell that is neither object nor background.

    Returns:
        (h, w) int64: 0 for background, i + 1 for instance i, -1 for a cell of no instance that is mostly ignored.
    """
    count, *grid = coverage.shape
    if count == 0:
        return torch.zeros(grid, dtype=torch.int64, device=coverage.device).masked_fill(ignored > 0.5, -1)
    size_rank = coverage.sum(dim=(1, 2)).argsort().argsort()
    preference = coverage - 1e-3 * size_rank[:, None, None] / count
    # argmax over the instances, which PyTorch does an order of magnitude slower.
    number = torch.arange(1, count + 1, device=coverage.device, dtype=torch.int32)[:, None, None]
    preferred = torch.where(preference == preference.amax(dim=0), number, 0).amax(dim=0)
    ids = torch.where(coverage.sum(dim=0) >= 0.5, preferred.long(), 0)
    owned = torch.bincount(ids.flatten(), minlength=count + 1)[1:]
    # Without a look at the values (a host sync): every instance writes its best cell, the ones that own cells
    # write it to a spare place behind the map.
    best_cell = coverage.flatten(1).argmax(dim=1)
    lost = (owned == 0) & (coverage.flatten(1).amax(dim=1) > 0)
    flat = F.pad(ids.flatten(), (0, 1))
    flat[torch.where(lost, best_cell, flat.numel() - 1)] = torch.arange(1, count + 1, device=coverage.device)
    ids = flat[:-1].view(grid)
    return ids.masked_fill((ids == 0) & (ignored > 0.5), -1)


def connected_parts(masks: np.ndarray, seeds: np.ndarray, gap: int) -> np.ndarray:
    """Of each mask the part that holds its seed, with pieces bridged over gaps.

    Pieces count as one part where the gap between them is at most ``gap`` cells, so that a bar crossed by another
    one stays one object, while a look-alike further off does not join it.

    Args:
        masks: (N, h, w) bool.
        seeds: (N, 2) int64, (row, column) inside each.
        gap: cells, >= 0; 0 means 8-connected.

    Returns:
        (N, h, w) bool, subsets of ``masks``; empty where the seed itself is not in its mask.
    """
    count, height, width = masks.shape
    # All masks on one tall map, far enough apart that no two of them can touch: one labelling instead of N.
    tall = np.zeros((count, height + gap + 1, width), dtype=np.uint8)
    tall[:, :height] = masks
    pixels = tall.reshape(-1, width)
    if gap > 0:
        # Dilating both pieces by half the gap makes them touch; 8-connectivity adds the last cell.
        pixels = cv2.dilate(pixels, np.ones((gap + 1, gap + 1), np.uint8))
    _, labels = cv2.connectedComponents(pixels, connectivity=8)
    labels = labels.reshape(tall.shape)[:, :height]
    rows, columns = seeds.T
    own = labels[np.arange(count), rows, columns]
    own[~masks[np.arange(count), rows, columns]] = -1
    return masks & (labels == own[:, None, None])


def bounding_boxes(masks: np.ndarray) -> np.ndarray:
    """(N, 4) int64 tight boxes (left, top, right, bottom) of (N, h, w) masks, half open; all 0 for an empty one."""
    sides = []
    for axis in (1, 2):  # columns, then rows
        occupied = masks.any(axis=axis)
        first = occupied.argmax(axis=1)
        last = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
        sides.append(np.where(occupied.any(axis=1), np.stack([first, last]), 0))
    (left, right), (top, bottom) = sides
    return np.stack([left, top, right, bottom], axis=1)

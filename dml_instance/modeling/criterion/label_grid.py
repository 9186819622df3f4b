"""The ground truth on the grid of the maps: whose each cell is, and how much of it.

Shapes: G ground-truth instances, H x W image pixels, h x w grid cells (a cell covers stride x
stride pixels).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ground_truth import GroundTruth


@dataclass(frozen=True)
class LabelGrid:
    """Objects on a grid.

    Attributes:
        coverage: (G, h, w) float32 in [0, 1], how much of each cell an object covers, of what is
            not ignored.
        ids: (h, w) int64 from ``instance_id_map``: 0 background, i + 1 object i, -1 ignored.
    """

    coverage: Tensor
    ids: Tensor

    @classmethod
    def of(cls, truth: GroundTruth, image_size: tuple[int, int], stride: int) -> "LabelGrid":
        """The objects of an image seen at (H', W') pixels, on cells of ``stride`` pixels."""
        ignored = resized_masks(truth.ignored[None], image_size)
        # What lies beyond the image is nothing: a cell at the border is judged by its part inside.
        ignored = instance_coverage(ignored, stride, beyond=True)[0]
        masks = instance_coverage(resized_masks(truth.masks, image_size), stride)
        coverage = without_ignored(masks, ignored)
        return cls(coverage, instance_id_map(coverage, ignored))

    @property
    def count(self) -> int:
        """G."""
        return len(self.coverage)

    # Asked several times in every step.
    @cached_property
    def flat_ids(self) -> Tensor:
        """(h * w,) int64, with background for what is ignored."""
        return self.ids.flatten().clamp(min=0)

    @cached_property
    def unshared_ids(self) -> Tensor:
        """(h, w) int64: the ids, but -1 also where two objects cross.

        A cell of which two objects have more than half each shall be like both, so no pixel of it
        can stand for one. An object that shares more than half of its cells keeps them all: it lies
        within another one, or under it.
        """
        is_shared = (self.coverage > 0.5).sum(dim=0) > 1
        owned = torch.bincount(self.flat_ids, minlength=self.count + 1)
        shared = torch.bincount(self.flat_ids[is_shared.flatten()], minlength=self.count + 1)
        is_crossing = is_shared & (shared <= owned / 2)[self.ids.clamp(min=0)]
        return self.ids.masked_fill(is_crossing, -1)


def resized_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(G, H, W) bool masks at another image size (H', W'), by the nearest pixel; unchanged where
    they have it."""
    if masks.shape[-2:] == tuple(size):
        return masks
    if len(masks) == 0:
        return masks.new_zeros((0, *size))
    return F.interpolate(masks[None].float(), size=size, mode="nearest-exact")[0] > 0.5


def instance_coverage(masks: Tensor, stride: int, beyond: bool = False) -> Tensor:
    """How much of each grid cell an instance covers.

    Args:
        masks: (G, H, W) bool, H and W of any size.
        stride: pixels a cell, 1 to 128.
        beyond: whether pixels beyond the image, of cells at its border, count as covered.

    Returns:
        (G, ceil(H / stride), ceil(W / stride)) float32 in [0, 1]. Memory beside it: two bytes a
        pixel of the masks.
    """
    height, width = masks.shape[-2:]
    padding = (0, -width % stride, 0, -height % stride)
    bits = F.pad(masks.byte(), padding, value=int(beyond))
    # Pixels are counted by adding shifted copies: a fifth of the time that pooling them as floats
    # takes.
    in_column = sum(bits[:, shift::stride] for shift in range(stride)).short()
    return sum(in_column[..., shift::stride] for shift in range(stride)).float() / stride**2


def without_ignored(coverage: Tensor, ignored: Tensor) -> Tensor:
    """Coverage of what is left of each cell when pixels that are neither object nor background are
    taken away.

    Args:
        coverage: (G, h, w) from ``instance_coverage``.
        ignored: (h, w) in [0, 1], the part of each cell that is taken away.

    Returns:
        (G, h, w) float32 in [0, 1]; 0 where nothing is left.
    """
    return (coverage / (1 - ignored).clamp(min=1e-6)).clamp(max=1)


def instance_id_map(coverage: Tensor, ignored: Tensor) -> Tensor:
    """Which instance each grid cell belongs to.

    A cell goes to the instance that covers most of it, provided that the instances together cover
    at least half. An instance too thin or too small to win a cell gets the cell that it covers
    most: at stride 8 it would have no supervision at all otherwise. Where masks overlap equally the
    smaller instance wins, as it lies on top.

    Args:
        coverage: (G, h, w) from ``instance_coverage``.
        ignored: (h, w) in [0, 1], the part of each cell that is neither object nor background.

    Returns:
        (h, w) int64: 0 for background, i + 1 for instance i, -1 for a cell of no instance that is
            mostly ignored.
    """
    count, *grid = coverage.shape
    if count == 0:
        return torch.zeros(grid, dtype=torch.int64, device=coverage.device).masked_fill(
            ignored > 0.5, -1
        )
    size_rank = coverage.sum(dim=(1, 2)).argsort().argsort()
    preference = coverage - 1e-3 * size_rank[:, None, None] / count
    # argmax over the instances, which PyTorch does an order of magnitude slower.
    number = torch.arange(1, count + 1, device=coverage.device, dtype=torch.int32)[:, None, None]
    preferred = torch.where(preference == preference.amax(dim=0), number, 0).amax(dim=0)
    ids = torch.where(coverage.sum(dim=0) >= 0.5, preferred.long(), 0)
    owned = torch.bincount(ids.flatten(), minlength=count + 1)[1:]
    # Every instance writes its best cell, the ones that own cells to a spare place behind the map.
    best_cell = coverage.flatten(1).argmax(dim=1)
    lost = (owned == 0) & (coverage.flatten(1).amax(dim=1) > 0)
    flat = F.pad(ids.flatten(), (0, 1))
    flat[torch.where(lost, best_cell, flat.numel() - 1)] = torch.arange(
        1, count + 1, device=coverage.device
    )
    ids = flat[:-1].view(grid)
    return ids.masked_fill((ids == 0) & (ignored > 0.5), -1)

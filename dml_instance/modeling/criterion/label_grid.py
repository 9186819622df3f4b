"""The ground truth on the grid of the maps: whose each cell is, and how much of it.

Shapes: G ground-truth instances, H x W image pixels, h x w grid cells (a cell covers stride x
stride pixels).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ...object_masks import ObjectMasks
from ..ground_truth import GroundTruth


@dataclass(frozen=True, eq=False)
class Coverage:
    """How much of each cell each object covers, in the window of cells that holds the object.

    Memory goes with the area of the objects, and not with their number times the cells.

    Attributes:
        shape: (h, w).
        corner: (G, 2) int64, row and column of the first cell of each window.
        extent: (G, 2) int64, its height and width in cells.
        start: (G + 1,) int64; window i has the values from start[i] to start[i + 1].
        values: (C,) float32 in [0, 1], those of all windows, row by row.
    """

    shape: tuple[int, int]
    corner: Tensor
    extent: Tensor
    start: Tensor
    values: Tensor

    def __len__(self):
        """G."""
        return len(self.corner)

    @cached_property
    def owner(self) -> Tensor:
        """(C,) int64, whose each value is."""
        return torch.repeat_interleave(self.start.diff())

    @cached_property
    def cells(self) -> Tensor:
        """(C,) int64, flat indices of the cells of the values."""
        inner = torch.arange(len(self.values), device=self.values.device) - self.start[self.owner]
        width = self.extent[self.owner, 1]
        row = torch.div(inner, width, rounding_mode="floor")
        place = (self.corner[self.owner, 0] + row) * self.shape[1]
        return place + self.corner[self.owner, 1] + inner - row * width

    @property
    def total(self) -> Tensor:
        """(h, w) float32, what all objects together cover."""
        zeros = self.values.new_zeros(self.shape[0] * self.shape[1])
        return zeros.index_add_(0, self.cells, self.values).view(self.shape)

    @property
    def areas(self) -> Tensor:
        """(G,) float32, cells that each object covers."""
        return self.values.new_zeros(len(self)).index_add_(0, self.owner, self.values)

    def of(self, group: Tensor, cells: Tensor | None) -> Tensor:
        """Of some objects what they cover of some cells.

        Args:
            group: (V,) int64, i + 1 for object i; of 0, background, nothing is covered.
            cells: (V, P) int64 flat indices; None: all cells, P = h * w, of each.

        Returns:
            (V, P) float32.
        """
        if cells is None:
            cells = torch.arange(self.shape[0] * self.shape[1], device=group.device)[None]
        if len(self) == 0:
            return self.values.new_zeros((len(group), cells.shape[1]))
        index = (group - 1).clamp(min=0)
        row = torch.div(cells, self.shape[1], rounding_mode="floor")
        inner = torch.stack([row, cells - row * self.shape[1]]) - self.corner[index].T[..., None]
        extent = self.extent[index].T[..., None]
        is_inside = ((inner >= 0) & (inner < extent)).all(dim=0) & (group > 0)[:, None]
        place = self.start[index][:, None] + inner[0] * extent[1] + inner[1]
        # One value more, for a place outside of all windows.
        return F.pad(self.values, (0, 1))[torch.where(is_inside, place, len(self.values))]

    def without(self, ignored: Tensor) -> "Coverage":
        """Of what is left of each cell when pixels that are neither object nor background are taken
        away; 0 where nothing is left.

        Args:
            ignored: (h, w) in [0, 1], the part of each cell that is taken away.
        """
        left = (1 - ignored.flatten()[self.cells]).clamp(min=1e-6)
        values = (self.values / left).clamp(max=1)
        return Coverage(self.shape, self.corner, self.extent, self.start, values)


@dataclass(frozen=True)
class LabelGrid:
    """Objects on a grid.

    Attributes:
        coverage: how much of each cell each of G objects covers, of what is not ignored.
        ids: (h, w) int64 from ``instance_id_map``: 0 background, i + 1 object i, -1 ignored.
    """

    coverage: Coverage
    ids: Tensor

    @classmethod
    def of(cls, truth: GroundTruth, image_size: tuple[int, int], stride: int) -> "LabelGrid":
        """The objects of an image seen at (H', W') pixels, on cells of ``stride`` pixels."""
        # What lies beyond the image is nothing: a cell at the border is judged by its part inside.
        ignored = ignored_share(resized_mask(truth.ignored, image_size), stride)
        coverage = instance_coverage(truth.masks.resized(image_size), stride).without(ignored)
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
        covered = self.coverage.cells[self.coverage.values > 0.5]
        is_shared = torch.bincount(covered, minlength=self.ids.numel()).view_as(self.ids) > 1
        owned = torch.bincount(self.flat_ids, minlength=self.count + 1)
        shared = torch.bincount(self.flat_ids[is_shared.flatten()], minlength=self.count + 1)
        is_crossing = is_shared & (shared <= owned / 2)[self.ids.clamp(min=0)]
        return self.ids.masked_fill(is_crossing, -1)


def resized_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask (H, W) bool at another image size (H', W'), by the nearest pixel."""
    if mask.shape == tuple(size):
        return mask
    return F.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")[0, 0] > 0.5


def instance_coverage(masks: ObjectMasks, stride: int) -> Coverage:
    """How much of each cell each object covers, on ceil(H / stride) x ceil(W / stride) cells of
    ``stride`` pixels."""
    first = torch.div(masks.corner, stride, rounding_mode="floor")
    last = torch.div(masks.corner + masks.extent + stride - 1, stride, rounding_mode="floor")
    extent = (last - first) * (masks.extent > 0)
    start = torch.cat([extent.new_zeros(1), extent.prod(dim=1).cumsum(0)])
    owner, *place = masks.places
    row, column = (
        torch.div(p, stride, rounding_mode="floor") - first[owner, axis]
        for axis, p in enumerate(place)
    )
    index = start[owner] + row * extent[owner, 1] + column
    pixels = torch.bincount(index, minlength=int(start[-1]))
    shape = (-(-masks.size[0] // stride), -(-masks.size[1] // stride))
    return Coverage(shape, first, extent, start, pixels.float() / stride**2)


def ignored_share(ignored: Tensor, stride: int) -> Tensor:
    """(h, w) float32 in [0, 1], how much of each cell pixels of a mask (H, W) bool take; those
    beyond the image, of cells at its border, among them."""
    height, width = ignored.shape
    padding = (0, -width % stride, 0, -height % stride)
    bits = F.pad(ignored, padding, value=True)
    cells = bits.view(bits.shape[0] // stride, stride, bits.shape[1] // stride, stride)
    return cells.float().mean(dim=(1, 3))


def instance_id_map(coverage: Tensor, ignored: Tensor) -> Tensor:
    """Which instance each grid cell belongs to.

    A cell goes to the instance that covers most of it, provided that the instances together cover
    at least half. An instance too thin or too small to win a cell gets the cell that it covers
    most: at stride 8 it would have no supervision at all otherwise. Where masks overlap equally the
    smaller instance wins, as it lies on top.

    Args:
        coverage: from ``instance_coverage``.
        ignored: (h, w) in [0, 1], the part of each cell that is neither object nor background.

    Returns:
        (h, w) int64: 0 for background, i + 1 for instance i, -1 for a cell of no instance that is
            mostly ignored.
    """
    count, cells, values = len(coverage), coverage.cells, coverage.values
    size_rank = coverage.areas.argsort().argsort()
    preference = values - 1e-3 * size_rank[coverage.owner] / max(count, 1)
    number = coverage.owner + 1
    ids = _best_of(preference, cells, number, ignored.numel())
    ids = torch.where(coverage.total.flatten() >= 0.5, ids, 0)
    owned = torch.bincount(ids, minlength=count + 1)[1:]
    # Every object writes its best cell, the ones that own cells to a spare place behind the map.
    best_cell = ignored.numel() - _best_of(values, coverage.owner, ignored.numel() - cells, count)
    has_any = values.new_zeros(count, dtype=torch.bool).index_fill_(
        0, coverage.owner[values > 0], True
    )
    lost = (owned == 0) & has_any
    flat = F.pad(ids, (0, 1))
    flat[torch.where(lost, best_cell, ignored.numel())] = torch.arange(
        1, count + 1, device=ids.device
    )
    ids = flat[:-1].view(ignored.shape)
    return ids.masked_fill((ids == 0) & (ignored > 0.5), -1)


def _best_of(values: Tensor, group: Tensor, number: Tensor, count: int) -> Tensor:
    """Of each of ``count`` groups the largest number among those of its largest values; 0 of an
    empty group.

    Args:
        values: (C,) float32.
        group: (C,) int64 in [0, count).
        number: (C,) int64 > 0.
    """
    best = values.new_full((count,), -torch.inf).scatter_reduce_(0, group, values, "amax")
    is_best = values == best[group]
    found = number.new_zeros(count)
    return found.scatter_reduce_(0, group[is_best], number[is_best], "amax")

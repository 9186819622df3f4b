"""What the losses of an image sample, and what they need of its ground truth.

All of it follows from the ground truth and from chance, and not from what the network says. So it
is made on the CPU, where data loaders leave the ground truth, while a GPU is at work on the
network, and moved there at once: the losses then never wait for the GPU.

Shapes: S sampled pixels of the pair loss, V seed pixels, V' of them from which masks are grown, P
cells that each mask is judged on, G objects, h x w grid cells.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .label_grid import Coverage, LabelGrid
from .rules import CriterionRules, PairLossRules, SeedLossRules
from .targets import (
    chosen_pairs,
    compared_pairs,
    object_bounds,
    sample_cells_per_group,
    sample_seed_cells,
    window_cells,
)


@dataclass(frozen=True, eq=False)
class SampledPairs:
    """The pixels of the pair loss.

    Attributes:
        cell: (S,) int64 flat indices.
        group: (S,) int64, 0 for background, i + 1 for object i.
        size: (S,) int64, the size of each pixel's group.
        is_compared: (S, S) bool, the pairs that take part; None: all.
        alike, apart: (n,) and (m,) int64, the pairs that take part, as of ``chosen_pairs``.
    """

    cell: Tensor
    group: Tensor
    size: Tensor
    is_compared: Tensor | None
    alike: Tensor
    apart: Tensor

    @classmethod
    def of(cls, grid: LabelGrid, rules: PairLossRules, bounds: Tensor | None) -> "SampledPairs":
        """
        Args:
            grid: of the image.
            rules: of the loss.
            bounds: (G + 1, 4) from ``object_bounds``; None: every pair takes part.
        """
        cell, group = sample_cells_per_group(
            grid.unshared_ids,
            per_instance=rules.pixels_per_instance,
            max_instances=rules.max_instances,
            background=rules.background_pixels,
        )
        counted = group if rules.group_size == "count" else grid.ids[grid.ids >= 0]
        size = torch.bincount(counted, minlength=grid.count + 1)[group]
        is_compared = None
        if bounds is not None:
            is_compared = compared_pairs(cell, group, bounds, grid.ids.shape[1])
        return cls(cell, group, size, is_compared, *chosen_pairs(group, is_compared))


@dataclass(frozen=True, eq=False)
class SampledSeeds:
    """The pixels of the seed loss and the mask loss.

    Attributes:
        cell: (V,) int64 flat indices; masks are grown from the first V' of them.
        group: (V',) int64, 0 for background, i + 1 where the pixel lies in object i.
        on_objects: how many of them lie in objects, which are the first ones.
        near: (V', P) int64, the cells that each mask is judged on; None: all of the grid.
        is_judged: (V', P) bool, which of them count; (1, h * w) where they are the same for all.
        labelled_share: (V,) float32, as of ``iou_prediction_loss``; None: 1.
    """

    cell: Tensor
    group: Tensor
    on_objects: int
    near: Tensor | None
    is_judged: Tensor
    labelled_share: Tensor | None

    @classmethod
    def of(cls, grid: LabelGrid, rules: SeedLossRules, bounds: Tensor | None) -> "SampledSeeds":
        """
        Args:
            grid: of the image.
            rules: of the loss.
            bounds: (G + 1, 4) from ``object_bounds``; None: masks are judged on the whole grid, and
                what grows from background may meet any object. Otherwise it is worth 0, and is not
                grown.
        """
        objects = round(rules.pixels * rules.foreground_fraction)
        on_objects, elsewhere = sample_seed_cells(
            grid.unshared_ids, objects=objects, background=rules.pixels - objects
        )
        cell = torch.cat([on_objects, elsewhere])
        is_known = grid.ids.flatten() >= 0
        if bounds is None:
            group, near, is_judged = grid.flat_ids[cell], None, is_known[None]
        else:
            group = grid.flat_ids[on_objects]
            near, is_judged = window_cells(bounds[group], grid.ids.shape)
            is_judged = is_judged & is_known[near]
        share = None
        if rules.labelled_share < 1:
            share = torch.where(grid.flat_ids[cell] > 0, 1.0, rules.labelled_share)
        return cls(cell, group, len(on_objects), near, is_judged, share)


@dataclass(frozen=True, eq=False)
class ImagePlan:
    """What the losses of one image at one scale sample and need.

    Attributes:
        pairs: of the pair loss.
        seeds: of the seed loss and the mask loss.
        count: G.
        ids: (h * w,) int64, 0 for background and what is ignored, i + 1 for object i.
        coverage: how much of each cell each object covers.
        classes: (G,) int64 in [0, K).
        class_of_cell: (h * w,) int64, that of the cell's object; 0 of background.
        class_share: (h * w,) float32, the cell's share of its object; 0 of background.
    """

    pairs: SampledPairs
    seeds: SampledSeeds
    count: int
    ids: Tensor
    coverage: Coverage
    classes: Tensor
    class_of_cell: Tensor
    class_share: Tensor

    @classmethod
    def of(
        cls, grid: LabelGrid, classes: Tensor, rules: CriterionRules, context: float
    ) -> "ImagePlan":
        """
        Args:
            grid: of the image, on the CPU.
            classes: (G,) of its objects.
            rules: what is sampled.
            context: cells beyond an object's bounds that are judged with it; negative: all.
        """
        bounds = None if context < 0 else object_bounds(grid.ids, grid.count, context)
        ids = grid.flat_ids
        share = (ids > 0) / torch.bincount(ids, minlength=1).clamp(min=1)[ids]
        return cls(
            SampledPairs.of(grid, rules.pair_loss, bounds),
            SampledSeeds.of(grid, rules.seed_loss, bounds),
            grid.count,
            ids,
            grid.coverage,
            classes,
            F.pad(classes, (1, 0))[ids],
            share,
        )

    def to(self, device: torch.device) -> "ImagePlan":
        """The same on the device of the losses, which is not waited for."""
        return _moved(self, device)


_Part = TypeVar("_Part")


def _moved(part: _Part, device: torch.device) -> _Part:
    """Tensors, also those in data classes, on a device; anything else as it is."""
    if isinstance(part, Tensor):
        # From memory that the system may move a copy to a GPU would be waited for.
        part = part.pin_memory() if device.type == "cuda" else part
        return part.to(device, non_blocking=True)
    if is_dataclass(part):
        moved = {field.name: _moved(getattr(part, field.name), device) for field in fields(part)}
        return replace(part, **moved)
    return part

"""Maps of one image drawn by hand, and the plainest grouping for them.

A picture is a text of one line a row and one character a cell: "." is background, and each digit an
object.
"""

from typing import NamedTuple

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from dml_instance.grouping import GridMaps, GroupingRules
from dml_instance.grouping.growing import Grids, GrowingSeeds, GrownMasks, grow_masks, seeds_at
from dml_instance.modeling.grouping import InstanceGrouping, class_probability
from dml_instance.modeling.similarity import distance_threshold
from dml_instance.modeling.structures import ImageMaps

TAUS = (0.25, 0.5, 0.75)

# Every rule at its plainest, so that a test changes what it is about and nothing else.
PLAIN = {
    "candidates": "all",
    "min_seediness": 0.05,
    "max_seeds": 0,
    "alpha": 0.0,
    "connect_gap": 0,
    "bridge_probability": 0.0,
    "min_share_apart": 0.0,
    "mean_shifts": 0,
    "seeds_per_mask": 1,
    "handover_size": 0,
    "max_overlap": 0.5,
    "mask_resolution": "grid",
    "class_by": "seed",
    "vote_exponent": 1.0,
    "classes_per_mask": 1,
    "score": "seediness",
    "small_mask_cells": 0.0,
}

# For tests that loop over more cells than Python does in a second.
needs_machine_code = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="takes minutes where NUMBA_DISABLE_JIT is set"
)


class HandSeed(NamedTuple):
    """A cell that is the seed of a mask: of which class, for which threshold, with which score."""

    row: int
    column: int
    score: float
    pred_class: int = 0
    tau_index: int = 1


def picture(text: str) -> Tensor:
    """A drawing as numbers (h, w) int64; what is no digit is 0."""
    rows = text.split()
    return torch.tensor([[int(c) if c.isdigit() else 0 for c in row] for row in rows])


def flat_embedding(numbers: Tensor) -> Tensor:
    """(1, h, w): cells of one number coincide, and those of two are far from each other."""
    return numbers[None].float() * 10


def ramp(width: int = 8) -> Tensor:
    """(1, 1, width): the embedding of a cell is its column."""
    return torch.arange(float(width)).view(1, 1, width)


def logits_of(seeds: list[HandSeed], shape: tuple[int, int], num_classes: int = 9) -> Tensor:
    """(T, K + 1, h, w) that make candidates of the seeds, and of no other cell."""
    logits = torch.full((len(TAUS), num_classes + 1, *shape), -30.0)
    logits[:, 0] = 0.0
    for row, column, score, pred_class, tau_index in seeds:
        logits[tau_index, 0, row, column] = np.log1p(-score)
        logits[tau_index, 1 + pred_class, row, column] = np.log(score)
    return logits


def maps_of(
    embedding: Tensor,
    seeds_or_logits: list[HandSeed] | Tensor,
    *,
    stride: int = 1,
    scale: float = 1.0,
    image_size: tuple[int, int] | None = None,
    distance_scale: Tensor | None = None,
) -> ImageMaps:
    """Maps of an image that the grid just covers, unless another size is given."""
    shape = tuple(embedding.shape[-2:])
    logits = seeds_or_logits
    if isinstance(logits, list):
        logits = logits_of(logits, shape)
    return ImageMaps(
        embedding=embedding,
        distance_scale=torch.ones(shape) if distance_scale is None else distance_scale,
        class_logits=logits,
        stride=stride,
        scale=scale,
        image_size=image_size or tuple(stride * side for side in shape),
    )


def grid_maps(maps: ImageMaps) -> GridMaps:
    """The same as arrays."""
    return GridMaps(
        np.ascontiguousarray(maps.embedding.numpy().transpose(1, 2, 0)),
        maps.distance_scale.numpy(),
        class_probability(maps.class_logits).numpy(),
        *(maps.stride, maps.scale, maps.image_size),
    )


def grouping_of(
    *,
    num_classes: int = 9,
    taus: tuple[float, ...] = TAUS,
    context: float = -1,
    max_instances: int = 100,
    min_score: float = 0.0,
    **rules,
) -> InstanceGrouping:
    """A grouping of ``PLAIN`` rules but for those given."""
    return InstanceGrouping(
        GroupingRules(**{**PLAIN, **rules}),
        num_classes=num_classes,
        taus=taus,
        context=context,
        max_instances=max_instances,
        min_score=min_score,
    )


def instances_of(embedding, seeds_or_logits, output_size=None, **changes):
    """What ``grouping_of(**changes)`` makes of one map, at the size of its image."""
    maps = maps_of(embedding, seeds_or_logits)
    return grouping_of(**changes)([maps], output_size or maps.image_size)


def grids_of(
    *embeddings: Tensor, distance_scales=None, is_bridge=None, object_probability=None
) -> Grids:
    """Grids of embeddings (D, h, w), factors 1, bridges and objects everywhere unless given."""
    shapes = [tuple(embedding.shape[-2:]) for embedding in embeddings]
    factors = distance_scales or [np.ones(shape) for shape in shapes]
    bridges = is_bridge or [np.ones(shape) for shape in shapes]
    probabilities = object_probability or [np.ones((len(TAUS), *shape)) for shape in shapes]
    return Grids(
        tuple(np.ascontiguousarray(e.permute(1, 2, 0).float().numpy()) for e in embeddings),
        tuple(np.ascontiguousarray(factor, dtype=np.float32) for factor in factors),
        tuple(np.ascontiguousarray(bridge, dtype=bool) for bridge in bridges),
        tuple(np.ascontiguousarray(p, dtype=np.float32) for p in probabilities),
    )


def growing_seeds(grids: Grids, positions, thresholds, gaps=0, levels=0, taus=0) -> GrowingSeeds:
    """Seeds at (row, column) positions of grids; a number stands for as many of it."""
    count = len(positions)
    position = np.array(positions, dtype=np.int64).reshape(count, 2)
    level, tau_index, gap = (
        np.broadcast_to(np.int64(value), count).copy() for value in (levels, taus, gaps)
    )
    threshold = np.broadcast_to(np.float64(thresholds), count).copy()
    rest = {"tau_index": tau_index, "threshold": threshold, "gap": gap}
    return seeds_at(grids, position, level=level, **rest)


def masks_on(shape: tuple[int, int], masks: GrownMasks) -> np.ndarray:
    """(n, h, w) bool of masks that were all grown on one grid of that shape."""
    pixels = np.zeros((len(masks.seed), *shape), dtype=bool)
    for index, (start, end) in enumerate(zip(masks.start[:-1], masks.start[1:], strict=True)):
        pixels[(index, *masks.cells[start:end].T)] = True
    return pixels


def grow_one(embedding: Tensor, seed, threshold, gap=0, factor=1.0, is_bridge=None):
    """The mask (h, w) of one seed, and the distances (h, w) of its cells, infinite elsewhere."""
    shape = tuple(embedding.shape[-2:])
    bridges = None if is_bridge is None else [is_bridge]
    grids = grids_of(embedding, distance_scales=[np.full(shape, factor)], is_bridge=bridges)
    masks = grow_masks(grids, growing_seeds(grids, [seed], threshold, gap), max_overlap=0.5)
    distance = np.full(shape, np.inf, dtype=np.float32)
    distance[tuple(masks.cells.T)] = masks.squared_distance
    return np.isfinite(distance), distance


def threshold_of(tau_index: int) -> float:
    """The squared distance of one of ``TAUS``."""
    return distance_threshold(TAUS[tau_index])

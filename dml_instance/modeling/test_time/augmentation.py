"""Test-time augmentation: the network sees the image, its mirror images and transposed ones, and
their answers are averaged.

A convolution knows left from right, so that it errs a little otherwise in each of these symmetries.
Embeddings of two of them do not compare, but distances do: an object is an object in the mirror. So
it is the distances between two cells that are averaged, which takes no more than standing the
embeddings one behind the other.

Shapes: B images, C channels, H x W pixels, D embedding channels, V symmetries, h x w grid cells.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..structures import MAPS, BatchMaps
from .memory_layout import memory_format_of


class Symmetry(NamedTuple):
    """One of the eight ways to lay an image on its grid.

    Attributes:
        mirrored: which of the last two axes of a map run the other way.
        transposed: whether rows become columns after that.
    """

    mirrored: tuple[int, ...]
    transposed: bool

    def of(self, maps: Tensor) -> Tensor:
        """(..., H, W) seen in this symmetry, in the same memory layout; (..., W, H) if
        ``transposed``."""
        seen = maps.flip(self.mirrored) if self.mirrored else maps
        return _in_layout_of(maps, seen.mT) if self.transposed else seen

    def undo(self, maps: Tensor) -> Tensor:
        """What ``of`` made of maps back to these maps."""
        upright = _in_layout_of(maps, maps.mT) if self.transposed else maps
        return upright.flip(self.mirrored) if self.mirrored else upright


def _in_layout_of(maps: Tensor, others: Tensor) -> Tensor:
    return others.contiguous(memory_format=memory_format_of(maps))


_ALL_SYMMETRIES = [
    Symmetry(mirrored, transposed)
    for transposed in (False, True)
    for mirrored in ((), (-1,), (-2,), (-2, -1))
]

# By how many they are: the image; and its mirror image; and both upside down; and all transposed.
SYMMETRIES = {count: _ALL_SYMMETRIES[:count] for count in (1, 2, 4, 8)}


def predict_augmented(
    predict: Callable[[Tensor], BatchMaps], images: Tensor, count: int
) -> BatchMaps:
    """The maps averaged over several symmetries of the same images.

    Between two cells p and q stands the mean over the symmetries of ||e_p - e_q||^2, times the
    geometric mean of their distance_scale at p; a cell's class is as probable as in the mean.

    Args:
        predict: (B, C, H', W') to maps.
        images: (B, C, H, W), H and W multiples of the stride of the maps.
        count: V, one of ``SYMMETRIES``.

    Returns:
        Maps with V x D embedding channels, in float32; those of ``predict`` itself for one. Memory
        beside it: the V maps.
    """
    if count == 1:
        return predict(images)
    seen = [predict(symmetry.of(images)) for symmetry in SYMMETRIES[count]]
    embeddings, distance_scales, class_logits = (
        [
            symmetry.undo(getattr(maps, name).float())
            for symmetry, maps in zip(SYMMETRIES[count], seen, strict=True)
        ]
        for name in MAPS
    )
    probability = sum(logits.softmax(dim=2) for logits in class_logits) / count
    return replace(
        seen[0],
        embedding=torch.cat(embeddings, dim=1).div_(math.sqrt(count)),
        distance_scale=(sum(scale.log() for scale in distance_scales) / count).exp(),
        class_logits=probability.clamp_(min=torch.finfo(torch.float32).tiny).log_(),
    )

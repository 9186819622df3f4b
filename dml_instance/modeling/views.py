"""At inference the network can see the image, its mirror images and transposed ones, and their
answers are one.

A convolution knows left from right, so that it errs a little otherwise in each of these views.
Embeddings of two views
do not compare, but distances do: an object is an object in the mirror. So it is the distances
    between two cells that
are averaged, which takes no more than standing the views' embeddings one behind the other.

Shapes: B images, C channels, H x W pixels, D embedding channels, V views, h x w grid cells.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..structures import PixelPredictions


class View(NamedTuple):
    """One of the eight ways to lay an image on its grid.

    Attributes:
        mirrored: which of the last two axes of a map run the other way.
        transposed: whether rows become columns after that.
    """

    mirrored: tuple[int, ...]
    transposed: bool

    def of(self, maps: Tensor) -> Tensor:
        """(..., H, W) to this view of it, in the same memory layout; (..., W, H) if ``transposed``."""
        maps_of_view = maps.flip(self.mirrored) if self.mirrored else maps
        return _in_layout_of(maps, maps_of_view.mT) if self.transposed else maps_of_view

    def undo(self, maps: Tensor) -> Tensor:
        """What ``of`` made of maps back to these maps."""
        upright = _in_layout_of(maps, maps.mT) if self.transposed else maps
        return upright.flip(self.mirrored) if self.mirrored else upright


def _in_layout_of(maps: Tensor, others: Tensor) -> Tensor:
    is_channels_last = maps.dim() == 4 and maps.is_contiguous(memory_format=torch.channels_last)
    return others.contiguous(
        memory_format=torch.channels_last if is_channels_last else torch.contiguous_format
    )


_ALL_VIEWS = [
    View(mirrored, transposed)
    for transposed in (False, True)
    for mirrored in ((), (-1,), (-2,), (-2, -1))
]

# By how many they are: as it is; and its mirror image; and upside down; and all of them transposed.
VIEWS = {count: _ALL_VIEWS[:count] for count in (1, 2, 4, 8)}


def predict_views(
    predict: Callable[[Tensor], PixelPredictions], images: Tensor, count: int
) -> PixelPredictions:
    """One prediction from those for several views of the same images.

    Between two cells p and q stands the mean over the views of ||e_p - e_q||^2, times the geometric
    mean of their distance_scale at p; a cell's class is as probable as in the mean of the views.

    Args:
        predict: (B, C, H', W') to predictions.
        images: (B, C, H, W), H and W multiples of the stride of the predictions.
        count: V, one of ``VIEWS``.

    Returns:
        Predictions with V x D embedding channels, in float32; those of ``predict`` itself for one
        view. Memory beside
        it: the V predictions.
    """
    if count == 1:
        return predict(images)
    predictions = [predict(view.of(images)) for view in VIEWS[count]]
    embeddings, distance_scales, class_logits = (
        [
            view.undo(getattr(p, name).float())
            for view, p in zip(VIEWS[count], predictions, strict=True)
        ]
        for name in ("embedding", "distance_scale", "class_logits")
    )
    probability = sum(logits.softmax(dim=2) for logits in class_logits) / count
    return replace(
        predictions[0],
        embedding=torch.cat(embeddings, dim=1).div_(math.sqrt(count)),
        distance_scale=(sum(scale.log() for scale in distance_scales) / count).exp(),
        class_logits=probability.clamp_(min=torch.finfo(torch.float32).tiny).log_(),
    )

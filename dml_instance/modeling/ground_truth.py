"""The annotated objects of an image, from what Detectron2's data loader gives.

Shapes: G objects, H x W image pixels.
"""

from dataclasses import dataclass

import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks
from torch import Tensor

from ..object_masks import ObjectMasks


@dataclass(frozen=True)
class GroundTruth:
    """The annotated objects of one image, on the CPU.

    Attributes:
        masks: of the G objects.
        classes: (G,) int64 in [0, K).
        ignored: (H, W) bool, pixels that are neither object nor background.
    """

    masks: ObjectMasks
    classes: Tensor
    ignored: Tensor

    @classmethod
    def of_input(cls, x: dict) -> "GroundTruth":
        """From Detectron2's input dict: ``image``, ``instances``, and ``ignored`` where it has it.

        Raises:
            ValueError: as ``object_masks``.
        """
        size = tuple(x["image"].shape[-2:])
        ignored = x["ignored"] if "ignored" in x else torch.zeros(size, dtype=torch.bool)
        return cls(*object_masks(x["instances"], size), ignored)


def object_masks(instances: Instances, image_size: tuple[int, int]) -> tuple[ObjectMasks, Tensor]:
    """What a data loader gives.

    Args:
        instances: with ``gt_classes`` and ``gt_masks``: this project's ObjectMasks, or Detectron2's
            BitMasks or PolygonMasks; its mapper leaves ``gt_masks`` out where there is no object.
        image_size: (H, W).

    Returns:
        Masks of the G objects, and classes (G,) int64.

    Raises:
        ValueError: for instances without masks, or masks of another size than the image.
    """
    if len(instances) == 0:
        masks = ObjectMasks.of(torch.zeros((0, *image_size), dtype=torch.bool))
        return masks, torch.zeros(0, dtype=torch.int64)
    if not instances.has("gt_masks"):
        raise ValueError(
            "the training data has objects without masks: set MODEL.MASK_ON True and train on a "
            "data set whose annotations have a segmentation"
        )
    masks = instances.gt_masks
    if isinstance(masks, PolygonMasks):
        masks = BitMasks.from_polygon_masks(masks, *image_size)
    if not isinstance(masks, ObjectMasks):
        masks = ObjectMasks.of(masks.tensor.bool())
    if masks.size != tuple(image_size):
        raise ValueError(f"gt_masks are {masks.size}, but the image is {tuple(image_size)}")
    return masks, instances.gt_classes

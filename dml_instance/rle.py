"""The run-length form of masks that COCO's tools work on."""

import numpy as np
from pycocotools import mask as coco_mask


def encoded(mask: np.ndarray) -> dict:
    """A mask (H, W), bool or of zeros and ones, as a compressed RLE that JSON can hold."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def as_rle(segmentation: dict | list, height: int, width: int) -> dict:
    """Any of COCO's forms of a mask as a compressed RLE.

    Args:
        segmentation: an RLE, its counts compressed or as a list, or a list of polygons.
        height, width: of the image, which polygons do not know.

    Returns:
        A dict with ``size`` and ``counts``.
    """
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation

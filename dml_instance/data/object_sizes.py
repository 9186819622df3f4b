"""How large the objects of a data set are, and how far apart the pieces of one lie.

Shapes: H x W pixels of a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..images import evenly_spread
from ..rle import areas, as_rle, decoded_part

# Enough to know quartiles by a few per cent; spread over the whole data set.
_IMAGES = 1000
_OBJECTS_IN_PIECES = 300

# What is less of an object than this is a speck of its annotation, not a piece.
_LEAST_PIECE = 0.02


@dataclass(frozen=True)
class ObjectSizes:
    """Lengths in pixels of the images as they are loaded.

    Attributes:
        images, objects: how many were measured.
        most: objects that one image of the data set holds, of all its images.
        diameter: quartiles of the diameter of a disc of an object's area.
        extent: median of the longer side of an object's box.
        short_side: median of the images.
        in_pieces: share of objects that lie in pieces, in [0, 1].
        gap: of those, what nine of ten pieces have at most to the nearest other one; 0 where there
            are none.
    """

    images: int
    objects: int
    most: int
    diameter: tuple[float, float, float]
    extent: float
    short_side: float
    in_pieces: float
    gap: float


def measure_objects(records: Sequence[dict]) -> ObjectSizes:
    """The sizes of a data set's objects; of large ones, a part spread evenly over it.

    Args:
        records: Detectron2's, with masks.

    Raises:
        ValueError: where there is no object with a mask.
    """
    most = max((len(_objects(record)) for record in records), default=0)
    records = evenly_spread(records, _IMAGES)
    masks, short_sides = [], []
    for record in records:
        size = record["height"], record["width"]
        short_sides.append(min(size))
        masks += [as_rle(annotation["segmentation"], *size) for annotation in _objects(record)]
    masks = [mask for mask in masks if coco_mask.area(mask)]
    if not masks:
        raise ValueError("the data set has no object with a mask to measure")
    gaps = [_gaps(mask) for mask in evenly_spread(masks, _OBJECTS_IN_PIECES)]
    of_pieces = [gap for of_object in gaps for gap in of_object]
    quartiles = np.quantile(2 * np.sqrt(areas(masks) / np.pi), (0.25, 0.5, 0.75))
    return ObjectSizes(
        images=len(records),
        objects=len(masks),
        most=most,
        diameter=tuple(round(float(value), 1) for value in quartiles),
        extent=float(np.median(coco_mask.toBbox(masks)[:, 2:].max(axis=1))),
        short_side=float(np.median(short_sides)),
        in_pieces=round(float(np.mean([len(of_object) > 0 for of_object in gaps])), 3),
        gap=round(float(np.quantile(of_pieces, 0.9)), 1) if of_pieces else 0.0,
    )


def _objects(record: dict) -> list[dict]:
    """The annotations that are objects with a mask."""
    return [
        annotation
        for annotation in record["annotations"]
        if annotation.get("segmentation") and not annotation.get("iscrowd", 0)
    ]


def _gaps(mask: dict) -> list[float]:
    """How many pixels lie between each piece of a mask and the nearest other one; [] for one
    piece."""
    pixels, _ = decoded_part(mask)
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(
        pixels.view(np.uint8), connectivity=8
    )
    sizes = facts[:, cv2.CC_STAT_AREA]
    numbers = [i for i in range(1, count) if sizes[i] >= _LEAST_PIECE * pixels.sum()]
    if len(numbers) < 2:
        return []
    gaps = []
    for number in numbers:
        others = np.isin(pieces, [other for other in numbers if other != number])
        # To the nearest zero; two pixels that touch are one apart, and have nothing between them.
        distance = cv2.distanceTransform(1 - others.astype(np.uint8), cv2.DIST_L2, 5)
        gaps.append(float(distance[pieces == number].min()) - 1)
    return gaps

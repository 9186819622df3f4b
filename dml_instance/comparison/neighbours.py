"""Objects that touch another one of their class, and AP of a part of the objects.

Shapes: N masks.
"""

import copy
from collections.abc import Container

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..evaluation.coco_scheme import accumulated, mean_percent
from ..rle import decoded_part, encoded_inside

# Objects touch where no more than so many pixels lie between them: VOC's border alone is five wide.
GAP = 10

# Outside every range of areas, so that COCO's evaluation ignores an object: a detection of it is
# neither right nor wrong.
_IGNORED = -1.0
_ALL_AREAS = [0.0, 1e10]


def touching(ground_truth: COCO) -> set[int]:
    """Ids of the annotations that touch, or overlap, another one of their class."""
    found = set()
    for image_id in ground_truth.getImgIds():
        objects = [a for a in ground_truth.imgToAnns[image_id] if not a.get("iscrowd", 0)]
        for category in {a["category_id"] for a in objects}:
            alike = [a for a in objects if a["category_id"] == category]
            is_near = _touching([ground_truth.annToRLE(a) for a in alike])
            found |= {a["id"] for a, near in zip(alike, is_near, strict=True) if near}
    return found


def by_neighbours(ground_truth: COCO) -> dict[str, set[int]]:
    """Annotation ids of the objects that touch one of their class, and of the others; {} where
    there is only one of the two kinds."""
    near = touching(ground_truth)
    apart = {i for i, a in ground_truth.anns.items() if not a.get("iscrowd", 0)} - near
    parts = {"touch one of their class": near, "stand apart": apart}
    return parts if near and apart else {}


def _touching(masks: list[dict]) -> np.ndarray:
    """(N,) bool, which of N masks of one class and image touch another one."""
    grown = [_grown(mask) for mask in masks]
    # Against a "crowd" COCO's IoU is over 0 where a pixel is shared.
    meets = np.reshape(coco_mask.iou(grown, masks, [1] * len(masks)), [len(masks)] * 2) > 0
    np.fill_diagonal(meets, False)
    return meets.any(axis=1)


def _grown(mask: dict) -> dict:
    """A mask and all within GAP pixels of it, as an RLE."""
    # Pixels side by side are one apart, and have nothing between them.
    reach = GAP + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    part, (top, left) = decoded_part(mask)
    near = cv2.dilate(np.pad(part.astype(np.uint8), reach), disc)
    return encoded_inside(near.astype(bool), (top - reach, left - reach), tuple(mask["size"]))


def part_ap(
    ground_truth: COCO, predictions: COCO, max_detections: int, annotation_ids: Container[int]
) -> dict[str, float]:
    """AP and AP50 of masks, in percent, of some of the objects; the others are ignored.

    Args:
        ground_truth, predictions: of one data set.
        max_detections: counted an image.
        annotation_ids: of the objects that count.

    Returns:
        Means over the classes that have such objects; NaN without any.
    """
    part = copy.copy(ground_truth)
    part.anns = {
        identity: {**a, "area": a["area"] if identity in annotation_ids else _IGNORED}
        for identity, a in ground_truth.anns.items()
    }
    evaluation = COCOeval(part, predictions, "segm")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [_ALL_AREAS], ["all"]
    precision, _ = accumulated(evaluation, max_detections)
    return {"AP": mean_percent(precision), "AP50": mean_percent(precision[0])}

"""What became of every object and every prediction.

An object is found, or merged, split, poor, missed; a prediction too many is a duplicate, background
or part of such an object.

Shapes: P predictions and G objects of an image.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from dml_instance.rle import areas

# A mask is found at this IoU, and a part of a mask is most of it at this share.
HALF = 0.5
# Below this IoU, or share, two masks have nothing to do with each other.
TOUCH = 0.1

OBJECT_KINDS = ("found", "wrong class", "merged", "split", "poor mask", "missed")
PREDICTION_KINDS = ("duplicate", "background", "other")


def count_errors(ground_truth: COCO, predictions: COCO, min_score: float) -> dict[str, int]:
    """Counts over a data set.

    Every object is one of
        found: a prediction of its class has IoU >= 0.5 with it (best score first, each used once);
        wrong class: only one of another class has;
        merged: a prediction covers at least half of it and half of another object;
        split: two or more predictions lie at least half inside it and cover at least half of it
            together;
        poor mask: a prediction has IoU >= 0.1 with it;
        missed: none has.
    Every prediction that found nothing, of any class, is one of
        duplicate: IoU >= 0.5 with an object that another one found;
        background: less than 0.1 of it lies in any object;
        other: what belongs to the merged, split and poor objects above.

    Args:
        ground_truth, predictions: of one data set; see ``load_predictions``.
        min_score: predictions below it are left out.

    Returns:
        {kind: count} with all of ``OBJECT_KINDS`` and ``PREDICTION_KINDS``.
    """
    counts = Counter(dict.fromkeys((*OBJECT_KINDS, *PREDICTION_KINDS), 0))
    for image in _overlaps(ground_truth, predictions, min_score):
        counts.update(_errors_of_image(image))
    return dict(counts)


@dataclass(frozen=True)
class _Overlaps:
    """How the P predictions of an image, best first, meet its G objects.

    Attributes:
        iou: (P, G) float in [0, 1], like the next two.
        share_of_object, share_of_prediction: what part of either the other covers.
        same_class: (P, G) bool.
    """

    iou: np.ndarray
    share_of_object: np.ndarray
    share_of_prediction: np.ndarray
    same_class: np.ndarray


def _overlaps(ground_truth: COCO, predictions: COCO, min_score: float) -> Iterator[_Overlaps]:
    """Of every image, predictions below ``min_score`` left out."""
    for image_id in ground_truth.getImgIds():
        objects = [a for a in ground_truth.imgToAnns[image_id] if not a.get("iscrowd", 0)]
        found = [p for p in predictions.imgToAnns[image_id] if p["score"] >= min_score]
        found.sort(key=lambda p: -p["score"])
        object_masks = [ground_truth.annToRLE(a) for a in objects]
        masks = [p["segmentation"] for p in found]
        iou = np.reshape(
            coco_mask.iou(masks, object_masks, [0] * len(objects)), (len(found), len(objects))
        )
        object_areas, found_areas = areas(object_masks)[None], areas(masks)[:, None]
        intersection = iou * (object_areas + found_areas) / (1 + iou)
        yield _Overlaps(
            iou=iou,
            share_of_object=intersection / np.maximum(object_areas, 1),
            share_of_prediction=intersection / np.maximum(found_areas, 1),
            same_class=np.array(
                [[p["category_id"] == a["category_id"] for a in objects] for p in found],
                dtype=bool,
            ).reshape(iou.shape),
        )


def _errors_of_image(image: _Overlaps) -> Counter:
    """Counts of one image."""
    count, objects = image.iou.shape
    if not objects:
        return Counter({"background": count})
    if not count:
        return Counter({"missed": objects})
    iou, same_class = image.iou, image.same_class
    share_of_object, share_of_prediction = image.share_of_object, image.share_of_prediction

    fate: dict[int, str] = {}
    used: set[int] = set()
    for kind, allowed in (("found", same_class), ("wrong class", ~same_class)):
        for index in range(count):
            if index in used:
                continue
            free = [
                j
                for j in range(objects)
                if j not in fate and allowed[index, j] and iou[index, j] >= HALF
            ]
            if free:
                fate[max(free, key=lambda j: iou[index, j])] = kind
                used.add(index)

    covers = share_of_object >= HALF
    merges = covers.sum(axis=1) >= 2
    inside = share_of_prediction >= HALF
    counts = Counter(fate.values())
    for j in range(objects):
        if j in fate:
            continue
        pieces = inside[:, j]
        if (covers[:, j] & merges).any():
            counts["merged"] += 1
        elif pieces.sum() >= 2 and share_of_object[pieces, j].sum() >= HALF:
            counts["split"] += 1
        elif iou[:, j].max() >= TOUCH:
            counts["poor mask"] += 1
        else:
            counts["missed"] += 1
    for index in range(count):
        if index in used:
            continue
        if iou[index].max() >= HALF:
            counts["duplicate"] += 1
        elif share_of_prediction[index].sum() < TOUCH:
            counts["background"] += 1
        else:
            counts["other"] += 1
    return counts

"""What became of every object and every prediction.

An object is found, or merged, split, poor, missed; a prediction too many is a duplicate, background
or part of such an object.

Shapes: P predictions and G objects of an image.
"""

from collections import Counter
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
    return _count(_overlaps(ground_truth, predictions), min_score)


@dataclass(frozen=True)
class _Overlaps:
    """How the P predictions of an image, best first, meet its G objects.

    Attributes:
        score: (P,) float, descending.
        iou: (P, G) float in [0, 1], like the next two.
        share_of_object, share_of_prediction: what part of either the other covers.
        same_class: (P, G) bool.
    """

    score: np.ndarray
    iou: np.ndarray
    share_of_object: np.ndarray
    share_of_prediction: np.ndarray
    same_class: np.ndarray


def _overlaps(ground_truth: COCO, predictions: COCO) -> list[_Overlaps]:
    """Of every image. Comparing masks is what takes time, and no score changes it."""
    overlaps = []
    for image_id in ground_truth.getImgIds():
        objects = [a for a in ground_truth.imgToAnns[image_id] if not a.get("iscrowd", 0)]
        found = sorted(predictions.imgToAnns[image_id], key=lambda p: -p["score"])
        object_masks = [ground_truth.annToRLE(a) for a in objects]
        masks = [p["segmentation"] for p in found]
        iou = np.reshape(
            coco_mask.iou(masks, object_masks, [0] * len(objects)), (len(found), len(objects))
        )
        object_areas = areas(object_masks)[None]
        mask_areas = areas(masks)[:, None]
        intersection = iou * (object_areas + mask_areas) / (1 + iou)
        overlaps.append(
            _Overlaps(
                score=np.array([p["score"] for p in found]),
                iou=iou,
                share_of_object=intersection / np.maximum(object_areas, 1),
                share_of_prediction=intersection / np.maximum(mask_areas, 1),
                same_class=np.array(
                    [[p["category_id"] == a["category_id"] for a in objects] for p in found],
                    dtype=bool,
                ).reshape(iou.shape),
            )
        )
    return overlaps


def _count(overlaps: list[_Overlaps], min_score: float) -> dict[str, int]:
    """The counts of ``count_errors``."""
    counts = Counter(dict.fromkeys((*OBJECT_KINDS, *PREDICTION_KINDS), 0))
    for image in overlaps:
        counts.update(_errors_of_image(image, int((image.score >= min_score).sum())))
    return dict(counts)


def _errors_of_image(image: _Overlaps, count: int) -> Counter:
    """Counts of one image with its best ``count`` predictions."""
    objects = image.iou.shape[1]
    if not objects:
        return Counter({"background": count})
    if not count:
        return Counter({"missed": objects})
    iou, same_class = image.iou[:count], image.same_class[:count]
    share_of_object, share_of_prediction = (
        image.share_of_object[:count],
        image.share_of_prediction[:count],
    )

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


def best_min_score(ground_truth: COCO, predictions: COCO) -> float:
    """The least score at which F1 of masks at IoU 0.5 is highest, whatever a model's scores mean.

    Args:
        ground_truth, predictions: of one data set.

    Returns:
        One of 0.05 to 0.95 in steps of 0.05.
    """
    overlaps = _overlaps(ground_truth, predictions)

    def f1(score: float) -> float:
        counts = _count(overlaps, score)
        objects = sum(counts[kind] for kind in OBJECT_KINDS)
        wrong = sum(counts[kind] for kind in PREDICTION_KINDS) + counts["wrong class"]
        return 2 * counts["found"] / max(objects + counts["found"] + wrong, 1)

    return float(max(np.arange(0.05, 1.0, 0.05), key=f1))

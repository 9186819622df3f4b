"""What became of every object and every prediction: found, merged, split, poor, missed; duplicates and background."""

from collections import Counter

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

# A mask is found at this IoU, and a part of a mask is most of it at this share.
HALF = 0.5
# Below this IoU, or share, two masks have nothing to do with each other.
TOUCH = 0.1

OBJECT_KINDS = ("found", "wrong class", "merged", "split", "poor mask", "missed")
PREDICTION_KINDS = ("duplicate", "background", "other")


def count_errors(ground_truth: COCO, predictions: COCO, min_score: float) -> dict[str, int]:
    """Counts over a data set, of the predictions with at least a score.

    Every object is one of
        found: a prediction of its class has IoU >= 0.5 with it (best score first, each used once);
        wrong class: only one of another class has;
        merged: a prediction covers at least half of it and half of another object;
        split: two or more predictions lie at least half inside it and cover at least half of it together;
        poor mask: a prediction has IoU >= 0.1 with it;
        missed: none has.
    Every prediction that found nothing, of any class, is one of
        duplicate: IoU >= 0.5 with an object that another one found;
        background: less than 0.1 of it lies in any object;
        other: what belongs to the merged, split and poor objects above.

    Returns:
        {kind: count} with all kinds.
    """
    counts = Counter(dict.fromkeys((*OBJECT_KINDS, *PREDICTION_KINDS), 0))
    for image_id in ground_truth.getImgIds():
        objects = [a for a in ground_truth.imgToAnns[image_id] if not a.get("iscrowd", 0)]
        found = [p for p in predictions.imgToAnns[image_id] if p["score"] >= min_score]
        found.sort(key=lambda p: -p["score"])
        counts.update(_errors_of_image(ground_truth, objects, found))
    return dict(counts)


def _errors_of_image(ground_truth: COCO, objects: list[dict], predictions: list[dict]) -> Counter:
    if not objects:
        return Counter({"background": len(predictions)})
    if not predictions:
        return Counter({"missed": len(objects)})
    object_masks = [ground_truth.annToRLE(a) for a in objects]
    prediction_masks = [p["segmentation"] for p in predictions]
    iou = coco_mask.iou(prediction_masks, object_masks, [0] * len(objects))
    areas = coco_mask.area(object_masks).astype(np.float64)
    prediction_areas = coco_mask.area(prediction_masks).astype(np.float64)
    intersection = iou * (areas[None] + prediction_areas[:, None]) / (1 + iou)
    share_of_object = intersection / np.maximum(areas[None], 1)
    share_of_prediction = intersection / np.maximum(prediction_areas[:, None], 1)
    same_class = np.array([[p["category_id"] == a["category_id"] for a in objects] for p in predictions])

    fate: dict[int, str] = {}
    used: set[int] = set()
    for kind, allowed in (("found", same_class), ("wrong class", ~same_class)):
        for index in range(len(predictions)):
            if index in used:
                continue
            free = [j for j in range(len(objects)) if j not in fate and allowed[index, j] and iou[index, j] >= HALF]
            if free:
                fate[max(free, key=lambda j: iou[index, j])] = kind
                used.add(index)

    covers = share_of_object >= HALF
    merges = covers.sum(axis=1) >= 2
    inside = share_of_prediction >= HALF
    counts = Counter(fate.values())
    for j in range(len(objects)):
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
    for index in range(len(predictions)):
        if index in used:
            continue
        if iou[index].max() >= HALF:
            counts["duplicate"] += 1
        elif share_of_prediction[index].sum() < TOUCH:
            counts["background"] += 1
        else:
            counts["other"] += 1
    return counts


def best_min_score(ground_truth: COCO, predictions: COCO, candidates: np.ndarray | None = None) -> float:
    """The least score at which F1 of masks at IoU 0.5 is highest: where a model is best used, whatever its scores mean.

    Args:
        ground_truth, predictions: of one data set.
        candidates: scores to try; 0.05 to 0.95 in steps of 0.05 if None.
    """
    candidates = np.arange(0.05, 1.0, 0.05) if candidates is None else candidates

    def f1(score: float) -> float:
        counts = count_errors(ground_truth, predictions, score)
        objects = sum(counts[kind] for kind in OBJECT_KINDS)
        wrong = sum(counts[kind] for kind in PREDICTION_KINDS) + counts["wrong class"]
        return 2 * counts["found"] / max(objects + counts["found"] + wrong, 1)

    return float(max(candidates, key=f1))

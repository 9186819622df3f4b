"""What became of every object and every prediction of an image.

An object is found, or merged, split, poor, missed; a prediction too many is a duplicate, background
or part of such an object.

Shapes: P predictions and G objects of an image.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from ..rle import areas
from .image_masks import ImageMasks

# A mask is found at this IoU, and a part of a mask is most of it at this share.
HALF = 0.5
# Below this IoU, or share, two masks have nothing to do with each other.
TOUCH = 0.1

OBJECT_KINDS = ("found", "wrong class", "merged", "split", "poor mask", "missed")
PREDICTION_KINDS = ("duplicate", "background", "other")


@dataclass(frozen=True)
class Fates:
    """Of one image, at a least score.

    Attributes:
        objects: (G,) of ``OBJECT_KINDS``, in the order of the image's truth.
        predictions: of ``PREDICTION_KINDS``, one for each prediction of the least score that found
            nothing.
    """

    objects: list[str]
    predictions: list[str]


def count_fates(fates: Iterable[Fates]) -> dict[str, int]:
    """{kind: count} over images, with all of ``OBJECT_KINDS`` and ``PREDICTION_KINDS``."""
    counts = Counter(dict.fromkeys((*OBJECT_KINDS, *PREDICTION_KINDS), 0))
    for of_image in fates:
        counts.update(of_image.objects)
        counts.update(of_image.predictions)
    return dict(counts)


def fates_of(image: ImageMasks, min_score: float) -> Fates:
    """The fates of an image's objects and predictions.

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
        image: crowds and void count for nothing.
        min_score: predictions below it are left out.
    """
    overlaps = _overlaps(image, min_score)
    iou, same_class = overlaps.iou, overlaps.same_class
    share_of_object = overlaps.share_of_object
    share_of_prediction = overlaps.share_of_prediction
    count, objects = iou.shape
    if not objects:
        return Fates([], ["background"] * count)
    if not count:
        return Fates(["missed"] * objects, [])

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
    for j in range(objects):
        if j in fate:
            continue
        pieces = inside[:, j]
        if (covers[:, j] & merges).any():
            fate[j] = "merged"
        elif pieces.sum() >= 2 and share_of_object[pieces, j].sum() >= HALF:
            fate[j] = "split"
        elif iou[:, j].max() >= TOUCH:
            fate[j] = "poor mask"
        else:
            fate[j] = "missed"
    predictions = []
    for index in range(count):
        if index in used:
            continue
        if iou[index].max() >= HALF:
            predictions.append("duplicate")
        elif share_of_prediction[index].sum() < TOUCH:
            predictions.append("background")
        else:
            predictions.append("other")
    return Fates([fate[j] for j in range(objects)], predictions)


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


def _overlaps(image: ImageMasks, min_score: float) -> _Overlaps:
    """Predictions below ``min_score`` left out."""
    kept = [i for i, score in enumerate(image.scores) if score >= min_score]
    kept.sort(key=lambda i: -image.scores[i])
    masks = [image.predictions[i] for i in kept]
    objects = list(image.truth)
    iou = np.reshape(coco_mask.iou(masks, objects, [0] * len(objects)), (len(masks), len(objects)))
    object_areas, found_areas = areas(objects)[None], areas(masks)[:, None]
    intersection = iou * (object_areas + found_areas) / (1 + iou)
    classes = np.array([image.prediction_classes[i] for i in kept], dtype=np.int64)
    return _Overlaps(
        iou=iou,
        share_of_object=intersection / np.maximum(object_areas, 1),
        share_of_prediction=intersection / np.maximum(found_areas, 1),
        same_class=classes[:, None] == np.asarray(image.truth_classes, dtype=np.int64)[None],
    )

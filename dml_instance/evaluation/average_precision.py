"""mAP^r, average precision on masks as the literature on Pascal VOC reports it.

Pure functions of run-length masks.

Hariharan et al., Simultaneous Detection and Segmentation, ECCV 2014. Unlike COCO's, a detection
belongs to the object that it overlaps most, and a second detection of an object is false even where
it would fit another one; the area is that under the monotone precision-recall curve, at every
recall.

Masks are COCO's compressed RLEs throughout, so memory does not grow with their area. Shapes: N
detections and G objects of one class in one image, T thresholds.
"""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from ..rle import areas
from .image_masks import ImageMasks


def mask_iou(
    predictions: Sequence[dict],
    truth: Sequence[dict],
    void: dict | None = None,
    objects: Sequence[dict] = (),
) -> np.ndarray:
    """IoU of detections and objects, the pixels of ``void`` taken away from the detections.

    Args:
        predictions: N of them.
        truth: G of them.
        void: None: there is none.
        objects: of the whole image; their pixels are not void. May be left out where the void has
            none of ``truth``.

    Returns:
        (N, G) float64 in [0, 1]; 0 for two empty masks.
    """
    predictions, truth = list(predictions), list(truth)
    if not predictions or not truth:
        return np.zeros((len(predictions), len(truth)))
    intersection = _intersection(predictions, truth)
    area = areas(predictions)[:, None]
    if void is not None:
        area = area - _intersection(predictions, [void])
        if len(objects):
            void_of_objects = coco_mask.merge(
                [void, coco_mask.merge(list(objects))], intersect=True
            )
            area = area + _intersection(predictions, [void_of_objects])
    union = area + areas(truth)[None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _intersection(predictions: list[dict], masks: list[dict]) -> np.ndarray:
    """(N, G) float64 numbers of pixels, whole."""
    # Against a "crowd" COCO's IoU is the share of the detection that it covers: intersections
    # without decoding. That share times the area is a whole number but for its last bit, which
    # decides where an IoU is just the threshold.
    share = coco_mask.iou(predictions, masks, [1] * len(masks))
    return np.rint(share * areas(predictions)[:, None])


def true_detections(iou: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which detections of one class in one image are true.

    Args:
        iou: (N, G), detections by descending score.
        thresholds: (T,), IoU from which a detection can be true, > 0.

    Returns:
        (T, N) bool: True where the detection overlaps the object that it overlaps most (the first
        of equals) by at least the threshold, and no earlier one did.
    """
    if iou.shape[1] == 0:
        return np.zeros((len(thresholds), len(iou)), dtype=bool)
    best = iou.argmax(axis=1)
    reaches = iou.max(axis=1)[None] >= thresholds[:, None]
    is_first = np.zeros_like(reaches)
    for index in np.unique(best):
        mine = np.flatnonzero(best == index)
        claims = reaches[:, mine]
        is_first[:, mine] = claims & (claims.cumsum(axis=1) == 1)
    return is_first


def average_precision(is_true: np.ndarray, objects: int) -> float:
    """Area under the monotone precision-recall curve.

    Args:
        is_true: (M,) bool, all detections of a class by descending score.
        objects: how many there are to find.

    Returns:
        In [0, 1]; NaN without objects.
    """
    if objects == 0:
        return float("nan")
    found = is_true.cumsum()
    precision = found / np.arange(1, len(is_true) + 1)
    # The best precision at this recall or a higher one; recall rises by one object at each true
    # detection.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[is_true].sum() / objects)


def mean_average_precision_masks(
    images: Sequence[ImageMasks], num_classes: int, thresholds: Sequence[float]
) -> np.ndarray:
    """AP^r of every class at every threshold.

    Detections of equal score keep their order within an image, and images theirs.

    Args:
        images: of the whole data set, those without predictions included.
        num_classes: K.
        thresholds: T of them.

    Returns:
        (T, K) in [0, 1]; NaN for a class without objects, 0 for one with objects and without
        detections.
    """
    thresholds = np.asarray(thresholds, dtype=np.float64)
    objects = np.zeros(num_classes, dtype=np.int64)
    scores: list[list[np.ndarray]] = [[] for _ in range(num_classes)]
    is_true: list[list[np.ndarray]] = [[] for _ in range(num_classes)]
    for image in images:
        truth_classes = np.asarray(image.truth_classes, dtype=np.int64)
        classes = np.asarray(image.prediction_classes, dtype=np.int64)
        objects += np.bincount(truth_classes, minlength=num_classes)
        image_scores = np.asarray(image.scores, dtype=np.float64)
        void = image.void_and_crowds
        for index in np.unique(classes):
            mine = np.flatnonzero(classes == index)
            mine = mine[np.argsort(-image_scores[mine], kind="stable")]
            iou = mask_iou(
                [image.predictions[i] for i in mine],
                [image.truth[i] for i in np.flatnonzero(truth_classes == index)],
                void,
                image.truth,
            )
            scores[index].append(image_scores[mine])
            is_true[index].append(true_detections(iou, thresholds))
    result = np.full((len(thresholds), num_classes), np.nan)
    for index in np.flatnonzero(objects):
        if not scores[index]:
            result[:, index] = 0
            continue
        order = np.argsort(-np.concatenate(scores[index]), kind="stable")
        for row, ranked in zip(
            result, np.concatenate(is_true[index], axis=1)[:, order], strict=True
        ):
            row[index] = average_precision(ranked, int(objects[index]))
    return result

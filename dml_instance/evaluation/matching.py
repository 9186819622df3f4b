"""Predictions and objects matched one to one by IoU: AP_dsb, precision, recall and F1.

Pure functions of run-length masks. What is counted is that of StarDist (Schmidt et al., MICCAI
2018), Cellpose (Stringer et al., Nature Methods 2021) and the Data Science Bowl 2018 (Caicedo et
al., Nature Methods 2019): of the predictions of a least score as many as possible are matched with
an object of their class, each with one; those of equal number that have the greater IoU.

Two rules are those of panoptic segmentation (Kirillov et al., CVPR 2019): void pixels are taken
away from predictions, and a prediction that finds nothing and of which more than half is void, or a
crowd of its class, is not counted as false.

Shapes: N predictions and G objects of one class in one image, M pairs of them, T thresholds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from .image_masks import ImageMasks

# IoU 0.5, 0.55 ... 0.95, each the double nearest to it, so that an IoU of just so much is enough.
THRESHOLDS = np.arange(10, 20) / 20
# Where a least score is looked for: 0.05, 0.1 ... 0.95.
_LEAST_SCORES = np.arange(1, 20) / 20


def best_pairs(rows: np.ndarray, columns: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Which pairs make the one-to-one matching of the largest sum of gains.

    Args:
        rows, columns: (M,) int, no pair twice.
        gains: (M,) float > 0.

    Returns:
        (M,) bool.
    """
    of_rows, row = np.unique(rows, return_inverse=True)
    of_columns, column = np.unique(columns, return_inverse=True)
    if len(of_rows) == len(of_columns) == len(gains):
        return np.ones(len(gains), dtype=bool)
    dense = np.zeros((len(of_rows), len(of_columns)))
    dense[row, column] = gains
    is_matched = np.zeros(dense.shape, dtype=bool)
    is_matched[linear_sum_assignment(dense, maximize=True)] = True
    return is_matched[row, column]


def most_pairs(rows: np.ndarray, columns: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """As ``best_pairs``, of the largest number of pairs and, of these, the largest sum of IoU."""
    # All IoUs together count less than one pair.
    return best_pairs(rows, columns, 1 + iou / (2 * max(len(iou), 1)))


@dataclass(frozen=True)
class Candidates:
    """Which predictions and objects of one class in one image may match.

    Attributes:
        class_index: of K.
        scores: (N,) float.
        is_ignored: (N,) bool; not false, if it finds nothing.
        num_objects: G.
        prediction, object: (M,) int, indices of the pairs of IoU >= 0.5.
        iou: (M,) float.
    """

    class_index: int
    scores: np.ndarray
    is_ignored: np.ndarray
    num_objects: int
    prediction: np.ndarray
    object: np.ndarray
    iou: np.ndarray

    def counts(self, min_score: float, thresholds: Sequence[float] = THRESHOLDS) -> np.ndarray:
        """(T, 3) int: true and false positives and false negatives of the predictions of at least
        ``min_score`` at each threshold, >= 0.5."""
        is_kept = self.scores >= min_score
        counts = np.empty((len(thresholds), 3), dtype=np.int64)
        for row, threshold in zip(counts, thresholds, strict=True):
            may = is_kept[self.prediction] & (self.iou >= threshold)
            found = self.prediction[may]
            found = found[most_pairs(found, self.object[may], self.iou[may])]
            is_false = is_kept & ~self.is_ignored
            is_false[found] = False
            row[:] = len(found), is_false.sum(), self.num_objects - len(found)
        return counts


def candidates(image: ImageMasks) -> Iterator[Candidates]:
    """Of each class that an image has objects or predictions of."""
    truth_classes = np.asarray(image.truth_classes, dtype=np.int64)
    classes = np.asarray(image.prediction_classes, dtype=np.int64)
    scores = np.asarray(image.scores, dtype=np.float64)
    is_ignored = image.is_mostly_ignored()
    masks = image.without_void()
    for index in np.union1d(truth_classes, classes).tolist():
        mine, objects = np.flatnonzero(classes == index), np.flatnonzero(truth_classes == index)
        iou = np.zeros((len(mine), len(objects)))
        if iou.size:
            iou = coco_mask.iou(
                [masks[i] for i in mine], [image.truth[i] for i in objects], [0] * len(objects)
            )
        prediction, found = np.nonzero(iou >= THRESHOLDS[0])
        yield Candidates(
            index,
            scores[mine],
            is_ignored[mine],
            len(objects),
            prediction,
            found,
            iou[prediction, found],
        )


def best_min_score(found: Iterable[Candidates]) -> float:
    """The least score at which F1 at IoU 0.5 is highest, whatever a model's scores mean.

    Args:
        found: of all images of a data set.

    Returns:
        One of 0.05, 0.1 ... 0.95, the lowest of equals; counts of all classes are pooled.
    """
    curve = f1_by_min_score(found)
    return max(curve, key=lambda score: np.nan_to_num(curve[score]))


def f1_by_min_score(found: Iterable[Candidates]) -> dict[float, float]:
    """F1 at IoU 0.5, in [0, 1], at the least scores 0.05, 0.1 ... 0.95, in this order.

    Args:
        found: of all images of a data set; counts of all classes are pooled. NaN where there is
            neither an object nor a prediction.
    """
    found = list(found)

    def f1(min_score: float) -> float:
        counts = sum((c.counts(min_score, THRESHOLDS[:1])[0] for c in found), np.zeros(3))
        return float(ratios(counts)["F1"])

    return {float(score): f1(score) for score in _LEAST_SCORES}


def ratios(counts: np.ndarray) -> dict[str, np.ndarray]:
    """What is reported of counts.

    Args:
        counts: (..., 3), true and false positives and false negatives.

    Returns:
        (...) each, in [0, 1]: ``AP_dsb`` TP / (TP + FP + FN), ``precision`` TP / (TP + FP),
        ``recall`` TP / (TP + FN) and ``F1`` 2 TP / (2 TP + FP + FN). NaN where nothing is counted,
        and 0 where nothing is true.
    """
    true, false, missed = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    is_counted = true + false + missed > 0

    def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        value = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
        return np.where(is_counted, value, np.nan)

    return {
        "AP_dsb": ratio(true, true + false + missed),
        "precision": ratio(true, true + false),
        "recall": ratio(true, true + missed),
        "F1": ratio(2 * true, 2 * true + false + missed),
    }

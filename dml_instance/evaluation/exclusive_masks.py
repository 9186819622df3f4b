"""Measures of masks that share no pixel: PQ, SQ and RQ, symmetric best Dice, difference in count.

Pure functions of run-length masks. Predictions of a least score are drawn into one label image, in
which the better score keeps a pixel (the first of equals), whatever the classes; one that keeps
none is gone. Objects keep their pixels, where they overlap as well.

Shapes: N predictions that kept pixels and G objects, of all classes, in one image; K classes.
"""

from dataclasses import dataclass

import numpy as np

from ..rle import areas, decoded_part
from .image_masks import ImageMasks
from .matching import most_pairs


@dataclass(frozen=True)
class Segments:
    """How the predictions and the objects of an image meet, in pixels.

    Attributes:
        classes: (N,) int of the predictions, and truth_classes: (G,) of the objects.
        areas: (N,) int, void pixels not counted, and truth_areas: (G,).
        is_ignored: (N,) bool: more than half of it, void pixels counted, is void or a crowd of its
            class.
        intersections: (N, G) int.
    """

    classes: np.ndarray
    areas: np.ndarray
    is_ignored: np.ndarray
    truth_classes: np.ndarray
    truth_areas: np.ndarray
    intersections: np.ndarray

    def matched(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices of the predictions and objects of one class with IoU > 0.5, and their (M,) IoU.

        No object has two such predictions, since these share no pixel. A prediction can have two
        such objects where objects overlap, and is then matched with the one of the greater IoU.
        """
        union = self.areas[:, None] + self.truth_areas[None] - self.intersections
        iou = np.divide(self.intersections, union, out=np.zeros(union.shape), where=union > 0)
        same_class = self.classes[:, None] == self.truth_classes[None]
        found, objects = np.nonzero(same_class & (iou > 0.5))
        iou = iou[found, objects]
        kept = most_pairs(found, objects, iou)
        return found[kept], objects[kept], iou[kept]

    def counted(self) -> np.ndarray:
        """(N,) bool: all but the ignored predictions that match nothing."""
        found, *_ = self.matched()
        counted = ~self.is_ignored
        counted[found] = True
        return counted


def segments(image: ImageMasks, min_score: float) -> Segments:
    """The predictions of at least ``min_score`` made exclusive, and the objects of an image."""
    scores = np.asarray(image.scores, dtype=np.float64)
    ranked = np.argsort(-scores, kind="stable")
    ranked = ranked[scores[ranked] >= min_score]
    labels = np.zeros(image.size, dtype=np.int32)
    # The better ones are drawn over the others; 0 is background, and i + 1 the i-th best.
    for label in range(len(ranked), 0, -1):
        part, (top, left) = decoded_part(image.predictions[ranked[label - 1]])
        labels[top : top + part.shape[0], left : left + part.shape[1]][part] = label

    def pixels_of(seen: np.ndarray) -> np.ndarray:
        """(N,) number of pixels of each prediction among some labels."""
        return np.bincount(seen.ravel(), minlength=len(ranked) + 1)[1:]

    drawn = pixels_of(labels)
    void = image.void_pixels()
    drawn_on_void = np.zeros_like(drawn) if void is None else pixels_of(labels[void])
    classes = np.asarray(image.prediction_classes, dtype=np.int64)[ranked]
    ignored = np.zeros_like(drawn)
    for index in np.unique(classes):
        pixels = image.ignored_pixels(index)
        if pixels is not None:
            ignored = np.where(classes == index, pixels_of(labels[pixels]), ignored)
    intersections = np.zeros((len(image.truth), len(ranked)), dtype=np.int64)
    for row, mask in zip(intersections, image.truth, strict=True):
        part, (top, left) = decoded_part(mask)
        row[:] = pixels_of(labels[top : top + part.shape[0], left : left + part.shape[1]][part])
    kept = drawn > 0
    return Segments(
        classes[kept],
        (drawn - drawn_on_void)[kept],
        (ignored > drawn / 2)[kept],
        np.asarray(image.truth_classes, dtype=np.int64),
        areas(image.truth).astype(np.int64),
        intersections[:, kept].T,
    )


def panoptic_counts(of_image: Segments, num_classes: int) -> np.ndarray:
    """(K, 4) float: sum of IoU, true and false positives and false negatives of each class.

    Kirillov et al., Panoptic Segmentation, CVPR 2019, with their rules for void and crowds.
    """
    found, _, iou = of_image.matched()
    of_found, of_truth = of_image.classes[found], of_image.truth_classes
    true = np.bincount(of_found, minlength=num_classes)
    return np.stack(
        [
            np.bincount(of_found, weights=iou, minlength=num_classes),
            true,
            np.bincount(of_image.classes[of_image.counted()], minlength=num_classes) - true,
            np.bincount(of_truth, minlength=num_classes) - true,
        ],
        axis=1,
    )


def panoptic_quality(counts: np.ndarray) -> dict[str, np.ndarray]:
    """PQ, SQ and RQ of ``panoptic_counts`` (..., 4): (...) each, in [0, 1].

    SQ is the mean IoU of what is matched, RQ is F1 at IoU over 0.5, and PQ their product. NaN where
    nothing is counted, and 0 where nothing is matched.
    """
    iou, true, false, missed = np.moveaxis(counts, -1, 0)
    denominator = true + false / 2 + missed / 2
    nothing = np.where(denominator > 0, 0.0, np.nan)
    return {
        "PQ": np.divide(iou, denominator, out=nothing.copy(), where=denominator > 0),
        "SQ": np.divide(iou, true, out=nothing.copy(), where=true > 0),
        "RQ": np.divide(true, denominator, out=nothing.copy(), where=denominator > 0),
    }


def symmetric_best_dice(of_image: Segments) -> float:
    """SBD of an image, whatever the classes.

    Scharr, Minervini et al., Leaf segmentation in plant phenotyping: a collation study, Machine
    Vision and Applications 2016: the mean over predictions of the best Dice with an object, or the
    mean over objects of the best Dice with a prediction, whichever is smaller.

    Returns:
        In [0, 1]; 0 where there are predictions or objects alone, NaN where there is neither.
    """
    counted = of_image.counted()
    both = of_image.areas[counted][:, None] + of_image.truth_areas[None]
    intersections = of_image.intersections[counted]
    if not intersections.size:
        return float("nan") if intersections.shape == (0, 0) else 0.0
    dice = np.divide(2 * intersections, both, out=np.zeros(both.shape), where=both > 0)
    return float(min(dice.max(axis=1).mean(), dice.max(axis=0).mean()))


def difference_in_count(of_image: Segments) -> int:
    """DiC of an image: predictions less objects, whatever the classes. Source: as for SBD."""
    return int(of_image.counted().sum()) - len(of_image.truth_areas)

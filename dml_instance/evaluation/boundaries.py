"""Boundaries of masks: bands for Boundary IoU, and the F-measure of outlines within a tolerance.

Pure functions of run-length masks. Outside the image there is no mask: where an object is cut off
by the border of the image, its boundary runs along it.

Shapes: N predictions and G objects of one class in one image.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..rle import decoded_part, encoded_inside, encoded_part
from .image_masks import ImageMasks
from .matching import best_pairs

# Width of a band, in diagonals of the image: Cheng et al. for COCO.
BAND_RATIO = 0.02


def band(mask: dict) -> dict:
    """The pixels of a mask that are near its boundary, as an RLE.

    Near is a distance (the greater of rows and columns) of BAND_RATIO of the image's diagonal,
    rounded, and at least 1. Cheng et al., Boundary IoU, CVPR 2021.
    """
    size = tuple(mask["size"])
    width = max(round(BAND_RATIO * float(np.hypot(*size))), 1)
    part, corner = decoded_part(mask)
    # Beyond one pixel of nothing there is nothing to erode either.
    framed = np.pad(part.astype(np.uint8), 1)
    inner = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)
    return encoded_part(part & (inner[1:-1, 1:-1] == 0), corner, size)


@dataclass(frozen=True)
class Outline:
    """RLEs of a mask's ``pixels`` that have a neighbour (of 4) outside it, and of what is ``near``
    them, no further than a tolerance."""

    pixels: dict
    near: dict


def outline(mask: dict, tolerance: int) -> Outline:
    """A mask's outline.

    Args:
        mask: RLE.
        tolerance: Euclidean distance in pixels, >= 0.
    """
    part, (top, left) = decoded_part(mask)
    frame = 1 + tolerance
    framed = np.pad(part.astype(np.uint8), frame)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    pixels = framed & ~cv2.erode(framed, cross)
    across = np.arange(-tolerance, tolerance + 1)
    disc = (across[:, None] ** 2 + across[None] ** 2 <= tolerance**2).astype(np.uint8)
    corner = (top - frame, left - frame)
    return Outline(
        *(
            encoded_inside(grown.astype(bool), corner, tuple(mask["size"]))
            for grown in (pixels, cv2.dilate(pixels, disc))
        )
    )


def boundary_f(predictions: list[Outline], truth: list[Outline]) -> np.ndarray:
    """Boundary F-measure of all pairs.

    Martin et al., Learning to Detect Natural Image Boundaries, PAMI 2004, in the form of Perazzi et
    al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016:
    the harmonic mean of the share of the predicted outline that is near the true one, and of the
    share of the true one that is near the predicted one.

    Returns:
        (N, G) float in [0, 1]; 0 for empty masks.
    """
    if not predictions or not truth:
        return np.zeros((len(predictions), len(truth)))
    # Against a "crowd" COCO's IoU is the share of the first that lies in the second.
    precision = coco_mask.iou(
        [p.pixels for p in predictions], [t.near for t in truth], [1] * len(truth)
    )
    recall = coco_mask.iou(
        [t.pixels for t in truth], [p.near for p in predictions], [1] * len(predictions)
    ).T
    both = precision + recall
    return np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)


def boundary_counts(image: ImageMasks, min_score: float, tolerance: int) -> np.ndarray:
    """(3,) float of an image: sum of F of what is matched, number of predictions, and of objects.

    Predictions of at least ``min_score``, void pixels taken away, and objects of their class are
    matched one to one so that the sum of F is greatest; as the DAVIS challenge matches proposals
    with objects (Caelles et al., The 2019 DAVIS Challenge on VOS: Unsupervised Multi-Object
    Segmentation). No IoU is asked for: thin objects a pixel off have none. Of predictions that
    match nothing, those that are more than half void, or a crowd of their class, do not count.
    """
    classes = np.asarray(image.prediction_classes, dtype=np.int64)
    truth_classes = np.asarray(image.truth_classes, dtype=np.int64)
    is_kept = np.asarray(image.scores, dtype=np.float64) >= min_score
    is_counted = is_kept & ~image.is_mostly_ignored()
    masks = image.without_void()
    total = 0.0
    for index in np.intersect1d(truth_classes, classes[is_kept]):
        mine = np.flatnonzero(is_kept & (classes == index))
        f = boundary_f(
            [outline(masks[i], tolerance) for i in mine],
            [outline(image.truth[i], tolerance) for i in np.flatnonzero(truth_classes == index)],
        )
        found, objects = np.nonzero(f)
        matched = best_pairs(found, objects, f[found, objects])
        total += f[found, objects][matched].sum()
        is_counted[mine[found[matched]]] = True
    return np.array([total, is_counted.sum(), len(truth_classes)], dtype=np.float64)


def boundary_ratios(counts: np.ndarray) -> dict[str, float]:
    """``BF_precision``, the mean F over predictions, what matches nothing counted as 0;
    ``BF_recall``, that over objects; and ``BF``, their harmonic mean.

    Args:
        counts: (3,), those of ``boundary_counts`` of all images together.

    Returns:
        In [0, 1]. NaN without predictions and objects; 0 where nothing matches.
    """
    total, found, objects = counts

    def ratio(whole: float) -> float:
        return float(total / whole) if whole else (0.0 if found + objects else float("nan"))

    return {
        "BF": ratio((found + objects) / 2),
        "BF_precision": ratio(found),
        "BF_recall": ratio(objects),
    }

"""The field's metrics of instance segmentation beside AP, as a Detectron2 evaluator.

AP ranks all predictions; the others ask which objects there are, and need a least score; a mask
that is predicted for several classes is an object once. docs/metrics.md says what each means.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..report import class_table
from .boundaries import boundary_counts, boundary_ratios
from .coco_scheme import boundary_scores
from .exclusive_masks import (
    difference_in_count,
    panoptic_counts,
    panoptic_quality,
    segments,
    symmetric_best_dice,
)
from .image_masks import ImageMasks, gather_masks
from .mask_predictions import MaskPredictions
from .matching import THRESHOLDS, Candidates, best_min_score, candidates, ratios

# Beside their means over all thresholds, AP_dsb is given at these, in percent, and others at 50.
_REPORTED = (50, 60, 70, 75, 80, 90)
# Of each class, where there are several.
OF_CLASSES = ("AP_dsb", "F1@50", "PQ", "SQ", "RQ")


@dataclass(frozen=True)
class InstanceMetricRules:
    """How the metrics that rank nothing are taken.

    Attributes:
        min_score: predictions of a lower score are left out, in [0, 1]; None: the least score at
            which F1 at IoU 0.5 on the data set is highest.
        boundary_tolerance: how far two outlines may be apart, in pixels of the image, >= 0.

    Raises:
        ValueError: for a value out of its range, naming its key.
    """

    min_score: float | None = None
    boundary_tolerance: int = 2

    def __post_init__(self):
        is_number = isinstance(self.min_score, int | float)
        if self.min_score is not None and not (is_number and 0 <= self.min_score <= 1):
            raise ValueError(
                f"TEST.INSTANCE_METRICS.MIN_SCORE is None or in [0, 1], got {self.min_score!r}"
            )
        if self.boundary_tolerance < 0:
            raise ValueError(
                "TEST.INSTANCE_METRICS.BOUNDARY_TOLERANCE is in pixels, >= 0, "
                f"got {self.boundary_tolerance}"
            )

    @classmethod
    def from_config(cls, cfg) -> "InstanceMetricRules":
        """From ``TEST.INSTANCE_METRICS``."""
        metrics = cfg.TEST.INSTANCE_METRICS
        return cls(metrics.MIN_SCORE, metrics.BOUNDARY_TOLERANCE)


def score_instances(
    records: Sequence[dict],
    predictions: Sequence[dict],
    class_names: Sequence[str],
    rules: InstanceMetricRules | None = None,
    max_detections: int = 100,
) -> dict[str, dict[str, float]]:
    """All metrics of predictions on a data set; the order of images does not count.

    Args:
        records, predictions: as ``gather_masks`` takes them.
        class_names: K.
        rules: None: the defaults.
        max_detections: counted an image, for boundary AP alone.

    Returns:
        ``segm_instances``: ``min_score`` and the figures of ``metrics_at``. ``segm_boundary``:
        those of ``boundary_scores``.

    Raises:
        ValueError: as ``gather_masks``.
    """
    rules = rules or InstanceMetricRules()
    of_images = gather_masks(records, predictions, len(class_names))
    ranked = [of_images[identity] for identity in sorted(of_images)]
    images = [image.with_objects() for image in ranked]
    found = [list(candidates(image)) for image in images]
    min_score = rules.min_score
    if min_score is None:
        min_score = best_min_score(c for of_image in found for c in of_image)
    figures = metrics_at(min_score, images, found, class_names, rules.boundary_tolerance)
    return {
        "segm_instances": {"min_score": float(min_score), **figures},
        "segm_boundary": boundary_scores(ranked, class_names, max_detections),
    }


def metrics_at(
    min_score: float,
    images: Sequence[ImageMasks],
    found: Sequence[Sequence[Candidates]],
    class_names: Sequence[str],
    tolerance: int,
) -> dict[str, float]:
    """What is measured of the predictions of a least score.

    Args:
        min_score: the least score.
        images: of a data set.
        found: ``candidates`` of each image.
        class_names: K.
        tolerance: of outlines, in pixels.

    Returns:
        In percent, but for DiC and absDiC, which count objects; NaN where there is nothing to
        measure.

        ==========================  ===============================================================
        AP_dsb, F1, precision,      of the counts of all images and classes together, the mean over
        recall                      IoU 0.5, 0.55 ... 0.95; ``@50`` and so on at one IoU
        AP_dsb_image                the mean over images of that of each; also ``@50``
        PQ, SQ, RQ                  mean over classes that have objects
        SBD, DiC, absDiC            mean over images, whatever the classes
        BF, BF_precision,           of outlines, of all images and classes together
        BF_recall
        ==========================  ===============================================================

        Of more than one class also OF_CLASSES, as ``PQ-NAME``.
    """
    num_classes = len(class_names)
    counts = np.zeros((num_classes, len(THRESHOLDS), 3))
    of_images = []
    for of_image in found:
        of_images.append(np.zeros((len(THRESHOLDS), 3)))
        for c in of_image:
            of_class = c.counts(min_score)
            counts[c.class_index] += of_class
            of_images[-1] += of_class
    panoptic = np.zeros((num_classes, 4))
    outlines = np.zeros(3)
    dice, differences = [], []
    # One image at a time: the label image and the outlines of all would fill the memory.
    for image in images:
        of_image = segments(image, min_score)
        panoptic += panoptic_counts(of_image, num_classes)
        dice.append(symmetric_best_dice(of_image))
        differences.append(difference_in_count(of_image))
        outlines += boundary_counts(image, min_score, tolerance)

    pooled, quality = ratios(counts.sum(axis=0)), panoptic_quality(panoptic)
    by_image = ratios(np.array(of_images).reshape(-1, len(THRESHOLDS), 3))["AP_dsb"]
    has_objects = counts[:, 0, 0] + counts[:, 0, 2] > 0
    figures = {}
    for name, values in pooled.items():
        figures[name] = values.mean()
        for percent in _REPORTED if name == "AP_dsb" else _REPORTED[:1]:
            figures[f"{name}@{percent}"] = values[_at(percent)]
    figures |= {
        "AP_dsb_image": _mean(by_image.mean(axis=1)),
        "AP_dsb_image@50": _mean(by_image[:, 0]),
        **{name: _mean(values[has_objects]) for name, values in quality.items()},
        "SBD": _mean(dice),
        **boundary_ratios(outlines),
    }
    if num_classes > 1:
        of_classes = ratios(counts)
        of_classes = {
            "AP_dsb": of_classes["AP_dsb"].mean(axis=1),
            "F1@50": of_classes["F1"][:, 0],
            **quality,
        }
        for metric in OF_CLASSES:
            for name, value in zip(class_names, of_classes[metric], strict=True):
                figures[f"{metric}-{name}"] = value
    figures = {name: 100 * float(value) for name, value in figures.items()}
    return figures | {"DiC": _mean(differences), "absDiC": _mean(np.abs(differences))}


def _at(percent: int) -> int:
    """Index of a threshold."""
    return round((percent - 50) / 5)


def _mean(values: Sequence[float]) -> float:
    """Of what is no NaN, in an order that is none of the images'; NaN where there is nothing."""
    measured = [float(value) for value in values if value == value]
    return math.fsum(measured) / len(measured) if measured else float("nan")


class InstanceMetricsEvaluator(MaskPredictions):
    """The metrics of ``score_instances``, of any registered data set with masks."""

    def __init__(
        self,
        dataset_name: str,
        rules: InstanceMetricRules | None = None,
        max_detections: int = 100,
        distributed: bool = True,
    ):
        """
        Args:
            dataset_name: as registered.
            rules, max_detections: as of ``score_instances``.
            distributed: gather the predictions of all processes.
        """
        super().__init__(distributed)
        self._dataset_name = dataset_name
        self._rules = rules or InstanceMetricRules()
        self._max_detections = max_detections
        self._logger = logging.getLogger(__name__)

    def evaluate(self):
        """The result of ``score_instances``; empty on all processes but the first."""
        predictions = self.gathered()
        if predictions is None:
            return {}
        name = self._dataset_name
        result = score_instances(
            DatasetCatalog.get(name),
            predictions,
            MetadataCatalog.get(name).thing_classes,
            self._rules,
            self._max_detections,
        )
        figures = result["segm_instances"]
        self._logger.info(
            "%s, predictions of score %.2f and more%s\n\n%s\n",
            name,
            figures["min_score"],
            ", at which F1 at IoU 0.5 is highest" if self._rules.min_score is None else "",
            class_table(figures, OF_CLASSES, whole="all"),
        )
        return OrderedDict(result)

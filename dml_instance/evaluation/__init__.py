"""Metrics of masks for any registered data set: mAP^r, and those that docs/metrics.md lists."""

from .average_precision import mean_average_precision_masks
from .fates import OBJECT_KINDS, PREDICTION_KINDS, Fates, count_fates, fates_of
from .image_masks import ImageMasks, check_truth_has_masks, gather_masks
from .instance_metrics import InstanceMetricRules, InstanceMetricsEvaluator, score_instances
from .matching import best_min_score, candidates, f1_by_min_score, ratios
from .voc_instance import VOCInstanceEvaluator, score_predictions

__all__ = [
    "OBJECT_KINDS",
    "PREDICTION_KINDS",
    "Fates",
    "ImageMasks",
    "InstanceMetricRules",
    "InstanceMetricsEvaluator",
    "VOCInstanceEvaluator",
    "best_min_score",
    "candidates",
    "check_truth_has_masks",
    "count_fates",
    "f1_by_min_score",
    "fates_of",
    "gather_masks",
    "mean_average_precision_masks",
    "ratios",
    "score_instances",
    "score_predictions",
]

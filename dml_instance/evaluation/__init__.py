"""mAP^r, the mask metric of Pascal VOC, for any data set with masks."""

from .average_precision import ImageMasks, mean_average_precision_masks
from .voc_instance import VOCInstanceEvaluator, score_predictions

__all__ = [
    "ImageMasks",
    "VOCInstanceEvaluator",
    "mean_average_precision_masks",
    "score_predictions",
]

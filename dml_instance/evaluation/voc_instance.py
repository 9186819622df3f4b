"""mAP^r as a Detectron2 evaluator, and of saved predictions."""

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..files import write_json, write_text
from ..report import class_table
from .average_precision import mean_average_precision_masks
from .image_masks import gather_masks
from .mask_predictions import MaskPredictions

PREDICTIONS_FILE = "voc_instance_predictions.json"
RESULTS_FILE = "voc_instance_results.json"
# mAP^r is reported at each of these, and mAP^r_vol is the mean over all nine.
THRESHOLDS = np.arange(1, 10) / 10
_REPORTED = (0.5, 0.6, 0.7, 0.8, 0.9)


def score_predictions(
    records: Sequence[dict], predictions: Sequence[dict], class_names: Sequence[str]
) -> dict:
    """mAP^r of predictions on a data set.

    Args:
        records, predictions: as ``gather_masks`` takes them. Void pixels, and those of crowds of
            any class, are taken away from predictions.
        class_names: K.

    Returns:
        In percent: AP50 to AP90, the means over classes at IoU 0.5, 0.6 ... 0.9; APvol, the mean
        over thresholds 0.1, 0.2 ... 0.9 (mAP^r_vol); and the same of each class, as
        ``AP50-NAME``. NaN where there is no object.

    Raises:
        ValueError: as ``gather_masks``.
    """
    images = gather_masks(records, predictions, len(class_names))
    precision = 100 * mean_average_precision_masks(
        list(images.values()), len(class_names), THRESHOLDS
    )
    with_objects = ~np.isnan(precision[0])
    mean = (
        precision[:, with_objects].mean(axis=1)
        if with_objects.any()
        else np.full(len(THRESHOLDS), np.nan)
    )
    result = _named(mean)
    for name, of_class in zip(class_names, precision.T, strict=True):
        result |= {f"{metric}-{name}": value for metric, value in _named(of_class).items()}
    return result


def _named(precision: np.ndarray) -> dict[str, float]:
    """AP at each of THRESHOLDS to the figures that are reported."""
    figures = {f"AP{round(100 * t)}": float(precision[round(10 * t) - 1]) for t in _REPORTED}
    return {**figures, "APvol": float(precision.mean())}


class VOCInstanceEvaluator(MaskPredictions):
    """mAP^r of any registered data set with masks, see ``score_predictions``.

    Predictions are kept as RLEs.
    """

    def __init__(self, dataset_name: str, output_dir: str | None = None, distributed: bool = True):
        """
        Args:
            dataset_name: as registered.
            output_dir: for RESULTS_FILE and PREDICTIONS_FILE, which ``tools/score_voc.py`` scores
                again; None: neither.
            distributed: gather the predictions of all processes.
        """
        super().__init__(distributed)
        self._dataset_name = dataset_name
        self._output_dir = output_dir
        self._logger = logging.getLogger(__name__)

    def evaluate(self):
        """``{"segm_voc": ...}`` with the figures of ``score_predictions``.

        Empty on all processes but the first.
        """
        predictions = self.gathered()
        if predictions is None:
            return {}
        class_names = MetadataCatalog.get(self._dataset_name).thing_classes
        result = score_predictions(DatasetCatalog.get(self._dataset_name), predictions, class_names)
        self._logger.info("mAP^r of %s\n\n%s\n", self._dataset_name, class_table(result))
        if self._output_dir:
            os.makedirs(self._output_dir, exist_ok=True)
            write_text(os.path.join(self._output_dir, PREDICTIONS_FILE), json.dumps(predictions))
            write_json(os.path.join(self._output_dir, RESULTS_FILE), result)
        return OrderedDict(segm_voc=result)

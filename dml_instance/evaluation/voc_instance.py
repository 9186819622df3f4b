"""mAP^r as a Detectron2 evaluator, and of saved predictions."""

import itertools
import json
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from pycocotools import mask as coco_mask

from ..files import write_json, write_text
from ..report import table
from ..rle import as_rle, encoded
from .average_precision import ImageMasks, mean_average_precision_masks

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
        records: Detectron2's, of the whole data set: ``image_id``, ``height``, ``width``,
            ``annotations`` with ``segmentation`` and ``category_id``. Pixels of a ``void`` RLE, and
            of annotations with ``iscrowd``, are taken away from predictions; such annotations are
            no objects.
        predictions: in COCO's results form, with class indices as ``category_id``; masks in any of
            COCO's forms.
        class_names: K.

    Returns:
        In percent: AP50 to AP90, the means over classes at IoU 0.5, 0.6 ... 0.9; APvol, the mean
        over thresholds 0.1, 0.2 ... 0.9 (mAP^r_vol); and the same of each class, as
        ``AP50-NAME``. NaN where there is no object.

    Raises:
        ValueError: for an object or prediction without a mask, or with one of another size than its
            image; for a prediction of an unknown image or class, or of a score that is not finite.
    """
    images = {record["image_id"]: _truth(record) for record in records}
    sizes = {record["image_id"]: (record["height"], record["width"]) for record in records}
    for prediction in predictions:
        identity, index, score = (
            prediction["image_id"],
            prediction["category_id"],
            prediction["score"],
        )
        if identity not in images:
            raise ValueError(
                f"a prediction is of image {identity!r}, which the data set does not have"
            )
        if not 0 <= index < len(class_names):
            raise ValueError(
                f"image {identity!r} has a prediction of class {index}, but classes are 0 to "
                f"{len(class_names) - 1}: category_id is the index of the class, not COCO's number"
            )
        if not math.isfinite(score):
            raise ValueError(
                f"image {identity!r} has a prediction of score {score}, which cannot be ranked"
            )
        if not prediction.get("segmentation"):
            raise ValueError(
                f"image {identity!r} has a prediction without a mask, which mAP^r cannot score"
            )
        mask = _rle(prediction["segmentation"], identity, sizes[identity], "predicted for it")
        image = images[identity]
        image.predictions.append(mask)
        image.prediction_classes.append(prediction["category_id"])
        image.scores.append(prediction["score"])
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


def _truth(record: dict) -> ImageMasks:
    """The objects and the void of one record."""
    identity, size = record["image_id"], (record["height"], record["width"])
    objects, classes, void = [], [], []
    for annotation in record["annotations"]:
        if not annotation.get("segmentation"):
            raise ValueError(
                f"image {identity!r} has an object without a mask, which mAP^r cannot score"
            )
        mask = _rle(annotation["segmentation"], identity, size, "of an object in it")
        if annotation.get("iscrowd", 0):
            void.append(mask)
        else:
            objects.append(mask)
            classes.append(annotation["category_id"])
    if "void" in record:
        void.append(_rle(record["void"], identity, size, "of its void"))
    return ImageMasks(objects, classes, void=coco_mask.merge(void) if void else None)


def _rle(segmentation: dict | list, identity: int | str, size: tuple[int, int], what: str) -> dict:
    """A mask of an image as a compressed RLE; raises ValueError where it is of another size.

    COCO's tools do not: they count masks of two sizes as apart.
    """
    mask = as_rle(segmentation, *size)
    if tuple(mask["size"]) != size:
        raise ValueError(
            f"image {identity!r} is {list(size)}, but a mask {what} {list(mask['size'])} "
            "(height, width)"
        )
    return mask


def class_table(result: dict[str, float]) -> str:
    """The figures of ``score_predictions`` as a table, a row a class and one for their mean."""
    metrics = [name for name in result if "-" not in name]
    # A class may have a dash in its name; a metric has none.
    classes = dict.fromkeys(name.split("-", 1)[1] for name in result if "-" in name)
    rows = [[name, *(result[f"{metric}-{name}"] for metric in metrics)] for name in classes]
    rows.append(["mean", *(result[metric] for metric in metrics)])
    return table(
        [[None if value != value else value for value in row] for row in rows], ["class", *metrics]
    )


class VOCInstanceEvaluator(DatasetEvaluator):
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
        self._dataset_name = dataset_name
        self._output_dir = output_dir
        self._distributed = distributed
        self._logger = logging.getLogger(__name__)
        self._predictions = []

    def reset(self):
        self._predictions = []

    def process(self, inputs, outputs):
        """Detectron2's inputs with ``image_id``, and outputs with ``instances``, (N, H, W) bool
        ``pred_masks`` in them.

        Raises:
            ValueError: for instances without masks.
        """
        for x, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to(torch.device("cpu"))
            if not instances.has("pred_masks"):
                raise ValueError(
                    f"the model gives no masks for image {x['image_id']!r}, but mAP^r scores masks"
                )
            # Detectron2's own conversion, that of COCOEvaluator, wants boxes as well, which not
            # every model has.
            for pixels, index, score in zip(
                instances.pred_masks,
                instances.pred_classes.tolist(),
                instances.scores.tolist(),
                strict=True,
            ):
                self._predictions.append(
                    {
                        "image_id": x["image_id"],
                        "category_id": index,
                        "segmentation": encoded(pixels.numpy()),
                        "score": score,
                    }
                )

    def evaluate(self):
        """``{"segm_voc": ...}`` with the figures of ``score_predictions``.

        Empty on all processes but the first.
        """
        predictions = self._predictions
        if self._distributed:
            comm.synchronize()
            predictions = list(itertools.chain(*comm.gather(predictions, dst=0)))
            if not comm.is_main_process():
                return {}
        class_names = MetadataCatalog.get(self._dataset_name).thing_classes
        result = score_predictions(DatasetCatalog.get(self._dataset_name), predictions, class_names)
        self._logger.info("mAP^r of %s\n\n%s\n", self._dataset_name, class_table(result))
        if self._output_dir:
            os.makedirs(self._output_dir, exist_ok=True)
            write_text(os.path.join(self._output_dir, PREDICTIONS_FILE), json.dumps(predictions))
            write_json(os.path.join(self._output_dir, RESULTS_FILE), result)
        return OrderedDict(segm_voc=result)

"""Which evaluator scores which data set."""

import logging
import os

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    PascalVOCDetectionEvaluator,
)

from ..evaluation import VOCInstanceEvaluator
from .results import predictions_folder

_logger = logging.getLogger(__name__)


def build_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    """The evaluator for a data set's ``evaluator_type``.

    ========================  =================================================================
    "coco", or none           Detectron2's; it counts up to TEST.DETECTIONS_PER_IMAGE instances
    "cityscapes_instance"     Detectron2's
    "pascal_voc"              Detectron2's, of boxes
    "voc_instance"            mAP^r, COCO's mask AP, and "pascal_voc" where the set has VOC's boxes
    ========================  =================================================================

    Args:
        cfg: its OUTPUT_DIR and TEST.DETECTIONS_PER_IMAGE.
        dataset_name: a registered data set.

    Raises:
        ValueError: for any other type, naming the data set.
    """
    metadata = MetadataCatalog.get(dataset_name)
    kind = metadata.get("evaluator_type", "coco")
    folder = predictions_folder(cfg.OUTPUT_DIR, dataset_name)
    # A data set without a COCO file gets one in the folder; an old one there may be of other data.
    coco = {
        "output_dir": folder,
        "max_dets_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
        "allow_cached_coco": False,
    }
    if kind == "coco":
        return COCOEvaluator(dataset_name, **coco)
    if kind == "cityscapes_instance":
        return CityscapesInstanceEvaluator(dataset_name)
    if kind == "pascal_voc":
        return PascalVOCDetectionEvaluator(dataset_name)
    if kind != "voc_instance":
        raise ValueError(
            f"data set {dataset_name} has evaluator_type {kind!r}; known are 'coco', "
            "'voc_instance', 'pascal_voc' and 'cityscapes_instance'"
        )
    evaluators = [
        VOCInstanceEvaluator(dataset_name, folder),
        COCOEvaluator(dataset_name, ("segm",), **coco),
    ]
    if _has_voc_boxes(dataset_name):
        evaluators.append(PascalVOCDetectionEvaluator(dataset_name))
    return DatasetEvaluators(evaluators)


def _has_voc_boxes(dataset_name: str) -> bool:
    """Whether all is there that Detectron2's evaluator of VOC's boxes reads; logs what is not."""
    folder = MetadataCatalog.get(dataset_name).get("dirname")
    if folder is None:
        return False
    files = [
        os.path.join(folder, "Annotations", f"{r['image_id']}.xml")
        for r in DatasetCatalog.get(dataset_name)
    ]
    # It reaches the list of the split through this folder.
    missing = [
        path
        for path in (*files, os.path.join(folder, "ImageSets", "Main"))
        if not os.path.exists(path)
    ]
    if missing:
        more = len(missing) - 1
        _logger.warning(
            "boxes of %s are not scored: %s and %d more are missing", dataset_name, missing[0], more
        )
    return not missing

"""Which evaluator scores which data set."""

import logging
import os
from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    PascalVOCDetectionEvaluator,
)
from detectron2.utils import comm

from ..evaluation import (
    InstanceMetricRules,
    InstanceMetricsEvaluator,
    VOCInstanceEvaluator,
    check_truth_has_masks,
)
from .results import predictions_folder

_logger = logging.getLogger(__name__)


def check_evaluator(cfg: CfgNode, dataset_name: str) -> None:
    """Raise ValueError, as ``build_evaluator`` or its evaluator would after a training.

    That is for an unknown type, or one that several machines cannot score; and, with
    TEST.INSTANCE_METRICS.ENABLED, for one of its keys out of its range, or for objects without
    masks.
    """
    kind = _kind_of(dataset_name)
    if kind not in _BUILDERS:
        raise ValueError(
            f"data set {dataset_name} has evaluator_type {kind!r}; known are "
            f"{', '.join(map(repr, _BUILDERS))}"
        )
    if kind == "cityscapes_instance" and comm.get_local_size() < comm.get_world_size():
        raise ValueError(
            f"data set {dataset_name} is scored by Cityscapes' own evaluator, whose processes "
            'share a folder of one machine: train with DATASETS.TEST "()", and evaluate on one '
            "machine"
        )
    if cfg.TEST.INSTANCE_METRICS.ENABLED:
        InstanceMetricRules.from_config(cfg)
        try:
            check_truth_has_masks(DatasetCatalog.get(dataset_name))
        except ValueError as error:
            raise ValueError(f"TEST.INSTANCE_METRICS.ENABLED, {dataset_name}: {error}") from error


def build_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    """The evaluator for a data set's ``evaluator_type``.

    ========================  =================================================================
    "coco", or none           Detectron2's; it counts up to TEST.DETECTIONS_PER_IMAGE instances
    "cityscapes_instance"     Detectron2's
    "pascal_voc"              Detectron2's, of boxes
    "voc_instance"            mAP^r, COCO's mask AP, and "pascal_voc" where the set has VOC's boxes
    ========================  =================================================================

    With TEST.INSTANCE_METRICS.ENABLED those of ``InstanceMetricsEvaluator`` come with each.

    Args:
        cfg: its OUTPUT_DIR, TEST.DETECTIONS_PER_IMAGE and TEST.INSTANCE_METRICS.
        dataset_name: a registered data set.

    Raises:
        ValueError: as ``check_evaluator``.
    """
    check_evaluator(cfg, dataset_name)
    evaluator = _BUILDERS[_kind_of(dataset_name)](cfg, dataset_name)
    if not cfg.TEST.INSTANCE_METRICS.ENABLED:
        return evaluator
    rules, limit = InstanceMetricRules.from_config(cfg), cfg.TEST.DETECTIONS_PER_IMAGE
    return DatasetEvaluators([evaluator, InstanceMetricsEvaluator(dataset_name, rules, limit)])


def _kind_of(dataset_name: str) -> str:
    return MetadataCatalog.get(dataset_name).get("evaluator_type", "coco")


def _coco(
    cfg: CfgNode, dataset_name: str, tasks: tuple[str, ...] | None = None
) -> DatasetEvaluator:
    # A data set without a COCO file gets one in the folder; an old one may be of other data. The
    # first process writes it, and the others, which do not score, wait for it and read it.
    has_file = hasattr(MetadataCatalog.get(dataset_name), "json_file")
    is_first = comm.is_main_process()
    if not (has_file or is_first):
        comm.synchronize()
    evaluator = COCOEvaluator(
        dataset_name,
        tasks,
        output_dir=predictions_folder(cfg.OUTPUT_DIR, dataset_name),
        max_dets_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
        allow_cached_coco=not is_first,
    )
    if is_first and not has_file:
        comm.synchronize()
    return evaluator


def _cityscapes_instance(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    return CityscapesInstanceEvaluator(dataset_name)


def _pascal_voc(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    return PascalVOCDetectionEvaluator(dataset_name)


def _voc_instance(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    evaluators = [
        VOCInstanceEvaluator(dataset_name, predictions_folder(cfg.OUTPUT_DIR, dataset_name)),
        _coco(cfg, dataset_name, ("segm",)),
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


_BUILDERS: dict[str, Callable[[CfgNode, str], DatasetEvaluator]] = {
    "coco": _coco,
    "voc_instance": _voc_instance,
    "pascal_voc": _pascal_voc,
    "cityscapes_instance": _cityscapes_instance,
}

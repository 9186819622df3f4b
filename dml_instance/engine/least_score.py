"""The least score of an object: chosen at the end of a training, stored with it, used by tools."""

import json
import logging
import os
from collections.abc import Iterator

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..evaluation import ImageMasks, best_min_score, candidates, gather_masks
from ..files import write_text
from ..keys.classes import with_class_indices
from ..stored_config import store_min_score
from .results import predictions_file

# Where no training has chosen one.
_DEFAULT = 0.5

_logger = logging.getLogger(__name__)


def choose_min_score(cfg: CfgNode) -> None:
    """Store the least score at which F1 at IoU 0.5 on DATASETS.TEST is highest.

    It goes to TEST.MIN_SCORE of the ``config.yaml`` in OUTPUT_DIR, and of the config in the
    ``model_final.pth`` there. A run that keeps no config has
    no place for it, and evaluators that leave no predictions in COCO's form say nothing of masks;
    why nothing was chosen is logged.

    Args:
        cfg: of a run whose predictions on DATASETS.TEST have been evaluated.
    """
    try:
        _choose(cfg)
    except (AttributeError, KeyError, OSError, ValueError) as error:
        # Hours of training shall not end in an error of what comes after them.
        _logger.warning("TEST.MIN_SCORE was not chosen: %s", error)


def _choose(cfg: CfgNode) -> None:
    path = os.path.join(cfg.OUTPUT_DIR, "config.yaml")
    if not cfg.DATASETS.TEST:
        raise ValueError("DATASETS.TEST names no data set")
    if not os.path.isfile(path):
        raise ValueError(f"there is no {path} to keep it")
    datasets = ", ".join(cfg.DATASETS.TEST)
    found = [c for image in _evaluated(cfg) for c in candidates(image)]
    if not any(len(c.prediction) for c in found):
        raise ValueError(f"no object of {datasets} was found")
    score = round(best_min_score(found), 2)
    stored = CfgNode(CfgNode.load_yaml_with_base(path))
    stored.TEST.MIN_SCORE = score
    write_text(path, stored.dump())
    store_min_score(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"), score)
    _logger.info(
        "objects of score %s and more give the best F1 at IoU 0.5 on %s; stored as TEST.MIN_SCORE "
        "in %s",
        score,
        datasets,
        path,
    )


def _evaluated(cfg: CfgNode) -> Iterator[ImageMasks]:
    """Of each image of DATASETS.TEST what is true of it, and what was predicted."""
    for name in cfg.DATASETS.TEST:
        yield from saved_masks(cfg, name).values()


def saved_masks(cfg: CfgNode, dataset_name: str) -> dict[int | str, ImageMasks]:
    """What is true of each image of a data set, and the objects that the last evaluation of a run
    predicted, each mask once.

    Returns:
        By the ids of images, in the order of the data set.

    Raises:
        FileNotFoundError: where the evaluator left no predictions in COCO's form.
        ValueError: as ``gather_masks``, of predictions that have no masks, for instance.
    """
    with open(predictions_file(cfg.OUTPUT_DIR, dataset_name), encoding="utf-8") as file:
        predictions = with_class_indices(json.load(file), dataset_name)
    count = len(MetadataCatalog.get(dataset_name).thing_classes)
    of_images = gather_masks(DatasetCatalog.get(dataset_name), predictions, count)
    return {identity: image.with_objects() for identity, image in of_images.items()}


def min_score_of(cfg: CfgNode, given: float | None = None) -> float:
    """The least score that a tool works with; a line in the log says which, and whose choice it is.

    Args:
        cfg: its TEST.MIN_SCORE counts where none is given.
        given: by the user; None: nothing.

    Raises:
        ValueError: for a score out of [0, 1].
    """
    if given is not None:
        score, whose = given, "as given"
    elif cfg.TEST.MIN_SCORE is not None:
        score, whose = cfg.TEST.MIN_SCORE, "the best on the evaluation images of its training"
    else:
        score, whose = _DEFAULT, "no training has chosen one"
    if not 0 <= score <= 1:
        raise ValueError(f"--min-score, and TEST.MIN_SCORE, is in [0, 1], got {score}")
    _logger.info("least score of an object: %s (%s; --min-score changes it)", score, whose)
    return score

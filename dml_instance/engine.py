"""Detectron2's trainer with this project's optimiser, mapper and evaluator choices, and files that
state the result.

Only what ``DefaultTrainer`` asks its users to override is overridden, and any meta-architecture
trains with it.
"""

import logging
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timezone

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    PascalVOCDetectionEvaluator,
)
from detectron2.solver.build import (
    build_optimizer,
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
)
from detectron2.utils import comm
from torch import nn

from .config import add_dml_config
from .data import build_test_mapper, build_train_mapper, build_train_sampler, set_num_classes
from .evaluation import VOCInstanceEvaluator
from .files import read_json, write_json

_logger = logging.getLogger(__name__)

TRAINING_FILE = "training.json"
RESULTS_FILE = "results.json"


def load_config(
    config_file: str, options: Sequence[str] = (), *, needs_data: bool = True
) -> CfgNode:
    """Defaults, ``MODEL.DML``, a yaml file and ``KEY VALUE`` overrides, in this order; classes
    follow from the data.

    Args:
        config_file: a yaml of configs/, or the ``config.yaml`` of an earlier run.
        options: the overrides.
        needs_data: False: where a number of classes stands in the config it counts, and data sets
            need not be known.

    Raises:
        FileNotFoundError: for a missing yaml; ValueError: for an override that does not exist or
            lacks its value, or an
        option of the command line among them; ValueError, KeyError: see ``set_num_classes``.
    """
    for option in options:
        if str(option).startswith("--"):
            raise ValueError(
                f"{option} stands behind a KEY VALUE pair; those come last, after all options"
            )
    if not os.path.isfile(config_file):
        raise FileNotFoundError(f"config file {config_file} does not exist")
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_file(config_file)
    try:
        cfg.merge_from_list(list(options))
    except AssertionError as error:
        # yacs asserts that keys exist, and that there is a value for each.
        raise ValueError(
            f"{error}; the keys of MODEL.DML stand in dml_instance/config.py"
        ) from error
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    if needs_data or cfg.MODEL.DML.NUM_CLASSES == 0:
        set_num_classes(cfg)
    return cfg


def machine() -> dict[str, str | int]:
    """What figures are measured on."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        # With the instructions that torch uses: the same two cores train twice as fast with AVX512
        # as with AVX2.
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


class TrainingClock(HookBase):
    """Counts the minutes spent in training steps, over resumed runs too, and writes ``training.json`` at the end."""

    def __init__(self, cfg: CfgNode):
        self._cfg = cfg
        self.seconds = 0.0

    def before_step(self):
        self._start = time.perf_counter()

    def after_step(self):
        self.seconds += time.perf_counter() - self._start

    def after_train(self):
        if comm.is_main_process():
            self.write(self._cfg.OUTPUT_DIR)

    def write(self, folder: str) -> None:
        """Write ``training.json`` into a folder that exists."""
        iterations = self.trainer.iter
        write_json(
            os.path.join(folder, TRAINING_FILE),
            {
                "minutes": round(self.seconds / 60, 4),
                "iterations": iterations,
                "images_per_second": round(
                    iterations * self._cfg.SOLVER.IMS_PER_BATCH / max(self.seconds, 1e-9), 2
                ),
                "seed": self._cfg.SEED,
                "bfloat16": trains_in_bfloat16(self._cfg),
                "parameters": sum(p.numel() for p in self.trainer.model.parameters()),
            },
        )

    def state_dict(self):
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict):
        self.seconds = state_dict["seconds"]


class InferenceTimer:
    """Times every call of a model in a ``with`` block: network, grouping and masks, without loading and scoring."""

    # The first calls allocate and warm up; they count only where there are no others.
    _WARM_UP = 3

    def __init__(self, model: nn.Module):
        self._model = model
        self._milliseconds = []

    def __enter__(self):
        self._handles = [
            self._model.register_forward_pre_hook(self._before),
            self._model.register_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()

    def _before(self, module, inputs):
        self._synchronize()
        self._start = time.perf_counter()

    def _after(self, module, inputs, output):
        self._synchronize()
        self._milliseconds.append(1e3 * (time.perf_counter() - self._start) / max(len(output), 1))

    @staticmethod
    def _synchronize():
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    @property
    def ms_per_image(self) -> float:
        """Mean milliseconds an image; NaN where the model was not called."""
        counted = self._milliseconds[self._WARM_UP :] or self._milliseconds
        return sum(counted) / len(counted) if counted else float("nan")


def predictions_folder(output_dir: str, dataset_name: str) -> str:
    """Where the predictions of a run on a data set are saved."""
    return os.path.join(output_dir, "inference", dataset_name)


def build_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    """The evaluator for a data set's ``evaluator_type``.

    "coco": Detectron2's, which counts up to TEST.DETECTIONS_PER_IMAGE here; "pascal_voc" and
        "cityscapes_instance":
    Detectron2's; "voc_instance": mAP^r, COCO's mask AP, and "pascal_voc" where the data set has
    VOC's boxes.

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
            f"data set {dataset_name} has evaluator_type {kind!r}; known are 'coco', 'voc_instance', 'pascal_voc' and "
            "'cityscapes_instance'"
        )
    evaluators = [
        VOCInstanceEvaluator(dataset_name, folder),
        COCOEvaluator(dataset_name, ("segm",), **coco),
    ]
    if _has_voc_boxes(dataset_name):
        evaluators.append(PascalVOCDetectionEvaluator(dataset_name))
    return DatasetEvaluators(evaluators)


def _has_voc_boxes(dataset_name: str) -> bool:
    """Whether everything is there that Detectron2's evaluator of VOC's boxes reads; the log says what is not."""
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


def trains_in_bfloat16(cfg: CfgNode) -> bool:
    """Whether training steps on this machine run under bfloat16 autocast, by
    ``SOLVER.AMP.CPU_BFLOAT16``.

    Raises:
        ValueError: for another value than "on", "off" or "auto".
    """
    choice = cfg.SOLVER.AMP.CPU_BFLOAT16
    if choice not in ("on", "off", "auto"):
        raise ValueError(f'SOLVER.AMP.CPU_BFLOAT16 is "on", "off" or "auto", got {choice!r}')
    if choice == "off" or cfg.MODEL.DEVICE != "cpu":
        return False
    # Without these instructions bfloat16 is emulated, slower than float32.
    can = getattr(torch.cpu, "get_capabilities", dict)()
    return choice == "on" or can.get("avx512_bf16", False) or can.get("amx_bf16", False)


class _BFloat16Forward:
    """A model's forward function, under bfloat16 autocast while the model is in training mode.

    Detectron2's own mixed precision needs CUDA. Wrapping the forward function alone keeps the
    backward pass out.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._forward = model.forward

    def __call__(self, *args, **kwargs):
        with torch.autocast("cpu", torch.bfloat16, enabled=self._model.training):
            return self._forward(*args, **kwargs)


class Trainer(DefaultTrainer):
    """``DefaultTrainer`` with AdamW as a choice, the augmenting mapper, stock evaluators and result files."""

    @classmethod
    def build_model(cls, cfg):
        model = super().build_model(cfg)
        if trains_in_bfloat16(cfg):
            model.forward = _BFloat16Forward(model)
        return model

    def build_hooks(self):
        return [TrainingClock(self.cfg), *super().build_hooks()]

    @classmethod
    def build_optimizer(cls, cfg, model):
        name = cfg.SOLVER.OPTIMIZER
        factor = cfg.SOLVER.BACKBONE_MULTIPLIER
        if factor <= 0 or (name == "SGD" and factor != 1):
            raise ValueError(
                "SOLVER.BACKBONE_MULTIPLIER is positive, and 1 unless SOLVER.OPTIMIZER is "
                f'"AdamW", got {factor} and {name!r}'
            )
        if name == "SGD":
            return build_optimizer(cfg, model)
        if name != "AdamW":
            raise ValueError(f'SOLVER.OPTIMIZER is "SGD" or "AdamW", got {name!r}')
        parameters = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
            lr_factor_func=lambda parameter: factor if parameter.startswith("backbone.") else 1.0,
        )
        return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(
            parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
        )

    @classmethod
    def build_train_loader(cls, cfg):
        drawn = {}
        if cfg.DATALOADER.REPEAT_BY_AREA:
            # A sampler counts the records of the very list that is loaded; otherwise that list is
            # Detectron2's affair.
            dataset = get_detection_dataset_dicts(
                cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
            )
            drawn = {"dataset": dataset, "sampler": build_train_sampler(cfg, dataset)}
        return build_detection_train_loader(cfg, mapper=build_train_mapper(cfg), **drawn)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return build_detection_test_loader(cfg, dataset_name, mapper=build_test_mapper(cfg))

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return build_evaluator(cfg, dataset_name)

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """As ``DefaultTrainer.test``; also writes ``results.json`` into OUTPUT_DIR."""
        with InferenceTimer(model) as timer:
            results = super().test(cfg, model, evaluators)
        if comm.is_main_process():
            by_dataset = {cfg.DATASETS.TEST[0]: results} if len(cfg.DATASETS.TEST) == 1 else results
            write_json(
                os.path.join(cfg.OUTPUT_DIR, RESULTS_FILE),
                {
                    "metrics": OrderedDict(by_dataset),
                    "ms_per_image": round(timer.ms_per_image, 1),
                    "training": read_json(os.path.join(cfg.OUTPUT_DIR, TRAINING_FILE)) or None,
                    "machine": machine(),
                },
            )
        return results

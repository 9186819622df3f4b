"""Small models on the CPU, whatever the machine has, and what every training step must satisfy."""

from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from dml_instance import add_dml_config
from toy_scenes import model_input

CONFIGS = Path(__file__).parents[1] / "configs"

LOSSES = {"loss_pair", "loss_seed", "loss_mask"}


def plain_config(*overrides) -> CfgNode:
    """Detectron2's and this project's defaults on the CPU, with ``KEY, value`` overrides."""
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *overrides])
    return cfg


def config(*overrides) -> CfgNode:
    """A model of two classes on a backbone of 8 to 24 channels, with ``KEY, value`` overrides."""
    options = {
        "MODEL.META_ARCHITECTURE": "DMLInstance",
        "MODEL.MASK_ON": True,
        "MODEL.BACKBONE.NAME": "build_slim_resnet_backbone",
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RESNETS.NORM": "BN",
        "MODEL.RESNETS.OUT_FEATURES": ["stem", "res2", "res3", "res4", "res5"],
        "MODEL.DML.BACKBONE.CHANNELS": [8, 12, 16, 20, 24],
        "MODEL.DML.BACKBONE.BLOCKS": [1, 1, 1, 1],
        "MODEL.DML.NUM_CLASSES": 2,
        "MODEL.DML.INPUT_NORMALIZATION": "image",
    }
    return plain_config(*(part for pair in options.items() for part in pair), *overrides)


def config_of_file(name: str, *overrides) -> CfgNode:
    """A yaml of configs/ on the CPU, with ``KEY, value`` overrides; no data set is looked up."""
    cfg = plain_config()
    cfg.merge_from_file(str(CONFIGS / name))
    cfg.merge_from_list(
        ["MODEL.DEVICE", "cpu", "DATASETS.TRAIN", (), "DATASETS.TEST", (), *overrides]
    )
    return cfg


def model_of(*overrides) -> nn.Module:
    """The model of ``config``, with the same random weights each time."""
    torch.manual_seed(0)
    return build_model(config(*overrides))


def empty(height: int, width: int) -> dict:
    """A grey image without objects, as the mapper gives it."""
    image = np.full((height, width, 3), 90, np.uint8)
    return model_input(image, np.zeros((0, height, width), bool), [])


def losses_of(model: nn.Module, batch: list[dict]) -> dict[str, float]:
    """The losses of one training step without an update; all gradients have to be finite."""
    model.train()
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    return {name: value.item() for name, value in losses.items()}


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    """All 2-d convolutions of a module."""
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]

"""The config of a run: defaults, a yaml file, overrides, and what follows from the data."""

import os
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, get_cfg

from ..config import add_dml_config
from ..data import set_num_classes


def load_config(
    config_file: str, options: Sequence[str] = (), *, needs_data: bool = True
) -> CfgNode:
    """Detectron2's defaults, this project's, a yaml file and overrides, in this order.

    The number of classes follows from the data sets, see ``set_num_classes``. Without a GPU
    MODEL.DEVICE "cuda" becomes "cpu".

    Args:
        config_file: a yaml of configs/, or the ``config.yaml`` of an earlier run.
        options: the overrides, ``KEY VALUE KEY VALUE ...``.
        needs_data: False: a number of classes in the config counts as it is, and data sets need
            not be known.

    Raises:
        FileNotFoundError: for a missing yaml.
        ValueError: for an override that does not exist or lacks its value, an option of the
            command line among them, and as ``set_num_classes``.
        KeyError: as ``set_num_classes``.
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
        raise ValueError(f"{error}; this project's keys stand in dml_instance/config.py") from error
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    if needs_data or cfg.MODEL.DML.NUM_CLASSES == 0:
        set_num_classes(cfg)
    return cfg

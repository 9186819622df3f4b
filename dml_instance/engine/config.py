"""The config of a run: defaults, a yaml file, overrides, and what follows from the data."""

import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter

import torch
from detectron2.config import CfgNode, get_cfg

from ..config import add_dml_config
from ..data import set_num_classes
from .fitting import FITTED_KEYS, fit_to_objects
from .optimizer import ADAMW_KEYS

_logger = logging.getLogger(__name__)


def load_config(
    config: str | CfgNode, options: Sequence[str] = (), *, needs_data: bool = True
) -> CfgNode:
    """Detectron2's defaults, this project's, a yaml file and overrides, in this order.

    The number of classes follows from the data sets, see ``set_num_classes``, and lengths from
    their objects where INPUT.FIT_TO_OBJECTS says so, see ``fit_to_objects``. Without a GPU
    MODEL.DEVICE "cuda" becomes "cpu", with a warning in the log, once a process.

    Args:
        config: a yaml of configs/, the ``config.yaml`` of an earlier run, or what such a file says.
        options: the overrides, ``KEY VALUE KEY VALUE ...``.
        needs_data: False: a number of classes in the config counts as it is, and data sets need
            not be known.

    Raises:
        FileNotFoundError: for a missing yaml.
        ValueError: for an override that does not exist, lacks its value, or would change nothing,
            for an option of the command line among them, and as ``set_num_classes`` and
            ``fit_to_objects``.
        KeyError: as ``set_num_classes``.
    """
    for option in options:
        if str(option).startswith("--"):
            raise ValueError(
                f"{option} stands behind a KEY VALUE pair; those come last, after all options"
            )
    if isinstance(config, str) and not os.path.isfile(config):
        raise FileNotFoundError(f"config file {config} does not exist")
    cfg = get_cfg()
    add_dml_config(cfg)
    _merge(cfg, config)
    try:
        cfg.merge_from_list(list(options))
    except AssertionError as error:
        # yacs asserts that keys exist, and that there is a value for each.
        raise ValueError(f"{error}{_likely_key(str(error), cfg)}") from error
    _check_rates(cfg, options)
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
        _warn_of_the_cpu()
    if needs_data or cfg.MODEL.DML.NUM_CLASSES == 0:
        set_num_classes(cfg)
    if cfg.INPUT.FIT_TO_OBJECTS and cfg.DATASETS.TRAIN:
        fit_to_objects(cfg, _given_keys(config, options))
    elif cfg.INPUT.FIT_TO_OBJECTS:
        _logger.warning(
            "DATASETS.TRAIN names no data set whose objects INPUT.FIT_TO_OBJECTS could measure: "
            "lengths stay as they are"
        )
    return cfg


def _merge(cfg: CfgNode, config: str | CfgNode) -> None:
    if isinstance(config, str):
        cfg.merge_from_file(config)
    else:
        cfg.merge_from_other_cfg(config)


def _given_keys(config: str | CfgNode, options: Sequence[str]) -> set[str]:
    """Those of FITTED_KEYS that the yaml, one of its bases, or an override gives."""
    # What is nothing at first, and something once all is merged, was given.
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_list([part for key in FITTED_KEYS for part in (key, None)])
    _merge(cfg, config)
    cfg.merge_from_list(list(options))
    return {key for key in FITTED_KEYS if attrgetter(key)(cfg) is not None}


@cache
def _warn_of_the_cpu() -> None:
    _logger.warning(
        'torch finds no GPU: the CPU is used, though MODEL.DEVICE is "cuda" (MODEL.DEVICE cpu '
        "silences this)"
    )


def _check_rates(cfg: CfgNode, options: Sequence[str]) -> None:
    """Refuse an override of what only SGD reads where AdamW has a value of its own."""
    given = set(options[0::2])
    for key in ADAMW_KEYS:
        of_adamw = f"SOLVER.ADAMW.{key}"
        is_unread = cfg.SOLVER.OPTIMIZER == "AdamW" and cfg.SOLVER.ADAMW[key] is not None
        if is_unread and f"SOLVER.{key}" in given and of_adamw not in given:
            raise ValueError(
                f"SOLVER.{key} is read by SGD, and SOLVER.OPTIMIZER is AdamW, whose {of_adamw} is "
                f"{cfg.SOLVER.ADAMW[key]}: give {of_adamw}"
            )


def _likely_key(message: str, cfg: CfgNode) -> str:
    """What may be meant by the key that a message ends with, and where all keys stand."""

    def names(node: CfgNode, prefix: str = "") -> Iterator[str]:
        for name, value in node.items():
            if isinstance(value, CfgNode):
                yield from names(value, f"{prefix}{name}.")
            else:
                yield prefix + name

    near = difflib.get_close_matches(message.split()[-1], names(cfg), n=1)
    meant = f"; is {near[0]} meant?" if near else ""
    return f"{meant} This project's keys: docs/configuration.md"

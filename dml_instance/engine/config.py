"""The config of a run: defaults, a yaml file, overrides, and what follows from the data."""

import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog

from ..config import add_dml_config
from ..data import set_num_classes
from ..errors import in_one_line
from .errors import message_of
from .fitting import FITTED_KEYS, fit_to_objects
from .optimizer import ADAMW_KEYS

_logger = logging.getLogger(__name__)


# Of which splits, DATASETS.TRAIN and DATASETS.TEST, a tool needs the data.
ALL_DATA, TEST_DATA, NO_DATA = ("TRAIN", "TEST"), ("TEST",), ()


def load_config(
    config: str | CfgNode, options: Sequence[str] = (), *, needs: Sequence[str] = ALL_DATA
) -> CfgNode:
    """Detectron2's defaults, this project's, a yaml file and overrides, in this order.

    The number of classes follows from the data sets, see ``set_num_classes``, and lengths from
    their objects where INPUT.FIT_TO_OBJECTS says so, see ``fit_to_objects``. Without a GPU
    MODEL.DEVICE "cuda" becomes "cpu", with a warning in the log, once a process.

    Args:
        config: a yaml of configs/, the ``config.yaml`` of an earlier run, or what such a file says.
        options: the overrides, ``KEY VALUE KEY VALUE ...``.
        needs: the splits whose data sets count, ALL_DATA, TEST_DATA or NO_DATA; others need not be
            known, and their classes are not looked at. Where these name no data set, a number of
            classes in the config counts as it is, and without one all data sets count.

    Raises:
        FileNotFoundError: for a missing yaml.
        ValueError: for a yaml that is no config, an override that does not exist, lacks its value,
            or would change nothing, for an option of the command line among them, for a training
            of no iteration, and as
            ``set_num_classes`` and ``fit_to_objects``.
        KeyError: as ``set_num_classes``, and for a data set that INPUT.FIT_TO_OBJECTS would have to
            measure and that is not known.
    """
    check_pairs_come_last(options)
    if isinstance(config, str) and not os.path.isfile(config):
        what = "is no file" if os.path.exists(config) else "does not exist"
        raise FileNotFoundError(f"config file {config} {what}")
    cfg = _all_keys()
    _merge(cfg, config)
    try:
        cfg.merge_from_list(list(options))
    except AssertionError as error:
        # yacs asserts that keys exist, and that there is a value for each.
        raise ValueError(f"{error}{_likely_key(str(error), cfg)}") from error
    _check_rates(cfg, options)
    if cfg.SOLVER.MAX_ITER < 1:
        raise ValueError(f"SOLVER.MAX_ITER is at least 1, got {cfg.SOLVER.MAX_ITER}")
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
        _warn_of_the_cpu()
    if any(cfg.DATASETS[split] for split in needs):
        set_num_classes(cfg, needs)
    elif cfg.MODEL.DML.NUM_CLASSES == 0:
        set_num_classes(cfg)
    if cfg.INPUT.FIT_TO_OBJECTS and cfg.DATASETS.TRAIN:
        _check_measured(cfg)
        fit_to_objects(cfg, _given_keys(config, options))
    elif cfg.INPUT.FIT_TO_OBJECTS:
        _logger.warning(
            "DATASETS.TRAIN names no data set whose objects INPUT.FIT_TO_OBJECTS could measure: "
            "lengths stay as they are"
        )
    return cfg


def is_key(text: str) -> bool:
    """Whether a word of a command line is a key of a config, or is meant to be: it begins with one
    of its sections, ``SOLVER.STEPS``, or is one outside of them, ``OUTPUT_DIR``."""
    section, dot, _ = text.partition(".")
    is_section = isinstance(_defaults().get(section), CfgNode)
    return text.isupper() and section in _defaults() and is_section == bool(dot)


def check_pairs_come_last(options: Sequence[str]) -> None:
    """ValueError for an option of the command line among ``KEY VALUE KEY VALUE ...``."""
    for option in options:
        if str(option).startswith("--"):
            raise ValueError(
                f"{option} stands behind a KEY VALUE pair; those come last, after all options"
            )


def _all_keys() -> CfgNode:
    """Detectron2's defaults and this project's."""
    cfg = get_cfg()
    add_dml_config(cfg)
    return cfg


_defaults = cache(_all_keys)

_NO_CONFIG = (AssertionError, AttributeError, TypeError, UnicodeDecodeError, yaml.YAMLError)


def _merge(cfg: CfgNode, config: str | CfgNode) -> None:
    """Merge a config, or a yaml that exists; ValueError for one that is no config."""
    file = config if isinstance(config, str) else "a stored config"
    try:
        if isinstance(config, str):
            # Detectron2 would by itself run what tags of Python in a yaml say.
            cfg.merge_from_file(config, allow_unsafe=False)
        else:
            cfg.merge_from_other_cfg(config)
    except OSError:
        raise  # of a base, with its name
    except KeyError as error:
        message = message_of(error)
        raise ValueError(f"{file}: {message}{_likely_key(message, cfg)}") from error
    except _NO_CONFIG as error:
        # Of what is no yaml, or one of something else, yaml, yacs and Detectron2 raise all of them.
        reason = in_one_line(error)
        raise ValueError(
            f"{file} is no config ({type(error).__name__}: {reason}): give the config.yaml of a "
            "training, or a yaml of configs/"
        ) from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error  # of a value of another type


def _check_measured(cfg: CfgNode) -> None:
    """KeyError where the data that lengths follow from is not known."""
    for name in cfg.DATASETS.TRAIN:
        if name not in DatasetCatalog.list():
            raise KeyError(
                f"INPUT.FIT_TO_OBJECTS has lengths follow from the objects of {name!r}, which is "
                "not registered: give the config.yaml of the training, which holds them, or "
                "register it with --register-coco"
            )


def _given_keys(config: str | CfgNode, options: Sequence[str]) -> set[str]:
    """Those of FITTED_KEYS that the yaml, one of its bases, or an override gives."""
    # What is nothing at first, and something once all is merged, was given.
    cfg = _all_keys()
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
    """Refuse an override of what only SGD reads where another optimiser has its own."""
    given = set(options[0::2])
    for key in ADAMW_KEYS:
        of_adamw = f"SOLVER.ADAMW.{key}"
        is_unread = cfg.SOLVER.OPTIMIZER != "SGD" and cfg.SOLVER.ADAMW[key] is not None
        if is_unread and f"SOLVER.{key}" in given and of_adamw not in given:
            raise ValueError(
                f"SOLVER.{key} is read by SGD, and SOLVER.OPTIMIZER {cfg.SOLVER.OPTIMIZER} reads "
                f"{of_adamw}, which is {cfg.SOLVER.ADAMW[key]}: give {of_adamw}"
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
    meant = f"; is {near[0]} meant?" if near else "."
    return f"{meant} This project's keys: docs/configuration.md"

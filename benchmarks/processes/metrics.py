"""Metrics of every evaluator, over as many processes as there are."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from detectron2.config import CfgNode, get_cfg
from detectron2.utils import comm

from dml_instance import add_dml_config
from dml_instance.engine import RESULTS_FILE, Trainer
from dml_instance.files import read_json, write_json

from .drawn import EVALUATORS, Finder, data_set, write_files

METRICS_FILE = "metrics.json"


class Case(NamedTuple):
    """Images to score.

    Attributes:
        images: how many there are.
        blind: in so many first ones the model finds nothing.
    """

    images: int
    blind: int


# With three processes one has no image in the second and two in the third, and the first finds
# nothing in the last.
CASES = (Case(7, 0), Case(2, 0), Case(1, 0), Case(6, 3))


def score_all(folder: str) -> None:
    """Score each of CASES by each evaluator; the first process writes ``metrics.json`` into a
    folder, which all share: what ``results.json`` says of every run."""
    folder, found = os.path.abspath(folder), {}
    for case in CASES:
        data = os.path.join(folder, f"images_{case.images}")
        if comm.is_main_process():
            write_files(data, case.images)
        comm.synchronize()
        for evaluator in EVALUATORS:
            with data_set(data, case.images, evaluator) as name:
                key = f"{evaluator}, {case.images} images, {case.blind} without predictions"
                output = os.path.join(folder, key)
                cfg = _config(name, output)
                with _inside(output):
                    Trainer.test(cfg, Finder(case.blind))
                found[key] = read_json(os.path.join(output, RESULTS_FILE)).get("metrics", {})
    if comm.is_main_process():
        write_json(os.path.join(folder, METRICS_FILE), found)


@contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Cityscapes' evaluator writes a file into the current folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _config(name: str, output: str) -> CfgNode:
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.MODEL.DEVICE, cfg.MODEL.MASK_ON, cfg.INPUT.MASK_FORMAT = "cpu", True, "bitmask"
    cfg.DATASETS.TEST, cfg.OUTPUT_DIR, cfg.DATALOADER.NUM_WORKERS = (name,), output, 0
    cfg.TEST.INSTANCE_METRICS.ENABLED = True
    os.makedirs(output, exist_ok=True)
    return cfg


def flat(metrics: dict, before: str = "") -> dict[str, str]:
    """Figures by name, as they are written, to the last digit."""
    figures = {}
    for key, value in metrics.items():
        name = f"{before}{key}"
        figures |= flat(value, f"{name}/") if isinstance(value, dict) else {name: json.dumps(value)}
    return figures


def other_figures(metrics: dict, expected: dict) -> list[str]:
    """Names of the figures that only one of two has, or that differ in any digit."""
    found, wanted = flat(metrics), flat(expected)
    return sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))

"""The folder that ``dml prepare`` writes, as a data set of Detectron2."""

import os
import re

from detectron2.data import DatasetCatalog

from ..data.coco import parse_registration, register_coco
from ..data.preparing.splits import TRAIN, VAL
from ..images import PLAIN, ReadingRules


def register_prepared(root: str, reading: ReadingRules = PLAIN) -> str:
    """Register its images to evaluate on, else those to train on, and return the set's name.

    Raises:
        FileNotFoundError: where there are neither.
        ValueError: as ``register_coco``.
    """
    train, val = registrations(root)
    name, json_file, images = parse_registration(val if is_written(val) else train)
    check_written(json_file)
    register_coco(name, json_file, images, reading)
    return name


def is_written(registration: str) -> bool:
    """Whether the split of a registration is there: of an empty one no file is written."""
    _, json_file, _ = parse_registration(registration)
    return os.path.isfile(json_file)


def check_written(json_file: str) -> None:
    """FileNotFoundError for annotations that ``dml prepare`` always writes, and are not there."""
    if not os.path.isfile(json_file):
        raise FileNotFoundError(
            f"there is no {json_file}: give the folder that `dml prepare` wrote"
        )


def registrations(root: str) -> list[str]:
    """What ``--register-coco`` takes for train and val of a data set, under names that are free.

    Raises:
        ValueError: for a folder that it cannot take.
    """
    found = []
    for split in (TRAIN, VAL):
        file = os.path.join(root, "annotations", f"instances_{split}.json")
        parts = (f"{dataset_name(root)}_{split}", file, os.path.join(root, "images"))
        found.append("{}={}:{}".format(*parts))
        if parse_registration(found[-1]) != parts:
            raise ValueError(
                f"--output {root} has a colon where --register-coco cuts: choose another folder"
            )
    return found


def dataset_name(root: str) -> str:
    """A name for a data set, by its folder: letters, digits, "_", "-" and "."."""
    name = re.sub(r"[^\w.-]", "_", os.path.basename(os.path.normpath(root)))
    known = DatasetCatalog.list()
    while any(f"{name}_{split}" in known for split in (TRAIN, VAL)):
        name = f"my_{name}"
    return name

"""The data sets that are known by name, under ``$DETECTRON2_DATASETS`` (default: ``datasets``).

shapes_train, shapes_val, shapes_test      shapes/          drawn by tools/prepare_shapes.py
shapes_hard_train, ... _val, ... _test     shapes_hard/     drawn at --difficulty 0.6
dsb2018_nuclei_train, dsb2018_nuclei_val   dsb2018/         converted by tools/prepare_nuclei.py
dsb2018_nuclei_fit, dsb2018_nuclei_dev     dsb2018/         four fifths and one fifth of train, for choosing settings
"""

import os

from .coco import register_checked
from .shapes import CLASS_NAMES

# Every fifth image of train, by file name, is held out for choosing settings, so that val is left for reporting.
_DEV_EVERY = 5


def _fit_part(records: list[dict]) -> list[dict]:
    ordered = sorted(records, key=lambda record: record["file_name"])
    return [record for index, record in enumerate(ordered) if index % _DEV_EVERY]


def _dev_part(records: list[dict]) -> list[dict]:
    return sorted(records, key=lambda record: record["file_name"])[::_DEV_EVERY]


def register_all() -> None:
    """Register every built-in data set; files are looked at when a set is first used."""
    root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
    for name, options in (("shapes", ""), ("shapes_hard", f" --difficulty 0.6 --output {root}/shapes_hard")):
        for split in ("train", "val", "test"):
            register_checked(
                f"{name}_{split}",
                os.path.join(root, name, "annotations", f"instances_{split}.json"),
                os.path.join(root, name, "images", split),
                category_ids=dict(enumerate(CLASS_NAMES, start=1)),
                hint=f"Draw it with: python tools/prepare_shapes.py{options}",
            )
    for split, source, subset in (
        ("train", "train", None),
        ("val", "val", None),
        ("fit", "train", _fit_part),
        ("dev", "train", _dev_part),
    ):
        register_checked(
            f"dsb2018_nuclei_{split}",
            os.path.join(root, "dsb2018", "annotations", f"instances_{source}.json"),
            os.path.join(root, "dsb2018", "images"),
            category_ids={1: "nucleus"},
            hint="Convert it with tools/prepare_nuclei.py, or set DETECTRON2_DATASETS to the folder that holds dsb2018",
            subset=subset,
        )

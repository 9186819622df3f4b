"""The data sets that are known by name, under ``$DETECTRON2_DATASETS`` (default: ``datasets``).

========================================  ==========================  ============================
Name                                      Folder                      Comes from
========================================  ==========================  ============================
shapes_train, _val, _test                 shapes/                     tools/prepare_shapes.py
shapes_hard_train, _val, _test            shapes_hard/                the same, --difficulty 0.6
dsb2018_nuclei_train, _val                dsb2018/                    tools/prepare_nuclei.py
dsb2018_nuclei_fit, _dev                  dsb2018/                    the same: 4/5 and 1/5 of train
cables_train, _val, _fit, _dev            cables/                     arXiv:1810.04461, COCO form
voc_2012_instance_train, _val, _trainval  VOCdevkit/VOC2012/          its archive, unpacked
sbd_instance_train, _val                  benchmark_RELEASE/dataset/  its archive, unpacked
voc_2012_instance_train_aug               both                        VOC train and SBD, without
                                                                      VOC val: 10,582 images
voc_2012_instance_fit, _dev               both                        two parts of train_aug: dev is
                                                                      1/3 of VOC train and SBD val
========================================  ==========================  ============================
"""

import os
from functools import partial

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..coco import register_checked
from ..object_sizes import ObjectSizes
from .shapes import CLASS_NAMES
from .voc import (
    VOC_CLASSES,
    load_dev,
    load_fit,
    load_sbd,
    load_train_aug,
    load_voc,
    voc_place,
)

# Of so many images of train, by file name, one is held out for choosing settings, so that val is
# left for reporting.
_NUCLEI_DEV_EVERY, _CABLES_DEV_EVERY = 5, 4

# What ``measure_objects`` finds, so that a model can be used where its training set is not.
_NUCLEI = ObjectSizes(
    images=464,
    objects=21209,
    most=369,
    diameter=(12.4, 19.5, 26.7),
    extent=23.0,
    short_side=256.0,
    in_pieces=0.0,
    gap=0.0,
)
_SHAPES = ObjectSizes(
    images=600,
    objects=4166,
    most=21,
    diameter=(19.8, 25.9, 36.5),
    extent=36.0,
    short_side=160.0,
    in_pieces=0.187,
    gap=11.1,
)
_CABLES = ObjectSizes(
    images=45,
    objects=298,
    most=10,
    diameter=(40.2, 53.7, 64.7),
    extent=233.0,
    short_side=480.0,
    in_pieces=0.0,
    gap=0.0,
)


def _fit_part(every: int, records: list[dict]) -> list[dict]:
    ordered = sorted(records, key=lambda record: record["file_name"])
    return [record for index, record in enumerate(ordered) if index % every]


def _dev_part(every: int, records: list[dict]) -> list[dict]:
    return sorted(records, key=lambda record: record["file_name"])[::every]


def register_all() -> None:
    """Register every built-in data set; files are looked at when a set is first used."""
    root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
    _register_voc(root)
    for names, sizes in (
        (("dsb2018_nuclei_train", "dsb2018_nuclei_fit"), _NUCLEI),
        (("shapes_train",), _SHAPES),
        (("cables_train", "cables_fit"), _CABLES),
    ):
        for name in names:
            MetadataCatalog.get(name).set(object_sizes=sizes)
    for name, options in (
        ("shapes", ""),
        ("shapes_hard", f" --difficulty 0.6 --output {root}/shapes_hard"),
    ):
        for split in ("train", "val", "test"):
            register_checked(
                f"{name}_{split}",
                os.path.join(root, name, "annotations", f"instances_{split}.json"),
                os.path.join(root, name, "images", split),
                category_ids=dict(enumerate(CLASS_NAMES, start=1)),
                hint=f"Draw it with: python tools/prepare_shapes.py{options}",
            )
    _register_four(
        *(root, "dsb2018", "dsb2018_nuclei", "nucleus", _NUCLEI_DEV_EVERY),
        hint="Convert it with tools/prepare_nuclei.py, or set DETECTRON2_DATASETS to the folder "
        "that holds dsb2018",
    )
    _register_four(
        *(root, "cables", "cables", "cable", _CABLES_DEV_EVERY),
        hint="Set DETECTRON2_DATASETS to the folder that holds cables, in COCO's form",
    )


def _register_four(
    root: str, folder: str, name: str, class_name: str, dev_every: int, hint: str
) -> None:
    """Train and val of a data set of one class in COCO's form, and two parts of train."""
    for split, source, subset in (
        ("train", "train", None),
        ("val", "val", None),
        ("fit", "train", partial(_fit_part, dev_every)),
        ("dev", "train", partial(_dev_part, dev_every)),
    ):
        register_checked(
            f"{name}_{split}",
            os.path.join(root, folder, "annotations", f"instances_{source}.json"),
            os.path.join(root, folder, "images"),
            category_ids={1: class_name},
            hint=hint,
            subset=subset,
        )


def _register_voc(root: str) -> None:
    for split in ("train", "val", "trainval"):
        name = f"voc_2012_instance_{split}"
        DatasetCatalog.register(name, partial(load_voc, root, split))
        # Detectron2's evaluator of VOC's boxes looks for its split's list in ImageSets/Main, where
        # it is a longer one.
        MetadataCatalog.get(name).set(
            dirname=voc_place(root), split=f"../Segmentation/{split}", year=2012
        )
    for split in ("train", "val"):
        DatasetCatalog.register(f"sbd_instance_{split}", partial(load_sbd, root, split))
    for part, load in (("train_aug", load_train_aug), ("fit", load_fit), ("dev", load_dev)):
        DatasetCatalog.register(f"voc_2012_instance_{part}", partial(load, root))
    for name in DatasetCatalog.list():
        if name.startswith(("voc_2012_instance_", "sbd_instance_")):
            MetadataCatalog.get(name).set(
                thing_classes=list(VOC_CLASSES), evaluator_type="voc_instance"
            )

"""The number of classes follows from the data."""

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

# Detectron2's default; a yaml that leaves it alone has not chosen a number.
_ROI_HEADS_DEFAULT = 80


def set_num_classes(cfg: CfgNode) -> None:
    """Set ``MODEL.DML.NUM_CLASSES`` and ``MODEL.ROI_HEADS.NUM_CLASSES`` from the data sets' class
    names, in place.

    Raises:
        ValueError: where the data sets of DATASETS.TRAIN and DATASETS.TEST disagree about the
            classes, or the number in the config contradicts them. The message names the key and the
            sets.
        KeyError: for a data set that is not registered, naming the known ones.
    """
    classes = {name: _class_names(name) for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)}
    if not classes:
        return
    first, names = next(iter(classes.items()))
    for other, other_names in classes.items():
        if other_names != names:
            raise ValueError(
                f"data sets {first} and {other} have different classes, {names} and {other_names}; train and "
                "evaluate on sets with the same categories in the same order"
            )
    for key, node, unset in (
        ("MODEL.DML.NUM_CLASSES", cfg.MODEL.DML, 0),
        ("MODEL.ROI_HEADS.NUM_CLASSES", cfg.MODEL.ROI_HEADS, _ROI_HEADS_DEFAULT),
    ):
        if node.NUM_CLASSES not in (unset, len(names)):
            raise ValueError(
                f"{key} is {node.NUM_CLASSES}, but {first} has {len(names)} classes: {', '.join(names)}; remove the "
                "key from the config, the number follows from the data"
            )
        node.NUM_CLASSES = len(names)


def _class_names(dataset: str) -> list[str]:
    if dataset not in MetadataCatalog.list():
        raise KeyError(
            f"data set {dataset!r} is not registered; known are {', '.join(sorted(MetadataCatalog.list()))}. Register "
            "your own with --register-coco NAME=ANNOTATIONS.json:IMAGE_DIR"
        )
    return list(MetadataCatalog.get(dataset).thing_classes)


def number_of_classes(cfg: CfgNode) -> int:
    """K: ``MODEL.DML.NUM_CLASSES``, or that of the data sets where it is 0."""
    if cfg.MODEL.DML.NUM_CLASSES == 0:
        cfg = cfg.clone()
        cfg.defrost()
        set_num_classes(cfg)
    if cfg.MODEL.DML.NUM_CLASSES < 1:
        raise ValueError("MODEL.DML.NUM_CLASSES is not set")
    return cfg.MODEL.DML.NUM_CLASSES

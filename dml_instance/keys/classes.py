"""The number of classes follows from the data."""

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

# Detectron2's default; a yaml that leaves it alone has not chosen a number.
_ROI_HEADS_DEFAULT = 80


def number_of_classes(cfg: CfgNode) -> int:
    """``MODEL.DML.NUM_CLASSES`` where it is set, else the number of classes of the data sets.

    Those are the sets of DATASETS.TRAIN and DATASETS.TEST. A set whose class names are known only
    once it is loaded, as after Detectron2's ``register_coco_instances``, is loaded.

    Returns:
        K >= 1, the background not counted.

    Raises:
        ValueError: where the config names no data set, a set has no class names, or two sets have
            different ones.
        KeyError: for a data set that is not registered.
        FileNotFoundError: where a set has to be loaded and its files are missing. All messages
            name the key or the set, and what to do.
    """
    if cfg.MODEL.DML.NUM_CLASSES > 0:
        return cfg.MODEL.DML.NUM_CLASSES
    if not _dataset_names(cfg):
        raise ValueError(
            "MODEL.DML.NUM_CLASSES is not set, and DATASETS.TRAIN and DATASETS.TEST name no data "
            "set to take it from; set one of these keys"
        )
    return len(_common_class_names(cfg))


def set_num_classes(cfg: CfgNode) -> None:
    """Set ``MODEL.DML.NUM_CLASSES`` and ``MODEL.ROI_HEADS.NUM_CLASSES`` from the data, in place.

    A config that names no data set stays as it is.

    Raises:
        ValueError: as ``number_of_classes``, or where a number in the config contradicts the data.
        KeyError, FileNotFoundError: as ``number_of_classes``.
    """
    if not _dataset_names(cfg):
        return
    names = _common_class_names(cfg)
    for key, node, unset in (
        ("MODEL.DML.NUM_CLASSES", cfg.MODEL.DML, 0),
        ("MODEL.ROI_HEADS.NUM_CLASSES", cfg.MODEL.ROI_HEADS, _ROI_HEADS_DEFAULT),
    ):
        if node.NUM_CLASSES not in (unset, len(names)):
            raise ValueError(
                f"{key} is {node.NUM_CLASSES}, but {_dataset_names(cfg)[0]} has {len(names)} "
                f"classes: {', '.join(names)}; remove the key from the config, the number follows "
                "from the data"
            )
    cfg.MODEL.DML.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES = number_of_classes(cfg)


def _dataset_names(cfg: CfgNode) -> list[str]:
    return [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]


def _common_class_names(cfg: CfgNode) -> list[str]:
    """The class names of all data sets of a config, of which there is at least one."""
    first, *others = _dataset_names(cfg)
    names = _class_names(first)
    for other in others:
        if (other_names := _class_names(other)) != names:
            raise ValueError(
                f"data sets {first} and {other} have different classes, {names} and {other_names}; "
                "train and evaluate on sets with the same categories in the same order"
            )
    return names


def _class_names(dataset: str) -> list[str]:
    if dataset not in DatasetCatalog.list():
        raise KeyError(
            f"data set {dataset!r} is not registered; known are "
            f"{', '.join(sorted(DatasetCatalog.list()))}. Register your own with --register-coco "
            "NAME=ANNOTATIONS.json:IMAGE_DIR, or in Python before the model is built"
        )
    metadata = MetadataCatalog.get(dataset)
    if not metadata.get("thing_classes"):
        try:
            # Detectron2's COCO reader finds the names in the file, and adds them.
            DatasetCatalog.get(dataset)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"data set {dataset} has to be loaded for its class names, but: {error}; put the "
                f"file there, or name them by MetadataCatalog.get({dataset!r}).set("
                "thing_classes=[...])"
            ) from error
    if not metadata.get("thing_classes"):
        raise ValueError(
            f"data set {dataset} has no class names of objects; give them by "
            f"MetadataCatalog.get({dataset!r}).set(thing_classes=[...])"
        )
    return list(metadata.thing_classes)

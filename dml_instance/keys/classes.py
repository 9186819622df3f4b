"""The classes of a model: their number and names follow from the data, and stay with the config."""

import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

# Detectron2's default; a yaml that leaves it alone has not chosen a number.
_ROI_HEADS_DEFAULT = 80
# Of DATASETS.
_SPLITS = ("TRAIN", "TEST")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """The K classes of a model, by index.

    Attributes:
        names: (K,).
        category_ids: (K,), what COCO files call them.
    """

    names: tuple[str, ...]
    category_ids: tuple[int, ...]


def classes_of(cfg: CfgNode) -> Classes:
    """The classes of a trained model.

    Those that its training stored in DATASETS.CLASS_NAMES and DATASETS.CATEGORY_IDS; else those of
    the first data set of the config that this process knows. Where there are not K of them they are
    "class 0", "class 1" ..., with a warning.
    """
    ours = cfg.MODEL.META_ARCHITECTURE == "DMLInstance"
    count = cfg.MODEL.DML.NUM_CLASSES if ours else cfg.MODEL.ROI_HEADS.NUM_CLASSES
    known = known_dataset(cfg)
    stored = Classes(tuple(cfg.DATASETS.CLASS_NAMES), tuple(cfg.DATASETS.CATEGORY_IDS))
    for classes in (stored, *([] if known is None else [_registered(known)])):
        if len(classes.names) == len(classes.category_ids) == count:
            return classes
    _logger.warning(
        "what the classes are called is not known: give the config.yaml of the training, or set "
        "DATASETS.CLASS_NAMES and DATASETS.CATEGORY_IDS"
    )
    names = tuple(f"class {index}" for index in range(count))
    return Classes(names, tuple(range(1, count + 1)))


def known_dataset(cfg: CfgNode) -> str | None:
    """The first data set of a config, those of DATASETS.TEST before others, that this process
    knows."""
    names = (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
    return next((name for name in names if name in DatasetCatalog.list()), None)


def with_class_indices(results: Iterable[dict], dataset: str) -> list[dict]:
    """COCO results of a registered data set, their ``category_id`` the index of the class."""
    index_of = MetadataCatalog.get(dataset).get("thing_dataset_id_to_contiguous_id")
    return [
        {**r, "category_id": index_of[r["category_id"]] if index_of else r["category_id"]}
        for r in results
    ]


def _registered(dataset: str) -> Classes:
    """The classes of a registered data set; none where it has no names."""
    metadata = MetadataCatalog.get(dataset)
    names = tuple(metadata.get("thing_classes", ()))
    index_of = metadata.get("thing_dataset_id_to_contiguous_id")
    if index_of is None:
        return Classes(names, tuple(range(1, len(names) + 1)))
    return Classes(names, tuple(sorted(index_of, key=index_of.get)))


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
    return len(_common_class_names(_dataset_names(cfg)))


def set_num_classes(cfg: CfgNode, splits: Sequence[str] = _SPLITS) -> None:
    """Set ``MODEL.DML.NUM_CLASSES`` and ``MODEL.ROI_HEADS.NUM_CLASSES`` from the data, in place.

    What the classes are called goes to ``DATASETS.CLASS_NAMES`` and ``DATASETS.CATEGORY_IDS``;
    those of a trained model stay where no data to train on counts. A config that names no data set
    stays as it is.

    Args:
        cfg: of a run.
        splits: of DATASETS, "TRAIN" and "TEST", whose data sets count.

    Raises:
        ValueError: as ``number_of_classes``, or where a number or the names in the config, which
            are those of a trained model, contradict the data.
        KeyError, FileNotFoundError: as ``number_of_classes``.
    """
    sets = _dataset_names(cfg, splits)
    if not sets:
        return
    names = _common_class_names(sets)
    for key, node, unset in (
        ("MODEL.DML.NUM_CLASSES", cfg.MODEL.DML, 0),
        ("MODEL.ROI_HEADS.NUM_CLASSES", cfg.MODEL.ROI_HEADS, _ROI_HEADS_DEFAULT),
    ):
        if node.NUM_CLASSES not in (unset, len(names)):
            raise ValueError(
                f"{key} is {node.NUM_CLASSES}, but {sets[0]} has {len(names)} classes: "
                f"{', '.join(names)}; remove the key from the config, the number follows from the "
                "data"
            )
    stored = list(cfg.DATASETS.CLASS_NAMES)
    if stored and stored != list(names):
        raise ValueError(
            f"the classes of this config are {', '.join(stored)}, but those of "
            f"{sets[0]} are {', '.join(names)}: a trained model needs data of the same classes in "
            "the same order; start a new training from a yaml of configs/"
        )
    cfg.MODEL.DML.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(names)
    if not stored or "TRAIN" in splits:
        classes = _registered(sets[0])
        cfg.DATASETS.CLASS_NAMES = list(classes.names)
        cfg.DATASETS.CATEGORY_IDS = list(classes.category_ids)


def names_alike(names: Iterable[str]) -> list[list[str]]:
    """Names of classes that differ by case, blanks or the spelling of accents alone, together."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        alike["".join(plain.split())].append(name)
    return [group for group in alike.values() if len(group) > 1]


def _dataset_names(cfg: CfgNode, splits: Sequence[str] = _SPLITS) -> list[str]:
    return [name for split in splits for name in cfg.DATASETS[split]]


def _common_class_names(datasets: Sequence[str]) -> list[str]:
    """The class names of all of some data sets, of which there is at least one."""
    first, *others = datasets
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

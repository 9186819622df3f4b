"""Lengths, and a limit, that follow from how large and how many the objects of a training set are.

What is chosen for nuclei, photographs and the drawn shapes are the values that were found by trying
(docs/accuracy.md, the notebook of experiments); the rules go through them.
"""

import math
from operator import attrgetter
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..data.object_sizes import ObjectSizes, measure_objects

# Pixels that the lower quartile of diameters is brought into: smaller objects are magnified at test
# time, larger images are shrunk for training and test.
_SMALLEST, _LARGEST = 16.0, 64.0
# From this width on, area over the longer side of the box, cells of four pixels are fine enough.
_WIDE = 32.0
# A box that long beside the image, or beside the object's diameter: the object is not in one place.
_FILLS, _LONG = 0.3, 3.0
# From this share of objects in pieces on, they are not in one place either.
_IN_PIECES = 0.1
# Objects of an image that are scored, for each that the fullest one of training holds; in hundreds,
# as Detectron2's default is one.
_COUNTED, _HUNDRED = 1.05, 100

FITTED_KEYS = (
    "INPUT.SCALE_TRAIN",
    "INPUT.SCALE_TEST",
    "MODEL.DML.CONTEXT",
    "MODEL.DML.TEST_SCALES",
    "MODEL.DML.DECODER.STRIDE",
    "MODEL.DML.DECODER.SEED_STRIDE",
    "MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT",
    "MODEL.DML.SEED_HEAD.RADII",
    "MODEL.DML.GROUPING.CONNECT_GAP",
    "TEST.DETECTIONS_PER_IMAGE",
)


def fit_to_objects(cfg: CfgNode, given: set[str]) -> None:
    """Set what follows from the objects of ``DATASETS.TRAIN``, in place.

    For another meta-architecture that is only how large it sees its images, and how many objects of
    one are scored. What was measured goes
    to ``INPUT.OBJECT_DIAMETERS``, and ``INPUT.FIT_TO_OBJECTS`` becomes False: what the config holds
    then is what the model has.

    Args:
        cfg: of a training.
        given: keys that the user has set, which stay.

    Raises:
        KeyError, FileNotFoundError: for a data set that is not known, or is not there.
        ValueError: for one without an object.
    """
    sizes = _sizes_of(cfg)
    is_ours = cfg.MODEL.META_ARCHITECTURE == "DMLInstance"
    for key, value in lengths_for(sizes, cfg).items():
        if key not in given and (is_ours or key.startswith(("INPUT.", "TEST."))):
            cfg.merge_from_list([key, value])
    cfg.INPUT.OBJECT_DIAMETERS = list(sizes.diameter)
    cfg.INPUT.FIT_TO_OBJECTS = False


def fitted_lengths(cfg: CfgNode) -> str:
    """One line on the objects that were measured, and the lengths that go with them."""
    quartiles = " / ".join(f"{diameter:g}" for diameter in cfg.INPUT.OBJECT_DIAMETERS)
    lengths = ", ".join(f"{key} {attrgetter(key)(cfg)}" for key in FITTED_KEYS)
    return f"objects are {quartiles} pixels across (quartiles): {lengths}"


def lengths_for(sizes: ObjectSizes, cfg: CfgNode) -> dict[str, Any]:
    """A value for each of FITTED_KEYS.

    Args:
        sizes: of the training set.
        cfg: its stock resizing, INPUT.MIN_SIZE_TRAIN, counts.
    """
    side = cfg.INPUT.MIN_SIZE_TRAIN[0]
    is_resized = side > 0
    scale = side / sizes.short_side if is_resized else min(1.0, _LARGEST / sizes.diameter[0])
    # Of three in four objects the diameter is larger, as the network sees them in training.
    diameter = scale * sizes.diameter[0]
    unit = 2.0 ** round(math.log2(diameter))
    median = sizes.diameter[1]
    width = scale * math.pi / 4 * median**2 / sizes.extent
    stride = 4 if width >= _WIDE else 2
    is_long = sizes.extent > _LONG * median
    shrunk = 1.0 if is_resized else round(scale, 2)
    magnified = round(4 * min(_SMALLEST / diameter, 2.0)) / 4
    return {
        "INPUT.SCALE_TRAIN": shrunk,
        "INPUT.SCALE_TEST": shrunk,
        "MODEL.DML.CONTEXT": -1 if sizes.extent >= _FILLS * sizes.short_side else round(2 * unit),
        "MODEL.DML.TEST_SCALES": [magnified] if magnified > 1 else [],
        "MODEL.DML.DECODER.STRIDE": stride,
        "MODEL.DML.DECODER.SEED_STRIDE": 2 * stride,
        "MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT": (
            0.0 if is_long or sizes.in_pieces >= _IN_PIECES else unit
        ),
        "MODEL.DML.SEED_HEAD.RADII": [round(unit * part) for part in (0.25, 0.5, 1, 2)],
        "MODEL.DML.GROUPING.CONNECT_GAP": 8 * math.ceil(scale * sizes.gap / 8),
        "TEST.DETECTIONS_PER_IMAGE": _HUNDRED * math.ceil(_COUNTED * sizes.most / _HUNDRED),
    }


def _sizes_of(cfg: CfgNode) -> ObjectSizes:
    """Those that a built-in data set is known to have, or measured."""
    known = MetadataCatalog.get(cfg.DATASETS.TRAIN[0])
    if len(cfg.DATASETS.TRAIN) == 1 and hasattr(known, "object_sizes"):
        return known.object_sizes
    return measure_objects([r for name in cfg.DATASETS.TRAIN for r in DatasetCatalog.get(name)])

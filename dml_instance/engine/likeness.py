"""For which of its classes a model takes the objects of a data set, which may have other ones."""

from collections import Counter
from collections.abc import Sequence

from detectron2.config import CfgNode
from torch import nn

from ..data import build_test_mapper
from ..evaluation.average_precision import mask_iou
from ..images import evenly_spread
from ..rle import as_rle, encoded_part
from .prediction import objects_in

# Enough to tell, and a few seconds.
_IMAGES = 10
# An object that was found, as everywhere.
_IOU = 0.5


def likest_classes(model: nn.Module, cfg: CfgNode, records: Sequence[dict]) -> dict[int, int]:
    """The class that a model gives most of the objects of each class of a data set.

    Args:
        model: in evaluation mode.
        cfg: that built it.
        records: Detectron2's, with masks; of many, ten are looked at.

    Returns:
        Indices of the model's classes by those of the data set; a class of which no object was
        found is left out.

    Raises:
        FileError: for an image that cannot be read.
    """
    mapper = build_test_mapper(cfg)
    votes: dict[int, Counter] = {}
    for record in evenly_spread(records, _IMAGES):
        size = record["height"], record["width"]
        annotations = [a for a in record["annotations"] if not a.get("iscrowd", 0)]
        found, _ = objects_in(model, mapper(record), min_score=0.0)
        iou = mask_iou(
            [encoded_part(one.mask, one.corner, size) for one in found],
            [as_rle(a["segmentation"], *size) for a in annotations],
        )
        for row, column in zip(*(iou >= _IOU).nonzero(), strict=True):
            of_class = votes.setdefault(annotations[column]["category_id"], Counter())
            of_class[found[row].class_index] += 1
    return {index: of_class.most_common(1)[0][0] for index, of_class in votes.items()}

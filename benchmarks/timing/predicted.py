"""Images of a data set and the network's predictions, which groupings are measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.data import detection_utils as utils

from dml_instance.images import evenly_spread
from dml_instance.modeling import DMLInstance
from dml_instance.modeling.structures import ImageMaps

from .inference import model_inputs


@dataclass(frozen=True)
class Predicted:
    """One image as the grouping gets it, at one scale.

    Attributes:
        maps: what the network says of it.
        output_size: (H, W) of the masks wanted.
    """

    maps: ImageMaps
    output_size: tuple[int, int]

    @property
    def cell_size(self) -> tuple[float, float]:
        """Output pixels a cell, (vertical, horizontal)."""
        return self.maps.cell_size(self.output_size)


def evenly_taken(dataset: str, count: int) -> list[dict]:
    """``count`` records of a registered data set, evenly spread over it, or all if it has fewer.

    Raises:
        ValueError: for an unknown data set or a count under 1; and whatever loading the data set
            raises.
    """
    if dataset not in DatasetCatalog.list():
        raise ValueError(
            f"data set {dataset} is not registered; use a name of the README or --register-coco"
        )
    if count < 1:
        raise ValueError(f"at least one image is needed, got {count}")
    return evenly_spread(DatasetCatalog.get(dataset), count)


def check_model(name: str, model: torch.nn.Module) -> None:
    """Raises ValueError unless a model groups the pixels of a single scale."""
    if not isinstance(model, DMLInstance):
        raise ValueError(f"run {name} is a {type(model).__name__}; this part takes DMLInstance")
    if len(scales := model.inference_rules.scales) != 1:
        raise ValueError(
            f"run {name} sees images at {len(scales)} scales; this part takes one: "
            "set MODEL.DML.TEST_SCALES [1.0]"
        )


def inputs_of(records: Sequence[dict], cfg: CfgNode) -> list[dict]:
    """The model's input of each record, resized as for evaluation."""
    return model_inputs(
        [utils.read_image(record["file_name"], cfg.INPUT.FORMAT) for record in records], cfg
    )


def predict(model: DMLInstance, x: dict) -> Predicted:
    """The predictions for one input of ``inputs_of``, by a model that ``check_model`` lets pass."""
    ((maps,),) = model.pyramids([x])
    return Predicted(maps, (x["height"], x["width"]))

"""What a trained model sees in an image, as one picture."""

from collections.abc import Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import Metadata
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from ..data import build_test_mapper
from ..grouping import seediness
from ..images import PLAIN, ReadingRules, read_image
from ..mask_classes import is_likeliest
from ..modeling import DMLInstance
from ..modeling.grouping import class_probability
from ..modeling.structures import ImageMaps
from ..rle import as_rle
from ..visualization import (
    draw_instances,
    draw_masks,
    embedding_colors,
    panel,
    seediness_heat,
)

# True objects in a picture at most.
_MOST_DRAWN = 500


def picture_of(
    model: nn.Module,
    cfg: CfgNode,
    record: dict,
    metadata: Metadata,
    min_score: float,
    rules: ReadingRules = PLAIN,
) -> tuple[np.ndarray, Tensor]:
    """Input, embedding, seediness with seeds, instances and ground truth side by side.

    Args:
        model: in evaluation mode; one of another architecture gets no embedding and no seediness.
        cfg: that built it.
        record: Detectron2's; with ``annotations`` the ground truth is drawn, too.
        metadata: of the data set, for class names.
        min_score: seeds and instances under it are not drawn.
        rules: of reading the image.

    Returns:
        RGB uint8 (H, W, 3), see ``visualization.panel``; and the scores (N,) of all objects.

    Raises:
        FileError: for a file that cannot be read or is not what its record says.
    """
    # The mapper comes first: its errors say what is wrong with a file.
    inputs = [build_test_mapper(cfg, rules)(record)]
    rgb = np.ascontiguousarray(read_image(record["file_name"], rules))
    size = rgb.shape[:2]

    pictures = [("input", rgb)]
    if isinstance(model, DMLInstance):
        pyramids = model.pyramids(inputs)  # once, for the maps and for the instances
        pictures += _maps_of(model, pyramids[0][-1], size, min_score)
        (result,) = model.inference(pyramids, inputs)
    else:
        (result,) = model(inputs)
    instances = result["instances"]
    pictures.append(("predicted instances", draw_instances(rgb, instances, metadata, min_score)))
    if "annotations" in record:
        title, masks = _truth_of(record["annotations"], size)
        pictures.append((title, draw_masks(rgb, masks, metadata)))
    return panel(pictures), instances.scores[is_likeliest(instances)]


def _truth_of(annotations: list[dict], size: tuple[int, int]) -> tuple[str, Iterator[np.ndarray]]:
    """A title, and the true masks (H, W) bool one at a time: of thousands not all are drawn, which
    takes a tenth of a second each on a large image."""
    rles = [as_rle(a["segmentation"], *size) for a in annotations if a.get("segmentation")]
    title = "ground truth"
    if len(rles) > _MOST_DRAWN:
        title += f", {_MOST_DRAWN} of {len(rles)}"
    return title, (coco_mask.decode(rle).astype(bool) for rle in rles[:_MOST_DRAWN])


def _maps_of(
    model: DMLInstance, maps: ImageMaps, size: tuple[int, int], min_score: float
) -> list[tuple[str, np.ndarray]]:
    """Titled pictures (H, W, 3) of what the network says of one image at one scale: of several the
    last, which is the finest as a rule."""
    seeds = model.grouping.seeds([maps])
    cells = seeds.position[seeds.score >= min_score]
    places = (cells + 0.5) * np.array(maps.cell_size(size))
    score = seediness(class_probability(maps.class_logits).cpu().numpy())
    heat = seediness_heat(torch.from_numpy(score), places, size)
    return [("embedding", embedding_colors(maps.embedding, size)), ("seediness and seeds", heat)]

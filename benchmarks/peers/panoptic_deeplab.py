"""Panoptic-DeepLab's grouping, Detectron2's own code, on inputs made from the ground truth.

The network that would predict these inputs is left out: centres, offsets and classes are perfect.
What is timed is what the project does with them; its AP is an upper bound, short of 100 only by the
grid's resolution.

Shapes: G objects, h x w grid cells, H x W output pixels.
"""

import importlib.util
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import detectron2
import torch
import torch.nn.functional as F
from detectron2.structures import Instances
from torch import Tensor

from dml_instance.modeling.criterion.label_grid import instance_coverage, instance_id_map
from dml_instance.object_masks import ObjectMasks

from .clusterings import instances_of_labels

# Deviation of the centre heat map, in cells. The project has 10 pixels at stride 4.
_SIGMA = 2.5

# Classes times this, plus the number of the instance, is the project's panoptic label.
_LABEL_DIVISOR = 10**6


@cache
def project_module() -> ModuleType:
    """The one file of the project that groups.

    Importing its package would ask for panopticapi, which grouping does without.

    Raises:
        ImportError: where this Detectron2 comes without its projects.
    """
    path = Path(detectron2.__file__).parent / "projects" / "panoptic_deeplab" / "post_processing.py"
    if not path.is_file():
        raise ImportError(
            f"{path} is missing: this Detectron2 comes without its projects; install it from "
            "source, or with pip install ./third_party/d2wheel"
        )
    spec = importlib.util.spec_from_file_location("panoptic_deeplab_post_processing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class PerfectMaps:
    """What the network of Panoptic-DeepLab would predict at best.

    Attributes:
        semantic: (1, h, w) int64, 0 for background, c + 1 for class c.
        centers: (1, h, w) float32, a Gaussian of height 1 at every object's centre of mass.
        offsets: (2, h, w) float32, rows and columns from each cell of an object to that centre, in
            cells; else 0.
    """

    semantic: Tensor
    centers: Tensor
    offsets: Tensor


def perfect_maps(
    masks: Tensor, classes: Tensor, image_size: tuple[int, int], stride: int
) -> PerfectMaps:
    """The maps of ground truth.

    Args:
        masks: (G, H, W) bool, of any size.
        classes: (G,) int64.
        image_size: (height, width) of the network's input.
        stride: pixels of it a cell.
    """
    coverage = instance_coverage(ObjectMasks.of(masks).resized(image_size), stride)
    ids = instance_id_map(coverage, torch.zeros(coverage.shape))
    position = torch.stack(
        torch.meshgrid(*(torch.arange(side).float() for side in ids.shape), indexing="ij")
    )
    flat, count = ids.flatten(), len(masks) + 1
    sums = torch.zeros(2, count).index_add_(1, flat, position.flatten(1))
    mean = sums / torch.bincount(flat, minlength=count).clamp(min=1)
    # A heat map's maximum is at a cell; an object that other objects hide altogether has none.
    peaks = mean[:, flat[flat > 0].unique()].round()
    centers = torch.zeros(ids.shape)
    for row, column in peaks.T:
        squared = (position[0] - row).square() + (position[1] - column).square()
        centers = torch.maximum(centers, (-squared / (2 * _SIGMA**2)).exp())
    return PerfectMaps(
        semantic=F.pad(classes + 1, (1, 0))[ids][None],
        centers=centers[None],
        offsets=(mean[:, flat].view_as(position) - position) * (ids > 0),
    )


def panoptic_deeplab(
    maps: PerfectMaps,
    num_classes: int,
    cell_size: tuple[float, float],
    output_size: tuple[int, int],
) -> Instances:
    """Instances by the project's grouping, with its thresholds, out of any number of centres.

    Every score is 1, which is what the project's rule, the probability of the centre times that of
    the class, gives for perfect inputs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch.meshgrid, called as it was when the project was written
        panoptic, _ = project_module().get_panoptic_segmentation(
            maps.semantic,
            maps.centers,
            maps.offsets,
            thing_ids=set(range(1, num_classes + 1)),
            label_divisor=_LABEL_DIVISOR,
            stuff_area=0,
            void_label=0,
            top_k=None,
            foreground_mask=(maps.semantic > 0).long(),
        )
    values, labels = panoptic[0].unique(return_inverse=True)
    # Background, label 0, sorts first where there is any.
    labels = labels + int(values[0] > 0)
    of_class = F.one_hot(maps.semantic[0], num_classes + 1)[..., 1:].permute(2, 0, 1).float()
    return instances_of_labels(labels, of_class, cell_size, output_size)

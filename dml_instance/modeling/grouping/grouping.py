"""The grouping as a part of the model: maps of torch in, Detectron2's ``Instances`` out.

What happens between stands in ``dml_instance/grouping/``, without torch.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, N instances, H x W output
pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.structures import Boxes, Instances
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ...grouping import (
    FoundInstances,
    GridMaps,
    GroupingRules,
    GroupingSettings,
    PointGround,
    ReachedLimits,
    SeedAccount,
    Seeds,
    group,
    group_for_ranking,
    seeds_of,
)
from ...grouping import explain as account_of
from ...keys.rule_nodes import rules_of
from ..structures import ImageMaps
from .arrays import as_arrays
from .pieces import PieceCounter

GROUPING_REGISTRY = Registry("GROUPING")
GROUPING_REGISTRY.__doc__ = """
Groupings by name, for ``MODEL.DML.GROUPING.NAME``. Called with (cfg, num_classes=...); the module
is called as ``InstanceGrouping`` is, on a GPU for several images of a batch at once, in threads. If
it has a method ``observe``, it sees the objects of each training batch, as ``ObjectMasks`` with
their classes; pictures of seeds ask its method ``seeds``, and who segments its method ``find``,
which takes arrays and gives masks in windows.
"""

# Masks of more bytes than this stay on the CPU, where only what is set takes memory: those of a
# large image.
_LARGEST_ON_DEVICE = 2**32


def build_grouping(cfg, num_classes: int) -> nn.Module:
    """The grouping that ``MODEL.DML.GROUPING.NAME`` names."""
    return GROUPING_REGISTRY.get(cfg.MODEL.DML.GROUPING.NAME)(cfg, num_classes=num_classes)


@GROUPING_REGISTRY.register()
class InstanceGrouping(nn.Module):
    """Seediness to seeds to masks to scored ``Instances``.

    It has no weights. What it learns from the training data, which classes lie in pieces, is part
    of the checkpoint.
    """

    @configurable
    def __init__(
        self,
        rules: GroupingRules,
        *,
        num_classes: int,
        taus: Sequence[float],
        context: float,
        max_instances: int | None = None,
        min_score: float = 0.0,
    ):
        """
        Args:
            rules: how it goes about it.
            num_classes: K.
            taus: the T similarity thresholds.
            context: pixels of the image beyond which two seeds are not compared; negative: all are.
            max_instances: the best this many are returned; None: all.
            min_score: least score of an instance, in [0, 1].

        Raises:
            ValueError: for a threshold or a least score out of its range.
        """
        super().__init__()
        GroupingSettings(rules, tuple(taus), context, max_instances, min_score)  # or refused
        self.rules = rules
        self.taus = tuple(taus)
        self.context = context
        self.max_instances = max_instances
        self.min_score = min_score
        self.limits = ReachedLimits()
        self.pieces = None
        if rules.bridges_by_class:
            self.pieces = PieceCounter(num_classes, rules.min_share_apart)

    @property
    def settings(self) -> GroupingSettings:
        """The rules, and what else instances depend on, as they are now."""
        in_pieces = None if self.pieces is None else self.pieces.in_pieces().cpu().numpy()
        return GroupingSettings(
            *(self.rules, self.taus, self.context, self.max_instances, self.min_score, in_pieces)
        )

    @classmethod
    def from_config(cls, cfg, num_classes: int):
        dml = cfg.MODEL.DML
        return {
            "rules": rules_of(GroupingRules, dml.GROUPING),
            "num_classes": num_classes,
            "taus": dml.TAUS,
            "context": dml.CONTEXT,
            "max_instances": cfg.TEST.DETECTIONS_PER_IMAGE,
            "min_score": _min_score(cfg),
        }

    def observe(self, images: Sequence[tuple[Sequence[Tensor], Tensor]]) -> None:
        """Take the objects of a training batch into account; of several processes all call it.

        Args:
            images: of each G masks, (h, w) bool in the window that the object fills, and (G,) int64
                classes in [0, K).
        """
        if self.pieces is not None:
            self.pieces.count(images)

    def seeds(self, pyramid: Sequence[ImageMaps]) -> Seeds:
        """The seeds of an image, in the order of choice; see ``grouping.seeds.select_seeds``."""
        return seeds_of([as_arrays(maps) for maps in pyramid], self.settings, self.limits)

    def forward(
        self,
        pyramid: Sequence[ImageMaps],
        output_size: tuple[int, int],
        image_name: str = "an image",
    ) -> Instances:
        """The instances of an image.

        Args:
            pyramid: its maps, one a scale, on any device.
            output_size: (H, W) wanted.
            image_name: for warnings.

        Returns:
            ``pred_masks`` (N, H, W) bool, ``scores`` (N,) float32 in descending order,
            ``pred_classes`` (N,) int64 and ``pred_boxes``, on the device of the maps, or on the CPU
            if the masks have more than 4 GiB. Where no least score is set, a mask comes once for
            each class that it may be of, as evaluators want it, and ``is_likeliest`` (N,) bool says
            which are the objects; see ``mask_classes.is_likeliest``. Memory: the pages of N x H x W
            bytes that masks lie in, and that of ``grow_masks``. A limit that was reached is noted
            in ``limits``, and the first time it is a warning in the log.
        """
        arrays = [as_arrays(maps) for maps in pyramid]
        if self.rules.classes_per_mask == 1 or self.min_score > 0:
            return _as_instances(self.find(arrays, output_size, image_name), pyramid, output_size)
        found, is_likeliest = group_for_ranking(
            arrays, output_size, self.settings, self.limits, image_name
        )
        result = _as_instances(found, pyramid, output_size)
        result.is_likeliest = torch.from_numpy(is_likeliest).to(result.scores.device)
        return result

    def find(
        self,
        pyramid: Sequence[GridMaps],
        output_size: tuple[int, int],
        image_name: str = "an image",
    ) -> FoundInstances:
        """The objects that ``forward`` finds, each once, without a mask of the whole image for
        each: memory does not go with the number of objects times the pixels.

        Args:
            pyramid: the maps of an image as arrays, one a scale.
            output_size, image_name: as of ``forward``.
        """
        return group(pyramid, output_size, self.settings, self.limits, image_name)

    def ground(self, pyramid: Sequence[ImageMaps], output_size: tuple[int, int]) -> PointGround:
        """What masks of an image grow in from any point; ``pyramid`` and ``output_size`` are those
        of ``forward``. It needs no tensor of the maps any more."""
        return PointGround.of([as_arrays(maps) for maps in pyramid], output_size, self.settings)


def explain(
    grouping: InstanceGrouping, pyramid: Sequence[ImageMaps], output_size: tuple[int, int]
) -> tuple[Instances, list[SeedAccount]]:
    """The instances of an image, and why there are these.

    Args:
        grouping: that finds them.
        pyramid, output_size: what it is called with.

    Returns:
        The objects, each once; and the account of ``dml_instance.grouping.explain``.
    """
    arrays = [as_arrays(maps) for maps in pyramid]
    found, accounts = account_of(arrays, output_size, grouping.settings)
    return _as_instances(found, pyramid, output_size), accounts


def _as_instances(
    found: FoundInstances, pyramid: Sequence[ImageMaps], output_size: tuple[int, int]
) -> Instances:
    """As Detectron2 has them; see ``InstanceGrouping.forward``."""
    result = Instances(output_size)
    masks = found.masks.whole(*output_size)
    result.pred_boxes = Boxes(torch.from_numpy(found.masks.boxes.astype(np.float32)))
    result.scores = torch.from_numpy(found.scores)
    result.pred_classes = torch.from_numpy(found.classes)
    result.pred_masks = torch.from_numpy(masks)
    if masks.nbytes > _LARGEST_ON_DEVICE:
        return result
    return result.to(pyramid[0].embedding.device)


def _min_score(cfg) -> float:
    """``MODEL.DML.SCORE_THRESH_TEST``, or Detectron2's own key where somebody has set that."""
    # Detectron2's demo and its VisualizationDemo know this key alone. Its default is made for boxes
    # and would drop what AP ranks.
    stock, default = cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST, 0.05
    return max(cfg.MODEL.DML.SCORE_THRESH_TEST, 0.0 if stock == default else stock)

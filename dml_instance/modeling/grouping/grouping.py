"""The maps of an image to its instances: seeds are chosen, masks grown, scored and drawn.

This is the torch side; what it calls beside ``seeds`` takes and gives NumPy arrays.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, N seeds or instances,
n masks, H x W output pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.structures import Boxes, Instances
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ...keys.rule_nodes import rules_of
from ..similarity import distance_threshold
from ..structures import ImageMaps, Seeds
from .at_point import PointGround
from .classifying import Grown, classify_masks
from .growing import Grids, GrowingSeeds, grow_masks
from .limits import ReachedLimits
from .pieces import PieceCounter
from .rendering import draw_masks
from .rules import GroupingRules
from .seeds import as_array, class_probability, find_all_candidates, select_seeds

GROUPING_REGISTRY = Registry("GROUPING")
GROUPING_REGISTRY.__doc__ = """
Groupings by name, for ``MODEL.DML.GROUPING.NAME``. Called with (cfg, num_classes=...); the module
is called as ``InstanceGrouping`` is, on a GPU for several images of a batch at once, in threads. If
it has a method ``observe``, it sees the objects of the training data; pictures of seeds ask its
method ``seeds``.
"""

# Masks of more bytes than this stay on the CPU, where only what is set takes memory: those of a
# large image.
_LARGEST_ON_DEVICE = 2**32


def build_grouping(cfg, num_classes: int) -> nn.Module:
    """The grouping that ``MODEL.DML.GROUPING.NAME`` names."""
    return GROUPING_REGISTRY.get(cfg.MODEL.DML.GROUPING.NAME)(cfg, num_classes=num_classes)


@GROUPING_REGISTRY.register()
class InstanceGrouping(nn.Module):
    """Seediness to diverse seeds to masks to scored ``Instances``.

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
        if not 0 <= min_score <= 1:
            raise ValueError(f"MODEL.DML.SCORE_THRESH_TEST is in [0, 1], got {min_score}")
        self.rules = rules
        self.taus = tuple(taus)
        self.thresholds = np.array([distance_threshold(tau) for tau in self.taus])
        self.context = context
        self.max_instances = max_instances
        self.min_score = min_score
        self.limits = ReachedLimits()
        self.pieces = None
        if rules.bridges_by_class:
            self.pieces = PieceCounter(num_classes, rules.min_share_apart)

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

    def observe(self, masks: Tensor, classes: Tensor) -> None:
        """Take the objects of a training image into account.

        Args:
            masks: (G, H, W) bool.
            classes: (G,) int64 in [0, K).
        """
        if self.pieces is not None:
            self.pieces.count(masks, classes)

    def seeds(self, pyramid: Sequence[ImageMaps]) -> Seeds:
        """The seeds of an image, in the order of choice; see ``select_seeds``."""
        return self._seeds(pyramid, [class_probability(maps.class_logits) for maps in pyramid])

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
            if the masks have more than 4 GiB. Memory: the pages of N x H x W bytes that masks lie
            in, and that of ``grow_masks``. A limit that was reached is noted in ``limits``, and the
            first time it is a warning in the log.
        """
        return self.drawn(self.grown(pyramid, image_name), pyramid, output_size, image_name)[0]

    def grown(self, pyramid: Sequence[ImageMaps], image_name: str | None = None) -> Grown:
        """Seeds, and the masks that stay, with class and score. A limit that was reached is noted
        where the image has a name."""
        probabilities = [class_probability(maps.class_logits) for maps in pyramid]
        seeds = self._seeds(pyramid, probabilities, image_name)
        grids = self._grids(pyramid, probabilities)
        growing, order = self._growing(pyramid, seeds)
        masks = grow_masks(grids, growing, self.rules.max_overlap)
        tau_index, seediness, seed_class = (
            as_array(values)[order[masks.seed]]
            for values in (seeds.tau_index, seeds.score, seeds.pred_class)
        )
        classes, scores = classify_masks(
            self.rules,
            masks,
            [as_array(probability) for probability in probabilities],
            tau_index=tau_index,
            seediness=seediness,
            seed_class=seed_class,
        )
        return Grown(seeds, order, growing, grids, masks, classes, scores)

    def drawn(
        self,
        grown: Grown,
        pyramid: Sequence[ImageMaps],
        output_size: tuple[int, int],
        image_name: str | None = None,
    ) -> tuple[Instances, np.ndarray]:
        """What ``forward`` returns, and the mask that each instance is, (N,) int64. A limit that
        was reached is noted where the image has a name."""
        masks, classes, scores = grown.masks, grown.classes, grown.scores
        ranked = np.argsort(-scores, kind="stable")
        scores = scores.astype(np.float32)
        ranked = ranked[scores[ranked] >= self.min_score]
        limit = len(ranked) if self.max_instances is None else self.max_instances
        drawn, pixels, boxes = draw_masks(
            masks,
            ranked,
            grown.grids,
            cell_sizes=[maps.cell_size(output_size) for maps in pyramid],
            output_size=output_size,
            interpolate=self.rules.mask_resolution == "output",
            limit=limit,
        )
        if image_name is not None and len(drawn) == limit < len(ranked):
            self.limits.add(
                "TEST.DETECTIONS_PER_IMAGE",
                image_name,
                f"the best {limit} of {len(ranked)} instances are returned; raise "
                "TEST.DETECTIONS_PER_IMAGE, or MODEL.DML.SCORE_THRESH_TEST to leave out weak ones",
            )
        result = Instances(output_size)
        result.pred_boxes = Boxes(torch.from_numpy(boxes.astype(np.float32)))
        result.scores = torch.from_numpy(scores[drawn])
        result.pred_classes = torch.from_numpy(classes[drawn])
        result.pred_masks = torch.from_numpy(pixels)
        if pixels.nbytes > _LARGEST_ON_DEVICE:
            return result, drawn
        return result.to(pyramid[0].embedding.device), drawn

    def ground(self, pyramid: Sequence[ImageMaps], output_size: tuple[int, int]) -> PointGround:
        """What masks of an image grow in from any point; ``pyramid`` and ``output_size`` are those
        of ``forward``. It needs no tensor of the maps any more."""
        probabilities = [class_probability(maps.class_logits) for maps in pyramid]
        is_in_pieces = np.ones(probabilities[0].shape[1], dtype=bool)
        if self.pieces is not None:
            is_in_pieces = as_array(self.pieces.in_pieces())
        gaps = [np.where(is_in_pieces, gap, min(gap, 0)) for gap in map(self._gap, pyramid)]
        return PointGround(
            self._grids(pyramid, probabilities),
            tuple(as_array(probability) for probability in probabilities),
            self.taus,
            np.array(gaps, dtype=np.int64),
            tuple(maps.cell_size(output_size) for maps in pyramid),
            (output_size[0], output_size[1]),
            self.rules,
        )

    def _seeds(
        self,
        pyramid: Sequence[ImageMaps],
        probabilities: list[Tensor],
        image_name: str | None = None,
    ) -> Seeds:
        """Seeds; a limit that was reached is a warning where the image has a name."""
        candidates = find_all_candidates(pyramid, probabilities, self.rules)
        height, width = (side / pyramid[0].scale for side in pyramid[0].image_size)
        limit = self.rules.seed_limit((round(height), round(width)))
        # Of all pixels only a few are ever wanted; of peaks every one may be an object.
        is_told = image_name is not None
        if is_told and self.rules.candidates == "peaks" and len(candidates) > limit:
            self.limits.add(
                "MODEL.DML.GROUPING.MAX_SEEDS",
                image_name,
                f"{limit} of {len(candidates)} possible seeds are grown; raise "
                "MODEL.DML.GROUPING.MAX_SEEDS",
            )
        return select_seeds(candidates, self.rules, limit=limit, context=self.context)

    def _grids(self, pyramid: Sequence[ImageMaps], probabilities: list[Tensor]) -> Grids:
        """The maps as NumPy arrays."""
        is_bridge = [
            # Asked where there is a gap to bridge: with many classes it takes its time.
            p.sum(dim=1).amax(dim=0) >= self.rules.bridge_probability
            if self._gap(maps) > 0
            else torch.zeros(p.shape[-2:], dtype=torch.bool)
            for maps, p in zip(pyramid, probabilities, strict=True)
        ]
        return Grids(
            tuple(as_array(maps.embedding.permute(1, 2, 0).float()) for maps in pyramid),
            tuple(as_array(maps.distance_scale.float()) for maps in pyramid),
            tuple(as_array(values) for values in is_bridge),
        )

    def _gap(self, maps: ImageMaps) -> int:
        """Cells bridged within a mask at a scale; -1: masks are taken whole."""
        if self.rules.connect_gap < 0:
            return -1
        return round(self.rules.connect_gap * maps.scale / maps.stride)

    def _growing(
        self, pyramid: Sequence[ImageMaps], seeds: Seeds
    ) -> tuple[GrowingSeeds, np.ndarray]:
        """Seeds by descending score as NumPy arrays, and the index of each in ``seeds``."""
        gap = torch.tensor([self._gap(maps) for maps in pyramid], device=seeds.level.device)
        gap = gap[seeds.level]
        if self.pieces is not None:
            is_in_pieces = self.pieces.in_pieces().to(gap.device)[seeds.pred_class]
            gap = torch.where(is_in_pieces, gap, gap.clamp(max=0))
        order = as_array(seeds.score.argsort(descending=True, stable=True))
        position, level, tau_index, gap = (
            as_array(values)[order]
            for values in (seeds.position, seeds.level, seeds.tau_index, gap)
        )
        return GrowingSeeds(position, level, self.thresholds[tau_index], gap), order


def _min_score(cfg) -> float:
    """``MODEL.DML.SCORE_THRESH_TEST``, or Detectron2's own key where somebody has set that."""
    # Detectron2's demo and its VisualizationDemo know this key alone. Its default is made for boxes
    # and would drop what AP ranks.
    stock, default = cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST, 0.05
    return max(cfg.MODEL.DML.SCORE_THRESH_TEST, 0.0 if stock == default else stock)

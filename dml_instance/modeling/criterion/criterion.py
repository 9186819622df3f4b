"""Maps and ground truth to losses, and how these are weighed.

    ground truth -> plan: what is sampled, on the CPU -> device
                                           maps ------> losses

Shapes: D embedding channels, V' seed pixels from which masks are grown, T thresholds, K classes,
h x w grid cells.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.utils.registry import Registry
from torch import Tensor

from ...keys.rule_nodes import rules_of
from ..ground_truth import GroundTruth
from ..similarity import pairwise_squared_distance
from ..structures import ImageMaps
from .label_grid import LabelGrid
from .losses import (
    class_loss,
    iou_prediction_loss,
    mask_loss,
    pair_distances,
    pair_loss,
    seed_loss,
)
from .plan import ImagePlan, SampledPairs
from .rules import CriterionRules, MaskLossRules, PairLossRules, SeedLossRules
from .targets import seed_targets

# Every so manyth sampled pixel is asked how far it is from others, which is enough to look at.
_LOOKED_AT = 4

CRITERION_REGISTRY = Registry("CRITERION")
CRITERION_REGISTRY.__doc__ = """
Criterions by name, for ``MODEL.DML.CRITERION.NAME``. Called with (cfg); the result is called as
``DMLCriterion`` is.
"""


def build_criterion(cfg):
    """The criterion that ``MODEL.DML.CRITERION.NAME`` names."""
    return CRITERION_REGISTRY.get(cfg.MODEL.DML.CRITERION.NAME)(cfg)


@CRITERION_REGISTRY.register()
class DMLCriterion:
    """L = L_e + mask loss + lambda(iteration) * L_cls, each the mean over images and pyramid
    scales."""

    @configurable
    def __init__(
        self,
        rules: CriterionRules = CriterionRules(),  # noqa: B008, it is frozen
        *,
        taus: Sequence[float],
        context: float,
        max_iter: int,
    ):
        """
        Args:
            rules: what is sampled, and how it is weighed.
            taus: the T similarity thresholds.
            context: pixels beyond an object's bounds in which others are told apart from it;
                negative: the whole image.
            max_iter: iterations of the schedule.
        """
        self.rules = rules
        self.taus = tuple(taus)
        self.context = context
        self.max_iter = max_iter

    @classmethod
    def from_config(cls, cfg):
        dml = cfg.MODEL.DML
        return {
            "rules": CriterionRules(
                rules_of(PairLossRules, dml.PAIR_LOSS),
                rules_of(MaskLossRules, dml.MASK_LOSS),
                rules_of(SeedLossRules, dml.SEED_LOSS),
            ),
            "taus": dml.TAUS,
            "context": dml.CONTEXT,
            "max_iter": cfg.SOLVER.MAX_ITER,
        }

    def __call__(
        self,
        pyramids: Sequence[Sequence[ImageMaps]],
        truths: Sequence[GroundTruth],
        iteration: int,
    ) -> tuple[dict[str, Tensor], dict[str, float | Tensor]]:
        """
        Args:
            pyramids: for every image its maps, one a scale.
            truths: for every image its objects, of the size of the image, on the CPU.
            iteration: of the schedule, for lambda.

        Returns:
            Losses and statistics. The losses are ``loss_pair``, ``loss_seed`` and, unless its
            weight is 0, ``loss_mask``, float32 scalars. The statistics are to look at, of all
            images and scales:

            ===================  ==============================================================
            ``seed_lambda``      weight of the seed loss
            ``target_iou``       mean best IoU of masks grown from object pixels
            ``predicted_iou``    what the seed head says there: the most likely of its T
                                 probabilities of an object
            ``distance_within``  mean squared distance of sampled pairs of one object
            ``distance_apart``   of an object and anything else; both NaN without such a pair
            ===================  ==============================================================
        """
        looks = [
            (maps, truth)
            for pyramid, truth in zip(pyramids, truths, strict=True)
            for maps in pyramid
        ]
        device = pyramids[0][0].embedding.device
        # Before anything is asked of the device, which is at work on the maps.
        plans = [self.plan(truth, maps.image_size, maps.stride).to(device) for maps, truth in looks]
        # Areas of masks and sums of many distances leave the range of float16.
        with torch.autocast(device.type, enabled=False):
            terms = [
                self._of_image(maps, plan) for (maps, _), plan in zip(looks, plans, strict=True)
            ]
            mean = {
                name: torch.stack([term[name] for term in terms]).mean(dim=0) for name in terms[0]
            }
        seed_weight = self.rules.seed_loss.weight_at(iteration, self.max_iter)
        losses = {
            "loss_pair": self.rules.pair_loss.weight * mean["pair"],
            "loss_seed": seed_weight * mean["seed"],
        }
        if self.rules.mask_loss.weight > 0:
            losses["loss_mask"] = self.rules.mask_loss.weight * mean["mask"]
        statistics = {"seed_lambda": seed_weight}
        for name in ("target_iou", "predicted_iou"):
            statistics[name] = mean[name]
        for name in ("within", "apart"):
            distance, pairs = mean[name]
            statistics[f"distance_{name}"] = distance / pairs
        return losses, statistics

    def plan(self, truth: GroundTruth, image_size: tuple[int, int], stride: int) -> ImagePlan:
        """What is sampled of an image that is seen at (H', W') pixels, on cells of ``stride``
        pixels."""
        grid = LabelGrid.of(truth, image_size, stride)
        return ImagePlan.of(grid, truth.classes, self.rules, self.context / stride)

    def _of_image(self, maps: ImageMaps, plan: ImagePlan) -> dict[str, Tensor]:
        """The unweighted terms of one image at one scale."""
        # (h * w, D) and (h * w,): a cell is a row.
        pixels = maps.embedding.flatten(1).T.float()
        scales = maps.distance_scale.flatten()
        seeds, grown = plan.seeds, plan.seeds.cell[: len(plan.seeds.group)]
        distance = pairwise_squared_distance(pixels[grown], pixels, scales[grown], seeds.near)
        iou, instance = seed_targets(
            distance.detach(),
            seeds.group,
            plan.ids if seeds.near is None else plan.ids[seeds.near],
            seeds.is_judged,
            self.taus,
            count=plan.count if seeds.near is None else None,
        )
        is_object = seeds.group > 0
        logits = maps.class_logits.flatten(2)
        terms = {
            **self._pair_terms(pixels, scales, plan.pairs),
            "seed": self._seed_loss(logits, plan, iou, instance),
            "target_iou": _mean_where(is_object, iou.amax(dim=1)),
            "predicted_iou": _mean_where(is_object, _object_probability(logits[..., grown])),
        }
        if self.rules.mask_loss.weight > 0:
            on_objects = slice(seeds.on_objects)
            near = None if seeds.near is None else seeds.near[on_objects]
            coverage = plan.coverage.of(seeds.group[on_objects], near)
            is_judged = seeds.is_judged.expand(distance.shape)[on_objects]
            terms["mask"] = mask_loss(distance[on_objects], coverage, is_judged)
        return terms

    def _pair_terms(self, pixels: Tensor, scales: Tensor, pairs: SampledPairs) -> dict[str, Tensor]:
        """``pair``, L_e over sampled cells, and ``pair_distances`` of them; pixels (h * w, D),
        scales (h * w,)."""
        embedding, scale = pixels[pairs.cell], scales[pairs.cell]
        loss = pair_loss(
            embedding,
            pairs.group,
            pairs.size,
            distance_scale=scale,
            chosen=(pairs.alike, pairs.apart),
            normalization=self.rules.pair_loss.normalization,
        )
        distances = pair_distances(
            embedding,
            pairs.group,
            distance_scale=scale,
            is_compared=pairs.is_compared,
            step=_LOOKED_AT,
        )
        return {"pair": loss, **distances}

    def _seed_loss(self, logits: Tensor, plan: ImagePlan, iou: Tensor, instance: Tensor) -> Tensor:
        """L_cls in the form that SEED_LOSS.TARGET asks for.

        Args:
            logits: (T, K + 1, h * w) of all cells.
            plan: of the image.
            iou, instance: (V', T) from ``seed_targets``.
        """
        rules, seeds = self.rules.seed_loss, plan.seeds
        # What was not grown is worth 0.
        rest = (0, 0, 0, len(seeds.cell) - len(iou))
        iou, instance = F.pad(iou, rest), F.pad(instance, rest)
        seed_logits = logits[..., seeds.cell].permute(2, 0, 1)
        if rules.target == "class":
            target_class = plan.classes[instance] if plan.count else instance
            is_right = (iou >= rules.target_iou).float()
            return seed_loss(seed_logits, target_class, is_right, seeds.labelled_share)
        of_iou = iou_prediction_loss(seed_logits, iou, seeds.labelled_share)
        return of_iou + class_loss(logits, plan.class_of_cell, plan.class_share)


def _object_probability(logits: Tensor) -> Tensor:
    """(V,) what the seed head says of the best mask that grows there; (T, K + 1, V) logits."""
    return (1 - logits.detach().float().softmax(dim=1)[:, 0]).amax(dim=0)


def _mean_where(is_counted: Tensor, values: Tensor) -> Tensor:
    """Mean of values (V,); 0 where none is counted."""
    return (values * is_counted).sum() / is_counted.sum().clamp(min=1)

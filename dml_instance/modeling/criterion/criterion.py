"""Maps and ground truth to losses: what is sampled, in which region it is judged, and how it is
weighed.

Shapes: D embedding channels, G objects of an image, V seed pixels, P cells that each is judged on,
T thresholds, K classes, h x w grid cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

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
from .rules import CriterionRules, MaskLossRules, PairLossRules, SeedLossRules
from .targets import (
    compared_pairs,
    object_bounds,
    sample_cells_per_group,
    sample_seed_cells,
    seed_targets,
    window_cells,
)

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


class _GrownPixels(NamedTuple):
    """Seed pixels, and the cells that the mask grown from each is judged on.

    Attributes:
        group: (V,) int64, 0 for background, i + 1 where the pixel lies in object i.
        cells: (V, P) int64, these cells; None: all pixels are judged on all cells.
        distance: (V, P) squared distances to them.
        is_judged: (V, P) bool, which of them count.
    """

    group: Tensor
    cells: Tensor | None
    distance: Tensor
    is_judged: Tensor


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
            truths: for every image its objects, of the size of the image.
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
        images = zip(pyramids, truths, strict=True)
        # Areas of masks and sums of many distances leave the range of float16.
        with torch.autocast(pyramids[0][0].embedding.device.type, enabled=False):
            terms = [self._of_image(maps, truth) for pyramid, truth in images for maps in pyramid]
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

    def _of_image(self, maps: ImageMaps, truth: GroundTruth) -> dict[str, Tensor]:
        """The unweighted terms of one image at one scale."""
        grid = LabelGrid.of(truth, maps.image_size, maps.stride)
        bounds = object_bounds(grid.ids, grid.count, self.context / maps.stride)
        # (h * w, D) and (h * w,): a cell is a row.
        pixels = maps.embedding.flatten(1).T.float()
        scales = maps.distance_scale.flatten()
        pairs = self._pair_terms(pixels, scales, grid, bounds)
        on_objects, elsewhere = self._seed_cells(grid)
        # What grows from background is worth 0 unless any object counts: no mask needs to be grown
        # there.
        any_object = self.context < 0
        seeds = torch.cat([on_objects, elsewhere])
        grown = self._grown(seeds if any_object else on_objects, pixels, scales, grid, bounds)
        iou, instance = seed_targets(
            grown.distance.detach(),
            grown.group,
            grid.flat_ids if grown.cells is None else grid.flat_ids[grown.cells],
            grown.is_judged,
            self.taus,
            any_instance=any_object,
        )
        is_object = grown.group > 0
        rest = (0, 0, 0, len(seeds) - len(iou))
        logits = maps.class_logits.flatten(2)
        terms = {
            **pairs,
            "seed": self._seed_loss(
                logits, seeds, F.pad(iou, rest), F.pad(instance, rest), grid, truth.classes
            ),
            "target_iou": _mean_where(is_object, iou.amax(dim=1)),
            "predicted_iou": _mean_where(
                is_object, _object_probability(logits[..., seeds[: len(iou)]])
            ),
        }
        if self.rules.mask_loss.weight > 0:
            coverage = grid.coverage.of(grown.group, grown.cells)
            judged = grown.is_judged & is_object[:, None]
            terms["mask"] = mask_loss(grown.distance, coverage, judged)
        return terms

    def _pair_terms(
        self, pixels: Tensor, scales: Tensor, grid: LabelGrid, bounds: Tensor
    ) -> dict[str, Tensor]:
        """``pair``, L_e over sampled cells, and ``pair_distances`` of them; pixels (h * w, D),
        scales (h * w,), bounds (G + 1, 4)."""
        rules = self.rules.pair_loss
        cell, group = sample_cells_per_group(
            grid.unshared_ids,
            per_instance=rules.pixels_per_instance,
            max_instances=rules.max_instances,
            background=rules.background_pixels,
        )
        counted = group if rules.group_size == "count" else grid.ids[grid.ids >= 0]
        size = torch.bincount(counted, minlength=grid.count + 1)
        is_compared = None
        if self.context >= 0:
            is_compared = compared_pairs(cell, group, bounds, grid.ids.shape[1])
        of_pairs = {"distance_scale": scales[cell], "is_compared": is_compared}
        loss = pair_loss(
            pixels[cell], group, size[group], normalization=rules.normalization, **of_pairs
        )
        distances = pair_distances(pixels[cell], group, step=_LOOKED_AT, **of_pairs)
        return {"pair": loss, **distances}

    def _seed_cells(self, grid: LabelGrid) -> tuple[Tensor, Tensor]:
        """V flat indices of seed pixels, in two parts: on objects, and on background."""
        rules = self.rules.seed_loss
        objects = round(rules.pixels * rules.foreground_fraction)
        return sample_seed_cells(
            grid.unshared_ids, objects=objects, background=rules.pixels - objects
        )

    def _grown(
        self, seeds: Tensor, pixels: Tensor, scales: Tensor, grid: LabelGrid, bounds: Tensor
    ) -> _GrownPixels:
        """What grows from seed pixels: in the window of each one's object, or in the whole grid."""
        group = grid.flat_ids[seeds]
        is_known = grid.ids.flatten() >= 0
        if self.context < 0:
            distance = pairwise_squared_distance(pixels[seeds], pixels, scales[seeds])
            return _GrownPixels(group, None, distance, is_known.expand(len(seeds), -1))
        near, is_judged = window_cells(bounds[group], grid.ids.shape)
        distance = pairwise_squared_distance(pixels[seeds], pixels, scales[seeds], near)
        return _GrownPixels(group, near, distance, is_judged & is_known[near])

    def _seed_loss(
        self,
        logits: Tensor,
        seeds: Tensor,
        iou: Tensor,
        instance: Tensor,
        grid: LabelGrid,
        classes: Tensor,
    ) -> Tensor:
        """L_cls in the form that SEED_LOSS.TARGET asks for.

        Args:
            logits: (T, K + 1, h * w) of all cells.
            seeds: (V,) flat indices of the seed pixels.
            iou, instance: (V, T) from ``seed_targets``.
            grid: whose each cell is.
            classes: (G,) of the objects.
        """
        rules = self.rules.seed_loss
        seed_logits = logits[..., seeds].permute(2, 0, 1)
        ids = grid.flat_ids
        labelled_share = None
        if rules.labelled_share < 1:
            labelled_share = torch.where(ids[seeds] > 0, 1.0, rules.labelled_share)
        if rules.target == "class":
            target_class = classes[instance] if len(classes) else instance
            is_right = (iou >= rules.target_iou).float()
            return seed_loss(seed_logits, target_class, is_right, labelled_share)
        class_of_cell = F.pad(classes, (1, 0))[ids]
        share = (ids > 0) / torch.bincount(ids, minlength=1).clamp(min=1)[ids]
        of_iou = iou_prediction_loss(seed_logits, iou, labelled_share)
        return of_iou + class_loss(logits, class_of_cell, share)


def _object_probability(logits: Tensor) -> Tensor:
    """(V,) what the seed head says of the best mask that grows there; (T, K + 1, V) logits."""
    return (1 - logits.detach().float().softmax(dim=1)[:, 0]).amax(dim=0)


def _mean_where(is_counted: Tensor, values: Tensor) -> Tensor:
    """Mean of values (V,); 0 where none is counted."""
    return (values * is_counted).sum() / is_counted.sum().clamp(min=1)

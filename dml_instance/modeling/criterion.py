"""Predictions and ground truth to losses: what is sampled, in which region it is judged, and how it
is weighed.

Shapes: D embedding channels, G instances of an image, V seed pixels, h x w grid cells.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from ..masks import instance_coverage, instance_id_map, resized_masks, without_ignored
from ..similarity import pairwise_squared_distance
from ..structures import PixelPredictions
from .losses import class_loss, mask_loss, pair_loss, quality_loss, seed_loss, seed_loss_weight
from .targets import (
    compared_pairs,
    object_bounds,
    sample_cells_per_group,
    sample_seed_cells,
    seed_targets,
    window_cells,
)


class DMLCriterion:
    """L = L_e + mask loss + lambda(iteration) * L_cls, each the mean over images and pyramid scales."""

    @configurable
    def __init__(
        self,
        *,
        taus: Sequence[float],
        context: float,
        pixels_per_instance: int,
        background_pixels: int,
        max_instances: int,
        pair_loss_weight: float,
        pair_weights: str,
        pair_normalization: str,
        mask_loss_weight: float,
        seed_pixels: int,
        foreground_fraction: float,
        seed_target: str,
        target_iou: float,
        seed_lambda: float,
        ramp: tuple[int, int],
    ):
        """
        Args:
            ramp: iterations of the schedule at which lambda leaves 0 and reaches ``seed_lambda``.
            others: the keys of ``MODEL.DML`` that ``from_config`` reads; config.py explains them.

        Raises:
            ValueError: for a choice that does not exist, naming its key.
        """
        if pair_weights not in ("area", "count"):
            raise ValueError(f'MODEL.DML.PAIR_LOSS.GROUP_SIZE is "area" or "count", got {pair_weights!r}')
        if pair_normalization not in ("joint", "apart"):
            raise ValueError(
                f'MODEL.DML.PAIR_LOSS.NORMALIZATION is "joint" or "apart", got {pair_normalization!r}'
            )
        if seed_target not in ("class", "iou"):
            raise ValueError(f'MODEL.DML.SEED_LOSS.TARGET is "class" or "iou", got {seed_target!r}')
        self.taus = tuple(taus)
        self.context = context
        self.pixels_per_instance = pixels_per_instance
        self.background_pixels = background_pixels
        self.max_instances = max_instances
        self.pair_loss_weight = pair_loss_weight
        self.pair_weights = pair_weights
        self.pair_normalization = pair_normalization
        self.mask_loss_weight = mask_loss_weight
        self.seed_pixels = seed_pixels
        self.foreground_fraction = foreground_fraction
        self.seed_target = seed_target
        self.target_iou = target_iou
        self.seed_lambda = seed_lambda
        self.ramp = ramp

    @classmethod
    def from_config(cls, cfg):
        dml = cfg.MODEL.DML
        return {
            "taus": dml.TAUS,
            "context": dml.CONTEXT,
            "pixels_per_instance": dml.PAIR_LOSS.PIXELS_PER_INSTANCE,
            "background_pixels": dml.PAIR_LOSS.BACKGROUND_PIXELS,
            "max_instances": dml.PAIR_LOSS.MAX_INSTANCES,
            "pair_loss_weight": dml.PAIR_LOSS.WEIGHT,
            "pair_weights": dml.PAIR_LOSS.GROUP_SIZE,
            "pair_normalization": dml.PAIR_LOSS.NORMALIZATION,
            "mask_loss_weight": dml.MASK_LOSS.WEIGHT,
            "seed_pixels": dml.SEED_LOSS.PIXELS,
            "foreground_fraction": dml.SEED_LOSS.FOREGROUND_FRACTION,
            "seed_target": dml.SEED_LOSS.TARGET,
            "target_iou": dml.SEED_LOSS.TARGET_IOU,
            "seed_lambda": dml.SEED_LOSS.WEIGHT,
            "ramp": tuple(
                int(fraction * cfg.SOLVER.MAX_ITER)
                for fraction in (dml.SEED_LOSS.RAMP_START, dml.SEED_LOSS.RAMP_END)
            ),
        }

    def __call__(
        self,
        predictions: Sequence[PixelPredictions],
        image_sizes: Sequence[Sequence[tuple[int, int]]],
        gt_masks: Sequence[Tensor],
        gt_classes: Sequence[Tensor],
        ignored: Sequence[Tensor],
        iteration: int,
    ) -> tuple[dict[str, Tensor], dict[str, float | Tensor]]:
        """
        Args:
            predictions: one a pyramid scale.
            image_sizes: for every scale the (height, width) of each image, before padding.
            gt_masks: for every image (G, H, W) bool at scale 1.
            gt_classes: for every image (G,) int64.
            ignored: for every image (H, W) bool, pixels that are neither object nor background.
            iteration: of the schedule, for lambda.

        Returns:
            losses: ``loss_pair``, ``loss_seed`` and, unless its weight is 0, ``loss_mask``: float32
                scalars.
            statistics: ``seed_lambda``, and the mean ``target_iou`` of masks grown from object
                pixels.
        """
        terms = []
        for prediction, sizes in zip(predictions, image_sizes, strict=True):
            for index, (size, masks, classes, left_out) in enumerate(
                zip(sizes, gt_masks, gt_classes, ignored, strict=True)
            ):
                terms.append(
                    self._of_image(
                        *prediction.of_image(index, size),
                        resized_masks(masks, size),
                        classes,
                        resized_masks(left_out[None], size),
                        prediction.stride,
                    )
                )
        mean = {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}
        weight = seed_loss_weight(
            iteration, final=self.seed_lambda, start=self.ramp[0], end=self.ramp[1]
        )
        losses = {
            "loss_pair": self.pair_loss_weight * mean["pair"],
            "loss_seed": weight * mean["seed"],
        }
        if self.mask_loss_weight > 0:
            losses["loss_mask"] = self.mask_loss_weight * mean["mask"]
        return losses, {"seed_lambda": weight, "target_iou": mean["target_iou"]}

    def _of_image(
        self,
        embedding: Tensor,
        distance_scale: Tensor,
        class_logits: Tensor,
        masks: Tensor,
        classes: Tensor,
        ignored: Tensor,
        stride: int,
    ) -> dict[str, Tensor]:
        """The unweighted terms of one image at one scale; masks (G, H, W) and ignored (1, H, W) at its input's size."""
        ignored = instance_coverage(ignored, stride)[0]
        coverage = without_ignored(instance_coverage(masks, stride), ignored)
        ids = instance_id_map(coverage, ignored)
        signed, width = ids.flatten(), ids.shape[1]
        flat = signed.clamp(min=0)
        is_local = self.context >= 0
        bounds = object_bounds(ids, len(masks), self.context / stride)
        pixels = embedding.flatten(1).T.float()
        scale = distance_scale.flatten()

        cell, group = sample_cells_per_group(
            ids,
            per_instance=self.pixels_per_instance,
            max_instances=self.max_instances,
            background=self.background_pixels,
        )
        size = torch.bincount(
            group if self.pair_weights == "count" else flat, minlength=len(masks) + 1
        )
        pair = pair_loss(
            pixels[cell],
            group,
            size[group],
            distance_scale=scale[cell],
            is_compared=compared_pairs(cell, group, bounds, width) if is_local else None,
            normalization=self.pair_normalization,
        )

        objects = round(self.seed_pixels * self.foreground_fraction)
        on_objects, elsewhere = sample_seed_cells(
            ids, objects=objects, background=self.seed_pixels - objects
        )
        seed = torch.cat([on_objects, elsewhere])
        # What grows from background is worth 0 unless any instance counts: no mask needs to be
        # grown there.
        grown = on_objects if is_local else seed
        group = flat[grown]
        is_object = group > 0
        if is_local:
            near, is_judged = window_cells(bounds[group], ids.shape)
            distance = pairwise_squared_distance(pixels[grown], pixels, scale[grown], near)
            is_judged &= signed[near] >= 0
            ids_near, compared = flat[near], (group[:, None], near)
        else:
            distance = pairwise_squared_distance(pixels[grown], pixels, scale[grown])
            is_judged = (signed >= 0).expand(len(grown), -1)
            ids_near, compared = flat, group
        iou, instance = seed_targets(
            distance.detach(), group, ids_near, is_judged, self.taus, any_instance=not is_local
        )
        rest = (0, 0, 0, len(seed) - len(grown))
        logits = class_logits.flatten(2)
        terms = {
            "pair": pair,
            "seed": self._seed_loss(
                logits, seed, flat, F.pad(iou, rest), F.pad(instance, rest), classes
            ),
            "target_iou": (iou.amax(dim=1) * is_object).sum() / is_object.sum().clamp(min=1),
        }
        if self.mask_loss_weight > 0:
            covered = F.pad(coverage.flatten(1), (0, 0, 1, 0))[compared]
            terms["mask"] = mask_loss(distance, covered, is_judged & is_object[:, None])
        return terms

    def _seed_loss(
        self,
        logits: Tensor,
        seed: Tensor,
        ids: Tensor,
        iou: Tensor,
        instance: Tensor,
        classes: Tensor,
    ) -> Tensor:
        """L_cls in the form that SEED.TARGET asks for.

        Args:
            logits: (T, K + 1, h * w) of all cells.
            seed: (V,) flat indices of the seed pixels.
            ids: (h * w,) instance of each cell; iou, instance: (V, T) from ``seed_targets``.
            classes: (G,) of the instances.
        """
        seed_logits = logits[..., seed].permute(2, 0, 1)
        if self.seed_target == "class":
            target_class = classes[instance] if len(classes) else instance
            return seed_loss(seed_logits, target_class, (iou >= self.target_iou).float())
        class_of_cell = F.pad(classes, (1, 0))[ids]
        share = (ids > 0) / torch.bincount(ids, minlength=1).clamp(min=1)[ids]
        return quality_loss(seed_logits, iou) + class_loss(logits, class_of_cell, share)

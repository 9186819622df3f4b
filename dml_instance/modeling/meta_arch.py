"""The registered meta-architecture.

    batched_inputs -> images -> network -> maps --(training)---> criterion -> losses
                                                --(inference)--> grouping -> Instances

Shapes: B images, C channels, H x W image pixels.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import move_device_like
from detectron2.modeling import META_ARCH_REGISTRY, Backbone
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..grouping import FoundInstances, GridMaps
from ..keys.classes import number_of_classes
from ..keys.honoured import note_on_unread_keys
from ..schedule import schedule_iteration
from ..tiling import Tile, tiles_of
from .checkpoint_names import keep_checkpoint_names, place_of
from .criterion import DMLCriterion, build_criterion
from .ground_truth import GroundTruth
from .grouping import InstanceGrouping, as_arrays, build_grouping, joined_arrays
from .image_threads import of_each_image
from .network import DMLNetwork
from .pixel_norm import PixelNorm, PixelStatistics, statistics_of_parts
from .structures import MAPS, BatchMaps, ImageMaps
from .test_time import InferenceRules, ScaledImage, predict_augmented, predict_tiles, tile_of

_logger = logging.getLogger(__name__)


@META_ARCH_REGISTRY.register()
class DMLInstance(nn.Module):
    """Box-free instance segmentation by deep metric learning (Fathi et al., arXiv:1703.10277)."""

    @configurable
    def __init__(
        self,
        *,
        network: DMLNetwork,
        criterion: DMLCriterion,
        grouping: InstanceGrouping,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        normalize_each_image: bool = False,
        pyramid_scales: Sequence[float] = (1.0,),
        inference_rules: InferenceRules | None = None,
        training_note: str = "",
    ):
        """
        Args:
            network: images to maps.
            criterion: maps and ground truth to losses.
            grouping: maps to instances.
            pixel_mean, pixel_std: one number a channel, in the channel order of the input.
            normalize_each_image: by its own mean and deviation instead.
            pyramid_scales: relative sizes at which the network sees the image in training.
            inference_rules: how the network is asked at inference; None: at the scales of training.
            training_note: logged as a warning once, when a trainer takes the model.

        Raises:
            ValueError: for scales that are not positive.
        """
        super().__init__()
        if not pyramid_scales or min(pyramid_scales) <= 0:
            raise ValueError(
                f"MODEL.DML.PYRAMID_SCALES needs positive numbers, got {list(pyramid_scales)}"
            )
        self.network = network
        self.criterion = criterion
        self.grouping = grouping
        self.pixel_norm = PixelNorm(pixel_mean, pixel_std, of_each_image=normalize_each_image)
        self.pyramid_scales = tuple(pyramid_scales)
        self.inference_rules = inference_rules or InferenceRules(self.pyramid_scales)
        self.training_note = training_note
        keep_checkpoint_names(self)

    @classmethod
    def from_config(cls, cfg):
        dml = cfg.MODEL.DML
        if dml.INPUT_NORMALIZATION not in ("dataset", "image"):
            raise ValueError(
                'MODEL.DML.INPUT_NORMALIZATION is "dataset" or "image", '
                f"got {dml.INPUT_NORMALIZATION!r}"
            )
        num_classes = number_of_classes(cfg)
        return {
            "network": DMLNetwork(cfg, num_classes),
            "criterion": build_criterion(cfg),
            "grouping": build_grouping(cfg, num_classes),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "normalize_each_image": dml.INPUT_NORMALIZATION == "image",
            "pyramid_scales": dml.PYRAMID_SCALES,
            "inference_rules": InferenceRules.from_config(cfg),
            "training_note": note_on_unread_keys(cfg),
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_norm.mean.device

    @property
    def backbone(self) -> Backbone:
        """The network's, where Detectron2 looks for it."""
        return self.network.backbone

    def __getattr__(self, name: str) -> Any:
        """Parts under the names that checkpoints have for them as well: fvcore walks along these to
        what has another shape in a checkpoint, as the predictors for other classes have."""
        place = place_of(name)
        return super().__getattr__(name) if place is None else self.get_submodule(place)

    def train(self, mode: bool = True) -> "DMLInstance":
        """As ``nn.Module.train``; Detectron2's trainers call it when they are built."""
        if mode and self.training_note:
            _logger.warning(self.training_note)
            self.training_note = ""
        return super().train(mode)

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """
        Args:
            batched_inputs: Detectron2's standard input. One dict an image: ``image`` (C, H, W); in
                training ``instances`` with ``gt_classes`` and ``gt_masks`` (bit masks or polygons;
                both may be missing where there is no object), and ``ignored`` (H, W) bool where
                pixels are neither object nor background; at inference optionally ``height`` and
                ``width`` of the result, and ``file_name`` for warnings.

        Returns:
            In training the dict of losses. At inference one dict an image, whose ``instances`` has
            ``pred_masks`` (N, height, width) bool, ``scores``, ``pred_classes`` and ``pred_boxes``.
            Where no least score is set a mask may come once for each class that it may be of; see
            ``InstanceGrouping.forward``.
            While it is traced, one dict an image of its maps; see ``traced``.
        """
        if torch.jit.is_tracing():
            return self.traced(batched_inputs)
        if self.training:
            return self.losses(self.pyramids(batched_inputs), batched_inputs)
        batches = self.inference_batches(batched_inputs)
        return [r for batch in batches for r in self.inference(self.pyramids(batch), batch)]

    def inference_batches(self, batched_inputs: list[dict]) -> list[list[dict]]:
        """The inputs as the network takes them at inference: together, but on a CPU every image
        alone. Several do not fit its caches, and take twice the time an image."""
        size = 1 if self.device.type == "cpu" else max(len(batched_inputs), 1)
        return [batched_inputs[i : i + size] for i in range(0, len(batched_inputs), size)]

    def pyramids(self, batched_inputs: list[dict]) -> list[list[ImageMaps]]:
        """For every image its maps, one a scale of the pyramid."""
        scales = self.pyramid_scales if self.training else self.inference_rules.scales
        images = [self.preprocess_image(batched_inputs, scale) for scale in scales]
        maps = [
            self.predict_maps(image, scale) for image, scale in zip(images, scales, strict=True)
        ]
        return [
            [m.of_image(index, i.image_sizes[index]) for m, i in zip(maps, images, strict=True)]
            for index in range(len(batched_inputs))
        ]

    def losses(
        self, pyramids: list[list[ImageMaps]], batched_inputs: list[dict]
    ) -> dict[str, Tensor]:
        """Losses of a batch; logs the criterion's statistics to the ``EventStorage``."""
        truths = [GroundTruth.of_input(x) for x in batched_inputs]
        if hasattr(self.grouping, "observe"):
            self.grouping.observe([(truth.masks, truth.classes) for truth in truths])
        storage = get_event_storage()
        losses, statistics = self.criterion(pyramids, truths, schedule_iteration(storage))
        for name, value in _on_host(statistics).items():
            # What no image of the batch has, as pairs of one object, is not put.
            if not math.isnan(value):
                storage.put_scalar(f"dml/{name}", value)
        return losses

    def inference(
        self,
        pyramids: list[list[ImageMaps]],
        batched_inputs: list[dict],
        threads: int | None = None,
    ) -> list[dict[str, Instances]]:
        """Instances of a batch, each at the size its input dict asks for, else that of the image.

        Args:
            pyramids: maps of every image.
            batched_inputs: as in ``forward``.
            threads: images that are grouped at once. None: one on the CPU; on a GPU as many as
                torch has threads, which OMP_NUM_THREADS sets.
        """
        images, names = [], []
        for pyramid, x in zip(pyramids, batched_inputs, strict=True):
            height, width = x["image"].shape[-2:]
            names.append(x.get("file_name", "an image"))
            images.append((pyramid, (x.get("height", height), x.get("width", width)), names[-1]))
        if threads is None:
            threads = 1 if self.device.type == "cpu" else torch.get_num_threads()
        grouped = of_each_image(self.grouping, images, names, threads=threads, device=self.device)
        return [{"instances": instances} for instances in grouped]

    def find(self, x: dict) -> FoundInstances:
        """The instances of one image, without a mask of the whole image for each.

        The objects that ``forward`` finds, each once, for images of any size that hold any number
        of objects. One that is seen in tiles is resized and normalised tile by tile, too; memory
        beside what a tile takes is that of ``joined_arrays`` and ``grow_masks``, on the CPU.

        Args:
            x: as in ``forward``, at inference. Where the image is a part of a larger one, by
                ``statistics`` what ``statistics_of`` says of all of it.
        """
        x = {**x, "image": move_device_like(x["image"], self.pixel_norm.mean)}
        height, width = x["image"].shape[-2:]
        scales = self.inference_rules.scales
        statistics = x.get("statistics") or [None] * len(scales)
        looks = zip(self._resized(x["image"]), scales, statistics, strict=True)
        pyramid = [self._arrays(x, *look) for look in looks]
        size = (x.get("height", height), x.get("width", width))
        return self.grouping.find(pyramid, size, x.get("file_name", "an image"))

    def statistics_of(self, parts: Iterable[Tensor]) -> list[PixelStatistics] | None:
        """What normalises an image that is seen part by part, for ``find``: mean and deviation at
        each scale of inference. None where every image is normalised alike.

        Args:
            parts: (C, h, w) each, that make up the image without overlap.
        """
        if not self.pixel_norm.of_each_image:
            return None
        of_parts = [
            [(math.prod(image.size), image.mean_and_deviation) for image in self._resized(seen)]
            for seen in (move_device_like(part, self.pixel_norm.mean) for part in parts)
        ]
        return [statistics_of_parts(of_scale) for of_scale in zip(*of_parts, strict=True)]

    def _resized(self, image: Tensor) -> list[ScaledImage]:
        """(C, H, W) on the device, at each scale of inference."""
        return [
            ScaledImage(image, tuple(_scaled(side, scale) for side in image.shape[1:]))
            for scale in self.inference_rules.scales
        ]

    def _arrays(
        self, x: dict, image: ScaledImage, scale: float, statistics: PixelStatistics | None
    ) -> GridMaps:
        """What the network says of an image at one scale."""
        rules, unit = self.inference_rules, self.network.size_divisibility
        padded = tuple(-(-side // unit) * unit for side in image.size)
        tile_size = rules.tile_size or max(padded)
        tiles = tiles_of(padded, size=tile_size, overlap=rules.tile_overlap, unit=unit)
        # Several symmetries of an image are averaged as a whole.
        if len(tiles) == 1 or rules.augmentations > 1:
            images = self.preprocess_image([x], scale, statistics)
            return as_arrays(self.predict_maps(images, scale).of_image(0, images.image_sizes[0]))
        if self.pixel_norm.of_each_image and statistics is None:
            statistics = image.mean_and_deviation
        normalize = partial(self.pixel_norm, statistics=statistics)

        def maps_of(tile: Tile) -> ImageMaps:
            seen = tile_of(image, tile, normalize)
            seen = seen.contiguous(memory_format=self.network.memory_format)
            return self._predict(seen, tile.origin, scale).of_image(0, tile.size)

        # Of a tile nothing is left when the next one is seen.
        return joined_arrays(((tile, maps_of(tile)) for tile in tiles), image.size)

    def traced(self, batched_inputs: list[dict]) -> list[dict[str, Tensor]]:
        """What of the model a graph can hold: the network, from images to maps.

        The grouping decides by values, which a trace would freeze. For the instances of a traced
        model call ``grouping`` with its maps.

        Returns:
            One dict an image with ``embedding`` (D, h, w), ``distance_scale`` (h, w) and
            ``class_logits`` (T, K + 1, h, w).

        Raises:
            RuntimeError: in training mode, and for several scales or symmetries.
        """
        rules = self.inference_rules
        if self.training:
            raise RuntimeError("the losses cannot be traced; call model.eval() first")
        if len(rules.scales) > 1 or rules.augmentations > 1:
            raise RuntimeError(
                "only one look at the image can be traced; set MODEL.DML.TEST_SCALES to one scale "
                "and MODEL.DML.TEST_AUGMENTATIONS to 1"
            )
        images = self.preprocess_image(batched_inputs, rules.scales[0])
        maps = dict(zip(MAPS, self.network(images.tensor), strict=True))
        stride, results = self.network.stride, []
        for index, (height, width) in enumerate(images.image_sizes):
            rows, columns = -(-height // stride), -(-width // stride)
            results.append({name: m[index, ..., :rows, :columns] for name, m in maps.items()})
        return results

    def preprocess_image(
        self,
        batched_inputs: list[dict],
        scale: float = 1.0,
        statistics: PixelStatistics | None = None,
    ) -> ImageList:
        """Move to the device, resize to the scale, normalise, pad to a common size and batch.

        Args:
            batched_inputs: as in ``forward``.
            scale: relative size.
            statistics: of the image that those given are parts of; None: they are images.
        """
        images = [
            move_device_like(x["image"], self.pixel_norm.mean).float() for x in batched_inputs
        ]
        if scale != 1:
            images = [
                F.interpolate(
                    image[None],
                    size=[_scaled(side, scale) for side in image.shape[-2:]],
                    mode="bilinear",
                    align_corners=False,
                    antialias=scale < 1,
                )[0]
                for image in images
            ]
        batch = ImageList.from_tensors(
            [self.pixel_norm(image, statistics) for image in images],
            self.network.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )
        if self.device.type == "cpu":
            batch.tensor = batch.tensor.contiguous(memory_format=self.network.memory_format)
        return batch

    def predict_maps(self, images: ImageList, scale: float = 1.0) -> BatchMaps:
        """The network at one scale; at inference in all symmetries, and large images in tiles."""
        predict = partial(self._predict, scale=scale)
        if self.training:
            return predict(images.tensor, (0, 0))
        rules = self.inference_rules
        in_tiles = partial(
            predict_tiles,
            predict,
            size=rules.tile_size or max(images.tensor.shape[-2:]),
            overlap=rules.tile_overlap,
            unit=self.network.size_divisibility,
        )
        return predict_augmented(in_tiles, images.tensor, rules.augmentations)

    def _predict(self, images: Tensor, origin: tuple[int, int], scale: float) -> BatchMaps:
        """The network on images, or on tiles whose first pixel lies at ``origin``."""
        return BatchMaps(*self.network(images, origin), stride=self.network.stride, scale=scale)


def _on_host(statistics: dict[str, float | Tensor]) -> dict[str, float]:
    """Statistics as numbers; a device is waited for once, not once for each."""
    names = [name for name, value in statistics.items() if isinstance(value, Tensor)]
    if not names:
        return dict(statistics)
    values = torch.stack([statistics[name].float() for name in names]).tolist()
    return {**statistics, **dict(zip(names, values, strict=True))}


def _scaled(side: int | Tensor, scale: float) -> int | Tensor:
    """Pixels of a side at a scale, at least 1; a tensor, which a side is while it is traced, so
    that the graph takes images of other sizes too."""
    if isinstance(side, Tensor):
        return (side.double() * scale).round().clamp(min=1).long()
    return max(round(side * scale), 1)

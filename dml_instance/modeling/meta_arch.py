"""The registered meta-architecture.

    batched_inputs -> images -> backbone -> decoder -> heads -> PixelPredictions -> losses |
    Instances

Shapes: B images, D embedding channels, H x W image pixels, h x w grid cells.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import move_device_like
from detectron2.modeling import FPN, META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import BitMasks, ImageList, Instances, PolygonMasks
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..schedule import schedule_iteration
from ..structures import PixelPredictions
from .criterion import DMLCriterion
from .decoder import TopDownDecoder
from .folding import FoldedCopy
from .heads import EmbeddingHead, SeedHead, offsets_on_circles
from .inference import InstanceGrouping
from .layers import fastest_memory_format
from .pieces import PieceCounter
from .tiling import predict_tiles
from .views import VIEWS, predict_views


@META_ARCH_REGISTRY.register()
class DMLInstance(nn.Module):
    """Box-free instance segmentation by deep metric learning (Fathi et al., arXiv:1703.10277)."""

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        decoder: TopDownDecoder | None,
        seed_decoder: TopDownDecoder | None,
        in_feature: str,
        stride: int,
        embedding_head: EmbeddingHead,
        seed_head: SeedHead,
        criterion: DMLCriterion,
        grouping: InstanceGrouping,
        pieces: PieceCounter | None,
        pyramid_scales: Sequence[float],
        test_scales: Sequence[float],
        test_views: int,
        tile_size: int,
        tile_overlap: int,
        normalize_each_image: bool,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ):
        """
        Args:
            backbone: any Detectron2 backbone.
            decoder: brings its features to one map; None: the heads read ``in_feature`` as it is.
            seed_decoder: a second one for the seed head; None: both heads read the same map.
            in_feature: used without a decoder.
            stride: of the map that the heads read, in pixels.
            embedding_head, seed_head: the two heads.
            criterion: predictions and ground truth to losses.
            grouping: predictions to instances.
            pieces: counts the objects in pieces by their class; None: gaps are bridged in all
                classes, or in none.
            pyramid_scales: relative sizes at which the network sees the image in training.
            test_scales: the same at inference.
            test_views: 1, 2, 4 or 8: whether it sees mirror images and transposed ones too at
                inference.
            tile_size, tile_overlap: in pixels, of the tiles in which larger images are seen at
                inference; size 0: all images are seen at once.
            normalize_each_image: by its own mean and deviation instead of ``pixel_mean`` and
                ``pixel_std``.
            pixel_mean, pixel_std: one number a channel, in the channel order of the input.
        """
        super().__init__()
        for key, scales in (("PYRAMID_SCALES", pyramid_scales), ("TEST_SCALES", test_scales)):
            if not scales or min(scales) <= 0:
                raise ValueError(f"MODEL.DML.{key} needs positive numbers, got {list(scales)}")
        if test_views not in VIEWS:
            raise ValueError(f"MODEL.DML.TEST_AUGMENTATIONS is one of {list(VIEWS)}, got {test_views}")
        if tile_size < 0 or not 0 <= tile_overlap < max(tile_size, 1):
            raise ValueError(
                "MODEL.DML.TILES.SIZE is 0 (off) or positive, and OVERLAP less than it, "
                f"got {tile_size} and {tile_overlap}"
            )
        self.backbone = backbone
        self.decoder = decoder
        self.seed_decoder = seed_decoder
        self.in_feature = in_feature
        self.stride = stride
        self.embedding_head = embedding_head
        self.seed_head = seed_head
        self.criterion = criterion
        self.grouping = grouping
        self.pieces = pieces
        self.pyramid_scales = tuple(pyramid_scales)
        self.test_scales = tuple(test_scales)
        self.test_views = test_views
        self.tile_size = tile_size
        self.tile_overlap = tile_overlap
        self.normalize_each_image = normalize_each_image
        self.memory_format = fastest_memory_format(self)
        self.folded = FoldedCopy(
            backbone=backbone,
            decoder=decoder,
            seed_decoder=seed_decoder,
            embedding_head=embedding_head,
            seed_head=seed_head,
        )
        # A plain ResNet says 0: every feature's stride has to divide the image, or sizes disagree
        # in the decoder.
        self.size_divisibility = math.lcm(
            max(backbone.size_divisibility, 1),
            stride,
            *(shape.stride for shape in backbone.output_shape().values()),
        )
        self.register_buffer(
            "pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False
        )
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_config(cls, cfg):
        dml = cfg.MODEL.DML
        if dml.NUM_CLASSES < 1:
            raise ValueError(
                "MODEL.DML.NUM_CLASSES is not set: give the number of object classes, or register the training data "
                "set and let tools/train_net.py take the number from it"
            )
        if dml.INPUT_NORMALIZATION not in ("dataset", "image"):
            raise ValueError(
                f'MODEL.DML.INPUT_NORMALIZATION is "dataset" or "image", got {dml.INPUT_NORMALIZATION!r}'
            )
        backbone = build_backbone(cfg)
        features = backbone.output_shape()
        decoder = seed_decoder = None
        if dml.DECODER.CHANNELS > 0:
            channels, stride = dml.DECODER.CHANNELS, dml.DECODER.STRIDE
            rules = {"in_features": dml.IN_FEATURES, "channels": channels, "norm": dml.NORM}
            decoder = TopDownDecoder(features, stride=stride, **rules)
            if 0 < dml.DECODER.SEED_STRIDE < stride:
                raise ValueError(
                    f"MODEL.DML.DECODER.SEED_STRIDE is 0 or at least DECODER.STRIDE {stride}, "
                    f"got {dml.DECODER.SEED_STRIDE}"
                )
            if dml.DECODER.SEED_STRIDE > 0:
                seed_decoder = TopDownDecoder(features, stride=dml.DECODER.SEED_STRIDE, **rules)
        else:
            if len(dml.IN_FEATURES) != 1 or dml.IN_FEATURES[0] not in features:
                raise ValueError(
                    "without a decoder (MODEL.DML.DECODER.CHANNELS 0) MODEL.DML.IN_FEATURES names one feature of "
                    f"{sorted(features)}, got {list(dml.IN_FEATURES)}"
                )
            channels, stride = (
                features[dml.IN_FEATURES[0]].channels,
                features[dml.IN_FEATURES[0]].stride,
            )
            _freeze_unread_outputs(backbone, dml.IN_FEATURES[0])
        pieces = None
        if dml.GROUPING.CONNECT_GAP > 0 and dml.GROUPING.MIN_SHARE_APART != 0:
            pieces = PieceCounter(dml.NUM_CLASSES, dml.GROUPING.MIN_SHARE_APART)
        embedding_head, seed_head = dml.EMBEDDING_HEAD, dml.SEED_HEAD
        return {
            "backbone": backbone,
            "decoder": decoder,
            "seed_decoder": seed_decoder,
            "in_feature": dml.IN_FEATURES[0],
            "stride": stride,
            "embedding_head": EmbeddingHead(
                channels,
                dim=embedding_head.DIM,
                stride=stride,
                coordinates=embedding_head.INPUT_COORDINATES,
                place_unit=embedding_head.COORDINATE_UNIT,
                distance_scale=embedding_head.DISTANCE_SCALE,
                num_convs=embedding_head.NUM_CONVS,
                channels=embedding_head.CHANNELS,
                norm=dml.NORM,
            ),
            "seed_head": SeedHead(
                channels,
                num_classes=dml.NUM_CLASSES,
                num_taus=len(dml.TAUS),
                offsets=offsets_on_circles(seed_head.RADII, seed_head.DIRECTIONS, stride),
                dilations=seed_head.DILATIONS,
                channels=seed_head.CHANNELS,
                norm=dml.NORM,
            ),
            "criterion": DMLCriterion(cfg),
            "grouping": InstanceGrouping(cfg),
            "pieces": pieces,
            "pyramid_scales": dml.PYRAMID_SCALES,
            "tile_size": dml.TILES.SIZE,
            "tile_overlap": dml.TILES.OVERLAP,
            "test_scales": dml.TEST_SCALES or dml.PYRAMID_SCALES,
            "test_views": dml.TEST_AUGMENTATIONS,
            "normalize_each_image": dml.INPUT_NORMALIZATION == "image",
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """
        Args:
            batched_inputs: Detectron2's standard input. One dict an image: ``image`` (C, H, W); in
                training ``instances`` with ``gt_classes`` and ``gt_masks`` (bit masks or polygons;
                both may be missing where there is no object), and ``ignored`` (H, W) bool where
                pixels are neither object nor background; at inference optionally ``height`` and
                ``width`` of the result.

        Returns:
            In training the dict of losses. At inference one dict an image, whose ``instances`` has
            ``pred_masks`` (N, height, width) bool, ``scores``, ``pred_classes`` and ``pred_boxes``.
        """
        if self.training:
            return self.losses(*self.predict_scales(batched_inputs), batched_inputs)
        batches = self.inference_batches(batched_inputs)
        return [
            result
            for batch in batches
            for result in self.inference(*self.predict_scales(batch), batch)
        ]

    def inference_batches(self, batched_inputs: list[dict]) -> list[list[dict]]:
        """What the network sees at once at inference.

        On a CPU every image alone: several do not fit its caches, and take twice the time an image.
        """
        return [[x] for x in batched_inputs] if self.device.type == "cpu" else [batched_inputs]

    def predict_scales(
        self, batched_inputs: list[dict]
    ) -> tuple[list[PixelPredictions], list[list[tuple[int, int]]]]:
        """Predictions, and (height, width) of every image before padding, for each scale of the pyramid."""
        scales = self.pyramid_scales if self.training else self.test_scales
        images = [self.preprocess_image(batched_inputs, scale) for scale in scales]
        predictions = [
            self.predict_pixels(image, scale) for image, scale in zip(images, scales, strict=True)
        ]
        return predictions, [image.image_sizes for image in images]

    def preprocess_image(self, batched_inputs: list[dict], scale: float = 1.0) -> ImageList:
        """Move to the device, resize to the pyramid scale, normalise, pad to a common size and batch."""
        images = [move_device_like(x["image"], self.pixel_mean).float() for x in batched_inputs]
        if scale != 1:
            images = [
                F.interpolate(
                    image[None],
                    size=[max(round(side * scale), 1) for side in image.shape[-2:]],
                    mode="bilinear",
                    align_corners=False,
                    antialias=scale < 1,
                )[0]
                for image in images
            ]
        if self.normalize_each_image:
            # A flat image has no deviation; one grey level keeps it at zero.
            images = [
                (image - image.mean(dim=(1, 2), keepdim=True))
                / image.std(dim=(1, 2), keepdim=True, correction=0).clamp(min=1.0)
                for image in images
            ]
        else:
            images = [(image - self.pixel_mean) / self.pixel_std for image in images]
        batch = ImageList.from_tensors(
            images, self.size_divisibility, padding_constraints=self.backbone.padding_constraints
        )
        if self.device.type == "cpu":
            batch.tensor = batch.tensor.contiguous(memory_format=self.memory_format)
        return batch

    def predict_pixels(self, images: ImageList, scale: float = 1.0) -> PixelPredictions:
        """Network and heads on one scale of the pyramid; at inference in all views, and large images in tiles."""
        if self.training:
            return self._predict(images.tensor, (0, 0), scale)
        return predict_views(
            partial(self._predict_tiles, scale=scale), images.tensor, self.test_views
        )

    def _predict_tiles(self, images: Tensor, scale: float) -> PixelPredictions:
        predict = partial(self._predict, scale=scale)
        if self.tile_size == 0:
            return predict(images, (0, 0))
        unit = self.size_divisibility
        return predict_tiles(
            predict, images, size=self.tile_size, overlap=self.tile_overlap, unit=unit
        )

    def _predict(self, images: Tensor, origin: tuple[int, int], scale: float) -> PixelPredictions:
        """Network and heads on images, or on tiles whose first pixel lies at ``origin``."""
        network = self if self.training or torch.is_grad_enabled() else self.folded.get()
        features = network.backbone(images)
        for_embedding = (
            network.decoder(features) if network.decoder is not None else features[self.in_feature]
        )
        for_seeds = (
            network.seed_decoder(features) if network.seed_decoder is not None else for_embedding
        )
        embedding, distance_scale = network.embedding_head(for_embedding, origin)
        class_logits = network.seed_head(for_seeds, embedding, distance_scale)
        if class_logits.shape[-2:] != embedding.shape[-2:]:
            class_logits = F.interpolate(
                class_logits.flatten(1, 2),
                size=embedding.shape[-2:],
                mode="bilinear",
                align_corners=False,
            ).unflatten(1, class_logits.shape[1:3])
        return PixelPredictions(embedding, distance_scale, class_logits, self.stride, scale)

    def losses(
        self,
        predictions: list[PixelPredictions],
        image_sizes: list[list[tuple[int, int]]],
        batched_inputs: list[dict],
    ) -> dict[str, Tensor]:
        """Losses of a batch; logs lambda and the mean IoU of the grown masks to the ``EventStorage``."""
        storage = get_event_storage()
        gt = [ground_truth(x["instances"], x["image"].shape[-2:]) for x in batched_inputs]
        if self.pieces is not None:
            for masks, classes in gt:
                self.pieces.count(masks, classes)
        losses, statistics = self.criterion(
            predictions,
            image_sizes,
            [masks.to(self.device) for masks, _ in gt],
            [classes.to(self.device) for _, classes in gt],
            [ignored_pixels(x).to(self.device) for x in batched_inputs],
            schedule_iteration(storage),
        )
        for name, value in statistics.items():
            storage.put_scalar(f"dml/{name}", value)
        return losses

    def inference(
        self,
        predictions: list[PixelPredictions],
        image_sizes: list[list[tuple[int, int]]],
        batched_inputs: list[dict],
    ) -> list[dict[str, Instances]]:
        """Instances of a batch, each at the size its input dict asks for, else at the size of the image."""
        results = []
        in_pieces = None if self.pieces is None else self.pieces.in_pieces()
        for index, x in enumerate(batched_inputs):
            height, width = x["image"].shape[-2:]
            output_size = (x.get("height", height), x.get("width", width))
            sizes = [sizes_of_scale[index] for sizes_of_scale in image_sizes]
            results.append(
                {"instances": self.grouping(predictions, sizes, index, output_size, in_pieces)}
            )
        return results


def _freeze_unread_outputs(backbone: Backbone, in_feature: str) -> None:
    """No gradient reaches the output convolutions of FPN's other levels, and
    DistributedDataParallel waits for those of all parameters that ask for one."""
    if isinstance(backbone, FPN):
        # Levels go from fine to coarse, with pooled ones behind them; convolutions from coarse to
        # fine.
        levels = list(backbone.output_shape())[: len(backbone.output_convs)]
        for level, convolution in zip(reversed(levels), backbone.output_convs, strict=True):
            convolution.requires_grad_(level == in_feature)


def ground_truth(instances: Instances, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What the data loader gives, as tensors.

    Args:
        instances: with ``gt_classes`` and ``gt_masks`` (BitMasks or PolygonMasks); Detectron2's
            mapper leaves ``gt_masks`` out where there is no object.
        image_size: (H, W).

    Returns:
        masks (G, H, W) bool and classes (G,) int64.

    Raises:
        ValueError: for instances without masks, or masks of another size than the image.
    """
    if len(instances) == 0:
        return torch.zeros((0, *image_size), dtype=torch.bool), torch.zeros(0, dtype=torch.int64)
    if not instances.has("gt_masks"):
        raise ValueError(
            "the training data has objects without masks: set MODEL.MASK_ON True and train on a data set whose "
            "annotations have a segmentation"
        )
    masks = instances.gt_masks
    if isinstance(masks, PolygonMasks):
        masks = BitMasks.from_polygon_masks(masks, *image_size)
    if masks.tensor.shape[-2:] != tuple(image_size):
        raise ValueError(
            f"gt_masks are {tuple(masks.tensor.shape[-2:])}, but the image is {tuple(image_size)}"
        )
    return masks.tensor.bool(), instances.gt_classes


def ignored_pixels(x: dict) -> Tensor:
    """(H, W) bool, True where an input dict says that pixels are neither object nor background (``ignored``)."""
    if "ignored" in x:
        return x["ignored"]
    return torch.zeros(x["image"].shape[-2:], dtype=torch.bool)

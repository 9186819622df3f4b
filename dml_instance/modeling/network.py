"""Backbone, decoders and heads as one module: images in, maps out.

Shapes: B images, D embedding channels, T thresholds, K classes, H x W image pixels, h x w grid
cells.
"""

import math

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone, build_backbone
from torch import Tensor, nn

from .class_context import ClassContext
from .decoder import SingleFeature, build_decoder
from .heads import build_embedding_head, build_seed_head


class DMLNetwork(nn.Module):
    """The part of the model with weights; it can be traced, and exported, by itself."""

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        decoder: nn.Module,
        seed_decoder: nn.Module | None,
        embedding_head: nn.Module,
        seed_head: nn.Module,
        class_context: ClassContext | None = None,
        class_feature: str = "",
    ):
        """
        Args:
            backbone: any Detectron2 backbone.
            decoder: from its features to one map, of ``decoder.stride`` pixels a cell.
            seed_decoder: a second one for the seed head; None: both heads read the same map.
            embedding_head: map and origin to embedding and distance_scale.
            seed_head: map, embedding and distance_scale to class logits.
            class_context: class logits and ``class_feature`` to class logits; None: these stay as
                they are.
            class_feature: name of a feature of the backbone.
        """
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.seed_decoder = seed_decoder
        self.embedding_head = embedding_head
        self.seed_head = seed_head
        self.class_context = class_context
        self.class_feature = class_feature
        self.memory_format = fastest_memory_format(self)

    @classmethod
    def from_config(cls, cfg, num_classes: int):
        dml = cfg.MODEL.DML
        backbone = build_backbone(cfg)
        features = backbone.output_shape()
        decoder, seed_decoder = _build_decoders(cfg, features)
        decoders = [d for d in (decoder, seed_decoder) if d is not None]
        read = {name for d in decoders for name in getattr(d, "in_features", features)}
        class_context = _build_class_context(cfg, features, num_classes)
        class_feature = dml.SEED_HEAD.CLASS_FEATURE
        if class_context is not None:
            read.add(class_feature)
        freeze_unread(backbone, read, len(cfg.MODEL.PIXEL_MEAN))
        fine = ShapeSpec(channels=decoder.channels, stride=decoder.stride)
        coarse = fine
        if seed_decoder is not None:
            coarse = ShapeSpec(channels=seed_decoder.channels, stride=seed_decoder.stride)
        # The circles of the seed head are drawn on the grid of the embedding.
        sizes = {"stride": fine.stride, "num_taus": len(dml.TAUS), "num_classes": num_classes}
        return {
            "backbone": backbone,
            "decoder": decoder,
            "seed_decoder": seed_decoder,
            "embedding_head": build_embedding_head(cfg, fine),
            "seed_head": build_seed_head(cfg, coarse, **sizes),
            "class_context": class_context,
            "class_feature": class_feature,
        }

    @property
    def stride(self) -> int:
        """Pixels of the input a cell of the maps."""
        return self.decoder.stride

    @property
    def size_divisibility(self) -> int:
        """What height and width of the input have to be multiples of."""
        # A plain ResNet says 0: every feature's stride has to divide the image, or sizes disagree
        # in the decoder.
        strides = (shape.stride for shape in self.backbone.output_shape().values())
        return math.lcm(max(self.backbone.size_divisibility, 1), self.stride, *strides)

    def forward(
        self, images: Tensor, origin: tuple[int, int] = (0, 0)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            images: (B, C, H, W), normalised; H and W are multiples of ``size_divisibility``.
            origin: (row, column), in pixels, at which their first pixel lies in the whole image.

        Returns:
            embedding (B, D, h, w), distance_scale (B, h, w) float32 and class_logits
            (B, T, K + 1, h, w); h = H / stride, w = W / stride.
        """
        features = self.backbone(images)
        for_embedding = self.decoder(features)
        for_seeds = for_embedding if self.seed_decoder is None else self.seed_decoder(features)
        embedding, distance_scale = self.embedding_head(for_embedding, origin)
        # Each of these is a large part of all memory.
        del for_embedding
        class_logits = self.seed_head(for_seeds, embedding, distance_scale)
        if self.class_context is not None:
            class_logits = self.class_context(class_logits, features[self.class_feature])
        if class_logits.shape[-2:] != embedding.shape[-2:]:
            grid = embedding.shape[-2:]
            class_logits = F.interpolate(
                class_logits.flatten(1, 2), size=grid, mode="bilinear", align_corners=False
            ).unflatten(1, class_logits.shape[1:3])
        return embedding, distance_scale, class_logits


def _build_decoders(cfg, features: dict[str, ShapeSpec]) -> tuple[nn.Module, nn.Module | None]:
    """The decoder of the embedding head, and that of the seed head where it has one of its own."""
    options = cfg.MODEL.DML.DECODER
    if options.CHANNELS == 0:
        return SingleFeature(features, in_features=cfg.MODEL.DML.IN_FEATURES), None
    if 0 < options.SEED_STRIDE < options.STRIDE:
        raise ValueError(
            "MODEL.DML.DECODER.SEED_STRIDE is 0 or at least DECODER.STRIDE "
            f"{options.STRIDE}, got {options.SEED_STRIDE}"
        )
    decoder = build_decoder(cfg, features, stride=options.STRIDE)
    if options.SEED_STRIDE == 0:
        return decoder, None
    return decoder, build_decoder(cfg, features, stride=options.SEED_STRIDE)


def _build_class_context(
    cfg, features: dict[str, ShapeSpec], num_classes: int
) -> ClassContext | None:
    name = cfg.MODEL.DML.SEED_HEAD.CLASS_FEATURE
    if not name:
        return None
    if name not in features:
        raise ValueError(
            f"MODEL.DML.SEED_HEAD.CLASS_FEATURE is {name!r}, but the backbone gives "
            f"{sorted(features)}; name it in MODEL.RESNETS.OUT_FEATURES (or the backbone's own "
            "key), or set it to ''"
        )
    return ClassContext(features[name].channels, num_classes)


def freeze_unread(backbone: Backbone, features: set[str], in_channels: int) -> None:
    """Take the gradient from parameters of a backbone that none of these features depends on.

    DistributedDataParallel waits for the gradients of all parameters that ask for one, and none
    would ever reach, say, the output convolutions of FPN's other levels.
    """
    side = 2 * max(shape.stride for shape in backbone.output_shape().values())
    parameters = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    if not parameters:
        return
    was_training = backbone.training
    with torch.enable_grad():
        # In evaluation mode no norm takes the statistics of an empty image.
        outputs = backbone.eval()(parameters[0].new_zeros(1, in_channels, side, side))
        total = sum(outputs[name].sum() for name in features)
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
    backbone.train(was_training)


def fastest_memory_format(network: nn.Module) -> torch.memory_format:
    """The layout of images, taken over by convolutions and all that follows, in which a network on
    the CPU is fastest.

    ``channels_last``, but for a network that has a 1 x 1 convolution of stride 2 or more with fewer
    than 16 channels of input: torch 2.14.1 (oneDNN) writes beyond its memory in the backward pass
    of such a one.
    """
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    is_safe = all(
        c.in_channels >= 16 or max(c.kernel_size) > 1 or max(c.stride) == 1 for c in convolutions
    )
    return torch.channels_last if is_safe else torch.contiguous_format

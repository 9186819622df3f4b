"""A slim ResNet that keeps stride 2, for training from scratch on small images and machines."""

from collections.abc import Sequence
from itertools import pairwise

import fvcore.nn.weight_init as weight_init
import torch.nn.functional as F
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, CNNBlockBase, ResNet
from torch import Tensor


class StrideTwoStem(CNNBlockBase):
    """One 3x3 convolution to stride 2, without the pooling that costs Detectron2's own stems the
    small objects."""

    def __init__(self, in_channels: int, out_channels: int, norm: str):
        super().__init__(in_channels, out_channels, stride=2)
        self.conv = Conv2d(
            in_channels,
            out_channels,
            3,
            stride=2,
            padding=1,
            bias=False,
            norm=get_norm(norm, out_channels),
        )
        weight_init.c2_msra_fill(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / 2, W / 2)."""
        return F.relu_(self.conv(x))


def slim_resnet(
    in_channels: int,
    *,
    channels: Sequence[int],
    out_features: Sequence[str],
    blocks: Sequence[int] = (1, 1, 2, 2),
    norm: str = "BN",
    freeze_at: int = 0,
) -> ResNet:
    """Detectron2's ResNet of basic blocks on a stem of stride 2.

    Args:
        in_channels: of the image.
        channels: of the stem (stride 2) and of res2 ... res5 (strides 4 to 32).
        out_features: some of "stem" and "res2" to "res5".
        blocks: residual blocks of res2 ... res5.
        norm: Detectron2's name of a norm.
        freeze_at: how many stages are not trained; the stem is the first.

    Raises:
        ValueError: if ``channels`` does not have one entry more than ``blocks``, or repeats one
            (Detectron2's basic block halves the size of its input only where it changes the
            channels).
    """
    if len(channels) != len(blocks) + 1:
        raise ValueError(
            "MODEL.DML.BACKBONE.CHANNELS needs the stem's channels and one entry for each of "
            f"BLOCKS, got {list(channels)} for {list(blocks)}"
        )
    if any(before == after for before, after in pairwise(channels)):
        raise ValueError(
            "MODEL.DML.BACKBONE.CHANNELS must differ from one stage to the next, "
            f"got {list(channels)}"
        )
    stages = [
        ResNet.make_stage(
            BasicBlock,
            count,
            stride_per_block=[2] + [1] * (count - 1),
            in_channels=before,
            out_channels=after,
            norm=norm,
        )
        for count, before, after in zip(blocks, channels[:-1], channels[1:], strict=True)
    ]
    stem = StrideTwoStem(in_channels, channels[0], norm)
    return ResNet(stem, stages, out_features=list(out_features), freeze_at=freeze_at)


@BACKBONE_REGISTRY.register()
def build_slim_resnet_backbone(cfg, input_shape: ShapeSpec) -> ResNet:
    """``slim_resnet``, as wide and deep as ``MODEL.DML.BACKBONE`` says.

    Its features are ``MODEL.RESNETS.OUT_FEATURES``, its norm ``MODEL.RESNETS.NORM``, and its frozen
    stages ``MODEL.BACKBONE.FREEZE_AT``.
    """
    return slim_resnet(
        input_shape.channels,
        channels=cfg.MODEL.DML.BACKBONE.CHANNELS,
        blocks=cfg.MODEL.DML.BACKBONE.BLOCKS,
        norm=cfg.MODEL.RESNETS.NORM,
        out_features=cfg.MODEL.RESNETS.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )

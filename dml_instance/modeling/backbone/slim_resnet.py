"""A slim ResNet that keeps stride 2, for training from scratch on small images and small machines."""

from itertools import pairwise

import fvcore.nn.weight_init as weight_init
import torch.nn.functional as F
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, CNNBlockBase, ResNet
from torch import Tensor


class StrideTwoStem(CNNBlockBase):
    """One 3x3 convolution to stride 2, without the pooling that costs Detectron2's own stems the small objects."""

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


@BACKBONE_REGISTRY.register()
def build_slim_resnet_backbone(cfg, input_shape: ShapeSpec) -> ResNet:
    """Detectron2's ResNet of basic blocks, as wide and deep as ``MODEL.DML.BACKBONE`` says.

    Features: "stem" at stride 2 and "res2" to "res5" at strides 4 to 32, those of
        ``MODEL.RESNETS.OUT_FEATURES``.
    The norm is ``MODEL.RESNETS.NORM``, the number of frozen stages ``MODEL.BACKBONE.FREEZE_AT``.

    Raises:
        ValueError: if CHANNELS does not have one entry more than BLOCKS, or repeats one
            (Detectron2's basic block halves the size of its input only where it changes the
            channels).
    """
    channels, blocks = cfg.MODEL.DML.BACKBONE.CHANNELS, cfg.MODEL.DML.BACKBONE.BLOCKS
    if len(channels) != len(blocks) + 1:
        raise ValueError(
            "MODEL.DML.BACKBONE.CHANNELS needs the stem's channels and one entry for each of BLOCKS, "
            f"got {list(channels)} for {list(blocks)}"
        )
    if any(before == after for before, after in pairwise(channels)):
        raise ValueError(
            f"MODEL.DML.BACKBONE.CHANNELS must differ from one stage to the next, got {list(channels)}"
        )
    norm = cfg.MODEL.RESNETS.NORM
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
    return ResNet(
        StrideTwoStem(input_shape.channels, channels[0], norm),
        stages,
        out_features=cfg.MODEL.RESNETS.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )

"""Backbones, registered with Detectron2 by name."""

from .efficientnet_lite import (
    build_efficientnet_lite_backbone,
    build_efficientnet_lite_fpn_backbone,
)
from .slim_resnet import build_slim_resnet_backbone, slim_resnet

__all__ = [
    "build_efficientnet_lite_backbone",
    "build_efficientnet_lite_fpn_backbone",
    "build_slim_resnet_backbone",
    "slim_resnet",
]

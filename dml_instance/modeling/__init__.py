"""The model; importing this registers it and its backbones with Detectron2.

``DMLInstance``, ``build_slim_resnet_backbone``, ``build_efficientnet_lite_backbone`` (with an FPN:
``build_efficientnet_lite_fpn_backbone``), and Detectron2's own dilated ResNet,
``build_resnet_deeplab_backbone``, which it keeps apart from its core.
"""

import detectron2.projects.deeplab  # noqa: F401

from .backbone import build_slim_resnet_backbone
from .efficientnet_lite import (
    build_efficientnet_lite_backbone,
    build_efficientnet_lite_fpn_backbone,
)
from .meta_arch import DMLInstance

__all__ = [
    "DMLInstance",
    "build_efficientnet_lite_backbone",
    "build_efficientnet_lite_fpn_backbone",
    "build_slim_resnet_backbone",
]

"""The model; importing this registers it, its backbones and its parts with Detectron2.

``DMLInstance``, ``build_slim_resnet_backbone``, ``build_efficientnet_lite_backbone`` (with an FPN:
``build_efficientnet_lite_fpn_backbone``), and Detectron2's own dilated ResNet,
``build_resnet_deeplab_backbone``, which it keeps apart from its core. Parts are swapped by the
registries here, whose names stand in a yaml.
"""

import detectron2.projects.deeplab  # noqa: F401

from .backbone import (
    build_efficientnet_lite_backbone,
    build_efficientnet_lite_fpn_backbone,
    build_slim_resnet_backbone,
)
from .class_transfer import transfer_classes
from .criterion import CRITERION_REGISTRY, DMLCriterion
from .decoder import DECODER_REGISTRY, TopDownDecoder
from .grouping import GROUPING_REGISTRY, InstanceGrouping
from .heads import EMBEDDING_HEAD_REGISTRY, SEED_HEAD_REGISTRY, EmbeddingHead, SeedHead
from .meta_arch import DMLInstance
from .network import DMLNetwork
from .test_time import compute_in_bfloat16, fuse_conv_norms, fused_copy

__all__ = [
    "CRITERION_REGISTRY",
    "DECODER_REGISTRY",
    "EMBEDDING_HEAD_REGISTRY",
    "GROUPING_REGISTRY",
    "SEED_HEAD_REGISTRY",
    "DMLCriterion",
    "DMLInstance",
    "DMLNetwork",
    "EmbeddingHead",
    "InstanceGrouping",
    "SeedHead",
    "TopDownDecoder",
    "build_efficientnet_lite_backbone",
    "build_efficientnet_lite_fpn_backbone",
    "build_slim_resnet_backbone",
    "compute_in_bfloat16",
    "fuse_conv_norms",
    "fused_copy",
    "transfer_classes",
]

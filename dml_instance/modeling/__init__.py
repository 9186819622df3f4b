"""The model; importing this registers ``DMLInstance`` and ``build_slim_resnet_backbone`` with Detectron2."""

from .backbone import build_slim_resnet_backbone
from .meta_arch import DMLInstance

__all__ = ["DMLInstance", "build_slim_resnet_backbone"]

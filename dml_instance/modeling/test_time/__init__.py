"""What happens at test time: scales, symmetries, tiles, and fused norms."""

from .augmentation import predict_augmented
from .conv_norm_fusion import fuse_conv_norms, fused_copy
from .rules import InferenceRules
from .tiles import predict_tiles

__all__ = [
    "InferenceRules",
    "fuse_conv_norms",
    "fused_copy",
    "predict_augmented",
    "predict_tiles",
]

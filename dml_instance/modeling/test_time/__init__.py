"""What happens at test time: scales, symmetries, tiles, fused norms, and half precision."""

from .augmentation import predict_augmented
from .conv_norm_fusion import fuse_conv_norms, fused_copy
from .half_precision import compute_in_bfloat16
from .rules import InferenceRules
from .scaled_image import ScaledImage
from .tiles import predict_tiles, tile_of

__all__ = [
    "InferenceRules",
    "ScaledImage",
    "compute_in_bfloat16",
    "fuse_conv_norms",
    "fused_copy",
    "predict_augmented",
    "predict_tiles",
    "tile_of",
]

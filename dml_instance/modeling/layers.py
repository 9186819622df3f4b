"""The one convolution block that decoder and heads are made of, and the memory layout that convolutions work in."""

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d, get_norm


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int, norm: str, dilation: int = 1
) -> Conv2d:
    """A convolution of stride 1 that keeps the size, with norm and ReLU; without a norm it has a bias."""
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=norm == "",
        norm=get_norm(norm, out_channels),
        activation=F.relu_,
    )
    weight_init.c2_msra_fill(conv)
    return conv


def fastest_memory_format(model: torch.nn.Module) -> torch.memory_format:
    """The layout of images, taken over by convolutions and all that follows, in which a model on
    the CPU is fastest.

    ``channels_last``, but for a model that has a 1 x 1 convolution of stride 2 or more with fewer
    than 16 channels of
    input: torch 2.14.1 (oneDNN) writes beyond its memory in the backward pass of such a one.
    """
    convolutions = (module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    is_safe = all(
        c.in_channels >= 16 or max(c.kernel_size) > 1 or max(c.stride) == 1 for c in convolutions
    )
    return torch.channels_last if is_safe else torch.contiguous_format

"""The convolutions that decoder, heads and EfficientNet-Lite are made of.

Shapes: B images, C channels, H x W cells.
"""

import detectron2.layers
import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from detectron2.layers import FrozenBatchNorm2d, get_norm
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# What Inductor makes convolutions of: oneDNN's, with the activation applied while the result is
# still in registers. Builds of torch without oneDNN do not have it.
_CONVOLUTION = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)


class Conv2d(detectron2.layers.Conv2d):
    """Detectron2's convolution, which is one pass over memory where it can be: on a CPU, where it
    is not trained and its norm is frozen or fused (``test_time.fuse_conv_norms``). Results differ
    by rounding.

    The activation is ReLU, ReLU6 or none.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        if self.runs_in_one_pass(x):
            return self.in_one_pass(x, *weight_with_norm(self), self.padding)
        return super().forward(x)

    def runs_in_one_pass(self, x: Tensor) -> bool:
        """Whether the convolution of a map can be one pass."""
        is_constant = self.norm is None or isinstance(self.norm, FrozenBatchNorm2d)
        return is_constant and runs_in_one_pass(x)

    def in_one_pass(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        """The convolution of ``x`` with these, and the activation; in what autocast wants."""
        if self.activation is None:
            then = "none", []
        elif isinstance(self.activation, nn.ReLU6):
            then = "hardtanh", [0.0, 6.0]
        else:
            then = "relu", []
        options = padding, self.stride, self.dilation, self.groups
        dtype = _computed_in(x)
        x = x.to(dtype, memory_format=torch.channels_last)
        bias = None if bias is None else bias.to(dtype)
        return _CONVOLUTION(x, weight.to(dtype), bias, *options, *then, "")


def runs_in_one_pass(x: Tensor) -> bool:
    """Whether ``Conv2d.in_one_pass`` can be asked of a map: nothing is trained, and nothing traced,
    whose graph is to hold operations that others know."""
    dtype = _computed_in(x)
    can = dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    is_recorded = torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling()
    has_library = _CONVOLUTION is not None and torch.backends.mkldnn.enabled
    return has_library and x.device.type == "cpu" and can and not is_recorded


def weight_with_norm(conv: detectron2.layers.Conv2d) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution with its batch norm, if there is one, in them."""
    norm = conv.norm
    if norm is None:
        return conv.weight, conv.bias
    return fuse_conv_bn_weights(
        *(conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps),
        *(norm.weight, norm.bias),
    )


def _computed_in(x: Tensor) -> torch.dtype:
    """The dtype of a convolution of a map on the CPU: its own, or what autocast wants."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int, norm: str, dilation: int = 1
) -> Conv2d:
    """A convolution of stride 1 that keeps the size, with norm and ReLU; without a norm it has a
    bias."""
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

"""From the features of a backbone to the one map that a head reads.

Shapes: B images, C decoder channels, H x W image pixels.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from .layers import conv_norm_relu

DECODER_REGISTRY = Registry("DECODER")
DECODER_REGISTRY.__doc__ = """
Decoders by name, for ``MODEL.DML.DECODER.NAME``. Called with (cfg, input_shape, stride=...): the
backbone's ``output_shape()`` and the stride wanted, in pixels. The module takes the backbone's
features, a dict, to one map (B, C, H / stride, W / stride). It has ``stride`` and ``channels``; and
``in_features``, the names of the features that it reads, unless it reads all.
"""


def build_decoder(cfg, input_shape: dict[str, ShapeSpec], *, stride: int) -> nn.Module:
    """The decoder that ``MODEL.DML.DECODER.NAME`` names, to a stride in pixels."""
    return DECODER_REGISTRY.get(cfg.MODEL.DML.DECODER.NAME)(cfg, input_shape, stride=stride)


class SingleFeature(nn.Module):
    """No decoder, as in the paper: one feature of the backbone as it is.

    Attributes:
        in_features: its name, in a list; stride: in pixels; channels: C.
    """

    def __init__(self, input_shape: dict[str, ShapeSpec], *, in_features: Sequence[str]):
        """
        Args:
            input_shape: the backbone's ``output_shape()``.
            in_features: the name of the one feature; empty where the backbone gives only one.

        Raises:
            ValueError: for none or several features, or one that the backbone does not have.
        """
        super().__init__()
        names = list(in_features or input_shape)
        if len(names) != 1 or names[0] not in input_shape:
            raise ValueError(
                "without a decoder (MODEL.DML.DECODER.CHANNELS 0) MODEL.DML.IN_FEATURES names one "
                f"feature of {sorted(input_shape)}, got {names}"
            )
        self.in_features = names
        self.stride = input_shape[names[0]].stride
        self.channels = input_shape[names[0]].channels

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """The feature, (B, C, h, w)."""
        return features[self.in_features[0]]


@DECODER_REGISTRY.register()
class TopDownDecoder(nn.Module):
    """From the coarsest feature upwards: double the size, add the next feature, convolve; a U-Net's
    second half.

    Detectron2's FPN merges without a convolution between two levels, which leaves the blocks of the
    coarse levels in the fine one; an embedding that is cut at a threshold shows them.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_features: Sequence[str] = (),
        channels: int,
        stride: int,
        norm: str,
    ):
        """
        Args:
            input_shape: the backbone's ``output_shape()``.
            in_features: names of the features to use, empty: all; those finer than the output are
                left out.
            channels: C.
            stride: stride of the output, a power of two, no coarser than the coarsest feature.
            norm: Detectron2's name of a norm.

        Raises:
            ValueError: for a feature that the backbone does not have, two of one stride, or strides
                that no doubling joins.
        """
        super().__init__()
        in_features = list(in_features or input_shape)
        missing = [name for name in in_features if name not in input_shape]
        if missing:
            raise ValueError(
                f"MODEL.DML.IN_FEATURES names {missing}, but the backbone gives "
                f"{sorted(input_shape)}; set MODEL.RESNETS.OUT_FEATURES (or the backbone's own "
                "key) and IN_FEATURES alike"
            )
        by_stride = {input_shape[name].stride: name for name in in_features}
        if len(by_stride) < len(in_features):
            strides = {name: input_shape[name].stride for name in in_features}
            raise ValueError(
                f"features of one stride do not join: {strides}; name one of each stride in "
                "MODEL.DML.IN_FEATURES"
            )
        coarsest = max(by_stride)
        if (
            stride < 1
            or stride > coarsest
            or coarsest % stride
            or (coarsest // stride) & (coarsest // stride - 1)
        ):
            raise ValueError(
                f"MODEL.DML.DECODER.STRIDE {stride} cannot be reached by doubling from stride "
                f"{coarsest}"
            )
        self.stride = stride
        self.channels = channels
        # Levels from coarse to fine; one without a feature of its own is only upsampled and
        # convolved.
        self._levels = [(coarsest, by_stride[coarsest])]
        while self._levels[-1][0] > stride:
            finer = self._levels[-1][0] // 2
            self._levels.append((finer, by_stride.get(finer)))
        unused = {name for s, name in by_stride.items() if s >= stride} - {
            name for _, name in self._levels
        }
        if unused:
            raise ValueError(
                f"MODEL.DML.IN_FEATURES {sorted(unused)} lie at no stride between {coarsest} and "
                f"{stride}"
            )
        self.lateral = nn.ModuleDict(
            {
                name: conv_norm_relu(input_shape[name].channels, channels, 1, norm)
                for _, name in self._levels
                if name
            }
        )
        self.in_features = [name for _, name in self._levels if name]
        self.merge = nn.ModuleList(
            conv_norm_relu(channels, channels, 3, norm) for _ in self._levels[1:]
        )

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec], *, stride: int):
        dml = cfg.MODEL.DML
        return {
            "input_shape": input_shape,
            "in_features": dml.IN_FEATURES,
            "channels": dml.DECODER.CHANNELS,
            "stride": stride,
            "norm": dml.NORM,
        }

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Backbone features, each (B, C_i, H / s_i, W / s_i), to (B, C, H / stride, W / stride)."""
        top_down = self.lateral[self._levels[0][1]](features[self._levels[0][1]])
        for (_, name), merge in zip(self._levels[1:], self.merge, strict=True):
            top_down = F.interpolate(
                top_down, scale_factor=2.0, mode="bilinear", align_corners=False
            )
            if name is not None:
                # In place: of a large image each map is a large part of all memory.
                top_down += self.lateral[name](features[name])
            top_down = merge(top_down)
        return top_down

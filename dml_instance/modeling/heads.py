"""The two heads: one feature map to PixelPredictions.

Shapes: B images, D embedding channels, T thresholds, K classes, h x w grid cells.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from .layers import conv_norm_relu

# Cells of coordinates enter the embedding head in these units, in pixels: a few units across an image.
COORDINATE_UNIT = 64.0


def _predictor(in_channels: int, out_channels: int, *, num_convs: int, channels: int, norm: str) -> nn.Sequential:
    """``num_convs`` 3x3 convolutions and a 1x1 predictor, which starts near zero."""
    widths = [in_channels] + [channels] * num_convs
    layers = [conv_norm_relu(a, b, 3, norm) for a, b in pairwise(widths)]
    predictor = nn.Conv2d(widths[-1], out_channels, 1)
    nn.init.normal_(predictor.weight, std=0.01 if num_convs == 0 else 0.05)
    nn.init.zeros_(predictor.bias)
    return nn.Sequential(*layers, predictor)


class EmbeddingHead(nn.Module):
    """Features to embeddings; cells of one object shall lie close together, and far from those of any other."""

    def __init__(
        self, in_channels: int, *, dim: int, stride: int, coordinates: bool, num_convs: int, channels: int, norm: str
    ):
        """
        Args:
            in_channels: channels of the feature map.
            dim: D.
            stride: of the feature map in pixels, for the coordinates.
            coordinates: whether the head also sees the row and the column of each cell.
            num_convs, channels, norm: the convolutions before the predictor.
        """
        super().__init__()
        self.stride = stride
        self.coordinates = coordinates
        self.layers = _predictor(in_channels + 2 * coordinates, dim, num_convs=num_convs, channels=channels, norm=norm)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        if self.coordinates:
            height, width = features.shape[-2:]
            step = self.stride / COORDINATE_UNIT
            rows = torch.arange(height, device=features.device, dtype=features.dtype) * step
            columns = torch.arange(width, device=features.device, dtype=features.dtype) * step
            place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
            features = torch.cat([features, place.expand(len(features), -1, -1, -1)], dim=1)
        return self.layers(features)


class SeedHead(nn.Module):
    """Features to, for every threshold, the class of the mask that would be grown from each cell."""

    def __init__(self, in_channels: int, *, num_classes: int, num_taus: int, num_convs: int, channels: int, norm: str):
        super().__init__()
        self.num_taus = num_taus
        self.layers = _predictor(
            in_channels, num_taus * (num_classes + 1), num_convs=num_convs, channels=channels, norm=norm
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to logits (B, T, K + 1, h, w), index 0 of K + 1 is background."""
        return self.layers(features).unflatten(1, (self.num_taus, -1))

"""The two heads: feature maps to embeddings, and to the class of the mask that would grow from each
cell.

Shapes: B images, C feature channels, D embedding channels, T thresholds, K classes, h x w grid
cells.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from .layers import conv_norm_relu
from .similarity import self_similarity

EMBEDDING_HEAD_REGISTRY = Registry("EMBEDDING_HEAD")
EMBEDDING_HEAD_REGISTRY.__doc__ = """
Embedding heads by name, for ``MODEL.DML.EMBEDDING_HEAD.NAME``. Called with (cfg, input_shape), the
``ShapeSpec`` of the map that it reads; its forward function is that of ``EmbeddingHead``.
"""

SEED_HEAD_REGISTRY = Registry("SEED_HEAD")
SEED_HEAD_REGISTRY.__doc__ = """
Seed heads by name, for ``MODEL.DML.SEED_HEAD.NAME``. Called with (cfg, input_shape, stride=...,
num_taus=..., num_classes=...): the ``ShapeSpec`` of the map that it reads, and the stride of the
embedding in pixels; its forward function is that of ``SeedHead``.
"""

# Coordinates enter the embedding head in these units, in pixels: a few units across an image.
INPUT_COORDINATE_UNIT = 64.0

# Bound of the logarithm of the distance_scale: keeps it finite whatever the network says.
LOG_DISTANCE_SCALE = 8.0


def _predictor(
    in_channels: int, out_channels: int, *, dilations: Sequence[int], channels: int, norm: str
) -> nn.Sequential:
    """A 3x3 convolution for each of ``dilations`` and a 1x1 predictor, which starts near zero."""
    widths = [in_channels] + [channels] * len(dilations)
    layers = [
        conv_norm_relu(a, b, 3, norm, d)
        for (a, b), d in zip(pairwise(widths), dilations, strict=True)
    ]
    predictor = nn.Conv2d(widths[-1], out_channels, 1)
    nn.init.normal_(predictor.weight, std=0.05 if dilations else 0.01)
    nn.init.zeros_(predictor.bias)
    return nn.Sequential(*layers, predictor)


def build_embedding_head(cfg, input_shape: ShapeSpec) -> nn.Module:
    """The head that ``MODEL.DML.EMBEDDING_HEAD.NAME`` names."""
    return EMBEDDING_HEAD_REGISTRY.get(cfg.MODEL.DML.EMBEDDING_HEAD.NAME)(cfg, input_shape)


def build_seed_head(cfg, input_shape: ShapeSpec, **sizes: int) -> nn.Module:
    """The head that ``MODEL.DML.SEED_HEAD.NAME`` names; ``sizes`` as SEED_HEAD_REGISTRY says."""
    return SEED_HEAD_REGISTRY.get(cfg.MODEL.DML.SEED_HEAD.NAME)(cfg, input_shape, **sizes)


@EMBEDDING_HEAD_REGISTRY.register()
class EmbeddingHead(nn.Module):
    """Features to embeddings; cells of one object shall lie close together, and far from those of
    any other."""

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        channels: int,
        norm: str,
        dim: int = 16,
        num_convs: int = 1,
        input_coordinates: bool = False,
        coordinate_unit: float = 0.0,
        distance_scale: bool = False,
    ):
        """
        Args:
            input_shape: channels and stride of the feature map.
            channels, norm: of the convolutions before the predictor.
            dim: D.
            num_convs: how many convolutions.
            input_coordinates: whether the head also sees the row and the column of each cell.
            coordinate_unit: semi-convolutional embedding: add the row and column of each cell, in
                units of so many pixels, to the first two channels; 0: do not.
            distance_scale: whether the head predicts how much distances from each cell count;
                otherwise 1.

        Raises:
            ValueError: for too few channels.
        """
        super().__init__()
        if dim < 1 or (coordinate_unit > 0 and dim < 2):
            raise ValueError(
                "MODEL.DML.EMBEDDING_HEAD.DIM is at least 1, and with a COORDINATE_UNIT at least "
                f"2, got {dim}"
            )
        self.stride = input_shape.stride
        self.input_coordinates = input_coordinates
        self.coordinate_unit = coordinate_unit
        self.distance_scale = distance_scale
        self.layers = _predictor(
            input_shape.channels + 2 * input_coordinates,
            dim + distance_scale,
            dilations=[1] * num_convs,
            channels=channels,
            norm=norm,
        )

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec):
        head = cfg.MODEL.DML.EMBEDDING_HEAD
        return {
            "input_shape": input_shape,
            "dim": head.DIM,
            "num_convs": head.NUM_CONVS,
            "channels": head.CHANNELS,
            "norm": cfg.MODEL.DML.NORM,
            "input_coordinates": head.INPUT_COORDINATES,
            "coordinate_unit": head.COORDINATE_UNIT,
            "distance_scale": head.DISTANCE_SCALE,
        }

    def forward(self, features: Tensor, origin: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: (B, C, h, w).
            origin: (row, column), in pixels, at which their first cell lies in the image.

        Returns:
            Embedding (B, D, h, w), and distance_scale (B, h, w) float32, > 0.
        """
        if self.input_coordinates:
            seen = self._coordinates(features, INPUT_COORDINATE_UNIT, origin).to(features.dtype)
            features = torch.cat([features, seen.expand(len(features), -1, -1, -1)], dim=1)
        embedding = self.layers(features)
        distance_scale = torch.ones_like(embedding[:, 0], dtype=torch.float32)
        if self.distance_scale:
            logarithm = embedding[:, -1].float().clamp(-LOG_DISTANCE_SCALE, LOG_DISTANCE_SCALE)
            distance_scale = logarithm.exp()
            embedding = embedding[:, :-1]
        if self.coordinate_unit > 0:
            added = self._coordinates(features, self.coordinate_unit, origin)
            added = added.expand(len(features), -1, -1, -1)
            embedding = torch.cat([embedding[:, :2].float() + added, embedding[:, 2:].float()], 1)
        return embedding, distance_scale

    def _coordinates(self, features: Tensor, unit: float, origin: tuple[int, int]) -> Tensor:
        """(2, h, w) float32: row and column of each cell in units of so many pixels."""
        rows, columns = (
            (torch.arange(side, device=features.device) * self.stride + first) / unit
            for side, first in zip(features.shape[-2:], origin, strict=True)
        )
        return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def offsets_on_circles(
    radii: Sequence[float], directions: int, stride: int
) -> list[tuple[int, int]]:
    """Steps (rows, columns) in cells of ``stride`` pixels to points on circles of ``radii`` pixels.

    Points that fall on the same cell, or on the centre, count once, or not at all.
    """
    offsets = {}
    for radius in radii:
        for angle in (2 * math.pi * k / directions for k in range(directions)):
            row, column = radius * math.sin(angle) / stride, radius * math.cos(angle) / stride
            offset = (round(row), round(column))
            if offset != (0, 0):
                offsets[offset] = None
    return list(offsets)


@SEED_HEAD_REGISTRY.register()
class SeedHead(nn.Module):
    """Features to, for every threshold, the class of the mask that would be grown from each cell.

    What the mask looks like is in the embedding, but not in any one cell of it: the head is also
    given how similar each cell is to those round it, in a star of directions and distances, so that
    it sees the mask that it has to judge. No gradient flows back through the similarities: they are
    what is judged.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        channels: int,
        norm: str,
        num_taus: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 8),
        offsets: Sequence[tuple[int, int]] = (),
    ):
        """
        Args:
            input_shape: channels of the feature map.
            num_classes: K; num_taus: T.
            channels, norm: of the convolutions before the predictor.
            dilations: in cells, one for each of these convolutions.
            offsets: (rows, columns) in cells of the embedding, from ``offsets_on_circles``; empty:
                features alone.
        """
        super().__init__()
        self.num_taus = num_taus
        self.offsets = tuple(offsets)
        self.layers = _predictor(
            input_shape.channels + len(self.offsets),
            num_taus * (num_classes + 1),
            dilations=dilations,
            channels=channels,
            norm=norm,
        )

    @classmethod
    def from_config(
        cls, cfg, input_shape: ShapeSpec, *, stride: int, num_taus: int, num_classes: int
    ):
        head = cfg.MODEL.DML.SEED_HEAD
        return {
            "input_shape": input_shape,
            "num_classes": num_classes,
            "num_taus": num_taus,
            "dilations": head.DILATIONS,
            "channels": head.CHANNELS,
            "norm": cfg.MODEL.DML.NORM,
            "offsets": offsets_on_circles(head.RADII, head.DIRECTIONS, stride),
        }

    def forward(self, features: Tensor, embedding: Tensor, distance_scale: Tensor) -> Tensor:
        """
        Args:
            features: (B, C, h, w).
            embedding: (B, D, h * s, w * s) for a whole number s >= 1.
            distance_scale: (B, h * s, w * s).

        Returns:
            Logits (B, T, K + 1, h, w), index 0 of K + 1 is background.
        """
        if self.offsets:
            step = embedding.shape[-1] // features.shape[-1]
            star = self_similarity(embedding.detach(), self.offsets, step, distance_scale.detach())
            features = torch.cat([features, star.to(features.dtype)], dim=1)
        return self.layers(features).unflatten(1, (self.num_taus, -1))

"""Pixels minus a mean, over a deviation: those of the data set, or of each image.

Shapes: C channels, H x W pixels.
"""

from collections.abc import Iterable, Sequence

import torch
from detectron2.layers import move_device_like
from torch import Tensor, nn

# A flat image has no deviation; one grey level keeps it at zero.
_LEAST_DEVIATION = 1.0

# Mean and deviation of an image's pixels, (C, 1, 1) each.
PixelStatistics = tuple[Tensor, Tensor]


class PixelNorm(nn.Module):
    """Normalises images.

    Attributes:
        mean, std: (C, 1, 1), of the data set; no part of checkpoints, as they are of the config.
        of_each_image: whether images are normalised by their own mean and deviation instead.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, of_each_image: bool):
        """
        Args:
            mean, std: one number a channel, in the channel order of the input.
            of_each_image: by its own mean and deviation instead.
        """
        super().__init__()
        self.of_each_image = of_each_image
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, image: Tensor, statistics: PixelStatistics | None = None) -> Tensor:
        """
        Args:
            image: (C, H, W) float.
            statistics: where images are normalised by their own, those of the image that this one
                is a part of; None: its own.
        """
        if not self.of_each_image:
            return (image - self.mean) / self.std
        mean, deviation = statistics or (
            image.mean(dim=(1, 2), keepdim=True),
            image.std(dim=(1, 2), keepdim=True, correction=0),
        )
        deviation = move_device_like(deviation, image).clamp(min=_LEAST_DEVIATION)
        return (image - move_device_like(mean, image)) / deviation


def statistics_of_parts(parts: Iterable[tuple[int, PixelStatistics]]) -> PixelStatistics:
    """Mean and deviation of an image that comes in parts, float32 on the CPU.

    Args:
        parts: the number of pixels of each, and their statistics.
    """
    counts, statistics = zip(*parts, strict=True)
    mean, deviation = (
        torch.stack(values).double().cpu() for values in zip(*statistics, strict=True)
    )
    share = mean.new_tensor(counts).view(-1, 1, 1, 1)
    share = share / share.sum()
    whole = (share * mean).sum(0)
    spread = (share * (deviation**2 + (mean - whole) ** 2)).sum(0).sqrt()
    return whole.float(), spread.float()

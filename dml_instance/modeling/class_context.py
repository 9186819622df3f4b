"""What the backbone knows of classes, said straight.

Shapes: B images, C feature channels, T thresholds, K classes, h x w grid cells.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class ClassContext(nn.Module):
    """Class logits from one coarse feature of the backbone, cell by cell and from its mean over the
    image.

    A decoder and a seed head that start at random need thousands of steps until what ImageNet
    taught comes through them; a linear layer on the last feature has most of it at once. The image
    as a whole says what is likely in it.
    """

    def __init__(self, in_channels: int, num_classes: int):
        """
        Args:
            in_channels: C.
            num_classes: K.
        """
        super().__init__()
        self.of_cell = nn.Conv2d(in_channels, num_classes, 1)
        self.of_image = nn.Conv2d(in_channels, num_classes, 1)
        for predictor in (self.of_cell, self.of_image):
            nn.init.normal_(predictor.weight, std=0.01)
            nn.init.zeros_(predictor.bias)

    def forward(self, class_logits: Tensor, feature: Tensor) -> Tensor:
        """
        Args:
            class_logits: (B, T, K + 1, h, w) of the seed head, index 0 is background.
            feature: (B, C, h', w') of the same images.

        Returns:
            (B, T, K + 1, h, w): the same with these logits added to those of the classes, alike for
            all thresholds.
        """
        context = self.of_cell(feature) + self.of_image(feature.mean(dim=(2, 3), keepdim=True))
        context = F.interpolate(
            context, size=class_logits.shape[-2:], mode="bilinear", align_corners=False
        )
        return class_logits + F.pad(context, (0, 0, 0, 0, 1, 0))[:, None]

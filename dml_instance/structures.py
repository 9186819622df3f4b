"""What flows between the parts of the model; shapes are checked here and nowhere else.

Shapes: B images, D embedding channels, T similarity thresholds, K classes, h x w grid cells, N
    seeds.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PixelPredictions:
    """What the heads say of every grid cell, for one scale of the image pyramid.

    Attributes:
        embedding: (B, D, h, w), any floating dtype.
        distance_scale: (B, h, w) float32 > 0: how much squared distances from the cell count.
        class_logits: (B, T, K + 1, h, w): for each threshold the class of the mask that would be
            grown from the cell; index 0 is background.
        stride: pixels of the network's input image a cell, >= 1.
        scale: size of the network's input at this pyramid scale relative to scale 1, > 0.
    """

    embedding: Tensor
    distance_scale: Tensor
    class_logits: Tensor
    stride: int
    scale: float = 1.0

    def __post_init__(self):
        if self.embedding.dim() != 4:
            raise ValueError(f"embedding must be (B, D, h, w), got {tuple(self.embedding.shape)}")
        if self.class_logits.dim() != 5:
            raise ValueError(
                f"class_logits must be (B, T, K + 1, h, w), got {tuple(self.class_logits.shape)}"
            )
        grid = (len(self.embedding), *self.embedding.shape[-2:])
        for name, maps in (
            ("distance_scale", self.distance_scale),
            ("class_logits", self.class_logits),
        ):
            if (len(maps), *maps.shape[-2:]) != grid:
                raise ValueError(
                    f"embedding and {name} must be of the same images and grid, got {tuple(self.embedding.shape)} "
                    f"and {tuple(maps.shape)}"
                )

    def of_image(self, index: int, image_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Image ``index`` alone, without the cells that only cover padding.

        Args:
            index: position in the batch.
            image_size: (height, width) of this image at this scale, in pixels, before padding.

        Returns:
            embedding (D, h', w'), distance_scale (h', w') and class_logits (T, K + 1, h', w'),
            where h' = ceil(height / stride).
        """
        rows, columns = (-(-side // self.stride) for side in image_size)
        return tuple(
            prediction[index, ..., :rows, :columns]
            for prediction in (self.embedding, self.distance_scale, self.class_logits)
        )


@dataclass(frozen=True)
class Seeds:
    """Pixels to grow masks from, best first.

    Attributes:
        position: (N, 2) int64, (row, column) in the grid of its pyramid scale.
        tau_index: (N,) int64, which threshold the mask is grown with.
        pred_class: (N,) int64 in [0, K).
        score: (N,) float32 seediness in [0, 1].
        level: (N,) int64, index of the pyramid scale.
    """

    position: Tensor
    tau_index: Tensor
    pred_class: Tensor
    score: Tensor
    level: Tensor

    def __post_init__(self):
        lengths = {name: len(value) for name, value in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"every field of Seeds needs one entry a seed, got {lengths}")
        if self.position.dim() != 2 or self.position.shape[1] != 2:
            raise ValueError(f"position must be (N, 2), got {tuple(self.position.shape)}")

    def __len__(self):
        return len(self.score)

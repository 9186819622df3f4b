"""What flows between the parts of the model; shapes are checked here and nowhere else.

Shapes: B images, D embedding channels, T similarity thresholds, K classes, h x w grid cells.
"""

from dataclasses import dataclass

from torch import Tensor

from ..grouping.maps import cell_size

# The tensors of the maps, by their names.
MAPS = ("embedding", "distance_scale", "class_logits")


@dataclass(frozen=True)
class ImageMaps:
    """What the network says of every grid cell of one image, at one scale of the pyramid.

    Attributes:
        embedding: (D, h, w), any floating dtype.
        distance_scale: (h, w) float32 > 0: how much squared distances from the cell count.
        class_logits: (T, K + 1, h, w): for each threshold the class of the mask that would be
            grown from the cell; index 0 is background.
        stride: pixels of the network's input image a cell, >= 1.
        scale: size of the network's input relative to the image, > 0.
        image_size: (height, width) of the network's input, in pixels, before padding.

    Raises:
        ValueError: for maps of other shapes, or of different grids.
    """

    embedding: Tensor
    distance_scale: Tensor
    class_logits: Tensor
    stride: int
    scale: float
    image_size: tuple[int, int]

    def __post_init__(self):
        _check_maps(self, batch="")

    def cell_size(self, output_size: tuple[int, int]) -> tuple[float, float]:
        """Pixels a cell, (vertical, horizontal), of the image at another (height, width)."""
        return cell_size(self.stride, self.image_size, output_size)


@dataclass(frozen=True)
class BatchMaps:
    """The maps of B images of one padded size; as ``ImageMaps``, with B first.

    Raises:
        ValueError: for maps of other shapes, or of different grids.
    """

    embedding: Tensor
    distance_scale: Tensor
    class_logits: Tensor
    stride: int
    scale: float = 1.0

    def __post_init__(self):
        _check_maps(self, batch="B, ")

    def of_image(self, index: int, image_size: tuple[int, int]) -> ImageMaps:
        """Image ``index`` alone, without the cells that only cover padding.

        Args:
            index: position in the batch.
            image_size: (height, width) of this image at this scale, in pixels, before padding.

        Returns:
            Maps of ceil(height / stride) x ceil(width / stride) cells, views of these.
        """
        rows, columns = (-(-side // self.stride) for side in image_size)
        maps = {name: getattr(self, name)[index, ..., :rows, :columns] for name in MAPS}
        return ImageMaps(**maps, stride=self.stride, scale=self.scale, image_size=image_size)


def _check_maps(maps: ImageMaps | BatchMaps, batch: str) -> None:
    more = bool(batch)
    forms = {"embedding": "D, h, w", "distance_scale": "h, w", "class_logits": "T, K + 1, h, w"}
    shapes = {name: tuple(getattr(maps, name).shape) for name in MAPS}
    for name, form in forms.items():
        if len(shapes[name]) != form.count(",") + 1 + more:
            raise ValueError(f"{name} must be ({batch}{form}), got {shapes[name]}")
    if len({(*shape[:more], *shape[-2:]) for shape in shapes.values()}) != 1:
        raise ValueError(f"all maps must be of the same images and grid, got {shapes}")

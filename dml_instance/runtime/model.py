"""An exported model: images in, objects out."""

import os
from dataclasses import replace

import numpy as np

from ..grouping import FoundInstances, GridMaps, ReachedLimits, group
from ..images import read_image
from .network import Network
from .preparing import network_input
from .result import Mask, Result
from .rules import ModelRules, read_rules


def load(
    folder: str | os.PathLike, *, min_score: float | None = None, threads: int | None = None
) -> "ExportedModel":
    """A model that ``dml export`` wrote, ready for images.

    Args:
        folder: with ``network.onnx`` and ``rules.json``.
        min_score: least score of an object, in [0, 1]; None: that of ``rules.json``.
        threads: of the network, >= 1; None: as many as the machine has cores.

    Raises:
        FileNotFoundError, ValueError: for a folder that holds no such model, or values out of their
            range; one line that says what to do.
    """
    if min_score is not None and not 0 <= min_score <= 1:
        raise ValueError(f"min_score is in [0, 1], got {min_score}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is at least 1, got {threads}")
    folder = os.fspath(folder)
    rules = read_rules(folder)
    if min_score is not None:
        rules = replace(rules, grouping=replace(rules.grouping, min_score=min_score))
    return ExportedModel(rules, Network(folder, rules.network, threads))


class ExportedModel:
    """Segments one image a call; threads may call it at once.

    Attributes:
        rules: of the model.
        limits: which its images have reached, and how many.
    """

    def __init__(self, rules: ModelRules, network: Network):
        self.rules = rules
        self.limits = ReachedLimits()
        self._network = network

    def __call__(self, image: np.ndarray | str | os.PathLike) -> Result:
        """The objects of an image.

        Args:
            image: (H, W) grey or (H, W, 3) red, green and blue, uint8; or the path of a file, which
                ``dml_instance.images.read_image`` reads.

        Returns:
            Objects with at least the least score. A limit that was reached is noted in ``limits``,
            and the first time it is a warning in the log.

        Raises:
            FileError: for a file that cannot be read.
            ValueError: for an array of another kind.
        """
        name = "an image"
        if isinstance(image, str | os.PathLike):
            name = os.fspath(image)
            image = read_image(name)
        image = _colours(image)
        maps = self._maps(image)
        found = group([maps], image.shape[:2], self.rules.grouping, self.limits, name)
        return _result(found, image.shape[:2], self.rules.classes.names)

    def _maps(self, image: np.ndarray) -> GridMaps:
        """What the network says of (H, W, 3) uint8, without the cells that only cover padding."""
        of_image, of_network = self.rules.image, self.rules.network
        pixels, image_size = network_input(image, of_image, of_network.size_divisibility)
        embedding, distance_scale, probability = self._network.maps(pixels)
        rows, columns = (slice(-(-side // of_network.stride)) for side in image_size)
        return GridMaps(
            np.ascontiguousarray(embedding[:, rows, columns].transpose(1, 2, 0)),
            np.ascontiguousarray(distance_scale[rows, columns]),
            probability[..., rows, columns],
            *(of_network.stride, of_image.scale, image_size),
        )


def _colours(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8; grey is repeated."""
    image = np.asarray(image)
    if image.dtype == np.uint8 and image.size and image.ndim in (2, 3):
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        if image.shape[2] == 3:
            return image
    raise ValueError(
        "an image is (H, W) or (H, W, 3) uint8 with a pixel at least, got "
        f"{image.shape} {image.dtype}; dml_instance.images.to_eight_bit brings other numbers to 8 "
        "bits"
    )


def _result(found: FoundInstances, image_size: tuple[int, int], names: tuple[str, ...]) -> Result:
    corners = found.masks.boxes[:, :2].tolist()
    masks = [
        Mask(top, left, pixels) for pixels, (left, top) in zip(found.masks, corners, strict=True)
    ]
    return Result(
        image_size, masks, found.scores, found.classes, [names[index] for index in found.classes]
    )

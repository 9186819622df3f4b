"""A trained model for a Python user: three lines from an image to its objects.

    import dml_instance
    model = dml_instance.load("nuclei")
    result = model("cells.png")

Shapes: H x W pixels of an image.
"""

import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import nn

from .data import PixelMapper
from .engine import find_all, find_model, load_model, min_score_of, objects_in
from .files import replacing
from .images import read_image, read_labels, to_eight_bit
from .keys.classes import Classes, classes_of
from .learning import train_further, write_training_set
from .segmentation import Segmentation
from .stored_config import weights_in, with_config

Image = np.ndarray | str | os.PathLike


def load(source: str | os.PathLike, *, device: str | None = None) -> "Segmenter":
    """A trained model, ready to segment.

    Args:
        source: the name of a model that comes with the package ("nuclei", "photographs",
            "shapes"), the OUTPUT_DIR of a training, or a checkpoint of one, which holds its config.
        device: "cpu", "cuda", "cuda:1" ...; None: a GPU where there is one.

    Raises:
        FileNotFoundError: where there is no such model, folder or file.
        ValueError: for a checkpoint that holds no config, or is damaged.

    Example:
        >>> import dml_instance
        >>> model = dml_instance.load("nuclei", device="cpu")
        >>> model.classes.names
        ('nucleus',)
    """
    cfg, weights = find_model(os.fspath(source), [] if device is None else ["MODEL.DEVICE", device])
    return Segmenter(load_model(cfg, weights), cfg, weights)


class Segmenter:
    """Segments images with a trained model.

    Attributes:
        model: in evaluation mode.
        cfg: that built it.
        weights: where they were loaded from.
        classes: the model's K classes: ``names`` and ``category_ids``.
        min_score: least score of an object, in [0, 1]: that which the training chose, else 0.5.

    Example:
        Three discs, drawn:

        >>> import cv2
        >>> import numpy as np
        >>> image = np.zeros((96, 128), np.uint8)
        >>> for centre in (30, 30), (70, 60), (100, 25):
        ...     _ = cv2.circle(image, centre, 10, 200, -1)
        >>> result = model(image)
        >>> result
        Segmentation(3 objects in 96 x 128 pixels: 3 nucleus)
    """

    def __init__(self, model: nn.Module, cfg: CfgNode, weights: str):
        """
        Args:
            model: in evaluation mode, see ``engine.load_model``.
            cfg: that built it.
            weights: where they were loaded from.
        """
        self.model, self.cfg, self.weights = model, cfg, weights
        self.classes: Classes = classes_of(cfg)
        self.min_score = min_score_of(cfg)
        self._mapper = PixelMapper(cfg)
        find_all(model)

    def __repr__(self) -> str:
        names = ", ".join(self.classes.names)
        return f"Segmenter({self.weights}: {names}; least score {self.min_score:g})"

    @overload
    def __call__(self, image: Image, *, min_score: float | None = None) -> Segmentation: ...

    @overload
    def __call__(
        self, image: Sequence[Image], *, min_score: float | None = None
    ) -> list[Segmentation]: ...

    def __call__(self, image, *, min_score=None):
        """Segment an image, or a list of them one after the other.

        Args:
            image: (H, W) or (H, W, 3) of any number type, red before green before blue, or a file.
                8-bit values count as they are, others are stretched between their 0.1st and 99.9th
                percentile.
            min_score: objects under it are left out; None: ``min_score`` of the model.

        Raises:
            FileError: for a file that cannot be read.
            ValueError: for an array of another shape or without a pixel, or a score out of [0, 1].

        Example:
            >>> [len(one) for one in model([image, image[:, :60]])]
            [3, 1]
        """
        if isinstance(image, list | tuple):
            return [self(one, min_score=min_score) for one in image]
        least = self.min_score if min_score is None else min_score_of(self.cfg, min_score)
        rgb = _pixels(image)
        objects = tuple(objects_in(self.model, self._mapper(rgb), least)[0])
        name = {"name": os.fspath(image)} if _is_path(image) else {}
        return Segmentation(rgb, objects, self.classes, **name)

    def fine_tune(
        self,
        images: Sequence[Image],
        labels: Sequence[np.ndarray | str | os.PathLike],
        *,
        minutes: float = 3.0,
        class_names: Sequence[Mapping[int, str]] | None = None,
        labelled_share: float = 1.0,
        output: str | os.PathLike | None = None,
    ) -> "Segmenter":
        """A new model that starts from this one and has learned from some images.

        Args:
            images: as of a call.
            labels: of each image a label image (H, W) or its file: 0 is background, each object has
                a number. A pixel of -1 is neither object nor background, and is not learned from.
            minutes: of training.
            class_names: of each image its labels' classes by number; None: all are of the model's
                only class, or, where it has several, of one called "object".
            labelled_share: of all objects, about how many have a label, in (0, 1].
            output: folder of the training, which is made and must not exist; None: a temporary one.

        Raises:
            ValueError: for lists of different lengths, a label image of another size than its
                image, or images without an object.
            FileExistsError: if there is an ``output``.

        Example:
            From one image, for half a second; minutes do more:

            >>> mine = model.fine_tune([image], [result.labels], minutes=0.008)
            >>> mine.classes.names
            ('nucleus',)
        """
        folder = os.fspath(output) if output else os.path.join(tempfile.mkdtemp(), "learned")
        maps = [read_labels(os.fspath(one)) if _is_path(one) else one for one in labels]
        if class_names is None:
            name = self.classes.names[0] if len(self.classes.names) == 1 else "object"
            class_names = [defaultdict(lambda: name)] * len(maps)
        data = os.path.join(folder, "data")
        write_training_set(data, [_pixels(one) for one in images], maps, class_names)
        weights = train_further(
            self.cfg, self.weights, data, folder, minutes=minutes, labelled_share=labelled_share
        )
        return load(weights, device=self.cfg.MODEL.DEVICE)

    def save(self, path: str | os.PathLike) -> None:
        """Write a checkpoint that ``load`` takes, with weights, config and classes.

        Example:
            >>> mine.save("mine.pth")
            >>> dml_instance.load("mine.pth", device="cpu").classes == mine.classes
            True
        """
        state = {"model": weights_in(self.weights)}
        with replacing(os.fspath(path)) as part:
            torch.save(with_config(state, self.cfg), part)


def _is_path(image: Image) -> bool:
    return isinstance(image, str | os.PathLike)


def _pixels(image: Image) -> np.ndarray:
    """An image as (H, W, 3) uint8."""
    if _is_path(image):
        return read_image(os.fspath(image))
    image = np.asarray(image)
    is_colour = image.ndim == 3 and image.shape[2] in (1, 3, 4)
    if not (image.ndim == 2 or is_colour) or image.size == 0:
        raise ValueError(
            f"an image is (height, width) or (height, width, 3), got {image.shape}; of a stack "
            "give one slice, of channels first image.transpose(1, 2, 0)"
        )
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if not np.issubdtype(image.dtype, np.integer) and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"an image holds real numbers, got {image.dtype}")
    return np.ascontiguousarray(to_eight_bit(image))

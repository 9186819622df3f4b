"""Augmentation out of Detectron2's transforms, by ``INPUT.AUG`` and the stock INPUT keys."""

import math

import detectron2.data.transforms as T
import numpy as np
from detectron2.data.detection_utils import build_augmentation


class RandomScale(T.Augmentation):
    """Resize by a random factor of the image's own size.

    Detectron2's resizers aim at a size, which would bring a small and a large image of the same
    magnification to different ones.
    """

    def __init__(self, smallest: float, largest: float):
        """
        Args:
            smallest, largest: range of the factor, drawn log-uniformly; 0 < smallest <= largest.
        """
        super().__init__()
        if not 0 < smallest <= largest:
            raise ValueError(
                f"INPUT.AUG.SCALE_RANGE needs 0 < low <= high, got [{smallest}, {largest}]"
            )
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> T.Transform:
        height, width = image.shape[:2]
        factor = math.exp(self._rand_range(math.log(self.smallest), math.log(self.largest)))
        return T.ResizeTransform(
            height, width, max(round(height * factor), 1), max(round(width * factor), 1)
        )


def _inverted(image: np.ndarray) -> np.ndarray:
    return 255 - image


def build_train_augmentation(cfg) -> list[T.Augmentation | T.Transform]:
    """What the stock ``DatasetMapper`` applies in training, in order.

    Resizing, cropping and flipping are Detectron2's own, from INPUT.*; the rest stands in
    ``INPUT.AUG``. The order is: resizing, scale, rotation, crop, right angles, flipping,
    colours. With nothing set in ``INPUT.AUG`` this differs from Detectron2 in one thing:
    INPUT.CROP cuts out of the resized image, so that an absolute INPUT.CROP.SIZE is the size that
    the network sees, where Detectron2 crops first and resizes what it has cut out.
    """
    options = cfg.INPUT.AUG
    smallest, largest = (cfg.INPUT.SCALE_TRAIN * factor for factor in options.SCALE_RANGE)
    resize, *flips = build_augmentation(cfg, is_train=True)
    geometric = [resize]
    is_scaled = (smallest, largest) != (1, 1)
    if (
        cfg.INPUT.CROP.ENABLED
        and cfg.INPUT.CROP.TYPE == "absolute"
        and is_scaled
        and not options.ROTATION
    ):
        # Cutting away what no later crop can reach is several times cheaper on large images. A
        # rotation would leave black corners in what is cut out.
        geometric.append(
            T.RandomCrop("absolute", [math.ceil(s / smallest) for s in cfg.INPUT.CROP.SIZE])
        )
    if is_scaled:
        geometric.append(RandomScale(smallest, largest))
    if options.ROTATION:
        geometric.append(T.RandomRotation([-options.ROTATION, options.ROTATION], expand=False))
    if cfg.INPUT.CROP.ENABLED:
        geometric.append(T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
    if options.RIGHT_ANGLES:
        geometric.append(T.RandomRotation([0, 90, 180, 270], expand=True, sample_style="choice"))
    photometric = []
    if options.COLOR_JITTER:
        span = (1 - options.COLOR_JITTER, 1 + options.COLOR_JITTER)
        photometric = [
            T.RandomBrightness(*span),
            T.RandomContrast(*span),
            T.RandomSaturation(*span),
        ]
    if options.INVERT_PROBABILITY:
        photometric.append(T.RandomApply(T.ColorTransform(_inverted), options.INVERT_PROBABILITY))
    return [*geometric, *flips, *photometric]


def build_test_augmentation(cfg) -> list[T.Augmentation]:
    """Detectron2's resizing for inference, and then by ``INPUT.SCALE_TEST``."""
    resize, scale = build_augmentation(cfg, is_train=False), cfg.INPUT.SCALE_TEST
    return resize if scale == 1 else [*resize, RandomScale(scale, scale)]

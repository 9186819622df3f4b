"""One image, drawn again and again while a model learns."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import HookBase

from ..files import replacing
from ..images import write_image
from ..randomness import randomness_kept
from .inference import at_inference
from .pictures import picture_of

# In OUTPUT_DIR.
FOLDER = "watched"

# Least score of what is drawn: models that are still learning are sure of little.
_MIN_SCORE = 0.3
# A picture is left out where the last one took more than this share of the time since.
_SHARE = 0.05

_logger = logging.getLogger(__name__)


class WatchedImage(HookBase):
    """Draws what the model sees in one image of DATASETS.TEST, else of DATASETS.TRAIN, every
    SOLVER.CHECKPOINT_PERIOD iterations and after the last one.

    The pictures of ``picture_of`` go to ``watched/iteration_0000250.jpg`` in OUTPUT_DIR, and to
    TensorBoard. They take a twentieth of the time at most: on images that take long there are
    fewer. What goes wrong with a picture is a warning, once, and there are no more.
    """

    def __init__(self, cfg: CfgNode, *, for_tensorboard: bool):
        """
        Args:
            cfg: of the training.
            for_tensorboard: whether there is a writer that takes images from the storage.
        """
        self._cfg = cfg
        self._for_tensorboard = for_tensorboard
        self._record = None
        self._is_broken = False
        self._next = 0.0  # seconds of the clock

    def before_train(self):
        # What another training has drawn later than this one begins is not of this one.
        for file in Path(self._cfg.OUTPUT_DIR, FOLDER).glob("iteration_*.jpg"):
            if int(file.stem.split("_")[1]) > self.trainer.start_iter:
                file.unlink()

    def after_step(self):
        done = self.trainer.iter + 1
        is_due = done % self._cfg.SOLVER.CHECKPOINT_PERIOD == 0 and time.monotonic() >= self._next
        if self._is_broken or not (is_due or done == self.trainer.max_iter):
            return
        start = time.monotonic()
        try:
            self._draw(done)
        except Exception as error:
            # A picture to look at is not worth a training.
            self._is_broken = True
            _logger.warning(
                "no pictures of the training any more: %s", str(error) or type(error).__name__
            )
        end = time.monotonic()
        self._next = end + (end - start) / _SHARE

    @torch.no_grad()
    def _draw(self, done: int) -> None:
        name = (*self._cfg.DATASETS.TEST, *self._cfg.DATASETS.TRAIN)[0]
        if self._record is None:
            self._record = watched_record(DatasetCatalog.get(name))
        # Detectron2's resizing draws a random number for a test image, too.
        with randomness_kept(), at_inference(self._cfg, self.trainer.model) as model:
            picture, _ = picture_of(
                model, self._cfg, self._record, MetadataCatalog.get(name), _MIN_SCORE
            )
        folder = os.path.join(self._cfg.OUTPUT_DIR, FOLDER)
        os.makedirs(folder, exist_ok=True)
        with replacing(os.path.join(folder, f"iteration_{done:07d}.jpg")) as path:
            write_image(path, picture[:, :, ::-1])
        if self._for_tensorboard:
            self.trainer.storage.put_image("watched", np.moveaxis(picture, 2, 0))


def watched_record(records: Sequence[dict]) -> dict:
    """The record of a data set that is worth watching, and quick: of the smaller half of the images
    that with the median number of objects, of those that have any."""
    with_objects = [r for r in records if r.get("annotations")] or list(records)
    by_area = sorted(with_objects, key=lambda r: r.get("height", 0) * r.get("width", 0))
    smaller = by_area[: (len(by_area) + 1) // 2]
    by_count = sorted(smaller, key=lambda r: len(r.get("annotations", ())))
    return by_count[len(by_count) // 2]

"""A training of some minutes, in a process of its own.

    python -m dml_instance.app.training FOLDER MINUTES

trains the model that ``FOLDER/lesson.json`` names on ``FOLDER/data`` and leaves
``FOLDER/model_final.pth``. How far it is stands in ``FOLDER/progress.json``, which is whole at any
time.
"""

import contextlib
import os
import sys
import time

from detectron2.engine import HookBase
from detectron2.utils.logger import setup_logger

from ..files import read_json, write_json
from ..learning import train_further
from ..segmenter import load
from .job import DATA, LESSON, PROGRESS

# Seconds between two notes on the progress.
_EVERY = 0.5
# Points of the curve that are kept.
_POINTS = 200


class Notes(HookBase):
    """Notes how far a ``BudgetTrainer`` is, and ends it with the process that started it."""

    def __init__(self, folder: str):
        """
        Args:
            folder: to note it in.
        """
        self._path, self._parent = os.path.join(folder, PROGRESS), os.getppid()
        self._noted = 0.0
        self._curve: list[list[float]] = []

    def after_step(self):
        if os.getppid() != self._parent:
            sys.exit("the page has ended, and the training with it")
        trainer, now = self.trainer, time.monotonic()
        share = min(trainer.used / trainer.minutes, 1.0)
        if now - self._noted < _EVERY and share < 1:
            return
        self._noted = now
        loss = trainer.storage.history("total_loss").median(20)
        self._curve.append([round(trainer.used, 4), round(loss, 4)])
        if len(self._curve) > _POINTS:
            self._curve = self._curve[::2]
        noted = {"share": round(share, 4), "iterations": trainer.iter + 1}
        write_json(self._path, {**noted, "curve": self._curve})


def train(folder: str, minutes: float) -> None:
    """Train on what lies in a folder.

    Args:
        folder: with ``lesson.json`` and ``data``.
        minutes: of training steps.
    """
    setup_logger(name="dml_instance")
    lesson = read_json(os.path.join(folder, LESSON))
    start = load(lesson["model"])
    train_further(
        start.cfg,
        start.weights,
        os.path.join(folder, DATA),
        folder,
        minutes=minutes,
        labelled_share=lesson["labelled_share"],
        hooks=[Notes(folder)],
    )


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)  # a click shall be answered while it trains
    train(sys.argv[1], float(sys.argv[2]))

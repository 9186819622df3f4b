"""A training of some minutes, in a process of its own.

    python -m dml_instance.app.training FOLDER MINUTES

trains the model of ``FOLDER/config.yaml`` on ``FOLDER/data`` and leaves ``FOLDER/model_final.pth``.
How far it is stands in ``FOLDER/progress.json``, which is whole at any time.
"""

import contextlib
import os
import sys
import time

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils.events import EventStorage
from detectron2.utils.logger import setup_logger

from ..data import register_coco
from ..engine import Trainer, load_config
from ..files import write_json
from ..schedule import put_schedule_iteration
from .learning import DATA, PROGRESS

_ANNOTATIONS = os.path.join(DATA, "annotations", "instances_train.json")
_SPLIT = "learnt_train"

# Seconds between two notes on the progress.
_EVERY = 0.5
# Points of the curve that are kept.
_POINTS = 200


class Minutes(HookBase):
    """A budget of minutes: moves the schedule with the clock, and notes how far it is."""

    def __init__(self, folder: str, minutes: float):
        """
        Args:
            folder: to note it in.
            minutes: of training, > 0.
        """
        self._path, self._seconds = os.path.join(folder, PROGRESS), 60 * minutes
        self._start = self._noted = time.monotonic()
        self._curve: list[list[float]] = []

    @property
    def share(self) -> float:
        """That is used up, in [0, 1]."""
        return min((time.monotonic() - self._start) / self._seconds, 1.0)

    def before_train(self):
        self._start = time.monotonic()

    def before_step(self):
        trainer = self.trainer
        last = trainer.cfg.SOLVER.MAX_ITER - 1
        # Detectron2's own hook steps on from here after the iteration and sets the learning rate.
        trainer.scheduler.last_epoch = min(int(self.share * last), last - 1)
        put_schedule_iteration(trainer.storage, trainer.scheduler.last_epoch)

    def after_step(self):
        now = time.monotonic()
        if now - self._noted < _EVERY and self.share < 1:
            return
        self._noted = now
        loss = self.trainer.storage.history("total_loss").median(20)
        self._curve.append([round((now - self._start) / 60, 4), round(loss, 4)])
        if len(self._curve) > _POINTS:
            self._curve = self._curve[::2]
        noted = {"share": round(self.share, 4), "iterations": self.trainer.iter + 1}
        write_json(self._path, {**noted, "curve": self._curve})


class MinutesTrainer(Trainer):
    """Trains until its minutes are used up, or the process that started it has ended."""

    def __init__(self, cfg: CfgNode, minutes: float):
        """
        Args:
            cfg: of the training.
            minutes: that it takes.
        """
        self._minutes = Minutes(cfg.OUTPUT_DIR, minutes)
        super().__init__(cfg)

    def build_hooks(self):
        # Hooks that save and score at the last iteration shall not see one.
        self.max_iter = sys.maxsize
        clock, *others = super().build_hooks()
        return [clock, self._minutes, *others]

    def build_writers(self):
        return []

    def train(self):
        """Leaves ``model_final.pth`` in OUTPUT_DIR."""
        parent = os.getppid()
        with EventStorage(0) as self.storage:
            self.iter = 0
            self.before_train()
            while self._minutes.share < 1:
                if os.getppid() != parent:
                    sys.exit("the page has ended, and the training with it")
                self.before_step()
                self.run_step()
                self.after_step()
                self.iter += 1
        self.checkpointer.save("model_final")


def train(folder: str, minutes: float) -> None:
    """Train on what lies in a folder; the learning rate follows the share of the minutes used up.

    Args:
        folder: with ``config.yaml`` and ``data``.
        minutes: > 0.
    """
    setup_logger(name="dml_instance")
    images = os.path.join(folder, DATA, "images")
    register_coco(_SPLIT, os.path.join(folder, _ANNOTATIONS), images)
    options = ["DATASETS.TRAIN", f"('{_SPLIT}',)", "OUTPUT_DIR", folder]
    cfg = load_config(os.path.join(folder, "config.yaml"), options)
    torch.manual_seed(0)
    trainer = MinutesTrainer(cfg, minutes)
    trainer.resume_or_load(resume=False)
    trainer.train()


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)  # a click shall be answered while it trains
    train(sys.argv[1], float(sys.argv[2]))

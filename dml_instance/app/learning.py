"""A training of some minutes in a process of its own, and the server's end of it.

    python -m dml_instance.app.learning FOLDER MINUTES

trains the model of ``FOLDER/config.yaml`` on ``FOLDER/data`` and leaves ``FOLDER/model_final.pth``.
How far it is stands in ``FOLDER/progress.json``, which is whole at any time.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from ..files import read_json, write_json

PROGRESS, LOG, WEIGHTS = "progress.json", "log.txt", "model_final.pth"
DATA = "data"
_ANNOTATIONS = os.path.join(DATA, "annotations", "instances_train.json")
_SPLIT = "learnt_train"

# Seconds between two notes on the progress.
_EVERY = 0.5
# Points of the curve that are kept.
_POINTS = 200


class LearningJob:
    """A training that was started; it ends with this process."""

    def __init__(self, folder: str, command: Sequence[str], minutes: float):
        """
        Args:
            folder: of the training, with its config and data.
            command: that trains.
            minutes: that it shall take.

        Raises:
            OSError: where the process cannot be started.
        """
        self.folder, self.minutes = folder, minutes
        self._was_stopped = False
        with open(os.path.join(folder, LOG), "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def is_done(self) -> bool:
        """Whether there is a model."""
        return self._process.poll() == 0 and os.path.isfile(os.path.join(self.folder, WEIGHTS))

    def stop(self) -> None:
        """End the training; nothing is learnt."""
        self._was_stopped = self.is_running
        if self._was_stopped:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def told(self) -> dict:
        """How far it is, for the page: ``state`` is "running", "done", "stopped" or "failed";
        ``share`` of the minutes in [0, 1]; ``curve``, pairs of minutes and loss; ``error``."""
        progress = read_json(os.path.join(self.folder, PROGRESS))
        state = "running" if self.is_running else "done" if self.is_done else "failed"
        if self._was_stopped:
            state = "stopped"
        error = ""
        if state == "failed":
            # The last line says what went wrong.
            with open(os.path.join(self.folder, LOG), encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file if line.strip()]
            error = lines[-1] if lines else f"it ended with status {self._process.returncode}"
        return {
            "state": state,
            "minutes": self.minutes,
            "share": 1.0 if state == "done" else progress.get("share", 0.0),
            "iterations": progress.get("iterations", 0),
            "curve": progress.get("curve", []),
            "error": error,
        }


def train(folder: str, minutes: float) -> None:
    """Train for some minutes of steps; the learning rate follows the share of them used up."""
    # Here, so that a server that only watches need not import it twice.
    import torch
    from detectron2.engine import HookBase
    from detectron2.utils.events import EventStorage
    from detectron2.utils.logger import setup_logger

    from ..data import register_coco
    from ..engine import Trainer, load_config
    from ..schedule import put_schedule_iteration

    setup_logger(name="dml_instance")
    data = os.path.join(folder, DATA)
    register_coco(_SPLIT, os.path.join(folder, _ANNOTATIONS), os.path.join(data, "images"))
    cfg = load_config(
        os.path.join(folder, "config.yaml"),
        ["DATASETS.TRAIN", f"('{_SPLIT}',)", "OUTPUT_DIR", folder],
    )
    parent = os.getppid()

    class Budget(HookBase):
        """Moves the schedule with the clock, and notes how far it is."""

        def before_train(self):
            self.start, self.noted, self.curve = time.monotonic(), 0.0, []

        @property
        def share(self):
            return min((time.monotonic() - self.start) / (60 * minutes), 1.0)

        def before_step(self):
            trainer, last = self.trainer, cfg.SOLVER.MAX_ITER - 1
            trainer.scheduler.last_epoch = min(int(self.share * last), last - 1)
            put_schedule_iteration(trainer.storage, trainer.scheduler.last_epoch)

        def after_step(self):
            now = time.monotonic()
            if now - self.noted < _EVERY and self.share < 1:
                return
            self.noted = now
            losses = self.trainer.storage.history("total_loss")
            self.curve.append([round((now - self.start) / 60, 4), round(losses.median(20), 4)])
            if len(self.curve) > _POINTS:
                self.curve = self.curve[::2]
            self.note()

        def note(self):
            write_json(
                os.path.join(folder, PROGRESS),
                {
                    "share": round(self.share, 4),
                    "iterations": self.trainer.iter + 1,
                    "curve": self.curve,
                },
            )

    class MinutesTrainer(Trainer):
        """Ends by the clock."""

        def build_hooks(self):
            self.max_iter = sys.maxsize
            self.budget = Budget()
            clock, *others = super().build_hooks()
            return [clock, self.budget, *others]

        def build_writers(self):
            return []

        def train(self):
            with EventStorage(0) as self.storage:
                self.iter = 0
                self.before_train()
                while self.budget.share < 1:
                    if os.getppid() != parent:
                        sys.exit("the page has ended, and the training with it")
                    self.before_step()
                    self.run_step()
                    self.after_step()
                    self.iter += 1
            self.checkpointer.save("model_final")

    torch.manual_seed(0)
    trainer = MinutesTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)  # a click shall be answered while it trains
    train(sys.argv[1], float(sys.argv[2]))

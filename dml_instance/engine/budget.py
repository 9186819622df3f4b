"""Training for a number of minutes instead of iterations."""

import sys

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from ..schedule import put_schedule_iteration
from .progress import ProgressLine
from .trainer import Trainer


class BudgetTrainer(Trainer):
    """Trains until the minutes of its own training steps are used up, then scores itself.

    The learning rate and the weight of the seed loss follow the schedule of the config with the
    share of the budget that is used up in the place of the share of SOLVER.MAX_ITER that is done,
    so that a slow hour of the machine does not cut the schedule off. Checkpoints and evaluation do
    not count against the budget.
    """

    def __init__(self, cfg, minutes: float):
        """
        Args:
            cfg: of the run.
            minutes: the budget, >= 0.
        """
        self.minutes = minutes
        super().__init__(cfg)

    def build_hooks(self):
        self.clock, *others = super().build_hooks()
        # Hooks that save and score at the last iteration shall not see one.
        self.max_iter = sys.maxsize
        return [self.clock, _Schedule(), *others]

    def build_progress(self):
        # How many iterations there will be, the clock says.
        return ProgressLine(
            self.cfg.SOLVER.IMS_PER_BATCH,
            seconds_left=lambda: 60 * max(self.minutes - self.used, 0),
        )

    def build_watched_image(self):
        return None

    def after_step(self):
        super().after_step()
        # The clock of the first process is that of all: the learning rate follows it, and so does
        # the end, at which none may wait for another.
        self.clock.seconds = comm.all_gather(self.clock.seconds)[0]

    @property
    def used(self) -> float:
        """Minutes used up."""
        return self.clock.seconds / 60

    def train(self):
        """Until the budget is used up; then returns the metrics on DATASETS.TEST, if it names a
        set."""
        self.begin()
        with EventStorage(self.start_iter) as self.storage:
            try:
                self.iter = self.start_iter
                self.before_train()
                while self.used < self.minutes:
                    self.before_step()
                    self.run_step()
                    self.after_step()
                    self.iter += 1
            finally:
                self.after_train()
        self.checkpointer.save("model_final")
        return self.test(self.cfg, self.model) if self.cfg.DATASETS.TEST else {}


class _Schedule(HookBase):
    """Sets the iteration of the schedule by the share of the budget used up."""

    def before_step(self):
        trainer = self.trainer
        last = trainer.cfg.SOLVER.MAX_ITER - 1
        # Detectron2's own hook steps on from here after the iteration and sets the learning rate.
        trainer.scheduler.last_epoch = min(int(trainer.used / trainer.minutes * last), last - 1)
        put_schedule_iteration(trainer.storage, trainer.scheduler.last_epoch)

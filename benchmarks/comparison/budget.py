"""Training for a number of minutes instead of iterations, in turns with other trainings."""

import math
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, default_writers
from detectron2.utils.events import EventStorage

from dml_instance.engine import RESULTS_FILE, Trainer
from dml_instance.files import read_json, write_json
from dml_instance.schedule import put_schedule_iteration

from ..mask_rcnn import with_test_augmentation
from ..memory import peak_memory_mib


class Turns:
    """One of several processes that share a machine and work in turns, as a referee says.

    A process that rests needs no processor: the queues of its data loaders are full.
    """

    def __init__(self, referee: Connection, seconds: float):
        """
        Args:
            referee: this end of the connection to it.
            seconds: of training, after which the turn ends.
        """
        self._referee = referee
        self.seconds = seconds

    def wait(self) -> None:
        """Block until it is this process's turn; raises EOFError when the referee is gone."""
        self._referee.recv()

    def rest(self, minutes: float) -> None:
        """Say how many minutes are used up, give the turn away, and block until it comes back."""
        self._referee.send(minutes)
        self.wait()


def referee(players: dict[str, Connection], on_turn: Callable[[str, float], None]) -> None:
    """Give each of several processes its turn, one after the other, until all have hung up.

    Args:
        players: name and this end of each connection; the other end is in a ``Turns``.
        on_turn: called after each turn with the name and the minutes used up.
    """
    playing = dict(players)
    while playing:
        for name, player in list(playing.items()):
            try:
                player.send("go")
                on_turn(name, player.recv())
            except (EOFError, OSError):
                # Done, or dead: the exit status of the process says which.
                del playing[name]


class BudgetTrainer(Trainer):
    """Trains until the minutes of its own training steps are used up, and scores itself on the way.

    Models are scored ``with_test_augmentation``.

    The learning rate and the weight of the seed loss follow the schedule of the config with the
    share of the budget that is used up in the place of the share of SOLVER.MAX_ITER that is done,
    so that a slow hour of the machine does not cut the schedule off. Checkpoints and evaluation do
    not count against the budget.
    """

    def __init__(
        self, cfg: CfgNode, minutes: float, marks: Sequence[float], turns: Turns | None = None
    ):
        """
        Args:
            cfg: of the run.
            minutes: the budget, >= 0.
            marks: minutes at which the model is scored too, into ``minute_M`` in OUTPUT_DIR.
            turns: None where nothing else is running.
        """
        self.minutes = minutes
        self.marks = sorted(mark for mark in marks if mark < minutes)
        self.turns = turns
        super().__init__(cfg)

    def build_hooks(self):
        self.clock, *others = super().build_hooks()
        # Hooks that save and score at the last iteration shall not see one.
        self.max_iter = sys.maxsize
        return [self.clock, _Schedule(), *others, _Milestones()]

    def build_writers(self):
        return default_writers(self.cfg.OUTPUT_DIR)

    @property
    def used(self) -> float:
        """Minutes used up."""
        return self.clock.seconds / 60

    def train(self):
        """Until the budget is used up; then scores the model and returns its metrics."""
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
        return self.test(self.cfg, self.model)

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """``Trainer.test``, with the augmentation that ``TEST.AUG.ENABLED`` asks for."""
        return super().test(cfg, with_test_augmentation(cfg, model), evaluators)


class _Schedule(HookBase):
    """Sets the iteration of the schedule by the share of the budget used up."""

    def before_step(self):
        trainer = self.trainer
        last = trainer.cfg.SOLVER.MAX_ITER - 1
        # Detectron2's own hook steps on from here after the iteration and sets the learning rate.
        trainer.scheduler.last_epoch = min(int(trainer.used / trainer.minutes * last), last - 1)
        put_schedule_iteration(trainer.storage, trainer.scheduler.last_epoch)


class _Milestones(HookBase):
    """Scores the model at the marks and gives the turn away in between."""

    def before_train(self):
        self._start_turn()
        # A resumed run has passed some marks already.
        self._marks = [mark for mark in self.trainer.marks if mark > self.trainer.used]

    def after_step(self):
        trainer = self.trainer
        while self._marks and trainer.used >= self._marks[0]:
            folder = os.path.join(trainer.cfg.OUTPUT_DIR, f"minute_{self._marks.pop(0):g}")
            os.makedirs(folder, exist_ok=True)
            cfg = trainer.cfg.clone()
            cfg.defrost()
            cfg.OUTPUT_DIR = folder
            trainer.clock.write(folder)
            trainer.test(cfg, trainer.model)
        if trainer.clock.seconds >= self._turn_ends:
            trainer.turns.rest(trainer.used)
            self._start_turn()

    def _start_turn(self):
        turns = self.trainer.turns
        seconds = math.inf if turns is None else turns.seconds
        self._turn_ends = self.trainer.clock.seconds + seconds


def train_within_budget(
    cfg: CfgNode, minutes: float, marks: Sequence[float], turns: Turns | None = None
) -> None:
    """One run of a comparison, from its last checkpoint if there is one.

    Its ``results.json`` gets ``peak_memory_mib`` too, null where the system does not say, and
    ``peak_gpu_memory_mib``, what torch has taken of the GPU at once, null without one.

    Args:
        cfg, minutes, marks, turns: see ``BudgetTrainer``.
    """
    trainer = BudgetTrainer(cfg, minutes, marks, turns)
    trainer.resume_or_load(resume=True)
    trainer.train()
    peak = peak_memory_mib()
    path = os.path.join(cfg.OUTPUT_DIR, RESULTS_FILE)
    measured = {
        "peak_memory_mib": None if math.isnan(peak) else round(peak),
        "peak_gpu_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20)
        if torch.cuda.is_available()
        else None,
    }
    write_json(path, {**read_json(path), **measured})

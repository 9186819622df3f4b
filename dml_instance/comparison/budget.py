"""Training for a number of minutes, in turns with other trainings, scored on the way."""

import math
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase

from ..engine import RESULTS_FILE, BudgetTrainer
from ..files import read_json, write_json
from ..memory import peak_memory_mib
from .mask_rcnn import with_test_augmentation


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


class ComparedTrainer(BudgetTrainer):
    """A ``BudgetTrainer`` that scores itself on the way, too, and shares its machine with others.

    Models are scored ``with_test_augmentation``.
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
        self.marks = sorted(mark for mark in marks if mark < minutes)
        self.turns = turns
        super().__init__(cfg, minutes)

    def build_hooks(self):
        return [*super().build_hooks(), _Milestones()]

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """``Trainer.test``, with the augmentation that ``TEST.AUG.ENABLED`` asks for."""
        return super().test(cfg, with_test_augmentation(cfg, model), evaluators)


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
        cfg, minutes, marks, turns: see ``ComparedTrainer``.
    """
    trainer = ComparedTrainer(cfg, minutes, marks, turns)
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
